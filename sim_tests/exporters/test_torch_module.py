"""The network as a plain torch module: every logit equals the specification's, and nothing of our executors
is in it."""

from __future__ import annotations

import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import oracle
import pytest
import torch
from graphs import (
    Chain,
    ResidualPoolNet,
    curved,
    curved_graphs,
    gated_graphs,
    integer_graphs,
    loud,
    small,
)
from hypothesis import given, settings
from hypothesis import strategies as st

import dnisnm_lava as dn
from dnisnm_lava.backends import reference
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir import SNM, Input, Projection, ReadOut, SpikingGraph
from exporters import torch_module

GRAPHS = st.one_of(integer_graphs(), curved_graphs(), gated_graphs())
ROOT = Path(__file__).resolve().parents[2]


def assert_equal(graph: SpikingGraph, x: np.ndarray, steps: int | None = None) -> None:
    """Each running sum of each read-out, and its dtype."""
    run = reference.run(graph, x, steps=steps)
    found = torch_module.module(graph, steps=steps)(torch.from_numpy(x))
    outputs = found if isinstance(found, tuple) else (found,)
    assert all(a.dtype == torch.int64 for a in outputs)
    for a, expected in zip(outputs, (run.logits, *run.further.values()), strict=True):
        np.testing.assert_array_equal(a.numpy(), expected)


@settings(max_examples=60)
@given(graph=GRAPHS, seed=st.integers(0, 1000))
def test_the_module_equals_the_reference_on_any_graph(graph: SpikingGraph, seed: int) -> None:
    x = (
        np.random.default_rng(seed).integers(-280, 281, (3, *graph.input.shape)) / 2
    )  # some clip, halves round to even
    assert_equal(graph, x)


@settings(max_examples=20)
@given(graph=GRAPHS, seed=st.integers(0, 1000))
def test_the_module_equals_python_integers(graph: SpikingGraph, seed: int) -> None:
    codes = np.random.default_rng(seed).integers(-127, 128, (1, *graph.input.shape))
    found = torch_module.module(graph)(torch.from_numpy(codes))
    expected = oracle.simulate(graph, codes[0], graph.steps)
    for p, a in zip(graph.readouts, found if isinstance(found, tuple) else (found,), strict=True):
        np.testing.assert_array_equal(a[0].numpy(), expected[p.name])


@pytest.mark.parametrize(
    "options", [{}, {"levels": 3}, {"lead": 2}, {"levels": 2, "lead": {"conv1": 2, "conv2": 0, "conv3": 3}}]
)
def test_converted_networks(options: dict[str, object]) -> None:
    graph, x = small(**options)
    assert_equal(graph, x[:6])
    assert_equal(graph, x[:2], steps=9)


def test_converted_curves() -> None:
    graph, x = curved(levels=5, lead={"conv1": 2, "conv2": 0})
    assert_equal(graph, x[:6])
    assert_equal(graph, x[:2], steps=9)


def test_vectors_sequences_and_any_initial_potential() -> None:
    graph, x = small(Chain(), (6,))
    assert_equal(graph, x[:6])
    model = torch.nn.Sequential(
        torch.nn.Conv1d(2, 3, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(18, 2)
    )
    x = np.random.default_rng(0).normal(size=(24, 2, 8)).astype(np.float32)
    analog = dn.from_torch(model, x[0])
    graph = dn.quantize(dn.convert(analog, dn.calibrate(analog, [x]), steps=5, levels=2))
    start = [
        replace(p, v_init=p.v_init // 3 - 7) if isinstance(p, SNM) else p for p in graph
    ]  # as a fit would move it
    assert_equal(replace(graph, populations=tuple(start)), x[:6])


def test_potentials_saturate_at_24_bits() -> None:
    graph, x = loud(15), np.random.default_rng(1).integers(-127, 128, (5, 3)).astype(float)
    saturations = reference.run(graph, x).saturations
    assert min(saturations["a"], saturations["out"]) > 0
    assert_equal(graph, x)


class Two(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head, self.aside = (
            torch.nn.Conv2d(2, 3, 3),
            torch.nn.Conv2d(3, 2, 1),
            torch.nn.Linear(48, 4),
        )

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = torch.relu(self.conv(x))
        return self.head(x), self.aside(x.flatten(1)).reshape(-1, 2, 2)


def test_several_outputs_are_a_tuple_in_the_models_shapes() -> None:
    graph, x = small(Two())
    found = torch_module.module(graph)(torch.from_numpy(x[:4]))
    assert [tuple(a.shape) for a in found] == [(4, 6, 2, 4, 4), (4, 6, 2, 2)]
    assert_equal(graph, x[:4])


# ---------------------------------------------------------------- to embed


def test_the_state_dict_holds_integers_and_travels_through_a_file(tmp_path: Path) -> None:
    (graph, x), (other, _) = small(seed=0), small(seed=1)
    net = torch_module.module(graph)
    torch.save(net.state_dict(), tmp_path / "a.pt")
    state = torch.load(tmp_path / "a.pt", weights_only=True)
    assert {a.dtype for key, a in state.items() if key != "image.scale"} == {torch.int64}
    np.testing.assert_array_equal(
        state["populations.0.synapses.0.weight"].numpy(), graph["conv1"].projections[0].weight
    )
    again = torch_module.module(other)
    images = torch.from_numpy(x[:4])
    assert not torch.equal(again(images), net(images))
    again.load_state_dict(state)
    assert torch.equal(again(images), net(images))


def test_a_traced_network_runs_without_this_package(tmp_path: Path) -> None:
    graph, x = small()
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", torch.jit.TracerWarning
        )  # the check of the images' shape is not traced
        torch.jit.trace(torch_module.module(graph), torch.from_numpy(x[:2])).save(str(tmp_path / "a.pt"))
    np.save(tmp_path / "x.npy", x[:5])
    program = (
        "import sys; sys.modules['dnisnm_lava'] = sys.modules['exporters'] = None\n"
        "import numpy, torch\n"
        "numpy.save('y.npy', torch.jit.load('a.pt')(torch.from_numpy(numpy.load('x.npy'))).numpy())\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, timeout=120)
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), reference.run(graph, x[:5]).logits)


def test_curves_travel_in_the_state_dict_and_in_a_traced_network_and_export() -> None:
    graph, x = curved(levels=5)
    net, images = torch_module.module(graph), torch.from_numpy(x[:3])
    silu = graph["conv2"]
    assert isinstance(silu, SNM)
    assert silu.curve is not None
    state = net.state_dict()
    for key in ("knots", "slopes", "offsets"):
        np.testing.assert_array_equal(state[f"populations.2.{key}"].numpy(), getattr(silu.curve, key))
    again = torch_module.module(graph)
    for buffer in again.buffers():
        buffer.zero_()
    again.load_state_dict(state)
    expected = reference.run(graph, x[:3]).logits
    np.testing.assert_array_equal(again(images).numpy(), expected)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        traced = torch.jit.trace(net, torch.from_numpy(x[:2]))
    np.testing.assert_array_equal(traced(images).numpy(), expected)
    exported = torch.export.export(net, (images,)).module()
    np.testing.assert_array_equal(exported(images).numpy(), expected)


def test_no_executor_is_imported() -> None:
    program = (
        "import sys, torch\n"
        "from exporters import torch_module\n"
        "print([m for m in sys.modules if m.startswith(('dnisnm_lava.backends', 'dnisnm_lava.procs', "
        "'lava', 'numba', 'h5py'))])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True, timeout=120
    )
    assert done.stdout == "[]\n"


# ---------------------------------------------------------------- refusals


def test_floats_and_sums_beyond_2_to_the_53_are_refused() -> None:
    with pytest.raises(OutOfRange, match="the graph holds floats; quantize it first"):
        torch_module.module(small(quantize=False)[0])
    heavy = Projection("input", np.full((1, 3), 127, np.int8), exponent=24)
    wide = Projection("input", np.full((1, 3), 2**31 - 1, np.int32), exponent=20)
    graphs = [
        SpikingGraph(
            (
                Input("input", (3,), np.ones(3), 8),
                ReadOut("out", (1,), (q,), bias=np.zeros(1, np.int32), unit=np.ones(1), v_range=np.ones(1)),
            ),
            steps=2,
        )
        for q in (heavy, wide)
    ]
    assert_equal(graphs[0], np.full((1, 3), 127.0))
    with pytest.raises(OutOfRange, match=r"out: sums may reach \d+, beyond 2\*\*53"):
        torch_module.module(graphs[1])


def test_images_of_another_shape_are_refused() -> None:
    graph, x = small(ResidualPoolNet())
    with pytest.raises(ValueError, match=r"images: shape \(1, 6, 6, 2\) given, \(N, 2, 6, 6\) needed"):
        torch_module.module(graph)(torch.from_numpy(x[:1]).permute(0, 2, 3, 1))
