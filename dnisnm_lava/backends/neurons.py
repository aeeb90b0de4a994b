"""All steps of a population's neurons in one pass over its currents: compiled by numba, for the CPU.

Each slice of neurons goes through all its steps while its potentials stay in cache. Integers travel as floats that
hold them exactly: a potential is clipped to 24 bits, so float32 does wherever a step's current is below 2**24.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numba
import numpy as np

SLICE = 1024  # neurons: v, m and what they read stay in the first-level cache


@numba.njit(cache=True, inline="always")
def _integrate(v, current, bias, limit):  # type: ignore[no-untyped-def]
    """v + current + bias, clipped to +-limit; how many were outside."""
    saturated = 0
    for q in range(v.size):
        x = v[q] + (current[q] + bias[q])
        clipped = min(max(x, -limit), limit)
        saturated += x != clipped
        v[q] = clipped
    return saturated


@numba.njit(cache=True, inline="always")
def _fire_once(v, m, vth, guard, payload, out, one, zero):  # type: ignore[no-untyped-def]
    """One level up or down, down only what m holds (Eq. 21 to 23). guard: vth, and infinity for the dead."""
    up = down = 0
    for q in range(v.size):
        x = v[q]
        rise = one if x >= guard[q] else zero
        fall = one if (x <= -guard[q]) and (m[q] > zero) else zero
        k = rise - fall
        v[q] = x - k * vth[q]
        m[q] += k
        out[q] = k * payload[q]
        up += rise > zero
        down += fall > zero
    return up, down


@numba.njit(cache=True, inline="always")
def _fire_levels(v, m, vth, guard, payload, out, levels, two_sided, one, zero):  # type: ignore[no-untyped-def]
    """Up to `levels`, by comparing with vth, 2 vth, ...: exact, as a quotient of floats is not."""
    up = down = 0
    for q in range(v.size):
        x = v[q]
        rise = fall = zero
        multiple = zero
        for _ in range(levels):
            multiple += guard[q]
            rise += one if x >= multiple else zero
            fall += one if x <= -multiple else zero
        if not two_sided:
            fall = min(fall, m[q])
        k = rise - fall
        v[q] = x - k * vth[q]
        m[q] += k
        out[q] = k * payload[q]
        up += rise > zero
        down += fall > zero
    return up, down


@numba.njit(cache=True, nogil=True)
def _run(current, bias, vth, guard, payload, v_init, levels, lead, two_sided, limit, out, tally, first, jobs):  # type: ignore[no-untyped-def]
    steps, count, size = out.shape
    slices = (size + SLICE - 1) // SLICE
    one, zero = bias.dtype.type(1), bias.dtype.type(0)
    last = current.shape[0] - 1  # a constant current stands there once
    for job in range(first, min(first + jobs, count * slices)):
        image, start = job // slices, (job % slices) * SLICE
        stop = min(start + SLICE, size)
        v, m = v_init[start:stop].copy(), np.zeros(stop - start, bias.dtype)
        up = down = saturated = 0
        for t in range(steps + lead):
            if t < steps:
                saturated += _integrate(v, current[min(t, last), image, start:stop], bias[start:stop], limit)
            if t >= lead:
                spikes = out[t - lead, image, start:stop]
                if levels == 1 and not two_sided:
                    a, b = _fire_once(v, m, vth[start:stop], guard[start:stop], payload[start:stop], spikes, one, zero)
                else:
                    a, b = _fire_levels(v, m, vth[start:stop], guard[start:stop], payload[start:stop], spikes, levels, two_sided, one, zero)
                up += a
                down += b
        tally[job, 0], tally[job, 1], tally[job, 2] = up, down, saturated


def run(
    current: np.ndarray, bias: np.ndarray, vth: np.ndarray, payload: np.ndarray, v_init: np.ndarray, *,
    steps: int, levels: int, lead: int, two_sided: bool, limit: float, spikes: type[np.generic], threads: int = 1,
) -> tuple[np.ndarray, int, int, int]:  # fmt: skip
    """Spikes (steps, N, n) of the dtype `spikes`, and how many rose, fell, and saturated.

    current: (steps or 1, N, n), of one float dtype with bias, vth, payload and v_init, each (n,). limit: of the
    potential; infinity for floats.
    """
    count, size = current.shape[1:]
    out = np.empty((steps, count, size), spikes)
    jobs = count * -(-size // SLICE)
    share = max(1, -(-jobs // threads))
    tally = np.zeros((jobs, 3), np.int64)
    guard = np.where(vth > 0, vth, np.inf).astype(bias.dtype)
    work = partial(_run, current, bias, vth, guard, payload, v_init, levels, lead, two_sided, bias.dtype.type(limit), out, tally)
    with ThreadPoolExecutor(threads) as pool:  # numba's own threads would fix multiprocessing's start method, which Lava sets
        list(pool.map(lambda first: work(first, share), range(0, jobs, share)))
    up, down, saturated = (int(n) for n in tally.sum(axis=0))
    return out, up, down, saturated
