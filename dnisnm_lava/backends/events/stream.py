"""A stream, frame by frame: spikes are lists, and only what they reach is computed.

Where many spikes leave a population at once, as in the first frame, a projection of it is computed whole, by
`batched`'s ways; both give the same integers, so which is taken decides time alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from dnisnm_lava.backends.events import kernels
from dnisnm_lava.backends.events.prepared import Room, Sent, prepared
from dnisnm_lava.backends.events.tables import (
    Events,
    channels_first,
    events_of,
    pixels_first,
)
from dnisnm_lava.backends.results import Run
from dnisnm_lava.backends.state import State, initial
from dnisnm_lava.backends.streams import Frame
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir import SNM, Gate, Input, MaxPool, Population, ReadOut, Shape, SpikingGraph
from dnisnm_lava.ir.dynamics import gain_after
from dnisnm_lava.ir.fixedpoint import STATE
from dnisnm_lava.ir.integers import check_state, encode_images
from dnisnm_lava.system.progress import Progress, tell

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
            p.name: Room.of(next(kept[kind] for kind in ("v", "best", "m") if kind in kept))
            for p, kept in ((p, self._kept[p.name]) for p in self.graph.populations[1:])
        }
        if not state.is_new:  # what it may have to send still is not known
            for room in self._room.values():
                room.pending[:] = 1

    def _shape(self, kind: str, p: Population) -> Shape:
        """The shape of what is kept: the sums of a max-pool have its source's, and the sums `b` of a gate
        those of the population that gates."""
        if kind == "b" and isinstance(p, Gate):
            return self.graph[p.gate].shape
        return self.graph[p.source].shape if kind == "total" and isinstance(p, MaxPool) else p.shape

    def step(self, image: np.ndarray, *, record: bool = False, moves: bool = False) -> Frame:
        """Take the next frame, (*image shape), floats. record: keep every spike. moves: count the potentials
        that are others behind it."""
        codes, clipped = encode_images(self.graph, image[None])
        done = _Done(clipped)
        sent: dict[str, list[Sent]] = {}
        for p, heard in self.graph.flow(sent):
            own, kept = self._prepared[p.name], self._kept[p.name]
            before = kept["v"].copy() if moves and "v" in kept else None
            if isinstance(p, Input):
                new = pixels_first(codes[0].astype(np.int64), p.shape).astype(own.dtype)
                change = Sent(p, own.code, events_of(new - kept["image"]))
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

    def _arrive(self, p: SNM | ReadOut, heard: Mapping[str, list[Sent]], t: int) -> None:
        """The currents of step t into the room of p, and its bias in the first frame."""
        room, own = self._room[p.name], self._prepared[p.name]
        for projection in own.projections:
            projection.add(heard[projection.source][t], room, self._ways)
        if self._state.is_new:
            room.acc += own.bias
            room.touched[:] = 1

    def _fired(self, p: SNM, heard: Mapping[str, list[Sent]], done: _Done) -> list[Sent]:
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
                sent.append(Sent(p, own.code, Events(*(a[:count].copy() for a in out))))
        done.count(p.name, int(counts[0]), int(counts[1]))
        done.saturations[p.name] = int(counts[2])
        return sent

    def _summed(self, p: ReadOut, heard: Mapping[str, list[Sent]], done: _Done) -> np.ndarray:
        """(T, *shape of the model's output)."""
        room, v, trace, over = self._room[p.name], self._kept[p.name]["v"], [], 0
        for t in range(self.graph.steps):
            self._arrive(p, heard, t)
            over += kernels.add_up(room.acc, room.touched, v, v.dtype.type(STATE.limit))
            trace.append(channels_first(v, p.shape).reshape(p.view or p.shape).astype(np.int64))
        done.saturations[p.name] = over
        return np.stack(trace)

    def _gated(self, p: Gate, source: list[Sent], gate: list[Sent], done: _Done) -> list[Sent]:
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
            sent.append(Sent(p, own.code, Events(*(o[:count].copy() for o in out))))
        return sent

    def _pooled(self, p: MaxPool, heard: Sent, done: _Done) -> Sent:
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
        return Sent(p, own.code, Events(*(a[:count].copy() for a in out)))


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


def _dials(p: SNM, dtype: np.dtype) -> tuple[np.generic, np.generic, bool]:
    """Levels, the most that m holds, and whether that is either way, as `kernels.fire` takes them."""
    most = p.most if p.most else np.inf
    return dtype.type(p.levels), dtype.type(most), p.two_sided


def _bounds(p: SNM | Gate) -> tuple[float, float]:
    """The bounds of m, as `kernels.follow` and `gate` take them."""
    most = float(p.most) if p.most else np.inf
    return -most if p.two_sided else 0.0, most


def _delivered(sent: list[Sent], fan: np.ndarray) -> int:
    return sum(kernels.delivered(s.events.pixel, s.events.channel, fan) for s in sent)


def _room_for(v: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For as many events as there are neurons; memory is taken as it fills."""
    return np.empty(v.size, np.int32), np.empty(v.size, np.int32), np.empty(v.size, np.float64)
