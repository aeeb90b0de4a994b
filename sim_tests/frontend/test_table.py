"""The table of operations: each entry stands once, means something, and is known to torch; clips from 0 on
commute with max-pools."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from graphs import images, randomized
from one_layer import Net
from torch import Tensor, nn

import dnisnm_lava as dn
from dnisnm_lava.frontend import walk  # noqa: F401, it fills the table
from dnisnm_lava.frontend.table import REMEDIES, TABLE, Kind, named
from dnisnm_lava.ir import MaxPool, Rectifier, Relay
from dnisnm_lava.ir.functions import FUNCTIONS


@pytest.mark.parametrize("name", sorted(TABLE))
def test_each_operation_is_torchs_and_means_something(name: str) -> None:
    known = TABLE[name]
    assert known.name == name
    assert (known.meaning is None) == (known.kind in (Kind.MOVE, Kind.SHAPE))
    assert (known.kind is Kind.LAST) == (known.function in FUNCTIONS)
    assert not name.endswith("_")  # in place is the same, and listed nowhere
    assert named(f"aten.{name}_") is known is named(f"aten.{name}")
    if "." not in name:
        assert hasattr(torch.ops.aten, name), "torch knows no such operation"
    if known.shown:
        assert hasattr(F, known.shown)


def test_remedies_are_of_operations_that_are_refused_somewhere() -> None:
    """In the body of a network, or for some arguments."""
    always = {name for name, o in TABLE.items() if o.kind in (Kind.MOVE, Kind.SHAPE)}
    assert not always & set(REMEDIES)
    assert not [name for name in REMEDIES if name.endswith("_")]


CLIPS: dict[str, tuple[Callable[[Tensor], Tensor], float]] = {
    "relu": (F.relu, np.inf),
    "relu in place": (lambda x: F.relu(x, inplace=True), np.inf),
    "nn.ReLU": (nn.ReLU(), np.inf),
    "relu6": (F.relu6, 6),
    "nn.ReLU6": (nn.ReLU6(), 6),
    "nn.ReLU6 in place": (nn.ReLU6(inplace=True), 6),
    "hardtanh": (lambda x: F.hardtanh(x, 0, 4), 4),
    "nn.Hardtanh in place": (nn.Hardtanh(0, 4, inplace=True), 4),
    "clamp": (lambda x: x.clamp(0, 2), 2),
    "clamp in place": (lambda x: x.clamp_(min=0, max=2), 2),
    "clamp_min": (lambda x: x.clamp_min(0), np.inf),
    "clamp from 0": (lambda x: x.clamp(min=0), np.inf),
}


@pytest.mark.parametrize("name", CLIPS)
@pytest.mark.parametrize("indices", [False, True])
def test_a_max_pool_before_a_clip_from_0_on_takes_no_relay(name: str, indices: bool) -> None:
    clip, ceiling = CLIPS[name]

    def forward(n: nn.Module, x: Tensor) -> Tensor:
        z = n.conv(x)  # type: ignore[operator]
        pooled = F.max_pool2d(z, 2, return_indices=True)[0] if indices else F.max_pool2d(z, 2)
        return n.last(clip(pooled).flatten(1))  # type: ignore[operator]

    model = randomized(Net(forward, conv=nn.Conv2d(8, 4, 3, padding=1), last=nn.Linear(64, 3)), 0)
    x = 4 * images(6, (3, 8, 8), 1)
    analog = dn.from_torch(model, x[0])
    assert (len(analog.of(Relay)), len(analog.of(MaxPool)), len(analog.of(Rectifier))) == (0, 1, 2)
    assert {p.ceiling for p in analog.of(Rectifier)} == {np.inf, ceiling}
    with torch.no_grad():
        expected = model(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(
        analog.ann(x), expected, rtol=1e-4, atol=1e-4
    )  # float32's products and sums of up to 72


@pytest.mark.parametrize(
    "clip",
    [lambda x: x.clamp(-1, 1), lambda x: x.clamp(max=1), lambda x: F.relu(x) - x],
    ids=["clamp", "below", "both"],
)
def test_other_readers_of_a_pool_leave_it_where_it_is(clip: Callable[[Tensor], Tensor]) -> None:
    def forward(n: nn.Module, x: Tensor) -> Tensor:
        return n.last(clip(F.max_pool2d(n.conv(x), 2)).flatten(1))  # type: ignore[operator]

    model = randomized(Net(forward, conv=nn.Conv2d(8, 4, 3, padding=1), last=nn.Linear(64, 3)), 0)
    x = 4 * images(6, (3, 8, 8), 1)
    analog = dn.from_torch(model, x[0])
    assert len(analog.of(Relay)) >= 1
    with torch.no_grad():
        np.testing.assert_allclose(analog.ann(x), model(torch.from_numpy(x)).numpy(), rtol=1e-4, atol=1e-4)
