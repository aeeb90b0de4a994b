"""A stream watched: beside what it says of each frame, what the frame alone gives, and the ANN."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from math import sqrt
from pathlib import Path

import numpy as np

from dnisnm_lava.backends.state import State
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir import AnalogGraph, SpikingGraph
from dnisnm_lava.measures import AUTO, Asked, Counts, Measure, ask, exact, of
from dnisnm_lava.stages.networks import Networks
from dnisnm_lava.studies.streams.bills import Bill, Energy
from dnisnm_lava.studies.streams.following import Followed, Following, begun, of_stream
from dnisnm_lava.studies.streams.references import Alone, Analog, FrameWise, frame_wise
from dnisnm_lava.studies.streams.work import Work
from dnisnm_lava.studies.streams.work import of_stream as work_of_stream


@dataclass(frozen=True)
class Met:
    """How far the stream's answers for a frame meet those of a reference. said: the reference's, (*spots).
    counts, spread: as of `Measure.count` and `Measure.spread`, of this frame."""

    said: np.ndarray
    counts: Counts
    spread: Counts

    @property
    def is_share(self) -> bool:
        return "of" in self.counts

    @property
    def value(self) -> float:
        """Share of answers that are the same; of values, the RMSE."""
        counts = {key: value for key, value in self.counts.items() if isinstance(value, int)}
        if self.is_share:
            return counts["correct"] / counts["of"]
        return sqrt(counts["error"] / exact(1.0) / self.said.size)


@dataclass(frozen=True)
class Watched:
    """One frame. followed: what the stream says. said: its answers by the measure, (*spots). work, energy:
    what it took. alone: the frame-wise integers; met: {"alone", "ann"} how far the references are met;
    nothing where they were left out. seconds: {"read", "stream", "alone", "ann"}, as far as they were
    spent."""

    followed: Followed
    work: Work
    energy: Energy
    seconds: dict[str, float]
    said: np.ndarray | None = None
    alone: Alone | None = None
    met: dict[str, Met] = field(default_factory=dict)


class _Source(Iterator[np.ndarray]):
    """Frames as they come. last: the latest, for the references; seconds: that it took to come."""

    def __init__(self, frames: Iterable[np.ndarray]) -> None:
        self._frames, self.last, self.seconds = iter(frames), np.zeros(0), 0.0

    def __next__(self) -> np.ndarray:
        start = time.perf_counter()
        self.last = next(self._frames)
        self.seconds = time.perf_counter() - start
        return self.last


class Watching(Iterator[Watched]):
    """A stream that goes on as it is asked for the next frame. graph: the stream's network, integers.
    measure: of the answers, None without references. bill: prices of the stream. alone, analog: the
    references that there are. state: what the stream keeps."""

    def __init__(
        self,
        following: Following,
        source: _Source,
        measure: Measure | None,
        alone: FrameWise | None,
        analog: Analog | None,
    ) -> None:
        self.graph, self.measure, self.alone, self.analog = following.graph, measure, alone, analog
        self.bill = Bill(self.graph, self.graph.steps)
        self._following, self._source = following, source

    @property
    def state(self) -> State:
        return self._following.state

    def save(self, path: str | Path) -> Path:
        """Write the state to `path` (.npz), for `state=path` to go on from."""
        return self._following.save(path)

    def __next__(self) -> Watched:
        start = time.perf_counter()
        frame = next(self._following)
        took = time.perf_counter() - start
        work = work_of_stream(self.graph, frame)
        seconds = {"read": self._source.seconds, "stream": took - self._source.seconds}
        found = Watched(frame, work, self.bill.of(work), seconds)
        return found if self.measure is None else self._compared(found, self.measure)

    def _compared(self, found: Watched, measure: Measure) -> Watched:
        image = np.asarray(self._source.last, np.float32).reshape(self.graph.input.image_shape)
        said = answers_of(self.graph, found.followed, measure)
        seconds, met, alone = dict(found.seconds), {}, None
        if self.alone is not None:
            start = time.perf_counter()
            alone = self.alone(image)
            seconds["alone"] = time.perf_counter() - start
            met["alone"] = _met(measure, said, alone.said[None])
        if self.analog is not None:
            start = time.perf_counter()
            wanted = self.analog(image)[None]
            seconds["ann"] = time.perf_counter() - start
            met["ann"] = _met(measure, said, wanted)
        return replace(found, said=said[0], alone=alone, met=met, seconds=seconds)


@dataclass(frozen=True)
class References:
    """What a stream is set beside: the integers on each frame alone, at as many steps, and the ANN, of the
    networks or `analog`, where there is one. measure: of the answers; `auto` takes classes where a row of
    them is said. device: where the ANN runs."""

    analog: AnalogGraph | None = None
    measure: Asked = AUTO
    device: str = "cpu"


REFERENCES = References()


def watch(
    networks: Networks | SpikingGraph,
    frames: Iterable[np.ndarray],
    *,
    steps: int = 1,
    hysteresis: float = 0.0,
    levels: int | None = None,
    refresh: int = 0,
    state: State | str | Path | None = None,
    beside: References | None = REFERENCES,
) -> Watching:
    """`dn.stream`, and beside it, for each frame, what it took, and what the references say.

    networks, frames, steps, hysteresis, levels, refresh, state: as of `stream`; the network must hold
    integers. beside: the references; None: no more than what it took. OutOfRange for floats, and as of
    `stream`.
    """
    images = frame_wise(networks)
    given = networks.integer if isinstance(networks, Networks) else networks
    if not given.is_integer:
        raise OutOfRange(
            "watch: the network holds floats, and operations of integers are counted; quantize it first"
        )
    graph, source = of_stream(given, steps, hysteresis, levels), _Source(frames)
    following = Following(graph, source, begun(state, graph), refresh, moves=True)
    if beside is None:
        return Watching(following, source, None, None, None)
    model = networks.analog if isinstance(networks, Networks) else beside.analog
    measured = measure_of(graph, beside.measure)
    return Watching(
        following,
        source,
        measured,
        FrameWise(images, graph.steps, measured),
        None if model is None else Analog(model, measured, beside.device),
    )


def measure_of(graph: SpikingGraph | AnalogGraph, asked: Asked) -> Measure:
    """The measure of answers without labels. OutOfRange where neither the output's shape nor `asked` tells
    which."""
    if isinstance(asked, Measure):
        return asked
    wanted = ask(asked)
    return of(graph, None, wanted.kind, wanted.output, wanted.ignored)


def answers_of(graph: SpikingGraph, frame: Followed, measure: Measure) -> np.ndarray:
    """What a stream of `graph` says of a frame, (1, *spots)."""
    return measure.said((frame.outputs[measure.output] * graph.units[measure.output] / graph.steps)[None])


def _met(measure: Measure, said: np.ndarray, wanted: np.ndarray) -> Met:
    return Met(wanted[0], measure.count(said, wanted), measure.spread(wanted))
