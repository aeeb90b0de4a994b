"""What populations do on the calibration images, in the ANN and as spikes, and what their readers hear of
it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial, reduce

import numpy as np
import torch
from torch import Tensor

from dnisnm_lava.backends.batched import curve_neurons, neurons
from dnisnm_lava.backends.batched.chunks import one_thread
from dnisnm_lava.backends.batched.curves import gated
from dnisnm_lava.backends.batched.linear import Map, linear, max_pool, pool_changes
from dnisnm_lava.backends.batched.storage import flat, innermost, unflat
from dnisnm_lava.ir import SNM, Curve, Gate, MaxPool, Projection, ReadOut, Shape
from dnisnm_lava.ir.dynamics import lower_threshold
from dnisnm_lava.stages.fitting.shares import Share, dealt, owner
from dnisnm_lava.stages.fitting.spool import Spool, Store
from dnisnm_lava.system.ranks import ALONE, Group

NO_LIMIT = 1 << 62


@dataclass(frozen=True)
class Activity:
    """What one population of `shape` does, in the chunks of `share`: the ANN's activation (n, *shape); what
    it sends, (n, T, *shape), in steps of `worth`, which broadcasts to `shape`. Without `levels` it is the
    image, which is sent in every step."""

    shape: Shape
    share: Share
    ann: Spool
    levels: Spool | None
    worth: Tensor

    def __len__(self) -> int:
        """Chunks."""
        return len(self.ann if self.levels is None else self.levels)

    def sent(self, i: int) -> Tensor:
        """(n, T, *shape), or (n, 1, *shape) for the image."""
        return (
            self.ann[i][:, None]
            if self.levels is None
            else self.levels[i].to(torch.float32, copy=True).mul_(self.worth)
        )

    def mean(self, i: int) -> Tensor:
        """(n, *shape) what is sent in a step, on average."""
        if self.levels is None:
            return self.ann[i]
        levels = self.levels[i]
        return summed(levels) * (self.worth / levels.shape[1])

    def close(self) -> None:
        self.ann.close()
        if self.levels is not None:
            self.levels.close()


Activities = Mapping[str, Activity]
Reader = SNM | ReadOut


def of_input(shape: Shape, chunks: Iterable[Tensor], store: Store, group: Group = ALONE) -> Activity:
    """chunks: all of them, of which this process of `group` keeps its own."""
    images, sizes, kept = Spool(store, 1), [], {}
    for number, chunk in enumerate(chunks):
        sizes.append(len(chunk))
        if owner(number, group.size) == group.rank:
            kept[number] = len(images)
            images.append(chunk)
    share = dealt(sizes, group)
    images.arrange([kept[number] for number in share.numbers])
    return Activity(shape, share, images, None, torch.ones(()))


def of_pool(p: MaxPool, source: Activity, store: Store, spiking: bool) -> Activity:
    """The change of the windows' maximum of the source's running sums."""
    ann, changes = Spool(store, 1), Spool(store, 2)
    for activation in source.ann:
        ann.append(max_pool(activation, p.window))
    for i in range(len(source) if spiking else 0):
        changes.append(pool_changes(source.sent(i), p.window))
    return Activity(p.shape, source.share, ann, changes, torch.ones(()))


def of_product(source: Activity, gate: Activity, store: Store) -> Spool:
    """The ANN's products."""
    ann = Spool(store, 1)
    for left, right in zip(source.ann, gate.ann, strict=True):
        ann.append(left * right)
    return ann


def of_gate(
    p: Gate, ann: Spool, source: Activity, gate: Activity, steps: int, store: Store, spiking: bool
) -> Activity:
    levels = Spool(store, 2)
    for i in range(len(source) if spiking else 0):
        sent = (part.sent(i).double() for part in (source, gate))
        a, b = (spikes.expand(-1, steps, *spikes.shape[2:]).cumsum(1) for spikes in sent)
        levels.append(gated(p, a, b).to(torch.int8))
    return Activity(p.shape, source.share, ann, levels, channels_innermost(tensor(p.payload)))


def of_neurons(
    p: SNM,
    ann: Spool,
    activities: Activities,
    steps: int,
    store: Store,
    spiking: bool = True,
    heard: Iterable[Tensor] | None = None,
) -> Activity:
    """heard: the currents, where they are at hand."""
    levels, sent = Spool(store, 2), running(p)
    for current in (currents(p, activities, steps) if heard is None else heard) if spiking else ():
        levels.append(sent(current))
    return Activity(p.shape, share_of(p, activities), ann, levels, channels_innermost(tensor(p.payload)))


# ---------------------------------------------------------------- what a population hears


def maps(p: Reader) -> list[tuple[Projection, Map]]:
    return [(q, linear(q, torch.float32, "cpu")) for q in p.projections]


def share_of(p: Reader, activities: Activities) -> Share:
    return activities[p.projections[0].source].share


def chunks(p: Reader, activities: Activities) -> range:
    return range(len(share_of(p, activities).numbers))


def preactivations(p: Reader, activities: Activities) -> Iterator[Tensor]:
    """The ANN's, (n, *shape), without bias."""
    ready = maps(p)
    for i in chunks(p, activities):
        yield total([project(activities[q.source].ann[i]) for q, project in ready])


class Currents:
    """(n, T, *shape), without bias, chunk by chunk, as often as one likes: what memory holds of them is
    computed once. close: gives it back."""

    def __init__(self, p: Reader, activities: Activities, steps: int, store: Store) -> None:
        self.p, self.activities, self.steps, self.store = p, activities, steps, store
        self.kept: list[Tensor] = []

    def __iter__(self) -> Iterator[Tensor]:
        yield from self.kept
        known = len(self.kept)
        for i, chunk in enumerate(currents(self.p, self.activities, self.steps, known), known):
            if len(self.kept) == i and chunk.nbytes <= self.store.free:
                self.store.free -= chunk.nbytes
                self.kept.append(chunk)
            yield chunk

    def close(self) -> None:
        self.store.free += sum(chunk.nbytes for chunk in self.kept)
        self.kept.clear()


def currents(p: Reader, activities: Activities, steps: int, first: int = 0) -> Iterator[Tensor]:
    """(n, T, *shape), without bias, from chunk `first` on."""
    ready = maps(p)
    for i in chunks(p, activities)[first:]:
        parts = []
        for q, project in ready:
            sent = activities[q.source].sent(i)
            z = project(sent.flatten(0, 1))
            parts.append(z.reshape(*sent.shape[:2], *z.shape[1:]).expand(-1, steps, *p.shape))
        yield total(parts)


def summed_currents(p: Reader, activities: Activities) -> np.ndarray:
    """(*shape) the mean currents of all images added up, without bias: those of the sum of their spikes,
    since a projection is linear. float64."""
    total: np.ndarray = np.zeros(p.shape)
    for q in p.projections:
        source = activities[q.source]
        spikes = source.share.summed(source.mean(i).sum(0).double() for i in range(len(source)))
        with one_thread():
            total = total + q(spikes.numpy()[None])[0]
    return total


def total(parts: list[Tensor]) -> Tensor:
    return reduce(torch.add, parts)


# ---------------------------------------------------------------- running a population


def running(p: SNM) -> Callable[[Tensor], Tensor]:
    """The levels (n, T, *shape) that are sent for currents (n, T, *shape), as bytes."""
    of = (
        partial(_sent, _constants(p))
        if p.curve is None
        else partial(curve_neurons.run, _of_curve(p, p.curve))
    )

    def run(current: Tensor) -> Tensor:
        x = np.ascontiguousarray(flat(current))
        levels = np.empty(x.shape, np.int8)
        of(x, levels, torch.get_num_threads())
        return unflat(levels, p.shape)

    return run


def _sent(p: neurons.Neurons, current: np.ndarray, levels: np.ndarray, threads: int) -> object:
    return neurons.run(p, current, None, levels, threads)


def _of_curve(p: SNM, curve: Curve) -> curve_neurons.CurveNeurons:
    return curve_neurons.constants(
        p,
        curve,
        p.bias,
        np.ones(()),
        dtype=np.dtype(np.float32),
        limit=NO_LIMIT,
        out=np.dtype(np.int8),
        offset=0,
    )


def _constants(p: SNM) -> neurons.Neurons:
    """For levels as they are, without a limit of potentials."""
    each = (p.bias, p.vth, np.ones(()), np.zeros(()), lower_threshold(p.vth, p.down), p.v_init)
    own = (_flat(np.broadcast_to(a, p.shape)) for a in each)
    return neurons.neurons(
        *own,
        dtype=np.dtype(np.float32),
        levels=p.levels,
        lead=p.lead,
        two_sided=p.two_sided,
        limit=NO_LIMIT,
        out=np.dtype(np.int8),
        offset=0,
    )


def gaps(p: SNM, scales: np.ndarray) -> Callable[[Tensor, Tensor], np.ndarray]:
    """A function of a chunk's activations, the ANN's, and of the currents that arrive: the sums of
    `neurons.try_scales` over its images, with thresholds of `scales` (S,) times p's: (SUMS, S, *shape), in
    float32."""
    constants, vth, (channels, *pixels) = _constants(p), _flat(p.vth), p.shape

    def of(activation: Tensor, current: Tensor) -> np.ndarray:
        found = np.zeros((neurons.SUMS, len(scales), len(vth)), np.float32)
        x, a = np.ascontiguousarray(flat(current)), np.ascontiguousarray(flat(activation[:, None])[:, 0])
        neurons.try_scales(constants, vth, scales, x, a, found, torch.get_num_threads())
        return np.moveaxis(found.reshape(neurons.SUMS, len(scales), *pixels, channels), -1, 2)

    return of


def _flat(a: np.ndarray) -> np.ndarray:
    """(C, H, W) -> (H * W * C,), as currents lie in memory."""
    return innermost(a).ravel()


def summed(levels: Tensor) -> Tensor:
    """(n, T, ...) -> (n, ...) float32, step by step: of bytes exact, and several times as fast as torch's
    sum."""
    total = levels[:, 0].to(torch.float32, copy=True)
    for step in levels.unbind(1)[1:]:
        total += step
    return total


def tensor(a: np.ndarray) -> Tensor:
    return torch.tensor(a, dtype=torch.float32)


def channels_innermost(x: Tensor) -> Tensor:
    """The same (C, ...), with its channels innermost in memory."""
    return x.movedim(0, -1).contiguous().movedim(-1, 0)


def channel_sum(x: Tensor) -> np.ndarray:
    """(n, C, ...) -> (C,), in float64."""
    return x.movedim(1, 0).flatten(1).double().sum(1).numpy()
