"""`inspect` tells all that is refused at once, each for a reason of its own, and layers by their names."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from graphs import images
from pieces import Net
from torch import Tensor, nn

import dnisnm_lava as dn
from dnisnm_lava.cli.entry import main
from dnisnm_lava.errors import UnsupportedModel


def refusals(model: nn.Module, shape: tuple[int, ...]) -> list[tuple[str, str]]:
    return [(row.shown, row.name) for row in dn.inspect(model, images(1, shape, 0)[0]).refused]


def many(n: nn.Module, x: Tensor) -> Tensor:
    y = F.silu(n.norm(n.a(x)))  # type: ignore[operator]
    y = y * torch.sigmoid(n.b(y.mean((2, 3), keepdim=True)))  # type: ignore[operator]
    y = torch.where(y > 0.5, F.gelu(y), -y)
    return n.last(n.fc(y.mean((2, 3))))  # type: ignore[operator]


MANY = {
    "a": nn.Conv2d(3, 8, 3),
    "norm": nn.GroupNorm(2, 8),
    "b": nn.Conv2d(8, 8, 1),
    "fc": nn.Linear(8, 4),
    "last": nn.LayerNorm(4),
}


def test_all_refused_operations_are_told_and_none_twice() -> None:
    """The mask of `where` is made by a comparison: that is refused, and `where` is its consequence."""
    found = dn.inspect(Net(many, **MANY), images(1, (3, 8, 8), 0)[0])
    names = ["native_group_norm", "gt", "native_layer_norm"]
    assert [row.shown for row in found.refused] == names
    assert all(row.reason and row.remedy for row in found.refused)
    assert found.refused[0].name == "norm"
    assert (found.count("exact"), found.count("approximated")) == (7, 3)
    assert (found.neurons, dict(found.populations)) == (0, {})


def test_the_first_is_told_by_from_torch_with_the_number_of_others() -> None:
    with pytest.raises(
        UnsupportedModel,
        match=r"group_norm.* \(layer norm\): it needs statistics .* \(and 2 more refused operations",
    ):
        dn.from_torch(Net(many, **MANY), images(1, (3, 8, 8), 0))


def recurrent(n: nn.Module, x: Tensor) -> Tensor:
    return n.fc(n.rnn(F.relu(n.a(x)).transpose(1, 2))[0][:, -1])  # type: ignore[operator]


def time_first(n: nn.Module, x: Tensor) -> Tensor:
    return n.fc(n.rnn(F.relu(n.a(x)).permute(2, 0, 1))[0][-1])  # type: ignore[operator]


def unrolled(n: nn.Module, x: Tensor) -> Tensor:
    h = x.new_zeros(x.shape[0], 5)
    for i in range(x.shape[2] - 2):
        h = n.rnn(F.relu(n.a(x))[:, :, i], h)  # type: ignore[operator]
    return n.fc(h)  # type: ignore[operator]


def attending(n: nn.Module, x: Tensor) -> Tensor:
    y = F.relu(n.a(x)).transpose(1, 2)  # type: ignore[operator]
    return n.fc(n.rnn(y, y, y, need_weights=False)[0][:, 0])  # type: ignore[operator]


@pytest.mark.parametrize(
    ("forward", "layer"),
    [
        (recurrent, nn.LSTM(4, 5, batch_first=True)),
        (recurrent, nn.GRU(4, 5, batch_first=True)),
        (recurrent, nn.RNN(4, 5, batch_first=True)),
        (recurrent, nn.LSTM(4, 5, num_layers=2, batch_first=True)),
        (time_first, nn.LSTM(4, 5)),
        (unrolled, nn.GRUCell(4, 5)),
        (attending, nn.MultiheadAttention(4, 2, batch_first=True)),
    ],
)
def test_a_layer_that_torch_takes_apart_is_named_as_a_layer_once(forward: object, layer: nn.Module) -> None:
    features = 4 if isinstance(layer, nn.MultiheadAttention) else 5
    model = Net(forward, a=nn.Conv1d(3, 4, 3), rnn=layer, fc=nn.Linear(features, 2))  # type: ignore[arg-type]
    kind = type(layer).__name__
    assert refusals(model, (3, 8)) == [(kind, "rnn")]
    with pytest.raises(UnsupportedModel, match=rf"^{kind} at .*\(layer rnn\): (a recurrent layer|attention)"):
        dn.from_torch(model, images(1, (3, 8), 0))


def test_what_follows_from_a_refusal_is_not_told() -> None:
    """An index that depends on the input, and a layout of what is unknown, which alone would need a matrix of
    2^24 weights."""
    index = Net(lambda n, x: n.fc(x.flatten(1).sort(1)[1][:, :5] * 1.0), fc=nn.Linear(5, 2))
    assert [name for name, _ in refusals(index, (3, 4, 4))] == ["sort"]
    layout = Net(
        lambda n, x: n.a(torch.erf(n.b(x)).reshape(-1, 64, 16, 8).permute(0, 2, 1, 3)),
        a=nn.Conv2d(16, 2, 3),
        b=nn.Conv2d(3, 8, 1),
    )
    assert [name for name, _ in refusals(layout, (3, 32, 32))] == ["erf"]


@pytest.mark.parametrize(
    ("product", "name"),
    [
        (lambda z: z * F.softmax(z, 1), "softmax"),
        (lambda z: F.layer_norm(z, z.shape[1:]) * z, "native_layer_norm"),
        (lambda z: F.softmax(z, 1) ** 2, "softmax"),
        (lambda z: z * F.softmax(z.mean((2, 3)), 1)[:, :, None, None], "softmax"),
    ],
)
def test_a_product_with_what_is_refused_follows_from_it(
    product: Callable[[Tensor], Tensor], name: str
) -> None:
    """It looked for the population of what has none."""
    model = Net(lambda n, x: n.b(product(n.a(x).relu())), a=nn.Conv2d(3, 8, 3), b=nn.Conv2d(8, 2, 1))
    assert [shown.removeprefix("_") for shown, _ in refusals(model, (3, 6, 6))] == [name]


def test_a_dropout_that_is_never_switched_off_is_told_as_one() -> None:
    model = Net(lambda n, x: n.b(F.dropout(n.a(x), 0.5)), a=nn.Conv2d(3, 8, 3), b=nn.Conv2d(8, 2, 1))
    with pytest.raises(UnsupportedModel, match=r"dropout in training mode is random; .*self\.training"):
        dn.from_torch(model, images(1, (3, 6, 6), 0)[0])


def test_the_command_tells_rows_for_people_and_programs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "net.py").write_text(
        "import torch.nn as nn\n"
        "def net():\n"
        "    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.GroupNorm(1, 2), nn.Conv2d(2, 2, 1), nn.Softmax(1), "
        "nn.Flatten(), nn.Linear(8, 2))\n"
    )
    command = ["inspect", f"{tmp_path}/net.py:net", "--input-shape", "1,4,4"]
    assert main([*command, "--json"]) == 1
    told = capsys.readouterr()
    rows = [row for row in json.loads(told.out)["rows"] if row["how"] == "refused"]
    assert [(row["operation"], row["name"]) for row in rows] == [
        ("aten.native_group_norm", "1"),
        ("aten._softmax", "_softmax"),
    ]
    assert [row["remedy"].split(",")[0] for row in rows] == [
        "use batch norm",
        "only one behind the last layer can be left out: use a network without attention",
    ]
    assert "2 operations of 6 cannot be converted" in told.err
    assert main(command) == 1
    shown = capsys.readouterr().out
    assert "group_norm" in shown
    assert "softmax" in shown


def test_check_of_a_model_says_what_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "net.py:net"]) == 1
    assert "check takes a netx file; dnisnm convert" in capsys.readouterr().err
