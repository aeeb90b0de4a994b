"""What a spiking network does on images, counted one by one: spikes, synaptic operations, updates of
potentials.

A watched run (`backends.observing`) tells each step of each population; what is told is counted here.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dnisnm_lava.backends import watched
from dnisnm_lava.data.inputs import Images
from dnisnm_lava.ir import (
    SNM,
    Gate,
    Input,
    MaxPool,
    Population,
    Projection,
    ReadOut,
    Shape,
    SpikingGraph,
    checked_images,
    checked_steps,
    fanout,
    sources,
)
from dnisnm_lava.ir import arithmetic as synapses
from dnisnm_lava.ir.arithmetic import Window
from dnisnm_lava.ir.integers import check_images, check_state
from dnisnm_lava.ir.populations import lead
from dnisnm_lava.system.progress import Progress

Ends = tuple[int, ...]  # E numbers of steps, rising: until when is counted


@dataclass(frozen=True)
class Synapses:
    """One projection (or the windows of a max-pool) over all images and steps.

    existing: synapses, weights of zero and all, but none on borders. effective: values other than 0 that
    weights read, times weights other than 0. delivered: the same for spikes, each of which goes to every
    synapse of its neuron; another number behind a sum-pool or a resampling alone. delivered_once: the same
    with one spike an image for each neuron whose spikes do not cancel: what an ANN with these activations
    cannot skip. adds: a delivered spike is added, and multiplied with nothing, since its source sends 1 and
    -1 alone; read_adds: and so is what the weights read. A max-pool and a gate have `delivered` alone.
    """

    source: str
    existing: int
    effective: int
    delivered: int
    delivered_once: int
    adds: bool
    read_adds: bool


@dataclass(frozen=True)
class Activity:
    """One population over all images and steps. spikes: values sent other than 0 (of the image: in each
    step). updates: steps of its neurons. changes: those that left another potential than they found; the
    first of a window counts always."""

    name: str
    kind: str
    neurons: int
    spikes: int
    updates: int
    changes: int
    synapses: tuple[Synapses, ...]


@dataclass(frozen=True)
class Counts:
    """All populations, in the graph's order, over `images` images of `steps` steps."""

    images: int
    steps: int
    populations: tuple[Activity, ...]

    def of(self, kind: type[Population]) -> list[Activity]:
        return [a for a in self.populations if a.kind == kind.__name__]


@dataclass(frozen=True)
class _Seen:
    """Over images and steps. sent: (*shape) values other than 0 of each neuron; active: (*shape) images whose
    values of a neuron do not cancel; reads: by projection, (*what the weights read) values other than 0;
    changes: of potentials."""

    sent: np.ndarray
    active: np.ndarray
    reads: tuple[np.ndarray, ...]
    changes: int


def count(
    graph: SpikingGraph, images: Images, *, steps: int | None = None, progress: Progress | None = None
) -> Counts:
    """Counts on `images` (N, *input shape) over `steps` (default: the graph's). progress(done, of): after
    each chunk, in images. Clipped values and saturations are as in every executor, whose runs tell how many
    there were."""
    steps = checked_steps(graph.steps if steps is None else steps)
    return count_each(graph, images, (steps,), progress=progress)[steps]


def count_each(
    graph: SpikingGraph, images: Images, steps: Sequence[int], *, progress: Progress | None = None
) -> dict[int, Counts]:
    """{T: the same over T steps}, in the order of `steps`. Where no population leads, a run is the beginning
    of every longer one, and one simulation of the longest tells all; else there is one for each T, and
    progress(done, of) counts the images of all of them."""
    asked = [checked_steps(t) for t in steps]
    ends = tuple(sorted(set(asked)))
    runs = [ends] if ends and not any(map(lead, graph)) else [(t,) for t in ends]
    check_images(graph, "the count of operations")
    check_state(graph, "the count of operations")
    x = checked_images(graph, images)
    found: dict[int, Counts] = {}
    for i, run in enumerate(runs):
        counter = Counter(graph, run)
        watched.run(graph, x, steps=run[-1], observe=counter, progress=_in_all(progress, i, len(runs)))
        found |= counter.counts()
    return {t: found[t] for t in asked}


def sends_ones(graph: SpikingGraph) -> dict[str, bool]:
    """Does a population send 1 and -1 alone, so that a synapse adds its weight and multiplies nothing? Told
    by what it could send, not by what it sent."""
    ones: dict[str, bool] = {}
    for p in graph:
        if isinstance(p, MaxPool):
            ones[p.name] = ones[p.source]  # a maximum of sums changes by no more than one of them
        else:
            ones[p.name] = (
                isinstance(p, SNM | Gate) and p.levels == 1 and bool(np.isin(p.payload, (0, 1)).all())
            )
    return ones


# ---------------------------------------------------------------- a run, watched


def _in_all(progress: Progress | None, before: int, runs: int) -> Progress | None:
    """Who is told of the images of one of several runs as of all of them. before: runs that are done."""
    if progress is None:
        return None
    return lambda done, of: progress(before * of + done, runs * of)


class Counter:
    """An observer of a run of ends[-1] steps, which counts up to each end what `_Seen` holds. images: that it
    was told of. Where a population leads, there is one end, since no run is the beginning of another.

    sent, changes, reads: what came after the end before, (E, ...); reads by population and index of its
    projection, of those alone that read sums or a resampling. active: up to each end.
    """

    def __init__(self, graph: SpikingGraph, ends: Ends) -> None:
        self.graph, self.ends, self.images = graph, ends, 0
        shapes = {p.name: (len(ends), *p.shape) for p in graph}
        self.sent = {name: np.zeros(shape, np.int64) for name, shape in shapes.items()}
        self.active = {name: np.zeros(shape, np.int64) for name, shape in shapes.items()}
        self.changes = {p.name: np.zeros(len(ends), np.int64) for p in graph}
        self.reads: dict[tuple[str, int], np.ndarray] = {}
        self.readers: dict[str, list[tuple[tuple[str, int], Projection]]] = {p.name: [] for p in graph}
        self.before = np.zeros(0)  # potentials a step earlier
        for p in graph.populations:
            for i, q in enumerate(_projections(p)):
                if q.spatial is not None:
                    self.readers[q.source].append(((p.name, i), q))
                    self.reads[p.name, i] = np.zeros(
                        (len(ends), *q.read_shape(graph[q.source].shape)), np.int64
                    )

    def __call__(self, p: Population, step: int, v: np.ndarray, m: np.ndarray, k: np.ndarray) -> None:
        if isinstance(p, Input) and step == 1:
            self.images += len(k)
        at = bisect_left(self.ends, step - lead(p))
        if isinstance(p, SNM | ReadOut):
            self.changes[p.name][at] += np.count_nonzero(v != self.before) if step > 1 else v.size
            self.before = v
        if isinstance(p, ReadOut) or step <= lead(p):
            return  # which send nothing
        values = k * p.payload if isinstance(p, SNM | Gate) else k
        self.sent[p.name][at] += np.count_nonzero(values, axis=0)
        if isinstance(p, MaxPool | Gate):
            self.changes[p.name][at] += np.count_nonzero(values)
        for reader, q in self.readers[p.name]:
            self.reads[reader][at] += np.count_nonzero(_read(q, values), axis=0)
        if step - lead(p) in self.ends:
            self.active[p.name][at] += np.count_nonzero(m, axis=0)

    def counts(self) -> dict[int, Counts]:
        """{T: what was counted} of each end."""
        graph, ones = self.graph, sends_ones(self.graph)
        found: dict[int, Counts] = {}
        for at, t in enumerate(self.ends):
            until = {p.name: self.until(p, at) for p in graph}
            rows = tuple(_activity(graph, p, until, ones, self.images, t) for p in graph)
            found[t] = Counts(self.images, t, rows)
        return found

    def until(self, p: Population, at: int) -> _Seen:
        """What was seen of a population up to the end with that index."""
        reads = tuple(self._reads(p.name, i, q, at) for i, q in enumerate(_projections(p)))
        changes = int(self.changes[p.name][: at + 1].sum())
        return _Seen(self._sent(p.name, at), self.active[p.name][at], reads, changes)

    def _sent(self, name: str, at: int) -> np.ndarray:
        return self.sent[name][: at + 1].sum(axis=0)

    def _reads(self, name: str, i: int, q: Projection, at: int) -> np.ndarray:
        if q.spatial is not None:
            return self.reads[name, i][: at + 1].sum(axis=0)
        sent = self._sent(q.source, at)
        return sent if q.source_channels is None else sent[q.source_channels]


def _projections(p: Population) -> tuple[Projection, ...]:
    return p.projections if isinstance(p, SNM | ReadOut) else ()


def _read(q: Projection, values: np.ndarray) -> np.ndarray:
    """(n, *what the weights read) sums, or a resampling, of the values (n, *shape) of the source."""
    x = (values if q.source_channels is None else values[:, q.source_channels]).astype(np.float64)
    assert q.spatial is not None
    return synapses.sum_pool(x, q.spatial) if isinstance(q.spatial, Window) else q.spatial(x)


# ---------------------------------------------------------------- what was seen, as synapses


def _activity(
    graph: SpikingGraph,
    p: Population,
    seen: Mapping[str, _Seen],
    ones: Mapping[str, bool],
    images: int,
    steps: int,
) -> Activity:
    neurons = int(np.prod(p.shape))
    updates = (
        0 if isinstance(p, Input) else images * neurons * (steps + (p.lead if isinstance(p, SNM) else 0))
    )
    found: tuple[Synapses, ...] = ()
    if isinstance(p, MaxPool):
        fan = fanout.of_max_pool(p, graph[p.source].shape)
        found = (Synapses(p.source, 0, 0, _dot(seen[p.source].sent, fan), 0, True, True),)
    elif isinstance(p, Gate):
        found = tuple(
            Synapses(name, 0, 0, _dot(seen[name].sent, fanout.of_gate(p, graph[name].shape)), 0, True, True)
            for name in sources(p)
        )
    elif isinstance(p, SNM | ReadOut):
        found = tuple(
            _synapses(q, graph[q.source].shape, seen[q.source], reads, ones[q.source], images * steps)
            for q, reads in zip(p.projections, seen[p.name].reads, strict=True)
        )
    return Activity(
        p.name,
        type(p).__name__,
        neurons,
        int(seen[p.name].sent.sum()),
        updates,
        seen[p.name].changes,
        found,
    )


def _synapses(
    q: Projection, source: Shape, sent: _Seen, reads: np.ndarray, ones: bool, times: int
) -> Synapses:
    read = q.read_shape(source)
    existing = int(fanout.of_weights(q, read, zeros=True).sum()) * times
    fan = fanout.of_projection(q, source)
    effective = _dot(reads, fanout.of_weights(q, read))
    return Synapses(
        q.source,
        existing,
        effective,
        _dot(sent.sent, fan),
        _dot(sent.active, fan),
        ones,
        ones and q.spatial is None,
    )


def _dot(a: np.ndarray, b: np.ndarray) -> int:
    return int((a * b).sum())
