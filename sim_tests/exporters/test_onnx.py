"""The network as an ONNX file: onnxruntime gives each running sum, spike and state of the specification."""

from __future__ import annotations

import json
import re
import sys
import textwrap
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import oracle
import pytest
import torch

pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

import onnx as library
import onnxruntime
from graphs import (
    Chain,
    curved,
    curved_graphs,
    gated,
    gated_graphs,
    integer_graphs,
    readout,
    small,
    snm,
    weights,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_runs import (
    assert_is_the_reference,
    assert_steps_are_the_reference,
    assert_stream_is_the_reference,
    fed,
    over_steps,
    session,
    sums_of,
)

import dnisnm_lava as dn
from dnisnm_lava.backends import reference
from dnisnm_lava.data.models import load_weights
from dnisnm_lava.errors import BackendMissing, BadFile, OutOfRange
from dnisnm_lava.ir import SNM, Curve, Gate, Input, MaxPool, Population, Projection, ReadOut, SpikingGraph
from dnisnm_lava.ir.arithmetic import Window
from dnisnm_lava.stages.recipes import BEST
from dnisnm_lava.stages.streaming import streaming
from exporters import onnx
from exporters.onnx import nodes, synapses

GRAPHS = st.one_of(integer_graphs(), curved_graphs(), gated_graphs())
SEEDS = st.integers(0, 2**32 - 1)
NORMALIZATION = np.array([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]], np.float32).reshape(2, 3, 1, 1)


def drawn(graph: SpikingGraph, seed: int, count: int = 2) -> np.ndarray:
    """Images of which some clip, and halves round to even."""
    return np.random.default_rng(seed).integers(-280, 281, (count, *graph.input.shape)) / 2


# ---------------------------------------------------------------- all steps


@settings(max_examples=60)
@given(graph=GRAPHS, seed=SEEDS)
def test_the_file_is_the_reference_on_any_graph(
    tmp_path_factory: pytest.TempPathFactory, graph: SpikingGraph, seed: int
) -> None:
    assert_is_the_reference(graph, drawn(graph, seed), tmp_path_factory.mktemp("onnx"))


@settings(max_examples=20)
@given(graph=GRAPHS, seed=SEEDS)
def test_the_file_is_python_integers(
    tmp_path_factory: pytest.TempPathFactory, graph: SpikingGraph, seed: int
) -> None:
    codes = np.random.default_rng(seed).integers(-127, 128, (1, *graph.input.shape))
    found = over_steps(graph, codes, tmp_path_factory.mktemp("onnx"))
    expected = oracle.simulate(graph, codes[0], graph.steps)
    for name, sums in found.items():
        np.testing.assert_array_equal(sums[0], expected[name])


MADE: tuple[tuple[Callable[..., tuple[SpikingGraph, np.ndarray]], dict[str, object]], ...] = (
    (small, {}),
    (small, {"levels": 3}),
    (small, {"lead": 2}),
    (small, {"steps": 1}),
    (small, {"levels": 2, "lead": {"conv1": 2, "conv2": 0, "conv3": 3}}),
    (curved, {"levels": 5, "lead": {"conv1": 2, "conv2": 0}}),
    (curved, {"levels": 31, "steps": 1}),
    (gated, {"levels": 5, "lead": 1}),
    (gated, {"levels": 31, "steps": 1}),
)


@pytest.mark.parametrize(("made", "options"), MADE)
def test_converted_networks(
    made: Callable[..., tuple[SpikingGraph, np.ndarray]], options: dict[str, object], tmp_path: Path
) -> None:
    graph, x = made(**options)
    assert_is_the_reference(graph, x[:3], tmp_path)
    assert_is_the_reference(graph, x[:1], tmp_path, steps=9)
    assert_steps_are_the_reference(graph, x[:2], tmp_path)
    assert_steps_are_the_reference(graph, x[:1], tmp_path, steps=2)


def test_vectors_sequences_and_any_initial_potential(tmp_path: Path) -> None:
    graph, x = small(Chain(), (6,))
    assert_is_the_reference(graph, x[:4], tmp_path)
    model = torch.nn.Sequential(
        torch.nn.Conv1d(2, 3, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(18, 2)
    )
    x = np.random.default_rng(0).normal(size=(24, 2, 8)).astype(np.float32)
    analog = dn.from_torch(model, x[0])
    graph = dn.quantize(dn.convert(analog, dn.calibrate(analog, [x]), steps=5, levels=2))
    moved = [replace(p, v_init=p.v_init // 3 - 7) if isinstance(p, SNM) else p for p in graph]
    assert_is_the_reference(replace(graph, populations=tuple(moved)), x[:4], tmp_path)
    assert_steps_are_the_reference(replace(graph, populations=tuple(moved)), x[:4], tmp_path)


def chain(first: Projection, second: Projection, bits: int = 8, **dials: object) -> SpikingGraph:
    """An image of 3 numbers, 4 neurons, a read-out of 2."""
    rng = np.random.default_rng(0)
    a = replace(snm("a", (4,), (first,), rng), **dials)
    return SpikingGraph(
        (Input("input", (3,), np.ones(3), bits), a, readout("out", (2,), (second,), rng)), steps=6
    )


def test_potentials_saturate_at_24_bits(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    loud = (
        Projection(s, weights(rng, *shape), exponent=15) for s, shape in (("input", (4, 3)), ("a", (2, 4)))
    )
    graph, x = chain(*loud, levels=4), np.random.default_rng(1).integers(-127, 128, (5, 3)).astype(float)
    saturations = reference.run(graph, x).saturations
    assert min(saturations["a"], saturations["out"]) > 0
    assert_is_the_reference(graph, x, tmp_path)


@pytest.mark.parametrize("payload", [3, 127, 128, 32639, 32640, 2**23 - 1])
@pytest.mark.parametrize("weight", [127, 128, -129, 32767, 2**23 + 5])
def test_wide_weights_and_spikes_are_digits_of_bytes(payload: int, weight: int, tmp_path: Path) -> None:
    """On both sides of each bound of one, two and three digits; the largest read-outs saturate."""
    rng = np.random.default_rng(0)
    wide = np.stack([np.full(4, weight), rng.integers(-abs(weight), abs(weight) + 1, 4)]).astype(np.int32)
    first, second = Projection("input", weights(rng, 4, 3)), Projection("a", wide)
    graph = chain(first, second, payload=np.full(4, payload, np.int32), two_sided=True)
    x = rng.integers(-127, 128, (6, 3)).astype(float)
    assert any(spikes.any() for spikes in reference.run(graph, x).spikes.values())
    assert_is_the_reference(graph, x, tmp_path)


def test_digits_hold_every_integer_up_to_their_bound(tmp_path: Path) -> None:
    cases = [(256, n, count) for n, count in ((127, 1), (128, 2), (32639, 2), (32640, 3), (2**24, 4))]
    for base, largest, count in (
        *cases,
        (0, 1000, 1),
        (4, 1, 1),
        (4, 2, 2),
        (4, 5, 2),
        (4, 6, 3),
        (2048, 1024, 2),
    ):
        g = nodes.Nodes(tmp_path / f"{base}-{largest}.onnx", ["x", *(f"digit {i}" for i in range(count))])
        found = synapses.digits(g, "x", largest, base)
        assert len(found) == count
        gives = [g.gives(f"digit {i}", "Cast", a, to=7) for i, a in enumerate(found)]
        nodes.write_model(g, [("x", ("N",), "INT64")], [(a, ("N",)) for a in gives], {}, False)
        ends = np.arange(min(largest, 70_000) + 1)
        x = np.unique([*ends, *-ends, *(largest - ends), *(ends - largest)])
        parts = session(g.path).run(gives, {"x": x})
        assert all(part.min() >= -base // 2 and part.max() < base / 2 for part in parts) or not base
        np.testing.assert_array_equal(sum(part * base**i for i, part in enumerate(parts)), x)


@pytest.mark.parametrize(("channels", "side", "kernel"), [(64, 5, 3), (128, 7, 3), (32, 7, 1)])
def test_shapes_of_which_a_runtime_gave_other_sums(
    channels: int, side: int, kernel: int, tmp_path: Path
) -> None:
    """onnxruntime 1.23.2's ConvInteger errs on them on a processor with AMX."""
    rng = np.random.default_rng(0)
    shape, pad = (channels, side, side), (kernel // 2, kernel // 2)
    codes = rng.integers(-127, 128, (64, channels, kernel, kernel)).astype(np.int8)
    a = snm("a", (64, side, side), (Projection("input", codes, padding=(pad, pad)),), rng)
    out = readout("out", (3,), (Projection("a", weights(rng, 3, 64 * side * side)),), rng)
    graph = SpikingGraph((Input("input", shape, np.ones(channels), 8), a, out), steps=2)
    assert_steps_are_the_reference(graph, rng.integers(-127, 128, (2, *shape)).astype(float), tmp_path)


def test_a_base_is_the_largest_whose_sums_are_exact() -> None:
    """Beside every other power of two from 4 on."""
    for row in (1, 9, 127 * 9, 2**13, 2**13 + 1, 2**14 + 1, 127 * 4608, 2**22, 2**23):
        exact = [b for b in (2**n for n in range(2, 12)) if b // 2 * row <= 2**24]
        assert synapses.base_of(2**20, row) == exact[-1]
        for largest in (1, 2, 31, 127, 1024, 1025):
            whole = largest <= 1024 and largest * row <= 2**24
            assert (synapses.base_of(largest, row) == 0) == whole


def test_bounds_hold_for_integers_of_more_than_32_bits(tmp_path: Path) -> None:
    """Where Min, Max and Clip of the runtime err."""
    g = nodes.Nodes(tmp_path / "a.onnx", ["x", "y", "smaller", "within"])
    g.gives("smaller", "Identity", g.smaller("x", "y", 1 << 52))
    g.gives("within", "Identity", g.within("x", -(2**23) + 1, 2**23 - 1))
    nodes.write_model(
        g,
        [("x", ("N",), "INT64"), ("y", ("N",), "INT64")],
        [("smaller", ("N",)), ("within", ("N",))],
        {},
        False,
    )
    x, y = np.random.default_rng(0).integers(-(2**34), 2**34, (2, 100_000))
    smaller, within = session(g.path).run(["smaller", "within"], {"x": x, "y": y})
    np.testing.assert_array_equal(smaller, np.minimum(x, y))
    np.testing.assert_array_equal(within, np.clip(x, -(2**23) + 1, 2**23 - 1))


def test_full_bytes_at_every_tap_are_summed_exactly(tmp_path: Path) -> None:
    """Where products of bytes pair up in 16 bits, as some processors have them, they would saturate here."""
    for value in (-127.0, 127.0):
        conv = Projection("input", np.full((5, 64, 3, 3), 127, np.int8), padding=((1, 1), (1, 1)))
        dense = Projection("input", np.full((3, 64 * 36), -127, np.int8))
        rng = np.random.default_rng(0)
        maps, vector = readout("map", (5, 6, 6), (conv,), rng), readout("out", (3,), (dense,), rng)
        graph = SpikingGraph((Input("input", (64, 6, 6), np.ones(64), 8), maps, vector), steps=1)
        assert_is_the_reference(graph, np.full((2, 64, 6, 6), value), tmp_path)


@pytest.mark.parametrize("padding", [((0, 0), (0, 0)), ((1, 0), (2, 1)), ((2, 2), (1, 2))])
def test_borders_wider_than_windows_and_dilation(padding: tuple, tmp_path: Path) -> None:
    """Of a convolution, a sum-pool, and a max-pool that reads an image, of which others are not ready yet."""
    rng = np.random.default_rng(0)
    size, window = (5, 7), Window((3, 2), (2, 1), padding, (1, 2))
    conv = Projection("input", weights(rng, 4, 1, 2, 2), (2, 1), ((3, 1), (0, 4)), (2, 3), groups=2)
    a = snm("a", conv.output_shape((2, *size)), (conv,), rng, levels=3, lead=2)
    pool = MaxPool("pool", (2, *window.output_size(size)), "input", window)
    features = 4 * np.prod(window.output_size(a.shape[1:]))
    out = readout("out", (3,), (Projection("a", weights(rng, 3, features), sum_pool=window),), rng)
    aside = readout("aside", (3, *pool.shape[1:]), (Projection("pool", weights(rng, 3, 2, 1, 1)),), rng)
    graph = SpikingGraph((Input("input", (2, *size), np.ones(2), 8), a, pool, out, aside), steps=3)
    x = rng.integers(-127, 128, (3, 2, *size)).astype(float)
    assert_is_the_reference(graph, x, tmp_path)
    assert_steps_are_the_reference(graph, x, tmp_path)


def test_images_round_as_in_float64_and_are_permuted_first(tmp_path: Path) -> None:
    """Quotients of float32 and float64 next to halves; an image (H, W, C)."""
    rng = np.random.default_rng(0)
    order = np.arange(24).reshape(2, 4, 3).transpose(2, 0, 1).reshape(-1)
    image = Input("input", (3, 2, 4), np.array([0.1, 1 / 3, 0.007]), 8, (2, 4, 3), order)
    out = readout("out", (3, 2, 4), (Projection("input", np.eye(3, dtype=np.int8)[:, :, None, None]),), rng)
    graph = SpikingGraph((image, out), steps=1)
    halves = (rng.integers(-130, 131, (200, 2, 4, 3)) + 0.5) * image.scale
    near = np.nextafter(
        halves.astype(np.float32), rng.choice([-9e9, 0, 9e9], halves.shape).astype(np.float32)
    )
    assert_is_the_reference(graph, near, tmp_path)


class Two(torch.nn.Module):
    """A map, and a vector that is viewed as another, behind a softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = torch.nn.Conv2d(2, 3, 3), torch.nn.Conv2d(3, 2, 1)
        self.aside = torch.nn.Linear(48, 4)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = torch.relu(self.conv(x))
        return self.head(x), torch.softmax(self.aside(x.flatten(1)).reshape(-1, 2, 2), 1)


def test_outputs_have_the_models_shapes_and_the_file_tells_what_makes_values_of_them(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of the softmax, that the read-out holds what it takes
        graph, x = small(Two())
    assert_is_the_reference(graph, x[:4], tmp_path)
    running, run = session(tmp_path / "whole.onnx"), reference.run(graph, x[:4])
    assert [a.shape for a in running.get_outputs()] == [["N", 6, 2, 4, 4], ["N", 6, 2, 2]]
    told = running.get_modelmeta()
    assert told.producer_name == "dnisnm_lava"
    assert told.custom_metadata_map["digest"] == graph.digest()
    assert json.loads(told.custom_metadata_map["steps"]) == 6
    outputs = json.loads(told.custom_metadata_map["outputs"])
    for (name, each), sums in zip(outputs.items(), running.run(None, fed(graph, x[:4])), strict=True):
        np.testing.assert_array_equal(sums[:, 3] * np.array(each["unit"]) / 4, run.rates(4, name))
        assert each["shape"] == list(sums.shape[2:])
    assert [(each["function"], each["axis"]) for each in outputs.values()] == [("", 0), ("softmax", 0)]


def test_a_network_with_the_thresholds_of_a_stream(tmp_path: Path) -> None:
    """A dead band, and a bound of m, of images that each begin anew."""
    for made in (small, curved, gated):
        graph, x = made(levels=3, steps=4)
        graph = replace(streaming(graph, steps=4, hysteresis=0.6, levels=2), carry=False)
        assert_is_the_reference(graph, x[:4], tmp_path)
        assert_steps_are_the_reference(graph, x[:2], tmp_path)


@pytest.mark.parametrize("two_sided", [False, True])
@pytest.mark.parametrize("band", [0.0, 0.5])
@pytest.mark.parametrize("down", [0.0, 0.25, 0.6, 1.0])
def test_every_threshold_is_met_exactly(down: float, band: float, two_sided: bool, tmp_path: Path) -> None:
    """Small thresholds and currents, so that potentials and what a curve says often are at them."""
    rng, each = np.random.default_rng(0), Projection("input", np.eye(64, dtype=np.int8))
    dials = {"levels": 2, "two_sided": two_sided, "band": band, "most": 5 if band else 0}
    a, vth = snm("a", (64,), (each,), rng, down=down), np.repeat(np.arange(2, 18, 2), 8).astype(np.int32)
    a = replace(a, vth=vth, payload=np.ones_like(vth), v_init=vth >> 1, **dials)
    line = Curve("line", np.zeros((1, 0), np.int64), np.ones((1, 1), np.int64), np.zeros((1, 1), np.int64))
    curve = replace(a, name="curve", curve=line, v_init=0 * vth)
    outs = [readout(f"out {p.name}", (64,), (replace(each, source=p.name),), rng) for p in (a, curve)]
    graph = SpikingGraph((Input("input", (64,), np.ones(64), 8), a, curve, *outs), steps=3)
    assert_is_the_reference(graph, rng.integers(-9, 10, (60, 64)), tmp_path)
    assert_stream_is_the_reference(replace(graph, carry=True), rng.integers(-9, 10, (30, 64)), tmp_path)


def odd(p: Population, rng: np.random.Generator) -> Population:
    """Levels that are no powers of two, other ones within a channel, and gains of either sign."""
    if not isinstance(p, SNM | Gate) or (isinstance(p, SNM) and p.curve is None):
        return p
    p = replace(p, vth=(p.vth // rng.integers(1, 9, p.shape) | (p.vth > 0)).astype(np.int32))
    return replace(p, gain=p.gain * rng.choice([-1, 1], p.gain.shape)) if isinstance(p, Gate) else p


@pytest.mark.parametrize("made", [curved, gated])
def test_levels_of_any_worth_and_gains_below_zero(
    made: Callable[..., tuple[SpikingGraph, np.ndarray]], tmp_path: Path
) -> None:
    """Conversion makes none of them; the reference knows them."""
    (graph, x), rng = made(levels=9, steps=3), np.random.default_rng(0)
    graph = replace(graph, populations=tuple(odd(p, rng) for p in graph))
    assert_is_the_reference(graph, x[:3], tmp_path)
    assert_steps_are_the_reference(graph, x[:2], tmp_path)


# ---------------------------------------------------------------- other readers, and the file


def test_another_runtime_gives_the_same(tmp_path: Path) -> None:
    """That of the package onnx, in NumPy."""
    from onnx.reference import ReferenceEvaluator

    for made in (small, gated):
        graph, x = made(steps=2, levels=3)
        path = onnx.write(tmp_path / f"{made.__name__}.onnx", graph)
        found = ReferenceEvaluator(str(path)).run(None, fed(graph, x[:2]))
        for sums, expected in zip(found, sums_of(graph, reference.run(graph, x[:2])).values(), strict=True):
            np.testing.assert_array_equal(sums, expected)


def test_the_file_is_the_same_each_time_and_holds_shared_constants_once(tmp_path: Path) -> None:
    graph, _ = small(steps=300, granularity="channel")
    assert graph["conv1"].vth.strides[1:] == (0, 0)  # a channel's neurons have one threshold
    files = [onnx.write(tmp_path / f"{i}.onnx", graph).read_bytes() for i in range(2)]
    assert files[0] == files[1]
    model = library.load(str(tmp_path / "0.onnx"))
    constants = [library.numpy_helper.to_array(a) for a in model.graph.initializer]
    weight_bytes = sum(q.weight.size for p in graph if isinstance(p, SNM | ReadOut) for q in p.projections)
    assert sum(a.nbytes for a in constants if a.dtype == np.uint8) <= weight_bytes + len(constants)
    assert max(a.size for a in constants if a.dtype == np.int64 and a.size != 300) <= 16
    assert len(model.graph.node) < 150  # no step is written out
    assert {a.domain: a.version for a in model.opset_import} == {"": nodes.OPSET}


def test_one_step_has_no_loop(tmp_path: Path) -> None:
    for steps, loops in ((1, 0), (2, 4)):
        model = library.load(str(onnx.write(tmp_path / f"{steps}.onnx", small(steps=steps)[0])))
        assert [n.op_type for n in model.graph.node].count("Scan") == loops


def test_the_code_of_the_docstring_runs(tmp_path: Path) -> None:
    graph, x = small(lead={"conv1": 2, "conv2": 0, "conv3": 1})
    onnx.write_step(tmp_path / "step.onnx", graph)
    code = textwrap.dedent(str(onnx.__doc__).split("no code:\n\n")[1].split("\n\n`initial")[0])
    code = code.replace('"step.onnx"', repr(str(tmp_path / "step.onnx")))
    there = {"onnxruntime": onnxruntime, "numpy": np, "x": x[:3]}
    exec(code, there)
    np.testing.assert_array_equal(
        there["given"][graph.readout.name], reference.run(graph, x[:3]).logits[:, -1]
    )


# ---------------------------------------------------------------- streams


DIALS = st.fixed_dictionaries(
    {
        "steps": st.integers(1, 3),
        "hysteresis": st.sampled_from([0.0, 0.0, 0.5, 1.0, 2.0]),
        "levels": st.sampled_from([None, 1, 3]),
    }
)


@settings(max_examples=30)
@given(graph=GRAPHS, dials=DIALS, seed=SEEDS)
def test_a_streams_file_is_the_reference_and_so_is_its_state(
    tmp_path_factory: pytest.TempPathFactory, graph: SpikingGraph, dials: dict, seed: int
) -> None:
    frames = drawn(graph, seed, 4)
    frames[2] = frames[1]  # nothing changes
    assert_stream_is_the_reference(streaming(graph, **dials), frames, tmp_path_factory.mktemp("onnx"))


@pytest.mark.parametrize("made", [small, curved, gated])
def test_streams_of_converted_networks(
    made: Callable[..., tuple[SpikingGraph, np.ndarray]], tmp_path: Path
) -> None:
    graph, x = made(steps=2, levels=7)
    for dials in ({}, {"steps": 1, "hysteresis": 0.5}):
        assert_stream_is_the_reference(streaming(graph, **dials), x[:4], tmp_path)


def test_many_streams_at_once_are_each_alone(tmp_path: Path) -> None:
    graph, x = small(steps=2)
    graph, clips = streaming(graph), np.stack([x[:4], x[3::-1]])
    running, state = session(onnx.write(tmp_path / "a.onnx", graph)), onnx.initial(graph, 2)
    names, told = [a.name for a in running.get_outputs()], []
    for i in range(4):
        given = dict(zip(names, running.run(names, fed(graph, clips[:, i]) | state), strict=True))
        state = {name: given[f"after {name}"] for name in state}
        told.append(given[graph.readout.name])
    for mine, clip in zip(np.stack(told, axis=1), clips, strict=True):
        np.testing.assert_array_equal(mine, reference.run(graph, clip).logits)


# ---------------------------------------------------------------- one step


@settings(max_examples=40)
@given(graph=GRAPHS, seed=SEEDS)
def test_steps_are_the_reference_on_any_graph(
    tmp_path_factory: pytest.TempPathFactory, graph: SpikingGraph, seed: int
) -> None:
    assert_steps_are_the_reference(graph, drawn(graph, seed), tmp_path_factory.mktemp("onnx"))


def test_a_shortcut_past_populations_that_lead_is_heard_later(tmp_path: Path) -> None:
    """Of several steps, of one, and of an image, which is the same in each."""
    rng = np.random.default_rng(0)
    one = {name: Projection(name, weights(rng, 4, 4)) for name in "abc"}
    image = Projection("input", weights(rng, 4, 3))
    neurons = (
        snm("a", (4,), (image,), rng, levels=2, two_sided=True),
        snm("b", (4,), (one["a"],), rng, levels=2, lead=3),
        snm("c", (4,), (one["b"], one["a"], image), rng, levels=2, lead=1),
    )
    out = readout("out", (4,), tuple(one.values()), rng)
    graph = SpikingGraph((Input("input", (3,), np.ones(3), 8), *neurons, out), steps=4)
    assert onnx.starts(graph) == {"input": 0, "a": 0, "b": 0, "c": 3, "out": 4}
    states = onnx.states(graph)
    assert (states["delay a"], states["delay b"]) == ((4, 4), (1, 4))
    assert "delay c" not in states
    assert "delay input" not in states
    x = rng.integers(-127, 128, (3, 3)).astype(float)
    assert_steps_are_the_reference(graph, x, tmp_path)
    assert_is_the_reference(graph, x, tmp_path)


# ---------------------------------------------------------------- whole networks


@pytest.mark.filterwarnings("ignore:.*the weights are taken from")
def test_resnet20_on_real_images(shared: Path, tmp_path: Path) -> None:
    """By the default recipe: one step of spikes of 31 levels, fitted."""
    from examples.resnet20 import resnet20

    model = resnet20().eval()
    load_weights(model, shared / "weights/resnet20-12fca82f.th")
    with np.load(shared / "cifar10-lossless-subset.npz") as file:
        codes = file["x_test"][:18].transpose(0, 3, 1, 2).astype(np.float32)
    x = (codes / 255 - NORMALIZATION[0]) / NORMALIZATION[1]
    graph = dn.build(model, x[:16], BEST).integer
    assert_is_the_reference(graph, x[16:], tmp_path)
    assert_steps_are_the_reference(graph, x[16:], tmp_path)


# ---------------------------------------------------------------- refusals


def test_what_no_file_says_is_refused_by_name(tmp_path: Path) -> None:
    path, (graph, _) = tmp_path / "a.onnx", small()
    writers = onnx.write, onnx.write_step
    rng = np.random.default_rng(0)
    first, second = Projection("input", weights(rng, 4, 3)), Projection("a", weights(rng, 2, 4))
    heavy = replace(first, weight=np.full((4, 3), 2**31 - 1, np.int32), exponent=20)
    narrow = replace(
        graph, populations=tuple(replace(p, state_bits=16) if isinstance(p, SNM) else p for p in graph)
    )
    twice = [_renamed(p, {"out": "v a"}) for p in chain(first, second)]
    for bad, told in (
        (
            small(quantize=False)[0],
            r"a\.onnx: integers are written, and the graph holds floats; quantize it first",
        ),
        (chain(heavy, second), r"a: sums may reach \d+, beyond 2\*\*53"),
        (narrow, "has a state of 16 bits, and the ONNX file knows 24"),
    ):
        for write in writers:
            with pytest.raises(OutOfRange, match=told):
                write(path, bad)
    with pytest.raises(
        OutOfRange, match="two tensors of the ONNX file would be called 'v a'; rename a layer"
    ):
        onnx.write_step(path, replace(graph, populations=tuple(twice)))
    with pytest.raises(OutOfRange, match="write_step: the network is a stream's"):
        onnx.write_step(path, streaming(graph))
    with pytest.raises(OutOfRange, match="steps: 0 given"):
        onnx.write(path, graph, steps=0)
    assert list(tmp_path.iterdir()) == []


def _renamed(p: Population, names: dict[str, str]) -> Population:
    return replace(p, name=names.get(p.name, p.name))


def test_sums_that_float32_does_not_hold_are_refused(tmp_path: Path) -> None:
    wide = Projection("input", np.full((1, 2**18), 127, np.int8))
    rng = np.random.default_rng(0)
    image = Input("input", (2**18,), np.ones(2**18), 8)
    graph = SpikingGraph((image, readout("out", (1,), (wide,), rng)), steps=1)
    told = "out: sums of weights from input may reach 33292288, and float32 adds up exactly to 16777216; use"
    with pytest.raises(OutOfRange, match=told):
        onnx.write(tmp_path / "a.onnx", graph)
    less = replace(wide, weight=wide.weight // 4)  # the smallest digits: -2 to 1
    graph = replace(graph, populations=(image, readout("out", (1,), (less,), rng)))
    assert_is_the_reference(graph, np.full((1, 2**18), 127.0), tmp_path)


def test_more_than_a_file_holds_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "LARGEST_FILE", 100)
    told = "a.onnx: its constants take more than 0.0 GB, and an ONNX file of one piece holds 2 GB; write the"
    with pytest.raises(OutOfRange, match=re.escape(told)):
        onnx.write(tmp_path / "a.onnx", small()[0])
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_exists_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    path.write_bytes(b"mine")
    for write in (onnx.write, onnx.write_step):
        with pytest.raises(BadFile, match=r"a\.onnx: exists already"):
            write(path, small()[0])
    assert path.read_bytes() == b"mine"
    assert onnx.write(path, small()[0], overwrite=True) == path
    library.checker.check_model(str(path), full_check=True)


def test_without_the_package_onnx_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(BackendMissing, match=r"onnx is not installed in this Python; .*\[onnx\]"):
        onnx.write(tmp_path / "a.onnx", small()[0])
    assert list(tmp_path.iterdir()) == []
