"""Every piece of `pieces`: the graph is the model, and every executor makes the same spikes of it."""

from __future__ import annotations

import copy
import functools
import importlib.util
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from graphs import images
from hypothesis import given, settings
from pieces import PIECES, REFUSED, Shape, random_models
from runs import assert_same
from threadpoolctl import threadpool_limits
from torch import nn

import dnisnm_lava as dn
from dnisnm_lava.backends import batched, lava_cpu, reference
from dnisnm_lava.backends.results import Run
from dnisnm_lava.errors import UnsupportedModel
from dnisnm_lava.ir import SNM, AnalogGraph, MaxPool, Population, ReadOut, SpikingGraph, sources
from exporters import netx

STEPS = 5
lava_needed = pytest.mark.skipif(importlib.util.find_spec("lava") is None, reason="lava-nc is not installed")


def integer(analog: AnalogGraph, x: np.ndarray) -> SpikingGraph:
    return dn.quantize(dn.convert(analog, dn.calibrate(analog, [x]), steps=STEPS))


@functools.cache
def converted(name: str) -> tuple[nn.Module, np.ndarray, AnalogGraph]:
    factory, shape = PIECES[name]
    model, x = factory(), images(8, shape, 4)
    return model, x, dn.from_torch(model, x[0])


@functools.cache
def quantized(name: str) -> tuple[SpikingGraph, np.ndarray]:
    _, x, analog = converted(name)
    return integer(analog, x), x


def outputs(model: nn.Module, x: np.ndarray) -> list[torch.Tensor]:
    """What forward gives, in its order, in float64."""
    with torch.no_grad():
        y = copy.deepcopy(model).double()(torch.from_numpy(x).double())
    return list(y.values()) if isinstance(y, dict) else list(y) if isinstance(y, tuple) else [y]


def assert_is_the_model(analog: AnalogGraph, model: nn.Module, x: np.ndarray) -> None:
    expected, got = outputs(model, x), list(analog.outputs(x).values())
    assert len(got) == len(expected)
    np.testing.assert_array_equal(analog.ann(x), got[0])
    for a, y in zip(got, expected, strict=True):
        a = torch.from_numpy(a).reshape(y.shape)
        # float64 on both sides, a few thousand terms: rounding 2**-53 each
        np.testing.assert_allclose(a.numpy(), y.numpy(), rtol=0, atol=1e-9 * max(1.0, float(y.abs().max())))


def assert_file_holds(graph: SpikingGraph, path: Path) -> None:
    again = netx.read(netx.write(path, graph))
    assert again == graph
    assert again.digest() == graph.digest()


# ---------------------------------------------------------------- every piece


@pytest.mark.parametrize("name", PIECES)
def test_the_graph_is_the_model(name: str) -> None:
    model, x, analog = converted(name)
    assert_is_the_model(analog, model, x)


@pytest.mark.parametrize("name", PIECES)
def test_a_piece_is_alive(name: str) -> None:
    """Every output of the network moves with the image: else the other tests would compare silence."""
    factory, shape = PIECES[name]
    assert all(float(y.std(0).max()) > 1e-3 for y in outputs(factory(), images(8, shape, 4)))


@pytest.mark.parametrize("name", PIECES)
def test_batched_equals_the_integer_reference(name: str) -> None:
    graph, x = quantized(name)
    assert_same(reference.run(graph, x[:3]), batched.run(graph, x[:3], record=True))


@pytest.mark.parametrize("name", PIECES)
def test_the_file_holds_the_piece(name: str, tmp_path: Path) -> None:
    assert_file_holds(quantized(name)[0], tmp_path / "a.net")


@pytest.mark.parametrize("name", PIECES)
def test_the_onnx_file_equals_the_integer_reference(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    from onnx_runs import assert_is_the_reference, assert_steps_are_the_reference

    graph, x = quantized(name)
    assert_is_the_reference(graph, x[:2], tmp_path)
    assert_steps_are_the_reference(graph, x[:1], tmp_path)


def beside(p: Population, piece: str, image: str) -> Population:
    """`p` under a name that no other piece has. image: the name of the input, which all share."""
    here = functools.partial(_named, piece=piece, image=image)
    if isinstance(p, MaxPool):
        return replace(p, name=here(p.name), source=here(p.source))
    assert isinstance(p, SNM | ReadOut)
    return replace(
        p, name=here(p.name), projections=tuple(replace(q, source=here(q.source)) for q in p.projections)
    )


def _named(name: str, piece: str, image: str) -> str:
    return image if name == image else f"{piece}: {name}"


@functools.cache
def on_lava(pieces: tuple[str, ...]) -> Run:
    """A run on Lava of pieces that stand side by side behind one input: what is dear is Lava's start."""
    first, x = quantized(pieces[0])
    image = first.input
    assert all(quantized(name)[0].input == image for name in pieces)
    populations = [beside(p, name, image.name) for name in pieces for p in quantized(name)[0].populations[1:]]
    populations.sort(key=lambda p: isinstance(p, ReadOut))
    return lava_cpu.run(SpikingGraph((image, *populations), steps=STEPS), x[:1], steps=3)


def of_lava(graph: SpikingGraph) -> frozenset[tuple[object, ...]]:
    """What Lava is asked to do: it knows projections, and not which operations of a model they were."""
    asked: set[tuple[object, ...]] = set()
    for p in graph:
        for q in getattr(p, "projections", ()):
            if q.is_conv:
                each = "stride", "padding", "dilation"
                asked.update((key, getattr(q, key)) for key in each)
                asked.add(("groups", q.groups > 1, q.weight.shape[1] == 1))
            asked.update(
                (key, getattr(q, key) is None)
                for key in ("source_channels", "target_channels", "target_order")
            )
            asked.update(
                [("sum_pool", q.sum_pool), ("resample", q.resample is None), ("exponent", q.exponent > 0)]
            )
            asked.add(("dense into a map", not q.is_conv and len(q.target_shape) == 3))
        asked.add((type(p), len(p.shape), getattr(p, "window", None), getattr(p, "two_sided", None)))
    starts = graph.window_starts()
    late = {starts[p.name] - 1 - starts[s] for p in graph for s in sources(p)}
    return frozenset(asked | {("delay", n) for n in late})


@functools.cache
def for_lava() -> tuple[tuple[str, ...], ...]:
    """Pieces that ask Lava for something that those before them did not, a dozen of one shape at a time."""
    known: set[tuple[object, ...]] = set()
    chosen: dict[Shape, list[str]] = {}
    for name, (_, shape) in PIECES.items():
        asked = of_lava(quantized(name)[0])
        if not asked <= known:
            known |= asked
            chosen.setdefault(shape, []).append(name)
    return tuple(tuple(same[i : i + 12]) for same in chosen.values() for i in range(0, len(same), 12))


def part(run: Run, piece: str, names: tuple[str, ...], graph: SpikingGraph) -> Run:
    """Of a run of several pieces, what this one did."""
    image, started = graph.input.name, f"{piece}: "
    last = {f"{names[0]}: {quantized(names[0])[0].readout.name}": run.logits, **run.further}

    def own(values: Mapping[str, Any]) -> dict[str, Any]:
        return {n.removeprefix(started): v for n, v in values.items() if n.startswith(started) or n == image}

    further = own(last)
    logits = further.pop(graph.readout.name)
    return Run(
        logits, own(run.spikes), own(run.spike_counts), own(run.saturations), run.clipped_inputs, further
    )


@lava_needed
def test_lava_fixed_point_equals_batched() -> None:
    """Of all pieces that ask for anything new; the others are what is equal in batched already."""
    for names in for_lava():
        run = on_lava(names)
        for name in names:
            graph, x = quantized(name)
            assert_same(batched.run(graph, x[:1], steps=3, record=True), part(run, name, names, graph))


@lava_needed
@pytest.mark.parametrize(
    "name", ["bilinear, scale 1.7", "MobileNetV2", "DenseNet", "nn.ChannelShuffle, grouped", "two read-outs"]
)
def test_lava_floating_point_equals_the_reference(name: str) -> None:
    _, x, analog = converted(name)
    spiking = dn.convert(analog, dn.calibrate(analog, [x]), steps=3)
    with threadpool_limits(
        1, user_api="blas"
    ):  # as in Lava's processes: the order of a sum depends on the threads
        assert_same(reference.run(spiking, x[:1]), lava_cpu.run(spiking, x[:1]))


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_exact_meaning_is_refused_by_name_line_and_remedy(name: str) -> None:
    factory, shape, match = REFUSED[name]
    with pytest.raises(UnsupportedModel, match=match) as caught:
        dn.from_torch(factory(), images(1, shape, 0)[0])
    message = str(caught.value)
    assert "\n" not in message
    assert "cannot trace" in message or re.search(r" at \S*pieces\.py:\d+", message)
    assert re.search(r"[:;] [^:;]*\w+ \w+[^:;]*$", message), "no remedy"


# ---------------------------------------------------------------- any network


@settings(max_examples=20)
@given(drawn=random_models())
def test_any_network_converts_exactly(
    tmp_path_factory: pytest.TempPathFactory, drawn: tuple[nn.Module, Shape]
) -> None:
    model, shape = drawn
    x = images(8, shape, 5)
    analog = dn.from_torch(model, x[0])
    assert_is_the_model(analog, model, x)
    graph = integer(analog, x)
    assert_same(reference.run(graph, x[:3]), batched.run(graph, x[:3], record=True))
    assert_file_holds(graph, tmp_path_factory.mktemp("net") / "a.net")


@lava_needed
@settings(max_examples=3)
@given(drawn=random_models())
def test_lava_equals_batched_on_any_network(drawn: tuple[nn.Module, Shape]) -> None:
    model, shape = drawn
    x = images(8, shape, 6)
    graph = integer(dn.from_torch(model, x[0]), x)
    assert_same(batched.run(graph, x[:2], steps=3, record=True), lava_cpu.run(graph, x[:2], steps=3))
