"""One time step of a neuron, for floats and integers alike.

    if t <= T:     v <- v + z + b                                                          (19)
    if t > lead:   k =  min(floor(v / vth), levels, most - m)              if v >= vth + band
                   k = -min(floor((-v - lower) / vth) + 1, levels, m)      if v <= -lower, -band and m > 0
                   v <- v - k * vth;   m <- m + k;   send k * payload                      (21) to (23)

v: potential; z: arriving current; b: bias; vth: threshold; m >= 0: levels sent so far. lower: the lower
threshold, above 0 and at most vth; floats have 0 too, which any v < 0 reaches: k = -min(ceil(-v / vth),
levels, m). band: a stream's hysteresis, 0 elsewhere: by how much v has to leave what is at rest before
anything is sent, and then all whole levels are. most: what m may hold; a stream bounds it. With lower = vth,
no band and no bound it is the paper's. Equation numbers: Wang et al., Neural Networks 174:106244 (2024);
`levels`, `lead`, `most`, `band` and another `lower` are this project's, and so is a neuron with a
curve (`follow`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dnisnm_lava.ir import arithmetic
from dnisnm_lava.ir.arithmetic import Window
from dnisnm_lava.ir.curves import Curve
from dnisnm_lava.ir.fixedpoint import STATE, FixedPointFormat

THRESHOLDS = FixedPointFormat(32)


class Fired(NamedTuple):
    """k: levels sent (signed); v, m: potential and memory after it."""

    k: np.ndarray
    v: np.ndarray
    m: np.ndarray


class Allowed(NamedTuple):
    """What a neuron that follows a value may send. levels: in a step, either way. two_sided: may m be below
    0? band: nothing is sent before the value is so far beyond half a level from m (None: no dead band).
    most: of m, and of -m where it is two-sided (0: no bound)."""

    levels: int
    two_sided: bool = False
    band: np.ndarray | None = None
    most: int = 0


def integrate(v: np.ndarray, z: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, int]:
    """v + z + b, saturating to the 24-bit state for integers, and how many neurons saturated."""
    v = v + z + bias
    if v.dtype.kind == "f":
        return v, 0
    saturated = int(np.count_nonzero(np.abs(v) > STATE.limit))
    return np.clip(v, -STATE.limit, STATE.limit), saturated


def lower_threshold(vth: np.ndarray, down: float) -> np.ndarray:
    """The lower threshold of neurons with the thresholds `vth`: down * vth; for integers the nearest (ties to
    even) to this float64 product, at least 1."""
    product = down * vth.astype(np.float64)
    return (
        product if vth.dtype.kind == "f" else np.maximum(THRESHOLDS.rounded(product)[0], 1).astype(vth.dtype)
    )


def band_of(vth: np.ndarray, band: float) -> np.ndarray | None:
    """The dead band of neurons with the thresholds `vth`, either side: band * vth; for integers the nearest
    (ties to even) to this float64 product, int64. None where there is none, as in every network of images."""
    if not band:
        return None
    product = band * vth.astype(np.float64)
    return product if vth.dtype.kind == "f" else THRESHOLDS.rounded(product)[0].astype(np.int64)


def fire(
    v: np.ndarray,
    m: np.ndarray,
    vth: np.ndarray,
    levels: int,
    two_sided: bool = False,
    lower: np.ndarray | None = None,
    band: np.ndarray | None = None,
    most: int = 0,
) -> Fired:
    """Eq. (21) to (23). A dead neuron (vth = 0) never fires; a two-sided one is not gated by m, so its spikes
    may sum below zero. lower: the lower threshold (default: vth). band: the dead band (default: none). most:
    m stays at `most` or below, and of a two-sided neuron at -most or above (0: no bound)."""
    alive = vth > 0
    whole, rest = np.divmod(np.abs(v), np.where(alive, vth, 1))  # exact in floats as well
    further = (rest > 0) & (
        rest >= (vth if lower is None else lower)
    )  # floor((|v| - lower) / vth) + 1 is one more than whole
    up = alive & (v >= (vth if band is None else vth + band))
    down = alive & (v < 0) & (True if band is None else v <= -band)
    rise = np.minimum(whole, levels)
    back = np.minimum(whole + further, levels if two_sided else np.minimum(m, levels))
    if most:
        rise, back = np.minimum(rise, most - m), np.minimum(back, m + most)
    k = np.where(up, rise, np.where(down, -back, 0)).astype(m.dtype)
    return Fired(k, v - k * vth, m + k)


def follow(
    v: np.ndarray,
    m: np.ndarray,
    vth: np.ndarray,
    curve: Curve,
    steps: int,
    allowed: Allowed,
) -> Fired:
    """A neuron that sends the change of a function of its running sum v, which nothing is taken from:

        goal = floor(t f(v / t) / vth + 1/2), at least 0 unless two-sided, within `most`
        k    = goal - m, at most `levels` either way

    steps: t, how many have been summed. A dead neuron (vth = 0) never fires. With f a ReLU it sends what
    `fire` does with down = 0. This project's; Lava's SigmaDelta is of its kind, with f a ReLU and a threshold
    of the change."""
    k = toward(curve.at(v, steps), m, vth, allowed)
    return Fired(k, v, m + k)


def toward(value: np.ndarray, m: np.ndarray, vth: np.ndarray, allowed: Allowed) -> np.ndarray:
    """The levels that are sent so that m comes to the nearest whole number of thresholds in `value`."""
    levels, two_sided, band, most = allowed
    alive, worth = vth > 0, np.where(vth > 0, vth, 1).astype(value.dtype)  # twice 2**30 has no 32 bits
    goal = (2 * value + worth) // (2 * worth) if value.dtype.kind == "i" else np.floor(value / worth + 0.5)
    least = 0 if not two_sided else -most if most else None
    if least is not None or most:
        goal = np.clip(goal, least, most or None)
    change = np.where(alive, np.clip(goal - m, -levels, levels), 0)
    if band is not None:
        apart = 2 * (value - m * worth)
        change = np.where((apart >= worth + 2 * band) | (apart < -worth - 2 * band), change, 0)
    return change.astype(m.dtype)


def gate(
    a: np.ndarray,
    b: np.ndarray,
    m: np.ndarray,
    vth: np.ndarray,
    gain: np.ndarray,
    steps: int,
    allowed: Allowed,
) -> np.ndarray:
    """The levels k that a gate sends after `steps` steps, t, in which its sources' spikes sum to a and b:

        goal = floor(a b gain(t) / vth + 1/2),   k as in `follow`

    gain(t): `gain` / t, since the mean spikes' product is a b / t^2, and t of it are to be sent; of integers
    to the nearest (halves up). gain: (C, 1, ...), as it broadcasts to a."""
    return toward(a * b * gain_after(gain, steps), m, vth, allowed)


def gain_after(gain: np.ndarray, steps: int) -> np.ndarray:
    """A gate's gain after `steps` steps."""
    return (2 * gain + steps) // (2 * steps) if gain.dtype.kind == "i" else gain / steps


def pool(total: np.ndarray, spikes: np.ndarray, window: Window) -> tuple[np.ndarray, np.ndarray]:
    """Running sums after `spikes`, and their windows' maxima: (N, C, H, W) -> (N, C, H', W')."""
    total = total + spikes
    return total, arithmetic.max_pool(total, window)
