"""Neurons that send a curve of their running sum, over all steps at once: compiled by numba, for the CPU."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from dnisnm_lava.backends.batched.neurons import in_threads
from dnisnm_lava.backends.batched.storage import innermost
from dnisnm_lava.ir import SNM, Curve


@numba.njit(cache=True, inline="always", error_model="numpy")
def at(v, summed, row, knots, slopes, offsets):  # type: ignore[no-untyped-def]
    """As `Curve.at`, of one sum: of integers all products are exact in float64."""
    low, high = 0, knots.shape[1]
    while low < high:
        middle = (low + high) // 2
        if v >= summed * knots[row, middle]:
            low = middle + 1
        else:
            high = middle
    return v * slopes[row, low] + summed * offsets[row, low]


@numba.njit(cache=True, inline="always", error_model="numpy")
def toward(value, m, vth, band, bounds, levels):  # type: ignore[no-untyped-def]
    """Levels of one neuron whose function says `value` (`dynamics.toward`), in float64: of integers vth is a
    power of two, which divides exactly. bounds: of m."""
    if vth == 0:
        return 0.0
    apart = 2 * (value - m * vth)
    if band > 0 and -vth - 2 * band <= apart < vth + 2 * band:
        return 0.0
    whole = min(max(np.floor(value / vth + 0.5), bounds[0]), bounds[1])
    return min(max(whole - m, -levels), levels)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _run(current, table, knots, slopes, offsets, levels, lead, bounds, limit, offset, out, first, jobs):  # type: ignore[no-untyped-def]
    """Images `first` to `first + jobs`: how many rose, fell, and saturated."""
    _, steps, size = out.shape
    kind, last = table.dtype.type, current.shape[1] - 1
    totals = np.zeros(3, np.int64)
    for image in range(first, min(first + jobs, len(out))):
        for q in range(size):
            row = q % len(slopes)
            v, m, vth, payload = table[3, q], 0.0, np.float64(table[1, q]), table[2, q]
            for t in range(steps + lead):
                if t < steps:
                    x = v + (current[image, min(t, last), q] + table[0, q])
                    v = min(max(x, -limit), limit)
                    totals[2] += x != v
                if t >= lead:
                    value = at(np.float64(v), min(t + 1, steps), row, knots, slopes, offsets)
                    k = toward(value, m, vth, 0.0, bounds, levels)
                    m += k
                    totals[0] += k > 0
                    totals[1] += k < 0
                    out[image, t - lead, q] = kind(k) * payload + offset
    return totals


@dataclass(frozen=True)
class CurveNeurons:
    """A population's constants: table (4, n) is bias, vth, payload and v_init; knots (rows, k), slopes and
    offsets (rows, k + 1), float64: neuron q has row q % rows. least: of m. limit: of v."""

    table: np.ndarray
    knots: np.ndarray
    slopes: np.ndarray
    offsets: np.ndarray
    levels: int
    lead: int
    least: float
    limit: int
    out: np.dtype
    offset: int


def constants(
    p: SNM,
    curve: Curve,
    bias: np.ndarray,
    payload: np.ndarray,
    *,
    dtype: np.dtype,
    limit: int,
    out: np.dtype,
    offset: int,
) -> CurveNeurons:
    """The constants of p with this bias and payload, for currents of the float `dtype`."""
    each = [innermost(np.broadcast_to(a, p.shape)).ravel() for a in (bias, p.vth, payload, p.v_init)]
    return CurveNeurons(
        np.array(each, dtype),
        *lines_of(curve),
        levels=p.levels,
        lead=p.lead,
        least=-np.inf if p.two_sided else 0.0,
        limit=limit,
        out=out,
        offset=offset,
    )


def lines_of(curve: Curve) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Knots (rows, n), slopes and offsets (rows, n + 1), float64."""
    knots, slopes, offsets = (np.array(a, np.float64) for a in (curve.knots, curve.slopes, curve.offsets))
    return knots, slopes, offsets


def run(p: CurveNeurons, current: np.ndarray, sent: np.ndarray, threads: int = 1) -> tuple[int, int, int]:
    """Fill `sent` (N, T, n) with stored spikes; how many rose, fell, and saturated. current: (N, T or 1,
    n)."""
    kind = p.table.dtype.type
    arguments = (
        current,
        p.table,
        p.knots,
        p.slopes,
        p.offsets,
        float(p.levels),
        p.lead,
        (p.least, np.inf),
        kind(p.limit),
        kind(p.offset),
        sent,
    )
    up, down, over = in_threads(lambda first, share: _run(*arguments, first, share), len(sent), threads)
    return up, down, over
