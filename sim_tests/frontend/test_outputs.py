"""Names that a model gives its outputs are those of the read-outs, and so of files, results and --output."""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

import dnisnm_lava as dn
from dnisnm_lava import cli
from exporters import netx


class Named(NamedTuple):
    logits: torch.Tensor
    aux: torch.Tensor


@dataclass
class Kept:
    logits: torch.Tensor
    aux: torch.Tensor


class Heads(nn.Module):
    """(1, 6, 6) to 4 classes and 2 values, put together by `form`."""

    def __init__(self, form: Any) -> None:
        super().__init__()
        self.form = form
        self.logits = nn.Conv2d(1, 3, 3)  # a layer of an output's name
        self.a, self.b = nn.Linear(48, 4), nn.Linear(48, 2)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> Any:
        self.seen.add_(1)  # buffers that are written to stand before the outputs
        h = self.logits(x).relu().flatten(1)
        return self.form(self.a(h), self.b(h))


FORMS = {
    "dict": (lambda a, b: {"logits": a, "aux": b}, {"logits": 4, "aux": 2}),
    "aux first": (lambda a, b: {"aux": b, "logits": a}, {"aux": 2, "logits": 4}),
    "ordered": (lambda a, b: OrderedDict(logits=a, aux=b), {"logits": 4, "aux": 2}),
    "named tuple": (Named, {"logits": 4, "aux": 2}),
    "dataclass": (Kept, {"logits": 4, "aux": 2}),
    "one": (lambda a, b: {"out": a}, {"out": 4}),
    "nested": (
        lambda a, b: {"cls": a, "boxes": (b, 2 * b), "none": None},
        {"cls": 4, "boxes.0": 2, "boxes.1": 2},
    ),
    "list": (lambda a, b: [Kept(a, b)], {"0.logits": 4, "0.aux": 2}),
    "twice": (lambda a, b: {"x": a, "y": a}, {"x": 4, "y": 4}),
    "letters": (lambda a, b: {"two\nlines": a, 7: b}, {"two_lines": 4, "7": 2}),
    "input": (lambda a, b: {"input": a, "x": b}, {"input.2": 4, "x": 2}),
    "tuple": (lambda a, b: (a, b), {"a": 4, "b": 2}),
}


@pytest.mark.parametrize("name", FORMS)
def test_outputs_are_called_as_the_model_calls_them(name: str, tmp_path: Path) -> None:
    form, shapes = FORMS[name]
    torch.manual_seed(0)
    model, x = Heads(form).eval(), np.random.default_rng(0).normal(size=(8, 1, 6, 6)).astype(np.float32)
    nets = dn.build(model, x, dn.PAPER)
    assert {key: shape for key, (shape,) in nets.analog.output_shapes.items()} == shapes
    assert list(nets.analog.output_shapes) == list(shapes)
    with torch.no_grad():
        h = model.logits(torch.from_numpy(x)).relu().flatten(1)
        wanted = {4: model.a(h).numpy(), 2: model.b(h).numpy()}
    for key, values in nets.analog.outputs(x).items():
        double = 2 if key == "boxes.1" else 1
        np.testing.assert_allclose(values, double * wanted[shapes[key]], atol=1e-5)
    netx.write(tmp_path / "a.net", nets.integer)
    assert netx.read(tmp_path / "a.net").output_shapes == nets.analog.output_shapes


def test_the_command_line_takes_an_output_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    Path("net.py").write_text(
        f"import sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import torch\nfrom test_outputs import Heads\n"
        "def net():\n    torch.manual_seed(0)\n    return Heads(lambda a, b: {'aux': b, 'logits': a})\n"
    )
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 1, 6, 6)).astype(np.float32), rng.integers(0, 4, 40)
    np.savez("d.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    made = ["--model", "net.py:net", "--data", "d.npz", "--recipe", "paper", "--steps", "2"]
    logits = ["--output", "logits", "--anyway", "--json"]
    assert cli.main(["compare", *made, *logits, "--lava-images", "0", "--out", "out"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["measure"]["output"], told["measure"]["index"]) == ("logits", 1)
    assert list(told["outputs"]["integer"]) == ["aux", "logits"]
    assert cli.main(["predict", "out/network.net", "--data", "d.npz", *logits]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["output"], told["index"], told["outputs"]) == ("logits", 1, 2)
    assert cli.main(["compare", *made, "--output", "nothing", "--lava-images", "0"]) == 1
    assert "output: nothing asked for; the network has 0: aux (2), 1: logits (4)" in capsys.readouterr().err
