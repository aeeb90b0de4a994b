"""A stream, frame by frame: spikes are lists, and only what they reach is computed.

Where many spikes leave a population at once, as in the first frame, a projection of it is computed whole, by
`batched`'s ways; both give the same integers, so which is taken decides time alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from dnisnm_lava.backends.batched.currents import Synapses
from dnisnm_lava.backends.batched.curve_neurons import lines_of
from dnisnm_lava.backends.batched.neurons import guards
from dnisnm_lava.backends.batched.planning import NUMPY, Plan, planned
from dnisnm_lava.backends.batched.storage import Code, unflat
from dnisnm_lava.backends.events import kernels
from dnisnm_lava.backends.events.tables import (
    Convolution,
    Events,
    Matrix,
    channels_first,
    events_of,
    pixels_first,
    table,
)
from dnisnm_lava.backends.results import Run
from dnisnm_lava.backends.state import State, initial
from dnisnm_lava.backends.streams import Frame, fans, pool_fans
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir import SNM, Gate, Input, MaxPool, Population, Projection, ReadOut, Shape, SpikingGraph
from dnisnm_lava.ir.dynamics import band_of, gain_after, lower_threshold
from dnisnm_lava.ir.fixedpoint import STATE
from dnisnm_lava.ir.integers import check_state, encode_images
from dnisnm_lava.ir.pools import composed
from dnisnm_lava.system.progress import Progress, tell

DENSE = 4.0  # a synapse of an event costs as much as so many of a whole layer
READ = 4  # multiplications, as long as a value of the source takes
WAYS = ("auto", "events", "whole")


class Stream:
    """The state of one stream of an integer graph that carries it; `step` takes a frame.

    state: where to go on (default: the beginning). ways: `auto`, or `events` or `whole` layers wherever they
    can be; all give the same integers. OutOfRange for a graph of images, for floats, and where numba is
    missing."""

    def __init__(self, graph: SpikingGraph, state: State | None = None, *, ways: str = "auto") -> None:
        if not (graph.carry and graph.is_integer):
            raise OutOfRange("events: they drive the integers of a stream; make the graph by `streaming`")
        if ways not in WAYS:
            raise OutOfRange(f"ways: {ways!r} given; choose {', '.join(WAYS)}")
        check_state(graph, "a stream")
        self.graph, self._ways, self._prepared = graph, ways, prepared(graph)
        self.state = initial(graph) if state is None else state

    @property
    def state(self) -> State:
        """What is kept, to save and to go on from."""
        values: dict[str, np.ndarray] = {}
        for p in self.graph:
            for kind, array in self._kept[p.name].items():
                values[f"{kind} {p.name}"] = channels_first(array, self._shape(kind, p)).astype(np.int64)
        return replace(self._state, values=values)

    @state.setter
    def state(self, state: State) -> None:
        self._state = replace(state, values={})
        self._kept: dict[str, dict[str, np.ndarray]] = {p.name: {} for p in self.graph}
        for key, array in state.values.items():
            kind, name = key.split(" ", 1)
            kept = pixels_first(array, self._shape(kind, self.graph[name]))
            self._kept[name][kind] = kept.astype(self._prepared[name].dtype)
        self._room = {
            p.name: _Room.of(next(kept[kind] for kind in ("v", "best", "m") if kind in kept))
            for p, kept in ((p, self._kept[p.name]) for p in self.graph.populations[1:])
        }
        if not state.is_new:  # what it may have to send still is not known
            for room in self._room.values():
                room.pending[:] = 1

    def _shape(self, kind: str, p: Population) -> Shape:
        """Of what is kept: sums are those of a max-pool's source, or of a gate."""
        if kind == "b" and isinstance(p, Gate):
            return self.graph[p.gate].shape
        return self.graph[p.source].shape if kind == "total" and isinstance(p, MaxPool) else p.shape

    def step(self, image: np.ndarray, *, record: bool = False, moves: bool = False) -> Frame:
        """Take the next frame, (*image shape), floats. record: keep every spike. moves: count the potentials
        that are others behind it."""
        codes, clipped = encode_images(self.graph, image[None])
        done = _Done(clipped)
        sent: dict[str, list[_Sent]] = {}
        for p, heard in self.graph.flow(sent):
            own, kept = self._prepared[p.name], self._kept[p.name]
            before = kept["v"].copy() if moves and "v" in kept else None
            if isinstance(p, Input):
                new = pixels_first(codes[0].astype(np.int64), p.shape).astype(own.dtype)
                change = _Sent(p, own.code, events_of(new - kept["image"]))
                kept["image"] = new
                sent[p.name] = [change] * self.graph.steps
                done.inputs += len(change.events) * self.graph.steps
            elif isinstance(p, MaxPool):
                sent[p.name] = [self._pooled(p, s, done) for s in heard[p.source]]
            elif isinstance(p, Gate):
                sent[p.name] = self._gated(p, heard[p.source], heard[p.gate], done)
            elif isinstance(p, SNM):
                sent[p.name] = self._fired(p, heard, done)
            else:
                assert isinstance(p, ReadOut)
                done.outputs[p.name] = self._summed(p, heard, done)
            if before is not None:
                done.moved[p.name] = int(np.count_nonzero(before != kept["v"]))
            if not isinstance(p, ReadOut):
                events = sent[p.name]
                done.delivered[p.name] = _delivered(events, own.fan)
                if own.pools.size:
                    done.pooled[p.name] = _delivered(events, own.pools)
                if record and not isinstance(p, Input):
                    done.spikes[p.name] = np.stack([s.dense() for s in events]).astype(np.int32)
        over = sum(done.saturations.values())
        self._state = replace(
            self._state, frames=self._state.frames + 1, saturated=self._state.saturated + over
        )
        return Frame(**vars(done))

    def _arrive(self, p: SNM | ReadOut, heard: Mapping[str, list[_Sent]], t: int) -> None:
        """The currents of step t into the room of p, and its bias in the first frame."""
        room, own = self._room[p.name], self._prepared[p.name]
        for projection in own.projections:
            projection.add(heard[projection.source][t], room, self._ways)
        if self._state.is_new:
            room.acc += own.bias
            room.touched[:] = 1

    def _fired(self, p: SNM, heard: Mapping[str, list[_Sent]], done: _Done) -> list[_Sent]:
        room, own, kept = self._room[p.name], self._prepared[p.name], self._kept[p.name]
        steps, sent, counts = self.graph.steps, [], np.zeros(3, np.int64)
        limit = own.dtype.type(STATE.limit)
        for t in range(steps + p.lead):
            if t < steps:
                self._arrive(p, heard, t)
            out = _room_for(room.acc)
            state = room.acc, room.touched, room.pending, kept["v"], kept["m"], own.constants
            if own.lines is None:
                count, *seen = kernels.fire(*state, *_dials(p, own.dtype), limit, t >= p.lead, *out)
            else:
                summed = min(t + 1, steps) if self._state.is_new else steps
                count, *seen = kernels.follow(
                    *state, own.lines, summed, float(p.levels), _bounds(p), limit, t >= p.lead, *out
                )
            counts += seen
            if t >= p.lead:
                sent.append(_Sent(p, own.code, Events(*(a[:count].copy() for a in out))))
        done.count(p.name, int(counts[0]), int(counts[1]))
        done.saturations[p.name] = int(counts[2])
        return sent

    def _summed(self, p: ReadOut, heard: Mapping[str, list[_Sent]], done: _Done) -> np.ndarray:
        """(T, *shape of the model's output)."""
        room, v, trace, over = self._room[p.name], self._kept[p.name]["v"], [], 0
        for t in range(self.graph.steps):
            self._arrive(p, heard, t)
            over += kernels.add_up(room.acc, room.touched, v, v.dtype.type(STATE.limit))
            trace.append(channels_first(v, p.shape).reshape(p.view or p.shape).astype(np.int64))
        done.saturations[p.name] = over
        return np.stack(trace)

    def _gated(self, p: Gate, source: list[_Sent], gate: list[_Sent], done: _Done) -> list[_Sent]:
        room, own, kept, steps = self._room[p.name], self._prepared[p.name], self._kept[p.name], len(source)
        a, b, m, sent = kept["a"], kept["b"], kept["m"], []
        at, touched_b = own.at, np.zeros(len(b), np.uint8)
        for t in range(steps):
            kernels.arrive(*source[t].events.arrays, a, room.touched)
            kernels.arrive(*gate[t].events.arrays, b, touched_b)
            if self._state.is_new:  # the gain is another one in each step
                room.touched[:] = 1
            gain = gain_after(p.gain, min(t + 1, steps) if self._state.is_new else steps).astype(np.float64)
            out = _room_for(m)
            touched = room.touched, touched_b, room.pending
            count, up, down = kernels.gate(
                a, b, at, *touched, m, own.constants, gain, float(p.levels), _bounds(p), *out
            )
            done.count(p.name, up, down)
            sent.append(_Sent(p, own.code, Events(*(o[:count].copy() for o in out))))
        return sent

    def _pooled(self, p: MaxPool, heard: _Sent, done: _Done) -> _Sent:
        room, own, kept = self._room[p.name], self._prepared[p.name], self._kept[p.name]
        out = _room_for(kept["best"])
        events, w = heard.events, p.window
        size = (*self.graph[p.source].shape[1:], *p.shape[1:])
        geometry = (*size, *w.stride, w.padding[0][0], w.padding[1][0], *w.dilation)
        if self._state.is_new:
            room.touched[:] = 1
        count, up, down = kernels.pool(
            events.pixel,
            events.channel,
            events.value,
            kept["total"],
            kept["best"],
            room.touched,
            geometry,
            w.kernel,
            *out,
        )
        done.count(p.name, up, down)
        return _Sent(p, own.code, Events(*(a[:count].copy() for a in out)))


def follow(
    graph: SpikingGraph,
    frames: Iterable[np.ndarray],
    state: State | None = None,
    *,
    record: bool = False,
    ways: str = "auto",
    progress: Progress | None = None,
) -> tuple[Run, State]:
    """All `frames` (N, *image shape) of one stream, as a Run, and the state behind the last. record: keep
    every spike."""
    stream = Stream(graph, state, ways=ways)
    done = []
    for frame in frames:
        done.append(stream.step(np.asarray(frame), record=record))
        tell(progress, len(done), len(frames) if isinstance(frames, np.ndarray) else len(done))
    sums = {name: np.stack([d.outputs[name] for d in done]) for name in done[0].outputs}
    first = graph.readout.name
    counts = {name: np.sum([d.spike_counts[name] for d in done], axis=0) for name in done[0].spike_counts}
    run = Run(
        sums.pop(first),
        {name: np.stack([d.spikes[name] for d in done]) for name in done[0].spikes},
        {name: (int(up), int(down)) for name, (up, down) in counts.items()},
        {name: sum(d.saturations[name] for d in done) for name in done[0].saturations},
        sum(d.clipped_inputs for d in done),
        sums,
        graph.units,
        graph.functions,
    )
    return run, stream.state


# ---------------------------------------------------------------- what a step works with


@dataclass
class _Done:
    """A frame in the making: the fields of `Frame`."""

    clipped_inputs: int
    outputs: dict[str, np.ndarray] = field(default_factory=dict)
    spike_counts: dict[str, tuple[int, int]] = field(default_factory=dict)
    delivered: dict[str, int] = field(default_factory=dict)
    saturations: dict[str, int] = field(default_factory=dict)
    spikes: dict[str, np.ndarray] = field(default_factory=dict)
    inputs: int = 0
    pooled: dict[str, int] = field(default_factory=dict)
    moved: dict[str, int] = field(default_factory=dict)

    def count(self, name: str, up: int, down: int) -> None:
        before = self.spike_counts.get(name, (0, 0))
        self.spike_counts[name] = before[0] + up, before[1] + down


@dataclass
class _Sent:
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


def _dials(p: SNM, dtype: np.dtype) -> tuple[np.generic, np.generic, bool]:
    """Levels, the most that m holds, and whether that is either way, as `kernels.fire` takes them."""
    most = p.most if p.most else np.inf
    return dtype.type(p.levels), dtype.type(most), p.two_sided


def _bounds(p: SNM | Gate) -> tuple[float, float]:
    """Of m, as `kernels.follow` and `gate` take them."""
    most = float(p.most) if p.most else np.inf
    return -most if p.two_sided else 0.0, most


def _delivered(sent: list[_Sent], fan: np.ndarray) -> int:
    return sum(kernels.delivered(s.events.pixel, s.events.channel, fan) for s in sent)


@dataclass
class _Room:
    """Of one population: acc (pixels, C), the currents of a step; touched (pixels,), where one arrived;
    pending (pixels,), where a neuron has more to send."""

    acc: np.ndarray
    touched: np.ndarray
    pending: np.ndarray

    @classmethod
    def of(cls, v: np.ndarray) -> _Room:
        return cls(np.zeros_like(v), np.zeros(len(v), np.uint8), np.zeros(len(v), np.uint8))


def _room_for(v: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For as many events as there are neurons; memory is taken as it fills."""
    return np.empty(v.size, np.int32), np.empty(v.size, np.int32), np.empty(v.size, np.float64)


# ---------------------------------------------------------------- what a graph is prepared to


@dataclass(frozen=True)
class _Projection:
    """Synapses both ways. work: of a whole layer, its multiplications."""

    source: str
    whole: Synapses
    events: Convolution | Matrix | None
    work: int

    def _by_events(self, count: int, ways: str) -> bool:
        assert self.events is not None
        return ways != "whole" and (ways == "events" or count * self.events.fan * DENSE < self.work)

    def add(self, sent: _Sent, room: _Room, ways: str) -> None:
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
class _Prepared:
    """A population. dtype: of its potentials and currents, exact. bias: (pixels, C). constants: of
    `kernels.fire`, or with `lines`, which a curve has, of `kernels.follow`, or of `gate`, with `at`. fan:
    (pixels, C) synapses that a spike of each neuron goes to; pools: of these, windows of max-pools, or
    nothing."""

    dtype: np.dtype
    code: Code
    projections: tuple[_Projection, ...]
    bias: np.ndarray
    constants: np.ndarray
    fan: np.ndarray
    pools: np.ndarray
    lines: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
    at: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))


def prepared(graph: SpikingGraph) -> dict[str, _Prepared]:
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


def _prepare(graph: SpikingGraph, p: Population, plan: Plan, fan: np.ndarray, pools: np.ndarray) -> _Prepared:
    nothing, driven = np.zeros(0), isinstance(p, SNM | ReadOut)
    dtype = np.dtype(NUMPY[plan.dtype]) if driven else np.dtype(np.float64)
    projections: tuple[_Projection, ...] = ()
    bias = constants = nothing
    if isinstance(p, SNM | ReadOut):
        projections = tuple(
            _Projection(
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
    return _Prepared(dtype, plan.code, projections, bias, constants, fan, pools, lines, at)


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
