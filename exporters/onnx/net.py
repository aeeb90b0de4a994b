"""What is being written: a network, its state by name, what the file tells of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir import SNM, Gate, Input, MaxPool, Population, ReadOut, Shape, SpikingGraph, sources
from dnisnm_lava.ir.arithmetic import require_exact
from dnisnm_lava.ir.integers import check_state, largest_spikes, steps_of
from dnisnm_lava.ir.populations import lead
from dnisnm_lava.system.files import refuse_existing
from exporters.onnx import synapses
from exporters.onnx.nodes import Given, Nodes, Size, write_model

FRAMES, STEP = "frames", "step"  # before this one; a number for all N
AFTER = "after "
UNKNOWN = 1 << 62


@dataclass(frozen=True)
class Net:
    """takes: {name: shape behind N} of the state that goes in; of images over all steps there is none.
    first: 1 in the first frame of a stream, or in step 0, else 0; None: there is no other. batch: N, (1,).
    sent: {population: its spikes}. gives, after: {name: (tensor, its shape behind N)} of outputs, of the
    state behind them."""

    g: Nodes
    graph: SpikingGraph
    steps: int
    takes: Mapping[str, Shape]
    largest: Mapping[str, int]
    first: str | None
    batch: str
    sent: dict[str, str] = field(default_factory=dict)
    gives: dict[str, Given] = field(default_factory=dict)
    after: dict[str, Given] = field(default_factory=dict)


def began(
    path: Path, graph: SpikingGraph, steps: int | None, overwrite: bool, takes: Mapping[str, Shape]
) -> Net:
    """Nothing written yet. OutOfRange for what cannot be, BadFile where the file exists."""
    if not graph.is_integer:
        raise OutOfRange(f"{path}: integers are written, and the graph holds floats; quantize it first")
    check_state(graph, "the ONNX file")
    count, largest = steps_of(graph, steps), largest_spikes(graph)
    for p in graph:
        if isinstance(p, SNM | ReadOut):
            require_exact(sum(q.bound(largest[q.source]) for q in p.projections), p.name)
    refuse_existing(path, overwrite)
    names = [*(p.name for p in graph), *takes, *(AFTER + name for name in takes)]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise OutOfRange(
            f"{path}: two tensors of the ONNX file would be called {twice[0]!r}; rename a layer of the model"
        )
    g = Nodes(path, names)
    counter = next((name for name in (FRAMES, STEP) if name in takes), None)
    first = None if counter is None else g.number(g("Equal", counter, g.constant(0)))
    net = Net(g, graph, count, takes, largest, first, g("Shape", graph.input.name, end=1))
    if counter is not None:
        net.after[counter] = (g("Add", counter, g.constant(1)), ())
    return net


def written(net: Net, told: Mapping[str, str], overwrite: bool) -> Path:
    """The file of what `net` holds; told: metadata besides what all files have."""
    g, graph = net.g, net.graph
    takes = {name: _sizes(name, shape) for name, shape in net.takes.items()}
    inputs: list[tuple[str, Size, str]] = [(graph.input.name, ("N", *graph.input.image_shape), "FLOAT")]
    inputs += [(name, sizes, "INT64") for name, sizes in takes.items()]
    given = {**net.gives, **{AFTER + name: net.after[name] for name in takes}}
    for name, (tensor, _) in given.items():
        g.gives(name, "Identity", tensor)
    outputs = [(name, _sizes(name.removeprefix(AFTER), shape)) for name, (_, shape) in given.items()]
    write_model(g, inputs, outputs, {**_told(net), **told}, overwrite)
    return g.path


def _sizes(name: str, shape: Shape) -> Size:
    return () if name in (FRAMES, STEP) else ("N", *shape)


def _told(net: Net) -> dict[str, str]:
    """T, the network's digest, and of each output its unit: a sum times it by the steps summed is a value of
    the model's output, before the function that the model applies along an axis of it."""
    graph = net.graph
    outputs = {
        p.name: {
            "unit": graph.units[p.name].tolist(),
            "shape": graph.output_shapes[p.name],
            "function": p.function,
            "axis": p.axis,
        }
        for p in graph.readouts
    }
    return {"digest": graph.digest(), "steps": json.dumps(net.steps), "outputs": json.dumps(outputs)}


# ---------------------------------------------------------------- the state


def initial(graph: SpikingGraph, count: int) -> dict[str, np.ndarray]:
    """{name: zeros, int64}: the state of `count` images before their first step, or of streams before their
    first frame."""
    sizes = {name: () if name in (FRAMES, STEP) else (count, *shape) for name, shape in states(graph).items()}
    return {name: np.zeros(size, np.int64) for name, size in sizes.items()}


def states(graph: SpikingGraph) -> dict[str, Shape]:
    """{name: shape behind N} of a stream's state, or of images between two steps: named as in
    `backends.state.State`, and the same but at the beginning, where 0 stands for initial potentials. Of a
    stream, how many `frames` were before, (); of images, how many a `step`, and as `delay` what a population
    sent in the last steps, the newest first, where a reader hears it later."""
    kept: dict[str, Shape] = (
        {FRAMES: (), f"image {graph.input.name}": graph.input.shape} if graph.carry else {STEP: ()}
    )
    for p in graph:
        kept |= {name: shape for name, (shape, _) in _own(graph, p).items()}
    if not graph.carry:
        kept |= {f"delay {name}": (late, *graph[name].shape) for name, late in latest(graph).items()}
    return kept


def _own(graph: SpikingGraph, p: Population) -> dict[str, tuple[Shape, np.ndarray | int]]:
    """{name: (shape behind N, what it begins at)} of a population's state, in order."""
    if isinstance(p, SNM):
        return {f"v {p.name}": (p.shape, p.v_init), f"m {p.name}": (p.shape, 0)}
    if isinstance(p, ReadOut):
        return {f"v {p.name}": (p.shape, 0)}
    if isinstance(p, Gate):
        shapes = {"a": p.shape, "b": graph[p.gate].shape, "m": p.shape}
        return {f"{kind} {p.name}": (shape, 0) for kind, shape in shapes.items()}
    if isinstance(p, MaxPool):
        return {f"total {p.name}": (graph[p.source].shape, 0), f"best {p.name}": (p.shape, 0)}
    return {}


def beginning(net: Net, p: Population) -> list[Given]:
    """The state from which p goes on, (N, ...)."""
    g, found = net.g, []
    for name, (shape, start) in _own(net.graph, p).items():
        value = np.asarray(start)
        if net.first is None:
            size = g("Concat", net.batch, g.constant(np.array(shape)), axis=0)
            tensor = g("Expand", g.numbers(value), size)
        else:
            tensor = g("Add", name, g("Mul", g.numbers(value), net.first)) if value.any() else name
        found.append((tensor, shape))
    return found


def keep(net: Net, p: Population, tensors: Iterable[str]) -> None:
    """The state behind p's last step, in the order of `beginning`."""
    for (name, (shape, _)), tensor in zip(_own(net.graph, p).items(), tensors, strict=True):
        net.after[name] = (tensor, shape)


def held(net: Net, p: Population) -> int:
    """More levels than a neuron of p can have sent, net."""
    if not isinstance(p, SNM | Gate):
        return 0
    return p.most or (UNKNOWN if net.graph.carry else p.levels * net.steps)


# ---------------------------------------------------------------- who hears what, when


def heard(net: Net, p: SNM | ReadOut, sent: Mapping[str, str]) -> str | None:
    """Currents (N, *shape) of the sources of which `sent` has spikes; None: of none."""
    total = None
    for q in p.projections:
        if q.source in sent:
            source, largest = net.graph[q.source].shape, net.largest[q.source]
            z = synapses.currents(net.g, q, sent[q.source], source, largest, p.name)
            total = z if total is None else net.g("Add", total, z)
    return total


def starts(graph: SpikingGraph) -> dict[str, int]:
    """In which step, counted from 0, each population begins to hear, where all have their steps in common and
    no wire takes time: when the last of its sources begins to fire."""
    begins: dict[str, int] = {}
    for p in graph:
        begins[p.name] = max((begins[s] + lead(graph[s]) for s in sources(p)), default=0)
    return begins


def late(graph: SpikingGraph, begins: Mapping[str, int], source: str, reader: str) -> int:
    """Steps that a reader hears a spike later than it is sent. An image is the same in each."""
    if isinstance(graph[source], Input):
        return 0
    return begins[reader] - begins[source] - lead(graph[source])


def latest(graph: SpikingGraph) -> dict[str, int]:
    """{population: the most steps that a reader hears it later}, where one does."""
    begins, most = starts(graph), dict.fromkeys((p.name for p in graph), 0)
    for p in graph:
        for source in sources(p):
            most[source] = max(most[source], late(graph, begins, source, p.name))
    return {name: steps for name, steps in most.items() if steps}
