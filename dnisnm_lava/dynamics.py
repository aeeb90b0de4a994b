"""One time step of a neuron, for floats and integers alike.

    if t <= T:     v <- v + z + b                                                   (19)
    if t > lead:   k =  min(floor(v / vth), levels)       if v >= vth               (21)
                   k = -min(floor(-v / vth), levels, m)   if v <= -vth and m > 0    (21)
                   v <- v - k * vth;   m <- m + k;   send k * payload               (22), (23)

v: potential; z: arriving current; b: bias; vth: threshold; m >= 0: levels sent so far.
Equation numbers: Wang et al., Neural Networks 174:106244 (2024); `levels` and `lead` are this project's.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dnisnm_lava import synapses
from dnisnm_lava.fixedpoint import STATE
from dnisnm_lava.synapses import Window


class Fired(NamedTuple):
    """k: levels sent (signed); v, m: potential and memory after it."""

    k: np.ndarray
    v: np.ndarray
    m: np.ndarray


def integrate(v: np.ndarray, z: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, int]:
    """v + z + b, saturating to the 24-bit state for integers, and how many neurons saturated."""
    v = v + z + bias
    if v.dtype.kind == "f":
        return v, 0
    saturated = int(np.count_nonzero(np.abs(v) > STATE.limit))
    return np.clip(v, -STATE.limit, STATE.limit), saturated


def fire(v: np.ndarray, m: np.ndarray, vth: np.ndarray, levels: int, two_sided: bool = False) -> Fired:
    """Eq. (21) to (23). A dead neuron (vth = 0) never fires; a two-sided one is not gated by m, so its
    spikes may sum below zero."""
    alive = vth > 0
    step = np.where(alive, vth, 1)
    up = alive & (v >= vth)
    down = alive & (v <= -vth) & (two_sided | (m > 0))
    whole = np.minimum(np.floor_divide(np.abs(v), step), levels)
    back = whole if two_sided else np.minimum(whole, m)
    k = np.where(up, whole, np.where(down, -back, 0)).astype(m.dtype)
    return Fired(k, v - k * vth, m + k)


def pool(total: np.ndarray, spikes: np.ndarray, window: Window) -> tuple[np.ndarray, np.ndarray]:
    """Running sums after `spikes`, and their windows' maxima: (N, C, H, W) -> (N, C, H', W')."""
    total = total + spikes
    return total, synapses.max_pool(total, window)
