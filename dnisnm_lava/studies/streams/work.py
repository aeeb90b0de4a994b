"""What going through frames took, as counts: of the stream, and of the same frames one by one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from dnisnm_lava.backends.results import Run
from dnisnm_lava.backends.streams import fans, pool_fans
from dnisnm_lava.ir import SNM, Gate, Input, MaxPool, ReadOut, SpikingGraph
from dnisnm_lava.studies.streams.following import Followed


@dataclass(frozen=True)
class Work:
    """inputs: values of the image that were sent, in all steps. sent: {population: spikes of neurons and
    max-pools}. delivered: {population: synapses that its spikes went to}, the image's values too; pooled:
    {population: of these, windows of max-pools}. moved: potentials and maxima that changed. At one step a
    frame each is counted; at T steps one of a stream counts T times, and one of a frame alone once, which
    favours the frame alone. curves: {population: how often a curve of it was computed}, as potentials
    change."""

    inputs: int
    sent: Mapping[str, int]
    delivered: Mapping[str, int]
    pooled: Mapping[str, int]
    moved: int
    functions: Mapping[str, int] = field(default_factory=dict)

    @property
    def spikes(self) -> int:
        return sum(self.sent.values())

    @property
    def operations(self) -> int:
        return sum(self.delivered.values())

    def weighted(self, source: str) -> int:
        """The synapses that the spikes of `source` went to, all but windows of max-pools."""
        return self.delivered[source] - self.pooled.get(source, 0)

    def __add__(self, other: Work) -> Work:
        return Work(
            self.inputs + other.inputs,
            _sum(self.sent, other.sent),
            _sum(self.delivered, other.delivered),
            _sum(self.pooled, other.pooled),
            self.moved + other.moved,
            _sum(self.functions, other.functions),
        )


def _sum(a: Mapping[str, int], b: Mapping[str, int]) -> dict[str, int]:
    return {name: a.get(name, 0) + b.get(name, 0) for name in {**a, **b}}


def of_stream(graph: SpikingGraph, frame: Followed) -> Work:
    """The work of one frame of a stream of `graph`."""
    sent = {name: up + down for name, (up, down) in frame.spike_counts.items()}
    maxima = sum(sent[p.name] for p in graph.of(MaxPool)) + sum(sent[p.name] for p in graph.of(Gate))
    moved = graph.steps * sum(frame.moved.values()) + maxima
    functions = {
        name: graph.steps * frame.moved.get(name, neurons) for name, neurons in _functions(graph).items()
    }
    return Work(frame.inputs, sent, frame.delivered, frame.pooled, moved, functions)


def _functions(graph: SpikingGraph) -> dict[str, int]:
    """{population with a curve, gate: its neurons}."""
    return {
        p.name: int(np.prod(p.shape))
        for p in graph
        if isinstance(p, Gate) or (isinstance(p, SNM) and p.curve is not None)
    }


class Counter:
    """Counts the work of frames alone in `graph`, of images."""

    def __init__(self, graph: SpikingGraph) -> None:
        self.graph, self._pools = graph, pool_fans(graph)
        self._fans = fans(graph, self._pools)
        self._functions = _functions(graph)
        self._neurons = sum(int(np.prod(p.shape)) for p in graph if isinstance(p, SNM | ReadOut))

    def work(self, codes: np.ndarray, run: Run) -> Work:
        """codes: (*shape) the image as the input holds it. run: of this image, every spike recorded."""
        hits = {name: np.count_nonzero(spikes[0], axis=0) for name, spikes in run.spikes.items()}
        sent = {name: int(hit.sum()) for name, hit in hits.items()}
        hits[self.graph.input.name] = (codes != 0) * run.steps
        delivered, pooled = (_reached(hits, spread) for spread in (self._fans, self._pools))
        maxima = sum(sent[p.name] for p in self.graph.of(MaxPool)) + sum(
            sent[p.name] for p in self.graph.of(Gate)
        )
        inputs = int(hits[self.graph.input.name].sum())
        return Work(inputs, sent, delivered, pooled, self._neurons + maxima, self._functions)

    def skipping(self, codes: np.ndarray, run: Run) -> Work:
        """What the quantized ANN with these activations cannot skip: each that is not 0, once."""
        active = {name: spikes[0].astype(np.int64).sum(axis=0) != 0 for name, spikes in run.spikes.items()}
        active[self.graph.input.name] = codes != 0
        delivered, pooled = (_reached(active, spread) for spread in (self._fans, self._pools))
        sent = {name: int(a.sum()) for name, a in active.items() if not isinstance(self.graph[name], Input)}
        return Work(int(active[self.graph.input.name].sum()), sent, delivered, pooled, 0)


def _reached(hits: Mapping[str, np.ndarray], spread: Mapping[str, np.ndarray]) -> dict[str, int]:
    return {name: int((hits[name] * fan).sum()) for name, fan in spread.items()}
