"""What happens between two projections, over all steps at once: compiled by numba, for the CPU.

Integers travel as floats that hold them exactly: a potential is clipped to 24 bits, so float32 does wherever
a step's current is below 2**24. Spikes are stored as bytes, spike + offset. `run` is one pass (`lanes`);
`try_scales` runs the same neurons with many thresholds: its slices go through all steps while their
potentials stay in the first-level cache, in one array, so that the compiler knows its rows to be apart and
makes vector code of every loop.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache

import numba
import numpy as np

from dnisnm_lava.backends.batched import lanes
from dnisnm_lava.backends.batched.lanes import LANES, SLICE

MOST_LEVELS = 1 << 24  # of one step: more is as good as this many, and fits 32 bits
LINE = 64  # bytes
ROWS = 11
SUMS = 5  # of try_scales
NOBODY = np.zeros((1, 1, 0), np.uint8)
V, M, UP, DOWN, OVER, BIAS, VTH, GUARD, PAYLOAD, SHORTCUT, LOWER = range(ROWS)


@numba.njit(cache=True, inline="always", error_model="numpy")
def _integrate(w, current, shortcut, limit, one, zero):  # type: ignore[no-untyped-def]
    """v + current + bias, clipped to +-limit; OVER counts how often each neuron was outside."""
    with_shortcut = shortcut.size > 0
    for q in range(current.size):
        z = current[q] + w[BIAS, q]
        if with_shortcut:
            z += shortcut[q] * w[SHORTCUT, q]
        x = w[V, q] + z
        clipped = min(max(x, -limit), limit)
        w[OVER, q] += one if x != clipped else zero
        w[V, q] = clipped


@numba.njit(cache=True, inline="always", error_model="numpy")
def _send(w, q, k, out, offset, one, zero):  # type: ignore[no-untyped-def]
    """v - k vth, m + k, k payload (Eq. 22, 23), and how often each neuron went up and down."""
    w[V, q] -= k * w[VTH, q]
    w[M, q] += k
    w[UP, q] += one if k > zero else zero
    w[DOWN, q] += one if k < zero else zero
    out[q] = k * w[PAYLOAD, q] + offset


@numba.njit(cache=True, inline="always", error_model="numpy")
def _once(w, out, offset, one, zero):  # type: ignore[no-untyped-def]
    """One level up or down, down only what m holds (Eq. 21). GUARD: vth, and infinity for the dead. LOWER: as
    `neurons` makes it."""
    for q in range(out.size):
        v, guard = w[V, q], w[GUARD, q]
        k = (one if v >= guard else zero) - min(one if v <= -min(guard, w[LOWER, q]) else zero, w[M, q])
        _send(w, q, k, out, offset, one, zero)


@numba.njit(cache=True, inline="always", error_model="numpy")
def _levels(w, out, levels, two_sided, offset, one, zero):  # type: ignore[no-untyped-def]
    """Up to `levels`. A quotient of floats may round up to the next whole number, or down from it: the
    products, exact below 2**24, tell, since |v| and vth are below 2**23. So what the whole thresholds leave
    of |v| is exact too, and tells whether the lower threshold takes one level more."""
    free = levels if two_sided else zero
    most = w.dtype.type(MOST_LEVELS)
    for q in range(out.size):
        v, guard = w[V, q], w[GUARD, q]
        size = abs(v)
        whole = w.dtype.type(np.int32(min(size / guard, most)))
        whole -= one if whole * w[VTH, q] > size else zero
        whole += one if (whole + one) * guard <= size else zero
        rest = size - whole * w[VTH, q] if v < zero else zero
        whole = min(whole + (one if rest >= w[LOWER, q] else zero), levels)
        k = whole if v > zero else -min(whole, max(w[M, q], free))
        _send(w, q, k, out, offset, one, zero)


@numba.njit(cache=True, inline="always", error_model="numpy")
def _aligned(kind):  # type: ignore[no-untyped-def]
    """Zeros (ROWS, SLICE) that begin with a cache line: vectors of 64 bytes that cross two cost a third
    more."""
    room = np.zeros((ROWS, SLICE + LINE), kind)
    first = (-room.ctypes.data % LINE) // room.itemsize
    return room[:, first : first + SLICE]


@dataclass(frozen=True)
class Neurons:
    """A population's constants. own (2, n): bias and v_init. shared (5, n), or of some multiple of the
    channels where pixels share them: vth (0 of the dead), payload, the shortcut's weight of each neuron's own
    byte of another population, lower, what whole thresholds must leave of -v for one level more, infinity
    where nothing that they leave suffices, and 1 / vth, 0 of the dead. Rows are as long as whole lanes.
    limit: of v. Spikes are stored in the dtype `out`, as spike + offset."""

    own: np.ndarray
    shared: np.ndarray
    levels: int
    lead: int
    two_sided: bool
    limit: int
    out: np.dtype
    offset: int


def guards(vth: np.ndarray, lower: np.ndarray, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Guard and lower of `Neurons`, for potentials of the float `dtype`."""
    guard = np.where(vth > 0, vth, np.inf)
    return guard, np.where((vth > 0) & (lower < vth), np.maximum(lower, np.finfo(dtype).tiny), np.inf)


def neurons(
    bias: np.ndarray,
    vth: np.ndarray,
    payload: np.ndarray,
    shortcut: np.ndarray,
    lower: np.ndarray,
    v_init: np.ndarray,
    *,
    dtype: np.dtype,
    levels: int,
    lead: int,
    two_sided: bool,
    limit: int,
    out: np.dtype,
    offset: int,
    channels: int = 0,
) -> Neurons:
    """For currents of the float `dtype`. lower: the lower threshold, of which 0 becomes the least number
    above it. channels: how many lie innermost."""
    guard, left = guards(vth, lower, dtype)
    size = -(-len(vth) // LANES) * LANES
    own, shared = np.zeros((2, size), dtype), np.zeros((5, size), dtype)
    own[:, : len(vth)] = bias, v_init
    shared[:, : len(vth)] = vth, payload, shortcut, left, 1 / guard.astype(dtype)
    period = math.lcm(channels, LANES) if channels else size
    if period < len(vth):
        again = np.resize(shared[:, :period].T, (len(vth), 5)).T
        shared = (
            np.ascontiguousarray(shared[:, :period]) if (again == shared[:, : len(vth)]).all() else shared
        )
    return Neurons(own, shared, levels, lead, two_sided, limit, out, offset)


def run(
    p: Neurons, current: np.ndarray, shortcut: np.ndarray | None, sent: np.ndarray, threads: int = 1
) -> tuple[int, int, int]:
    """Fill `sent` (N, T, n) with stored spikes; how many rose, fell, and saturated. current: (N, T or 1, n).
    shortcut: bytes (N, T or 1, n), or none."""
    kind = p.own.dtype.type
    extra = NOBODY if shortcut is None else np.ascontiguousarray(shortcut)
    arguments = (
        np.ascontiguousarray(current),
        extra,
        p.own,
        p.shared,
        min(p.levels, MOST_LEVELS),
        p.lead,
        p.two_sided,
        kind(p.limit),
        kind(p.offset),
        sent,
    )
    jobs = len(sent) * -(-sent.shape[2] // SLICE)
    up, down, over = in_threads(lambda first, share: lanes.run(*arguments, first, share), jobs, threads)
    return up, down, over


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _try(  # type: ignore[no-untyped-def]
    current, activation, bias, vth, lower, scales, levels, lead, two_sided, limit, sums, first, jobs
):
    """Slices `first` to `first + jobs`, with all scales and images."""
    count, steps, size = current.shape
    kind = current.dtype.type
    one, zero = kind(1), kind(0)
    w, v_init, sent = _aligned(kind), np.empty(SLICE, kind), np.empty(SLICE, kind)
    for start in range(first * SLICE, min((first + jobs) * SLICE, size), SLICE):
        n = min(SLICE, size - start)
        w[BIAS, :n] = bias[start : start + n]
        for s in range(len(scales)):
            for q in range(n):
                theta = vth[start + q] * scales[s]
                w[VTH, q], v_init[q], w[PAYLOAD, q] = theta, theta / 2, theta / steps
                w[GUARD, q] = theta if theta > 0 else np.inf
                w[LOWER, q] = lower[start + q] * scales[s]
            for image in range(count):
                w[V, :], w[M, :] = v_init, zero
                for t in range(steps + lead):
                    if t < steps:
                        _integrate(
                            w, current[image, t, start : start + n], current[image, t, :0], limit, one, zero
                        )
                    if t >= lead and levels == one and not two_sided:
                        _once(w, sent[:n], zero, one, zero)
                    elif t >= lead:
                        _levels(w, sent[:n], levels, two_sided, zero, one, zero)
                own = activation[image, start : start + n]
                _set_against(own, w[M, :n], w[PAYLOAD, :n], sums[:, s, start : start + n])
    return np.zeros(0, np.int64)


@numba.njit(cache=True, inline="always", error_model="numpy")
def _sum_up(total, before, current, bias):  # type: ignore[no-untyped-def]
    for q in range(total.size):
        total[q] = before[q] + current[q] + bias[q]


@numba.njit(cache=True, inline="always", error_model="numpy")
def _come_near(m, total, inverse, levels, half, zero):  # type: ignore[no-untyped-def]
    for q in range(m.size):
        goal = np.floor(max(total[q] * inverse[q] + half, zero))
        m[q] += min(max(goal - m[q], -levels), levels)


@numba.njit(cache=True, inline="always", error_model="numpy")
def _set_against(activation, m, step, sums):  # type: ignore[no-untyped-def]
    for q in range(m.size):
        sent = m[q] * step[q]
        gap = activation[q] - sent
        sums[0, q] += gap
        sums[1, q] += gap * gap
        sums[2, q] += sent
        sums[3, q] += sent * sent
        sums[4, q] += gap * sent


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _try_at_once(current, activation, bias, vth, scales, levels, sums, first, jobs):  # type: ignore[no-untyped-def]
    """As `_try`, where the lower threshold is 0 and nobody leads: m goes as near to floor(sum / theta + 1/2)
    as the levels allow, and the sum is the same for all scales."""
    count, steps, size = current.shape
    kind = current.dtype.type
    zero, half = kind(0), kind(0.5)
    tried = len(scales)
    total, m = np.zeros((steps + 1, SLICE), kind), np.empty(SLICE, kind)
    inverse, step = np.empty((tried, SLICE), kind), np.empty((tried, SLICE), kind)
    found = np.empty((SUMS, tried, SLICE), kind)
    for start in range(first * SLICE, min((first + jobs) * SLICE, size), SLICE):
        n = min(SLICE, size - start)
        for s in range(tried):
            for q in range(n):
                theta = kind(vth[start + q] * scales[s])
                inverse[s, q] = kind(1) / theta if theta > zero else zero
                step[s, q] = theta / steps
        found[:] = zero
        for image in range(count):
            for t in range(steps):
                arrives = current[image, t, start : start + n]
                _sum_up(total[t + 1, :n], total[t, :n], arrives, bias[start : start + n])
            for s in range(tried):
                m[:] = zero
                for t in range(steps):
                    _come_near(m[:n], total[t + 1, :n], inverse[s, :n], levels, half, zero)
                own = activation[image, start : start + n]
                _set_against(own, m[:n], step[s, :n], found[:, s, :n])
        sums[:, :, start : start + n] += found[:, :, :n]
    return np.zeros(0, np.int64)


def try_scales(
    p: Neurons,
    vth: np.ndarray,
    scales: np.ndarray,
    current: np.ndarray,
    activation: np.ndarray,
    sums: np.ndarray,
    threads: int,
) -> None:
    """Run p with theta = `scales` (S,) times `vth` (n,), float64, p's own thresholds, for thresholds and
    payloads, lower ones in proportion, and theta / 2 for initial potentials; add to `sums` (SUMS, S, n), over
    images, the gap between activation and mean spike, its square, the mean spike, its square, and the product
    of gap and mean spike. current: (N, T, n); activation: (N, n)."""
    kind, jobs = p.own.dtype.type, -(-current.shape[2] // SLICE)
    seen = current, activation, p.own[0, : len(vth)], vth
    if p.lead == 0 and not p.two_sided and not lower_is_above_0(p):
        quick = (*seen, scales, kind(p.levels), sums)
        in_threads(lambda first, share: _try_at_once(*quick, first, share), jobs, threads)
        return
    lower = p.shared[lanes.LOWER, : len(vth)]
    each = (*seen, lower, scales, kind(p.levels), p.lead, p.two_sided, kind(p.limit), sums)
    in_threads(lambda first, share: _try(*each, first, share), jobs, threads)


def lower_is_above_0(p: Neurons) -> bool:
    """Is the lower threshold of any neuron that is not dead above 0? `guards` writes 0 as the least number
    above it."""
    left = p.shared[lanes.LOWER]
    return bool((left[p.shared[lanes.VTH] > 0] > np.finfo(p.own.dtype).tiny).any())


@cache
def _threads(count: int) -> ThreadPoolExecutor:
    """numba's own threads would fix multiprocessing's start method, which Lava sets."""
    return ThreadPoolExecutor(count)


def in_threads(work: Callable[[int, int], np.ndarray], jobs: int, threads: int) -> tuple[int, ...]:
    """The sum of what `work(first, share)` counts, for shares of the jobs in threads."""
    if threads == 1:
        return tuple(int(n) for n in work(0, jobs))
    share = max(1, -(-jobs // threads))
    counts = np.array(list(_threads(threads).map(lambda first: work(first, share), range(0, jobs, share))))
    return tuple(int(n) for n in counts.sum(axis=0))
