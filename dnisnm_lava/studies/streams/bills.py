"""What counted work costs, in the views of docs/energy.md, each by the rules of `costs.prices`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from dnisnm_lava.ir import SNM, Gate, Input, MaxPool, Projection, ReadOut, SpikingGraph, fanout, sources
from dnisnm_lava.ir.populations import lead
from dnisnm_lava.studies.costs import prices
from dnisnm_lava.studies.costs.counts import sends_ones
from dnisnm_lava.studies.costs.energy import Widths, widths_of
from dnisnm_lava.studies.streams.work import Work


@dataclass(frozen=True)
class Energy:
    """The energy of a frame, pJ; None where a view says nothing. paper: (25) read with the spikes that
    arrive, floats. arithmetic: of weights alone, max-pools left out. chip: of one like Loihi 1."""

    paper: float | None
    arithmetic: float
    chip: float | None


class Bill:
    """Prices of `graph`'s work, of images or a stream's."""

    def __init__(self, graph: SpikingGraph, steps: int) -> None:
        self.graph, self.steps = graph, steps
        self.widths, self._ones = widths(graph, steps), sends_ones(graph)
        self._layers, self._readers = prices.layers(graph), _readers(graph)
        self._updates = sum(
            int(np.prod(p.shape)) * (steps + lead(p)) for p in graph if not isinstance(p, Input)
        )

    def of(self, work: Work) -> Energy:
        """The energy of spikes: a synapse is paid for each."""
        return Energy(self._paper(work), self._arithmetic(work), self._chip(work))

    def skipping(self, work: Work) -> Energy:
        """The energy of the quantized ANN, for activations other than 0: one operation for each synapse of
        one."""
        return Energy(None, sum(self._once(name) * work.weighted(name) for name in work.delivered), None)

    @cached_property
    def ann(self) -> Energy:
        """The energy of the ANN: in floats for the paper's view, quantized for that of arithmetic; for any
        frame."""
        existing = sum(self._once(q.source) * _synapses(self.graph, q) for q in _projections(self.graph))
        return Energy(prices.MAC * self.multiplications, existing, None)

    @cached_property
    def multiplications(self) -> int:
        """The multiplications of the ANN, a frame: (24), as `inspect` counts them, borders and weights of 0
        in them."""
        return sum(layer.operations for layer in self._layers)

    def _once(self, source: str) -> float:
        return prices.multiply_accumulate(self.widths.activations[source], self.widths.weights)

    def _paper(self, work: Work) -> float:
        sent: Mapping[str, int] = {**work.sent, self.graph.input.name: work.inputs}
        rate = {name: count / int(np.prod(self.graph[name].shape)) for name, count in sent.items()}
        each = [prices.operations(layer, rate, "arriving") for layer in self._layers]
        return prices.spent(each, [layer.first for layer in self._layers])

    def _each(self, source: str) -> float:
        return (
            prices.accumulate()
            if self._ones[source]
            else prices.multiply_accumulate(self.widths.spikes[source], self.widths.weights)
        )

    def _arithmetic(self, work: Work) -> float:
        return sum(self._each(name) * work.weighted(name) for name in work.delivered)

    def _chip(self, work: Work) -> float:
        beyond = sum(
            (self._each(name) - prices.accumulate()) * work.weighted(name) for name in work.delivered
        )
        sent: Mapping[str, int] = {**work.sent, self.graph.input.name: work.inputs}
        messages = sum(count * self._readers.get(name, 0) for name, count in sent.items())
        return (
            prices.SYNAPTIC_OPERATION * work.operations
            + beyond
            + prices.NEURON_ACTIVE * work.moved
            + prices.NEURON_INACTIVE * (self._updates - work.moved)
            + prices.message() * messages
            + sum(self.widths.functions[name] * count for name, count in work.functions.items())
        )


def widths(graph: SpikingGraph, steps: int) -> Widths:
    """Bits of the operands: a stream's image sends changes, of one bit more; and what a population says of a
    frame is its resolution, where it has one."""
    found = widths_of(graph, steps)
    spikes, activations = dict(found.spikes), dict(found.activations)
    if graph.carry:
        spikes[graph.input.name] += 1
    for p in graph:
        if isinstance(p, SNM | Gate) and p.most:
            activations[p.name] = prices.activation_bits(1, p.most, p.two_sided)
        elif isinstance(p, MaxPool):
            activations[p.name] = activations[p.source]
    return replace(found, spikes=spikes, activations=activations)


def _readers(graph: SpikingGraph) -> dict[str, int]:
    """{population: populations that read it}."""
    found: dict[str, int] = {}
    for p in graph:
        for source in set(sources(p)):
            found[source] = found.get(source, 0) + 1
    return found


def _projections(graph: SpikingGraph) -> list[Projection]:
    return [q for p in graph if isinstance(p, SNM | ReadOut) for q in p.projections]


def _synapses(graph: SpikingGraph, q: Projection) -> int:
    """That exist, weights of 0 among them, none on borders."""
    return int(fanout.of_weights(q, q.read_shape(graph[q.source].shape), zeros=True).sum())
