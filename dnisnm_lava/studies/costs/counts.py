"""What a spiking network does on images, counted one by one: spikes, synaptic operations, updates of potentials.

Population by population in NumPy, by the reference's own step: so potentials are seen, which no run keeps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce

import numpy as np

from dnisnm_lava.data.inputs import Images
from dnisnm_lava.ir import SNM, Input, MaxPool, Population, Projection, ReadOut, Shape, SpikingGraph, checked_steps, dynamics
from dnisnm_lava.ir import arithmetic as synapses
from dnisnm_lava.ir.arithmetic import Window
from dnisnm_lava.ir.integers import check_state, encode_images
from dnisnm_lava.studies.costs import fanout
from dnisnm_lava.system.progress import Progress

BLOCK = 1 << 22  # values of the largest population, over all steps, that are held at once


@dataclass(frozen=True)
class Synapses:
    """One projection (or the windows of a max-pool) over all images and steps.

    existing: synapses, weights of zero and all, but none on borders. effective: values other than 0 that weights read, times
    weights other than 0. delivered: the same for spikes, each of which goes to every synapse of its neuron; another number
    behind a sum-pool or a resampling alone. delivered_once: the same with one spike an image for each neuron whose spikes do
    not cancel: what an ANN with these activations cannot skip. adds: a delivered spike is added, and multiplied with nothing,
    since its source sends 1 and -1 alone; read_adds: and so is what the weights read. A max-pool has `delivered` alone.
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
    """One population over all images and steps. spikes: values sent other than 0 (of the image: in each step). updates: steps of
    its neurons. changes: those that left another potential than they found; the first of a window counts always."""

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
    """sent: (*shape) values other than 0 of each neuron; active: (*shape) images whose values of a neuron do not cancel;
    reads: by projection, (*what the weights read) values other than 0. Sums over images and steps."""

    sent: np.ndarray
    active: np.ndarray
    reads: tuple[np.ndarray, ...]
    changes: int

    def __add__(self, other: _Seen) -> _Seen:
        reads = tuple(a + b for a, b in zip(self.reads, other.reads, strict=True))
        return _Seen(self.sent + other.sent, self.active + other.active, reads, self.changes + other.changes)


def count(graph: SpikingGraph, images: Images, *, steps: int | None = None, progress: Progress | None = None) -> Counts:
    """Counts on `images` (N, *input shape) over `steps` (default: the graph's). progress(done, of): after each block, in images.
    Clipped values and saturations are as in every executor, whose runs tell how many there were."""
    steps = checked_steps(graph.steps if steps is None else steps)
    check_state(graph, "the count of operations")
    x, _ = encode_images(graph, images)
    block = max(1, BLOCK // (steps * max(int(np.prod(p.shape)) for p in graph)))
    seen: list[dict[str, _Seen]] = []
    for start in range(0, len(x), block):
        found = _block(graph, x[start : start + block], steps)
        seen = [{p.name: seen[0][p.name] + found[p.name] for p in graph} if seen else found]
        if progress:
            progress(min(start + block, len(x)), len(x))
    ones = sends_ones(graph)
    return Counts(len(x), steps, tuple(_activity(graph, p, seen[0], ones, len(x), steps) for p in graph))


def sends_ones(graph: SpikingGraph) -> dict[str, bool]:
    """Does a population send 1 and -1 alone, so that a synapse adds its weight and multiplies nothing? Told by what it could
    send, not by what it sent."""
    ones: dict[str, bool] = {}
    for p in graph:
        if isinstance(p, MaxPool):
            ones[p.name] = ones[p.source]  # a maximum of sums changes by no more than one of them
        else:
            ones[p.name] = isinstance(p, SNM) and p.levels == 1 and bool(np.isin(p.payload, (0, 1)).all())
    return ones


# ---------------------------------------------------------------- one block of images


def _block(graph: SpikingGraph, x: np.ndarray, steps: int) -> dict[str, _Seen]:
    sent: dict[str, np.ndarray] = {}  # (n, T, *shape)
    seen: dict[str, _Seen] = {}
    freed = graph.last_readers()
    for p in graph:
        changes = 0
        if isinstance(p, Input):
            net, sent[p.name] = x, np.broadcast_to(x[:, None], (len(x), steps, *p.shape))
        elif isinstance(p, MaxPool):
            net, sent[p.name] = _pooled(p, sent[p.source])
            changes = int(np.count_nonzero(sent[p.name]))
        elif isinstance(p, SNM):
            net, sent[p.name], changes = _fired(p, _currents(p, sent), steps)
        else:
            assert isinstance(p, ReadOut)
            net = sent[p.name] = np.zeros((len(x), 0, *p.shape), np.int64)
            changes = _summed(p, _currents(p, sent), steps)
        reads = tuple(_read(q, sent[q.source]) for q in p.projections) if isinstance(p, SNM | ReadOut) else ()
        seen[p.name] = _Seen(_nonzero(sent[p.name], (0, 1)), _nonzero(net, 0), reads, changes)
        for name in freed[p.name]:
            del sent[name]
    return seen


def _nonzero(a: np.ndarray, axis: int | tuple[int, ...]) -> np.ndarray:
    return np.asarray(np.count_nonzero(a, axis=axis), np.int64)


def _read(q: Projection, sent: np.ndarray) -> np.ndarray:
    """(*what the weights read) values other than 0."""
    x = sent if q.source_channels is None else sent[:, :, q.source_channels]
    if q.spatial is None:
        return _nonzero(x, (0, 1))
    flat = x.reshape(-1, *x.shape[2:]).astype(np.float64)
    return _nonzero(synapses.sum_pool(flat, q.spatial) if isinstance(q.spatial, Window) else q.spatial(flat), 0)


def _currents(p: SNM | ReadOut, sent: Mapping[str, np.ndarray]) -> np.ndarray:
    """(n, T, *shape), projections summed in their order."""
    parts = []
    for q in p.projections:
        n, steps, *shape = sent[q.source].shape
        parts.append(q(sent[q.source].reshape(n * steps, *shape)).reshape(n, steps, *p.shape))
    return reduce(np.add, parts)


def _fired(p: SNM, z: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Levels sent in all (n, *shape), values sent (n, T, *shape), and changes of potentials."""
    wide = np.int64 if p.vth.dtype.kind == "i" else np.float64
    v = np.broadcast_to(p.v_init.astype(wide), (len(z), *p.shape))
    m, lower = np.zeros(v.shape, np.int64), dynamics.lower_threshold(p.vth, p.down)
    spikes = np.empty((len(z), steps, *p.shape), wide)
    changes = 0
    for t in range(steps + p.lead):
        before = v
        if t < steps:
            v, _ = dynamics.integrate(v, z[:, t], p.bias)
        if t >= p.lead:
            k, v, m = dynamics.fire(v, m, p.vth, p.levels, p.two_sided, lower)
            spikes[:, t - p.lead] = k * p.payload
        changes += int(np.count_nonzero(v != before)) if t else v.size
    return m, spikes, changes


def _summed(p: ReadOut, z: np.ndarray, steps: int) -> int:
    """Changes of potentials."""
    v, changes = np.zeros((len(z), *p.shape), z.dtype), 0
    for t in range(steps):
        before = v
        v, _ = dynamics.integrate(v, z[:, t], p.bias)
        changes += int(np.count_nonzero(v != before)) if t else v.size
    return changes


def _pooled(p: MaxPool, spikes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The maxima at the end (n, *shape), and their changes (n, T, *shape)."""
    wide = spikes.astype(np.int64 if spikes.dtype.kind == "i" else np.float64)  # the image's 8 bits hold no running sum
    total = np.zeros_like(wide[:, 0])
    before = np.zeros((len(wide), *p.shape), wide.dtype)
    changes = []
    for t in range(wide.shape[1]):
        total, best = dynamics.pool(total, wide[:, t], p.window)
        changes.append(best - before)
        before = best
    return before, np.stack(changes, axis=1)


# ---------------------------------------------------------------- what was seen, as synapses


def _activity(graph: SpikingGraph, p: Population, seen: Mapping[str, _Seen], ones: Mapping[str, bool], images: int, steps: int) -> Activity:
    neurons = int(np.prod(p.shape))
    updates = 0 if isinstance(p, Input) else images * neurons * (steps + (p.lead if isinstance(p, SNM) else 0))
    found: tuple[Synapses, ...] = ()
    if isinstance(p, MaxPool):
        fan = fanout.of_max_pool(p, graph[p.source].shape)
        found = (Synapses(p.source, 0, 0, _dot(seen[p.source].sent, fan), 0, True, True),)
    elif isinstance(p, SNM | ReadOut):
        found = tuple(
            _synapses(q, graph[q.source].shape, seen[q.source], reads, ones[q.source], images * steps)
            for q, reads in zip(p.projections, seen[p.name].reads, strict=True)
        )
    return Activity(p.name, type(p).__name__, neurons, int(seen[p.name].sent.sum()), updates, seen[p.name].changes, found)


def _synapses(q: Projection, source: Shape, sent: _Seen, reads: np.ndarray, ones: bool, times: int) -> Synapses:
    read = q.read_shape(source)
    existing = int(fanout.of_weights(q, read, zeros=True).sum()) * times
    fan = fanout.of_projection(q, source)
    effective = _dot(reads, fanout.of_weights(q, read))
    return Synapses(q.source, existing, effective, _dot(sent.sent, fan), _dot(sent.active, fan), ones, ones and q.spatial is None)


def _dot(a: np.ndarray, b: np.ndarray) -> int:
    return int((a * b).sum())
