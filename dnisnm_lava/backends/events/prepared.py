"""What a graph is prepared to before its first frame: synapses both ways, constants as the kernels take them.

Events of a projection go where its tables say, or all of it is computed whole, whichever costs less.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

from dnisnm_lava.backends.batched.currents import Synapses
from dnisnm_lava.backends.batched.curve_neurons import lines_of
from dnisnm_lava.backends.batched.neurons import guards
from dnisnm_lava.backends.batched.planning import NUMPY, Plan, planned
from dnisnm_lava.backends.batched.storage import Code, unflat
from dnisnm_lava.backends.events.tables import (
    Convolution,
    Events,
    Matrix,
    channels_first,
    pixels_first,
    table,
)
from dnisnm_lava.backends.streams import fans, pool_fans
from dnisnm_lava.ir import SNM, Gate, Population, Projection, ReadOut, Shape, SpikingGraph
from dnisnm_lava.ir.dynamics import band_of, lower_threshold
from dnisnm_lava.ir.pools import composed

DENSE = 4.0  # a synapse of an event costs as much as so many of a whole layer
READ = 4  # multiplications, as long as a value of the source takes


@dataclass
class Sent:
    """What a population sends in one step: as events, and as `batched` stores it, once that is asked for."""

    population: Population
    code: Code
    events: Events
    _stored: torch.Tensor | None = None

    def stored(self) -> torch.Tensor:
        """(1, *shape)."""
        if self._stored is None:
            flat = np.full(
                (1, 1, int(np.prod(self.population.shape))), self.code.offset, NUMPY[self.code.dtype]
            )
            at = self.events.pixel.astype(np.int64) * self.population.shape[0] + self.events.channel
            flat[0, 0, at] = self.events.value + self.code.offset
            self._stored = unflat(flat, self.population.shape)[:, 0]
        return self._stored

    def dense(self) -> np.ndarray:
        """(*shape), float64."""
        shape = self.population.shape
        a = np.zeros((int(np.prod(shape[1:])), shape[0]))
        a[self.events.pixel, self.events.channel] = self.events.value
        return channels_first(a, shape)


@dataclass
class Room:
    """The working arrays of one population: acc (pixels, C), the currents of a step; touched (pixels,), where
    one arrived; pending (pixels,), where a neuron has more to send."""

    acc: np.ndarray
    touched: np.ndarray
    pending: np.ndarray

    @classmethod
    def of(cls, v: np.ndarray) -> Room:
        return cls(np.zeros_like(v), np.zeros(len(v), np.uint8), np.zeros(len(v), np.uint8))


@dataclass(frozen=True)
class BothWays:
    """Synapses both ways. work: of a whole layer, its multiplications."""

    source: str
    whole: Synapses
    events: Convolution | Matrix | None
    work: int

    def _by_events(self, count: int, ways: str) -> bool:
        assert self.events is not None
        return ways != "whole" and (ways == "events" or count * self.events.fan * DENSE < self.work)

    def add(self, sent: Sent, room: Room, ways: str) -> None:
        if not len(sent.events):
            return
        if self.events is not None and self._by_events(len(sent.events), ways):
            self.events.add(sent.events, room.acc, room.touched)
            return
        with torch.inference_mode():
            z = self.whole.apply(sent.stored())[0].movedim(0, -1).reshape(room.acc.shape).numpy()
        room.acc += z
        if isinstance(self.whole.silence, np.ndarray):
            room.acc -= pixels_first(self.whole.silence, self.whole.silence.shape)
        room.touched[:] = 1


@dataclass(frozen=True)
class Prepared:
    """A population. dtype: of its potentials and currents, exact. bias: (pixels, C). constants: of
    `kernels.fire`, or with `lines`, which a curve has, of `kernels.follow`, or of `gate`, with `at`. fan:
    (pixels, C) synapses that a spike of each neuron goes to; pools: of these, windows of max-pools, or
    nothing."""

    dtype: np.dtype
    code: Code
    projections: tuple[BothWays, ...]
    bias: np.ndarray
    constants: np.ndarray
    fan: np.ndarray
    pools: np.ndarray
    lines: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
    at: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))


def prepared(graph: SpikingGraph) -> dict[str, Prepared]:
    plans = planned(graph, neurons="stepped")
    pools = pool_fans(graph)
    spread = fans(graph, pools)
    none = np.zeros(0, np.int32)
    return {
        p.name: _prepare(
            graph, p, plans[p.name], _flat(p, spread.get(p.name, none)), _flat(p, pools.get(p.name, none))
        )
        for p in graph
    }


def _flat(p: Population, fan: np.ndarray) -> np.ndarray:
    """(pixels, C), or nothing."""
    return pixels_first(fan, p.shape).astype(np.int32) if fan.size else fan


def _prepare(graph: SpikingGraph, p: Population, plan: Plan, fan: np.ndarray, pools: np.ndarray) -> Prepared:
    nothing, driven = np.zeros(0), isinstance(p, SNM | ReadOut)
    dtype = np.dtype(NUMPY[plan.dtype]) if driven else np.dtype(np.float64)
    projections: tuple[BothWays, ...] = ()
    bias = constants = nothing
    if isinstance(p, SNM | ReadOut):
        projections = tuple(
            BothWays(
                q.source,
                whole,
                table(q, graph[q.source].shape, p.shape),
                _work(q, graph[q.source].shape),
            )
            for q, (_, whole) in zip(p.projections, plan.projections, strict=True)
        )
        bias = pixels_first(p.bias, p.shape).astype(dtype)
    lines = None
    at = np.zeros(0, np.int32)
    if isinstance(p, Gate):
        constants, at = _of_curve(p), _gate_pixels(p.shape, graph[p.gate].shape)
    elif isinstance(p, SNM) and p.curve is not None:
        constants, lines = _of_curve(p), lines_of(p.curve)
    elif isinstance(p, SNM):
        constants = _constants(p, dtype)
    return Prepared(dtype, plan.code, projections, bias, constants, fan, pools, lines, at)


def _work(q: Projection, source: Shape) -> int:
    """What the whole layer costs, in multiplications: those of its weights, pools composed into them, and the
    source, which is written down and read."""
    return composed(q, source).macs(source) + READ * int(np.prod(source))


def _constants(p: SNM, dtype: np.dtype) -> np.ndarray:
    """(5, pixels or 1, C): vth, guard, payload, band, lower; `batched.neurons.Neurons` tells them."""
    guard, left = guards(p.vth, lower_threshold(p.vth, p.down), dtype)
    return _rows(p, p.vth, guard, p.payload, _band(p), left).astype(dtype)


def _gate_pixels(shape: Shape, gate: Shape) -> np.ndarray:
    """(pixels,) the pixel of the gate that each pixel reads."""
    own = np.arange(int(np.prod(gate[1:]))).reshape(gate[1:])
    return np.broadcast_to(own, shape[1:]).reshape(-1).astype(np.int32)


def _of_curve(p: SNM | Gate) -> np.ndarray:
    """(3, pixels or 1, C): vth, payload and band, in float64: a band of 30 bits is exact."""
    return _rows(p, p.vth, p.payload, _band(p)).astype(np.float64)


def _band(p: SNM | Gate) -> np.ndarray:
    band = band_of(p.vth, p.band)
    return np.zeros(1) if band is None else band


def _rows(p: SNM | Gate, *constants: np.ndarray) -> np.ndarray:
    """(n, pixels or 1, C): once, where all pixels have the same."""
    rows = np.stack([pixels_first(a, p.shape) for a in constants])
    return rows[:, :1] if (rows == rows[:, :1]).all() else rows
