"""A stream of any graph, frame by frame: by events, or by the reference for floats and where numba is
missing."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from dnisnm_lava.backends import reference
from dnisnm_lava.backends.state import State, initial
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir import SNM, Gate, MaxPool, ReadOut, SpikingGraph, fanout, sources


@dataclass(frozen=True)
class Frame:
    """What a frame gave. outputs: {read-out: (T, *shape of the model's output)} running sums, in the order of
    the model's outputs. spike_counts: {population: (up, down)}. delivered: {population: synapses that its
    spikes went to}, those of the image too. saturations: {population: neurons clipped}. clipped_inputs:
    values of the frame outside the input's 8 bits. spikes: {population: (T, *shape)}, where they were
    recorded. inputs: values of the image that were sent, in all steps. pooled: {population: of what it
    delivered, windows of max-pools}. moved: {neurons or read-out: potentials that are others than before the
    frame}, where they were counted."""

    outputs: Mapping[str, np.ndarray]
    spike_counts: Mapping[str, tuple[int, int]]
    delivered: Mapping[str, int]
    saturations: Mapping[str, int]
    clipped_inputs: int = 0
    spikes: Mapping[str, np.ndarray] = field(default_factory=dict)
    inputs: int = 0
    pooled: Mapping[str, int] = field(default_factory=dict)
    moved: Mapping[str, int] = field(default_factory=dict)


class Going(Protocol):
    """A stream under way. state: what is kept, to save and to go on from; may be set."""

    state: State

    def step(self, image: np.ndarray, *, record: bool = False, moves: bool = False) -> Frame:
        """Take the next frame, (*image shape), floats. record: keep every spike. moves: count the potentials
        that are others behind it."""


def going(graph: SpikingGraph, state: State | None = None) -> Going:
    """A stream of `graph`, from `state` on (default: the beginning). OutOfRange for a graph of images."""
    if not graph.carry:
        raise OutOfRange("stream: the network is one of images; make a stream's of it by `streaming`")
    if graph.is_integer and importlib.util.find_spec("numba") is not None:
        from dnisnm_lava.backends import events

        return events.Stream(graph, state)
    return Stepwise(graph, state)


class Stepwise:
    """The same by the reference."""

    def __init__(self, graph: SpikingGraph, state: State | None = None) -> None:
        self.graph, self.state = graph, initial(graph) if state is None else state
        self._pools = pool_fans(graph)
        self._fans = fans(graph, self._pools)

    def step(self, image: np.ndarray, *, record: bool = False, moves: bool = False) -> Frame:
        before = self.state
        run, self.state = reference.follow(self.graph, image[None], before)
        sums = {self.graph.readout.name: run.logits[0], **{name: a[0] for name, a in run.further.items()}}
        spikes = {name: a[0] for name, a in run.spikes.items()}
        source = self.graph.input.name
        change = self.state.of("image", source) - before.of("image", source)
        sent = {source: np.repeat(change[None], self.graph.steps, axis=0), **spikes}
        delivered = {name: int(((a != 0) * self._fans[name]).sum()) for name, a in sent.items()}
        pooled = {name: int(((sent[name] != 0) * fan).sum()) for name, fan in self._pools.items()}
        return Frame(
            sums,
            run.spike_counts,
            delivered,
            run.saturations,
            run.clipped_inputs,
            spikes if record else {},
            int(np.count_nonzero(sent[source])),
            pooled,
            _moved(before, self.state) if moves else {},
        )


def _moved(before: State, after: State) -> dict[str, int]:
    kept = (key for key in after.values if key.startswith("v "))
    return {key[2:]: int(np.count_nonzero(before.values[key] != after.values[key])) for key in kept}


def fans(graph: SpikingGraph, pools: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """{population: (*shape) synapses that a spike of each neuron goes to}; `pools`, windows of max-pools,
    among them."""
    found = {
        p.name: pools.get(p.name, np.zeros(p.shape, np.int64)) for p in graph if not isinstance(p, ReadOut)
    }
    for p in graph:
        for q in p.projections if isinstance(p, SNM | ReadOut) else ():
            found[q.source] = found[q.source] + fanout.of_projection(q, graph[q.source].shape)
    return found


def pool_fans(graph: SpikingGraph) -> dict[str, np.ndarray]:
    """{population that max-pools look at, or gates: (*shape) windows, or products, that a spike of each
    neuron goes to}."""
    found: dict[str, np.ndarray] = {}
    for p in graph.of(MaxPool):
        found[p.source] = found.get(p.source, 0) + fanout.of_max_pool(p, graph[p.source].shape)
    for gate in graph.of(Gate):
        for source in sources(gate):
            found[source] = found.get(source, 0) + fanout.of_gate(gate, graph[source].shape)
    return found
