"""What is moved so that a population hears, or sends, what the ANN says: weights, bias, initial potential."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from dnisnm_lava.ir import SNM, ReadOut
from dnisnm_lava.ir.channels import channel_max, per_channel
from dnisnm_lava.stages.compensation import Reads
from dnisnm_lava.stages.fitting import activity, least_squares
from dnisnm_lava.stages.fitting.activity import Activities
from dnisnm_lava.stages.fitting.shares import Share
from dnisnm_lava.stages.fitting.spool import Spool

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
    source, reads = activities[q.source], []
    for columns in least_squares.blocks(q):
        places = least_squares.Places(q, source.shape, source.share.images)
        found = least_squares.halves(q, source.share, places, columns, _lacking(p, i, activities, z))
        q = replace(q, weight=source.share.agreed(least_squares.improved(q, found, columns)))
        p = replace(p, projections=(*p.projections[:i], q, *p.projections[i + 1 :]))
        reads.append(least_squares.reads(found, columns))
    return p, tuple(reads)


def _lacking(p: SNM | ReadOut, i: int, activities: Activities, z: Spool) -> Iterator[tuple[Tensor, Tensor]]:
    """Chunk by chunk: mean spikes of the source of projection i, and what the mean currents lack of the
    ANN's."""
    source = activities[p.projections[i].source]
    for chunk, current in enumerate(activity.mean_currents(p, activities)):
        yield source.mean(chunk), z[chunk] - current


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
    total = share.summed(meant.sum(0, dtype=torch.float64) for meant in z)
    return total.numpy() - activity.summed_currents(p, activities), share.images


def summed_gap(p: SNM, share: Share, ann: Iterable[Tensor], heard: Iterable[Tensor]) -> np.ndarray:
    """(*shape) sums over images of activation - mean spike. heard: the currents."""
    pairs = zip(ann, heard, strict=True)
    return share.summed(activity.errors(p, np.ones(1), *pair)[1][0] for pair in pairs)


def with_v_init(p: SNM, gap: np.ndarray, steps: int) -> SNM:
    """v_init += T * mean gap (*shape), per neuron, by at most half a threshold."""
    return replace(p, v_init=p.v_init + np.clip(steps * gap, -p.vth / 2, p.vth / 2))
