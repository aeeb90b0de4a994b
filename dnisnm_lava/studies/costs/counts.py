"""What a spiking network does on images, counted one by one: spikes, synaptic operations, updates of
potentials.

Population by population in NumPy, by the reference's own step: so potentials are seen, which no run keeps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise

import numpy as np

from dnisnm_lava.data.inputs import Images
from dnisnm_lava.ir import (
    SNM,
    Input,
    MaxPool,
    Population,
    Projection,
    ReadOut,
    Shape,
    SpikingGraph,
    checked_steps,
    dynamics,
)
from dnisnm_lava.ir import arithmetic as synapses
from dnisnm_lava.ir.arithmetic import Window
from dnisnm_lava.ir.integers import check_state, encode_images
from dnisnm_lava.ir.populations import lead
from dnisnm_lava.studies.costs import fanout
from dnisnm_lava.system.progress import Progress, tell

BLOCK = 1 << 22  # values of the largest population, over all steps, that are held at once
Ends = tuple[int, ...]  # E numbers of steps, rising: until when is counted


@dataclass(frozen=True)
class Synapses:
    """One projection (or the windows of a max-pool) over all images and steps.

    existing: synapses, weights of zero and all, but none on borders. effective: values other than 0 that
    weights read, times weights other than 0. delivered: the same for spikes, each of which goes to every
    synapse of its neuron; another number behind a sum-pool or a resampling alone. delivered_once: the same
    with one spike an image for each neuron whose spikes do not cancel: what an ANN with these activations
    cannot skip. adds: a delivered spike is added, and multiplied with nothing, since its source sends 1 and
    -1 alone; read_adds: and so is what the weights read. A max-pool has `delivered` alone.
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


@dataclass
class _Seen:
    """Up to each of E ends. sent: (E, *shape) values other than 0 of each neuron; active: (E, *shape) images
    whose values of a neuron do not cancel; reads: by projection, (E, *what the weights read) values other
    than 0; changes: (E,) of potentials. Sums over images and steps."""

    sent: np.ndarray
    active: np.ndarray
    reads: tuple[np.ndarray, ...]
    changes: np.ndarray

    def __add__(self, other: _Seen) -> _Seen:
        reads = tuple(a + b for a, b in zip(self.reads, other.reads, strict=True))
        return _Seen(self.sent + other.sent, self.active + other.active, reads, self.changes + other.changes)

    def at(self, i: int) -> _Seen:
        """Up to the i-th of these steps alone, without the first axis."""
        return _Seen(self.sent[i], self.active[i], tuple(a[i] for a in self.reads), self.changes[i])


def count(
    graph: SpikingGraph, images: Images, *, steps: int | None = None, progress: Progress | None = None
) -> Counts:
    """Counts on `images` (N, *input shape) over `steps` (default: the graph's). progress(done, of): after
    each block, in images. Clipped values and saturations are as in every executor, whose runs tell how many
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
    check_state(graph, "the count of operations")
    x, _ = encode_images(graph, images)
    ones = sends_ones(graph)
    found: dict[int, Counts] = {}
    for i, run in enumerate(runs):
        seen = _seen(graph, x, run, i * len(x), len(runs) * len(x), progress)
        for at, t in enumerate(run):
            until = {name: s.at(at) for name, s in seen.items()}
            found[t] = Counts(len(x), t, tuple(_activity(graph, p, until, ones, len(x), t) for p in graph))
    return {t: found[t] for t in asked}


def sends_ones(graph: SpikingGraph) -> dict[str, bool]:
    """Does a population send 1 and -1 alone, so that a synapse adds its weight and multiplies nothing? Told
    by what it could send, not by what it sent."""
    ones: dict[str, bool] = {}
    for p in graph:
        if isinstance(p, MaxPool):
            ones[p.name] = ones[p.source]  # a maximum of sums changes by no more than one of them
        else:
            ones[p.name] = isinstance(p, SNM) and p.levels == 1 and bool(np.isin(p.payload, (0, 1)).all())
    return ones


# ---------------------------------------------------------------- one block of images


def _seen(
    graph: SpikingGraph,
    x: np.ndarray,
    ends: Ends,
    before: int,
    of: int,
    progress: Progress | None,
) -> dict[str, _Seen]:
    """Of images x (n, *shape), block by block. before, of: images that progress counts before these, and in
    all."""
    block = max(1, BLOCK // (ends[-1] * max(int(np.prod(p.shape)) for p in graph)))
    seen: dict[str, _Seen] = {}
    for start in range(0, len(x), block):
        found = _block(graph, x[start : start + block], ends)
        seen = {name: seen[name] + s for name, s in found.items()} if seen else found
        tell(progress, before + min(start + block, len(x)), of)
    return seen


def _block(graph: SpikingGraph, x: np.ndarray, ends: Ends) -> dict[str, _Seen]:
    sent: dict[str, np.ndarray] = {}  # (n, T, *shape)
    seen: dict[str, _Seen] = {}
    for p, heard in graph.flow(sent):
        none = np.zeros(len(ends), np.int64)
        if isinstance(p, Input):
            sent[p.name] = np.broadcast_to(x[:, None], (len(x), ends[-1], *p.shape))
            active, changes = [_nonzero(x, 0)] * len(ends), none
        elif isinstance(p, MaxPool):
            sent[p.name], active = _pooled(p, heard[p.source], ends)
            changes = _until(sent[p.name], ends).sum(axis=(1, 2, 3))
        elif isinstance(p, SNM):
            sent[p.name], active, changes = _fired(p, _currents(p, heard), ends)
        else:
            assert isinstance(p, ReadOut)
            sent[p.name] = np.zeros((len(x), 0, *p.shape), np.int64)
            active, changes = [np.zeros(p.shape, np.int64)] * len(ends), _summed(p, _currents(p, heard), ends)
        reads = (
            tuple(_read(q, heard[q.source], ends) for q in p.projections)
            if isinstance(p, SNM | ReadOut)
            else ()
        )
        seen[p.name] = _Seen(_until(sent[p.name], ends), np.stack(active), reads, changes)
    return seen


def _nonzero(a: np.ndarray, axis: int | tuple[int, ...]) -> np.ndarray:
    return np.asarray(np.count_nonzero(a, axis=axis), np.int64)


def _until(a: np.ndarray, ends: Ends) -> np.ndarray:
    """(E, *shape) values other than 0 of a (n, T, *shape), over images and the steps before each end."""
    return np.cumsum([_nonzero(a[:, start:end], (0, 1)) for start, end in pairwise((0, *ends))], axis=0)


def _read(q: Projection, sent: np.ndarray, ends: Ends) -> np.ndarray:
    """(E, *what the weights read) values other than 0."""
    x = sent if q.source_channels is None else sent[:, :, q.source_channels]
    if q.spatial is None:
        return _until(x, ends)
    flat = x.reshape(-1, *x.shape[2:]).astype(np.float64)
    read = synapses.sum_pool(flat, q.spatial) if isinstance(q.spatial, Window) else q.spatial(flat)
    return _until(read.reshape(*x.shape[:2], *read.shape[1:]), ends)


def _currents(p: SNM | ReadOut, sent: Mapping[str, np.ndarray]) -> np.ndarray:
    """(n, T, *shape), projections summed in their order."""
    parts = []
    for q in p.projections:
        n, steps, *shape = sent[q.source].shape
        parts.append(q(sent[q.source].reshape(n * steps, *shape)).reshape(n, steps, *p.shape))
    return reduce(np.add, parts)


def _fired(p: SNM, z: np.ndarray, ends: Ends) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """Values sent (n, T, *shape); by each end, images whose levels do not cancel (*shape), and changes of
    potentials, which those before the first spike of a population that leads are part of."""
    steps = ends[-1]
    wide = np.int64 if p.vth.dtype.kind == "i" else np.float64
    v = np.broadcast_to(p.v_init.astype(wide), (len(z), *p.shape))
    m, lower = np.zeros(v.shape, np.int64), dynamics.lower_threshold(p.vth, p.down)
    spikes = np.empty((len(z), steps, *p.shape), wide)
    changes, active = [], []
    for t in range(steps + p.lead):
        before = v
        if t < steps:
            v, _ = dynamics.integrate(v, z[:, t], p.bias)
        if t >= p.lead:
            k, v, m = dynamics.fire(v, m, p.vth, p.levels, p.two_sided, lower)
            spikes[:, t - p.lead] = k * p.payload
        changes.append(int(np.count_nonzero(v != before)) if t else v.size)
        if t - p.lead + 1 in ends:
            active.append(_nonzero(m, 0))
    return spikes, active, np.cumsum(changes)[[end + p.lead - 1 for end in ends]]


def _summed(p: ReadOut, z: np.ndarray, ends: Ends) -> np.ndarray:
    """(E,) changes of potentials."""
    v, changes = np.zeros((len(z), *p.shape), z.dtype), []
    for t in range(ends[-1]):
        before = v
        v, _ = dynamics.integrate(v, z[:, t], p.bias)
        changes.append(int(np.count_nonzero(v != before)) if t else v.size)
    return np.cumsum(changes)[[end - 1 for end in ends]]


def _pooled(p: MaxPool, spikes: np.ndarray, ends: Ends) -> tuple[np.ndarray, list[np.ndarray]]:
    """Changes of the maxima (n, T, *shape), and images where they are not 0 by each end, (*shape)."""
    wide = spikes.astype(
        np.int64 if spikes.dtype.kind == "i" else np.float64
    )  # the image's 8 bits hold no running sum
    total = np.zeros_like(wide[:, 0])
    before = np.zeros((len(wide), *p.shape), wide.dtype)
    changes, active = [], []
    for t in range(wide.shape[1]):
        total, best = dynamics.pool(total, wide[:, t], p.window)
        changes.append(best - before)
        before = best
        if t + 1 in ends:
            active.append(_nonzero(best, 0))
    return np.stack(changes, axis=1), active


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
        int(seen[p.name].changes),
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
