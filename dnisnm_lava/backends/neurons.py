"""All steps of a population's neurons in one pass over its currents: compiled by numba, for the CPU.

Each slice of neurons goes through all its steps while its potentials stay in cache. Integers travel as floats that
hold them exactly: a potential is clipped to 24 bits, so float32 does wherever a step's current is below 2**24.
The loops have no branches and no sums across neurons, so that the compiler makes vector code of them.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numba
import numpy as np

SLICE = 512  # neurons: what a step reads and writes stays in the first-level cache


@numba.njit(cache=True, inline="always")
def _integrate(v, current, bias, over, limit, one, zero):  # type: ignore[no-untyped-def]
    """v + current + bias, clipped to +-limit; over counts how often each neuron was outside."""
    for q in range(v.size):
        x = v[q] + (current[q] + bias[q])
        clipped = min(max(x, -limit), limit)
        over[q] += one if x != clipped else zero
        v[q] = clipped


@numba.njit(cache=True, inline="always")
def _once(v, m, guard, k, one, zero):  # type: ignore[no-untyped-def]
    """k: one level up or down, down only what m holds (Eq. 21). guard: vth, and infinity for the dead."""
    for q in range(v.size):
        x = v[q]
        k[q] = (one if x >= guard[q] else zero) - min(one if x <= -guard[q] else zero, m[q])


@numba.njit(cache=True, inline="always")
def _levels(v, m, vth, guard, k, levels, two_sided, one, zero):  # type: ignore[no-untyped-def]
    """k: up to `levels`. A quotient of floats may round up to the next whole number, or down from it: the products,
    exact below 2**24, tell, since |v| and vth are below 2**23."""
    for q in range(v.size):
        size = abs(v[q])
        whole = np.floor(size / guard[q])
        whole -= one if whole * vth[q] > size else zero
        whole += one if (whole + one) * guard[q] <= size else zero
        k[q] = min(whole, levels)
    for q in range(v.size):
        fall = k[q] if two_sided else min(k[q], m[q])
        k[q] = k[q] if v[q] > zero else -fall


@numba.njit(cache=True, inline="always")
def _send(v, m, vth, payload, out, k, ups, downs, one, zero):  # type: ignore[no-untyped-def]
    """v - k vth, m + k, k payload (Eq. 22, 23), and how often each neuron went up and down. One short loop for each:
    a loop over more arrays would not be vectorized, since the compiler cannot know that they are apart."""
    for q in range(v.size):
        v[q] -= k[q] * vth[q]
    for q in range(v.size):
        m[q] += k[q]
    for q in range(v.size):
        out[q] = k[q] * payload[q]
    for q in range(v.size):
        ups[q] += one if k[q] > zero else zero
    for q in range(v.size):
        downs[q] += one if k[q] < zero else zero


@numba.njit(cache=True, nogil=True)
def _run(current, bias, vth, guard, payload, v_init, levels, lead, two_sided, limit, out, tally, first, jobs):  # type: ignore[no-untyped-def]
    steps, count, size = out.shape
    slices = (size + SLICE - 1) // SLICE
    one, zero = bias.dtype.type(1), bias.dtype.type(0)
    last = current.shape[0] - 1  # a constant current stands there once
    for job in range(first, min(first + jobs, count * slices)):
        image, start = job // slices, (job % slices) * SLICE
        stop = min(start + SLICE, size)
        b, th, g, pay = bias[start:stop], vth[start:stop], guard[start:stop], payload[start:stop]
        v = v_init[start:stop].copy()
        m, k, ups, downs, over = np.zeros_like(v), np.zeros_like(v), np.zeros_like(v), np.zeros_like(v), np.zeros_like(v)
        for t in range(steps + lead):
            if t < steps:
                _integrate(v, current[min(t, last), image, start:stop], b, over, limit, one, zero)
            if t >= lead:
                if levels == one and not two_sided:
                    _once(v, m, g, k, one, zero)
                else:
                    _levels(v, m, th, g, k, levels, two_sided, one, zero)
                _send(v, m, th, pay, out[t - lead, image, start:stop], k, ups, downs, one, zero)
        tally[job, 0], tally[job, 1], tally[job, 2] = int(ups.sum()), int(downs.sum()), int(over.sum())


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
    work = partial(
        _run, current, bias, vth, guard, payload, v_init, bias.dtype.type(levels), lead, two_sided, bias.dtype.type(limit), out, tally
    )
    with ThreadPoolExecutor(threads) as pool:  # numba's own threads would fix multiprocessing's start method, which Lava sets
        list(pool.map(lambda first: work(first, share), range(0, jobs, share)))
    up, down, saturated = (int(n) for n in tally.sum(axis=0))
    return out, up, down, saturated
