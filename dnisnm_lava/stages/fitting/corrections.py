"""What is moved so that a population hears, or sends, what the ANN says: weights, bias, payload, initial
potential."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TypeVar

import numpy as np
from torch import Tensor

from dnisnm_lava.ir import SNM, ReadOut, frozen
from dnisnm_lava.ir.channels import channel_max, per_channel
from dnisnm_lava.stages.compensation import Reads
from dnisnm_lava.stages.fitting import activity, least_squares
from dnisnm_lava.stages.fitting.activity import Activities
from dnisnm_lava.stages.fitting.gaps import Gaps, groups_of, pooled
from dnisnm_lava.stages.fitting.shares import Share
from dnisnm_lava.stages.fitting.spool import Spool

WORTH = (0.5, 2.0)  # thresholds that a spike may be worth
SHRINKAGE = 64  # images' worth of its channel's variances in a neuron's own

P = TypeVar("P", SNM, ReadOut)


def with_weights(p: P, activities: Activities, z: Spool) -> tuple[P, dict[int, tuple[Reads, ...]]]:
    """Weights moved by least squares so that mean currents come near the ANN's pre-activations `z`, up to a
    constant of each row, which is the bias's; and what the weights read, by the projections that were moved.
    Those of one weight a row (shortcuts, pools) stay as they are."""
    reads = {}
    for i, q in enumerate(p.projections):
        if q.weight[0].size > 1:
            p, reads[i] = _improved(p, i, activities, z)
    return p, reads


def _improved(p: P, i: int, activities: Activities, z: Spool) -> tuple[P, tuple[Reads, ...]]:
    """With projection i's weights moved."""
    q = p.projections[i]
    source = activities[q.source]
    reads: list[Reads] = []
    blocks: list[slice] = least_squares.blocks(q)
    places = least_squares.Places(q, source.shape, source.share.images)
    samples: Iterator[least_squares.Sample] = _lacking(p, i, activities, z)
    for columns, following in zip(blocks, [*blocks[1:], None], strict=True):
        left = Spool(z.store, 2)
        samples = samples if following is None else _kept(samples, left)
        found = least_squares.halves(q, source.share, places, columns, samples)
        better = replace(q, weight=source.share.agreed(least_squares.improved(q, found, columns)))
        samples = _after(source, left, columns, least_squares.change(q, better, columns))
        q = better
        reads.append(least_squares.reads(found, columns))
    return replace(p, projections=(*p.projections[:i], q, *p.projections[i + 1 :])), tuple(reads)


def _kept(samples: Iterator[least_squares.Sample], left: Spool) -> Iterator[least_squares.Sample]:
    """The same; what lacks goes to `left`, too."""
    for x, lacking in samples:

        def told(u: Tensor, at: Tensor | None, lacking: least_squares.Lacking = lacking) -> Tensor:
            left.append(lacking(u, at))
            return left[len(left) - 1]

        yield x, told


def _after(
    source: activity.Activity, left: Spool, columns: slice, change: Tensor
) -> Iterator[least_squares.Sample]:
    """What lacks where `columns` have been changed, of what lacked before, `left`, which is given back."""
    for chunk, before in enumerate(left):

        def lacking(u: Tensor, at: Tensor | None, before: Tensor = before) -> Tensor:
            return before - u[:, :, columns] @ change

        yield source.mean(chunk), lacking
    left.close()


def _lacking(p: SNM | ReadOut, i: int, activities: Activities, z: Spool) -> Iterator[least_squares.Sample]:
    """Chunk by chunk: mean spikes of the source of projection i, and what the mean currents lack of the
    ANN's where its rows drive p: at a few places of a map they are computed there alone."""
    q, ready = p.projections[i], activity.maps(p)
    for chunk in activity.chunks(p, activities):
        sent = [activities[other.source].mean(chunk) for other in p.projections]

        def lacking(u: Tensor, at: Tensor | None, sent: list[Tensor] = sent, chunk: int = chunk) -> Tensor:
            if at is None or not all(other.is_conv and other.target_order is None for other in p.projections):
                whole = z[chunk] - activity.total(
                    [project(x) for (_, project), x in zip(ready, sent, strict=True)]
                )
                return least_squares.driven(q, whole if at is None else _at(whole, at))
            left = _at(z[chunk], at)
            for other, x in zip(p.projections, sent, strict=True):
                read = u if other is q else least_squares.patches(other, x, at)
                left = left - least_squares.heard(other, read, len(x), p.shape[0])
            return least_squares.driven(q, left)

        yield sent[i], lacking


def _at(z: Tensor, places: Tensor) -> Tensor:
    """Maps z (n, C, ...) at places (n, P): (n, C, P)."""
    return z.flatten(2).gather(2, places[:, None].expand(-1, z.shape[1], -1))


def with_bias(p: P, activities: Activities, z: Spool, steps: int) -> P:
    """Bias shifted, per channel, by the mean of the ANN's pre-activations `z` less the mean current; of a
    read-out whose neurons stand in another order than the rows of its weights, per row."""
    rows = _rows(p)
    if rows is not None:
        return _with_bias_of_rows(p, rows, activities, z, steps)
    gap, count = _gap(p, activities, z)
    shift = activity.share_of(p, activities).agreed(gap.reshape(p.shape[0], -1).mean(axis=1) / count)
    assert p.v_range is not None
    return replace(p, bias=p.bias + per_channel(shift, p.shape), v_range=p.v_range + steps * np.abs(shift))


def _rows(p: SNM | ReadOut) -> np.ndarray | None:
    """(*shape) which row of all projections drives each neuron of a read-out; None where all its rows are
    channels."""
    if not isinstance(p, ReadOut) or all(q.target_order is None for q in p.projections):
        return None
    found = (
        np.broadcast_to(np.arange(p.shape[0]).reshape(-1, *(1,) * (len(p.shape) - 1)), p.shape)
        .reshape(-1)
        .copy()
    )
    for q in p.projections:
        if q.target_order is not None:
            rows = len(q.weight)
            found[q.target_order] = found.max() + 1 + np.repeat(np.arange(rows), len(q.target_order) // rows)
    return found.reshape(p.shape)


def _with_bias_of_rows(p: P, rows: np.ndarray, activities: Activities, z: Spool, steps: int) -> P:
    gap, count = _gap(p, activities, z)
    flat = rows.reshape(-1)
    sizes = np.maximum(np.bincount(flat), 1)
    shift = activity.share_of(p, activities).agreed(
        (np.bincount(flat, gap.reshape(-1)) / sizes / count)[rows]
    )
    assert p.v_range is not None
    return replace(p, bias=p.bias + shift, v_range=p.v_range + steps * channel_max(np.abs(shift)))


def _gap(p: SNM | ReadOut, activities: Activities, z: Spool) -> tuple[np.ndarray, int]:
    """(*shape) pre-activations of all images less their mean currents, added up, and how many images."""
    share = activity.share_of(p, activities)
    total = share.summed(meant.sum(0).double() for meant in z)
    return total.numpy() - activity.summed_currents(p, activities), share.images


def gaps_of(p: SNM, share: Share, ann: Iterable[Tensor], heard: Iterable[Tensor]) -> np.ndarray:
    """(SUMS, *shape) of all images (`Gaps`), where a spike is worth its threshold. heard: the currents."""
    missed = activity.gaps(p, np.ones(1))
    return share.summed(missed(*pair)[:, 0].astype(np.float64) for pair in zip(ann, heard, strict=True))


def with_payload(p: SNM, sums: np.ndarray, images: int, granularity: str) -> SNM:
    """Payloads of so many thresholds, half of one to two, as make mean spikes vary as the ANN's activations
    do, over what shares a threshold (a neuron alone: with as much of its channel as SHRINKAGE images tell);
    of one threshold, where either does not vary. sums: of `gaps_of`."""
    seen = images * int(np.prod(p.shape)) // groups_of(p.shape, granularity)
    found = Gaps(seen, *pooled(sums, p.shape, granularity)).variances
    if granularity == "neuron":
        own = found.reshape(2, p.shape[0], -1).mean(axis=2)
        found = found + SHRINKAGE / images * own.reshape(2, -1, *(1,) * (len(p.shape) - 1))
    said, sent = found
    varies = (said > 0) & (sent > 0)
    ratio = np.sqrt(np.where(varies, said, 1.0) / np.where(varies, sent, 1.0))
    return replace(p, payload=frozen(p.vth * np.clip(ratio, *WORTH)))


def gap_of(p: SNM, sums: np.ndarray, images: int, within: bool) -> np.ndarray:
    """(*shape) mean activation - mean spike, as the payloads have it; within: less their channel's, which
    the biases of readers make up for."""
    worth, found = np.where(p.vth > 0, p.payload / np.where(p.vth > 0, p.vth, 1.0), 1.0), Gaps(images, *sums)
    gap: np.ndarray = (found.gap - (worth - 1) * found.sent) / images
    return gap - per_channel(gap.reshape(p.shape[0], -1).mean(axis=1), p.shape) if within else gap


def with_v_init(p: SNM, gap: np.ndarray, steps: int) -> SNM:
    """v_init += T * mean gap (*shape), per neuron, by at most half a threshold."""
    return replace(p, v_init=p.v_init + np.clip(steps * gap, -p.vth / 2, p.vth / 2))
