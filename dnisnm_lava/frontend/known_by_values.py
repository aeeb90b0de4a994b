"""Smooth functions that are written by hand, known by their values: `0.5 * x * (1 + torch.erf(x / 2**0.5))`
is GELU, whatever the order of its factors."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from dnisnm_lava.ir import Smooth

FAR = 2.0**20
POINTS = np.concatenate([np.linspace(-16, 16, 4097), *(s * np.geomspace(16, FAR, 64) for s in (-1, 1))])
TOLERANCE = 2.0**-26
"""Of max(1, |x|), by how much a function may differ at POINTS from what it is taken for: a quarter of
float32's rounding (2^-24), in which models are trained and their constants are written."""


@dataclass(frozen=True)
class Scaled:
    """outer * function(inner * x)."""

    function: Smooth
    inner: float = 1.0
    outer: float = 1.0

    def at(self, x: np.ndarray) -> np.ndarray:
        return self.outer * self.function.at(self.inner * x)


def known(f: Callable[[np.ndarray], np.ndarray]) -> Scaled | None:
    """The smooth function that f is; None where it is none that is known."""
    with np.errstate(all="ignore"):
        values = f(POINTS)
        if not np.isfinite(values).all():
            return None
        found = [(_apart(candidate, values), candidate) for candidate in _candidates(f)]
    apart, best = min(found, key=lambda pair: pair[0], default=(np.inf, None))
    return best if apart <= TOLERANCE else None


def _apart(candidate: Scaled, values: np.ndarray) -> float:
    """By how much they differ at POINTS, at most; infinity where the candidate overflows."""
    apart = np.abs(candidate.at(POINTS) - values) / np.maximum(1, np.abs(POINTS))
    return float(apart.max()) if np.isfinite(apart).all() else np.inf


def _candidates(f: Callable[[np.ndarray], np.ndarray]) -> Iterator[Scaled]:
    """Those of the known functions that have f's slope far out, and f's value at one point."""
    low, high = f(np.array([-FAR, FAR])) / np.array([-FAR, FAR])
    left, zero, right = f(np.array([-1.0, 0.0, 1.0]))
    if max(abs(low), abs(high)) < 1 / 1024:  # bounded
        yield Scaled(Smooth("sigmoid"), 1.0, 2 * zero)
        yield Scaled(Smooth("softsign"), 1.0, 2 * right)
        yield Scaled(Smooth("tanh"), 1.0, right / np.tanh(1.0))
        return
    side, slope, value = (1.0, high, right) if abs(high) > abs(low) else (-1.0, -low, left)
    for name in ("silu", "gelu", "gelu_tanh", "hardswish", "mish"):
        yield Scaled(Smooth(name), side, slope)
    share = value / slope
    if 0.5 < share < 1:  # slope * x * F(b x), at x = side
        for name, b in (("silu", math.log(share / (1 - share))), ("gelu", NormalDist().inv_cdf(share))):
            yield from (Scaled(Smooth(name), side * near, slope / near) for near in (float(f"{b:.14g}"), b))
    bottom = -f(np.array([-side * FAR]))[0]
    if bottom and slope:
        yield Scaled(Smooth("elu", (bottom / slope, 1.0, 1.0)), side, slope)
