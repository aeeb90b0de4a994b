"""A population's neurons over all steps in one kernel of Triton: their constants, and how it is launched."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dnisnm_lava.backends.batched import triton_kernels
from dnisnm_lava.backends.batched.storage import EXACT_INT32, Code, innermost, laid_out, tensor
from dnisnm_lava.ir import SNM, Shape
from dnisnm_lava.ir.dynamics import lower_threshold

BLOCK = 512  # neurons of a program
MOST_LEVELS = 1 << 24  # of one step: more is as good as this many, since a threshold is 1 at least


@dataclass(frozen=True)
class Neurons:
    """A population's constants. table (6, n): bias, vth, payload, lower threshold, weight of the shortcut,
    v_init, in the integers in which all is computed. limit: of v. code: of what they send."""

    table: Tensor
    shape: Shape
    levels: int
    lead: int
    two_sided: bool
    limit: int
    code: Code


def sums_of(p: SNM, reach: int, limit: int) -> torch.dtype:
    """int32 where nothing that is computed leaves it, else int64. A potential is at most the limit, or where
    a level was taken back vth, or at first v_init; a step adds at most `reach` to it; the thresholds that are
    taken from it, or given back, are at most it and one vth more; and a spike is at most payload times
    levels. `run` sees to m."""
    far = max(limit, int(np.abs(p.v_init).max(initial=0))) + int(p.vth.max(initial=0)) + reach
    sent = int(p.payload.max(initial=0)) * min(p.levels, MOST_LEVELS)
    return torch.int32 if max(far, sent) < EXACT_INT32 else torch.int64


def neurons(
    p: SNM, bias: np.ndarray, weight: np.ndarray, code: Code, limit: int, dtype: torch.dtype, device: str
) -> Neurons:
    """bias: of the displaced currents. weight: of the shortcut; both broadcast to the population's shape."""
    payload = p.payload if code.units is None else np.ones(())
    each = (bias, p.vth, payload, lower_threshold(p.vth, p.down), weight, p.v_init)
    rows = [innermost(np.broadcast_to(a, p.shape)).ravel().astype(np.int64) for a in each]
    table = tensor(np.stack(rows), dtype, device)
    return Neurons(table, p.shape, min(p.levels, MOST_LEVELS), p.lead, p.two_sided, limit, code)


def run(
    p: Neurons, current: Tensor, shortcut: Tensor | None, steps: int
) -> tuple[Tensor, tuple[int, int, int]]:
    """Stored spikes (N, T, *shape), and how many rose, fell, and saturated. current: (N, T or 1, *shape), of
    any dtype that holds it; shortcut: stored spikes, likewise, or none."""
    current, size = laid_out(current), p.table.shape[1]
    table = (
        p.table.long() if steps * p.levels >= EXACT_INT32 else p.table
    )  # m, which is at most steps * levels
    extra = current if shortcut is None else laid_out(shortcut)
    count, (channels, *pixels) = len(current), p.shape
    sent = torch.empty(count, steps, *pixels, channels, dtype=p.code.dtype, device=current.device)
    blocks = -(-size // BLOCK)
    counts = torch.empty(3, count * blocks, dtype=torch.int32, device=current.device)
    each_step = [0 if a.shape[1] == 1 else size for a in (current, extra)]
    triton_kernels.neurons[(count * blocks,)](
        current,
        extra,
        table,
        sent,
        counts,
        size,
        blocks,
        count * blocks,
        current.shape[1] * size,
        each_step[0],
        extra.shape[1] * size,
        each_step[1],
        steps,
        min(p.lead, steps),
        p.levels,
        p.limit,
        p.code.offset,
        SHORTCUT=shortcut is not None,
        ONCE=p.levels == 1,
        TWO_SIDED=p.two_sided,
        BLOCK=BLOCK,
    )
    up, down, over = counts.sum(dim=1).tolist()
    return sent.movedim(-1, 2), (up, down, over)
