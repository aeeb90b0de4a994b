"""Smooth functions of a population, in float64, as torch defines them; and curves that come near them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir.curves import Curve
from dnisnm_lava.ir.values import Value

PIECES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
FINE = 512  # points at which curvature is looked at
DENSE = 128  # points of a piece at which its error is measured
BEYOND = 0.1  # of the range that was seen, on either side: other images go somewhat further


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0, -x))


def _erf(x: np.ndarray) -> np.ndarray:
    return np.frompyfunc(math.erf, 1, 1)(x).astype(np.float64)


def _softplus(x: np.ndarray, beta: float, threshold: float) -> np.ndarray:
    return np.where(beta * x > threshold, x, np.logaddexp(0, beta * x) / beta)


def _elu(x: np.ndarray, alpha: float, scale: float, input_scale: float) -> np.ndarray:
    return scale * np.where(x > 0, x, alpha * np.expm1(input_scale * np.minimum(x, 0)))


def _gelu_tanh(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


ACTIVATIONS: dict[str, Callable[..., np.ndarray]] = {
    "silu": lambda x: x * _sigmoid(x),
    "gelu": lambda x: 0.5 * x * (1 + _erf(x / math.sqrt(2))),
    "gelu_tanh": _gelu_tanh,
    "hardswish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "sigmoid": _sigmoid,
    "tanh": np.tanh,
    "softplus": _softplus,
    "elu": _elu,
    "mish": lambda x: x * np.tanh(np.logaddexp(0, x)),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "log_sigmoid": lambda x: -np.logaddexp(0, -x),
    "exp": np.exp,
}
PARAMETERS = {"softplus": 2, "elu": 3}  # how many; of the others none
KINKS = {"elu": 0.0}  # where a slope may jump


@dataclass(frozen=True, eq=False)
class Smooth(Value):
    """One of ACTIVATIONS with its parameters: `softplus` beta and threshold; `elu` alpha, scale and
    input_scale, which ELU, CELU and SELU are made of."""

    name: str
    parameters: tuple[float, ...] = ()

    def at(self, x: np.ndarray) -> np.ndarray:
        """f(x), of any shape, in float64."""
        return ACTIVATIONS[self.name](x.astype(np.float64, copy=False), *self.parameters)


def largest(function: Curve | Smooth, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """(C,) the most that |f| is for x between `low` and `high` (C,)."""
    share = np.linspace(0, 1, FINE + 1)
    x = low[:, None] + (high - low)[:, None] * share
    points = (
        [x] if isinstance(function, Smooth) else [x, np.clip(function.knots, low[:, None], high[:, None])]
    )
    return np.max([np.abs(function.at(p.T).T).max(axis=1) for p in points if p.size], axis=0)


def near(
    function: Smooth, low: np.ndarray, high: np.ndarray, error: np.ndarray, tolerance: float = 0.0
) -> Curve:
    """The curve of the fewest pieces, the same number for each channel, whose chords differ from `function`
    by at most `error` (C,) between `low` and `high` (C,), and a tenth of that range beyond either end; knots
    stand close where the function bends. OutOfRange where 64 pieces are too few."""
    span = np.maximum(high - low, 1e-6 * np.maximum(1, np.abs(high)))
    least, most = low - BEYOND * span, high + BEYOND * span
    for pieces in PIECES:
        knots = _spread(function, least, most, pieces)
        curve = _chords(function, knots)
        apart, at = _apart(function, curve, knots)
        if (apart <= error).all():
            return replace(curve, low=low, high=high, error=apart, tolerance=tolerance, worst=at)
    worst = int(np.argmax(apart - error))
    raise OutOfRange(
        f"{function.name}: {PIECES[-1]} pieces differ by {apart[worst]:.3g} between {low[worst]:.3g} and "
        f"{high[worst]:.3g}, more than {error[worst]:.3g}; give a larger function_error, or fewer levels"
    )


def _spread(function: Smooth, low: np.ndarray, high: np.ndarray, pieces: int) -> np.ndarray:
    """(C, pieces + 1) ends of pieces over which the square root of the curvature adds up to the same: chords
    that all differ by about as much."""
    x = low[:, None] + (high - low)[:, None] * np.linspace(0, 1, FINE + 1)
    bent = np.sqrt(np.abs(np.diff(function.at(x), n=2, axis=1)))
    bent = np.pad(bent, ((0, 0), (1, 1)), mode="edge") + 1e-3 * bent.mean(axis=1, keepdims=True) + 1e-30
    total = np.concatenate(
        [np.zeros((len(x), 1)), np.cumsum((bent[:, 1:] + bent[:, :-1]) / 2, axis=1)], axis=1
    )
    share = np.linspace(0, 1, pieces + 1)
    knots = np.stack([np.interp(share * t[-1], t, row) for t, row in zip(total, x, strict=True)])
    kink = KINKS.get(function.name)
    if kink is not None and pieces > 1:  # the nearest inner end moves to where the slope jumps
        inside = (low < kink) & (kink < high)
        nearest = 1 + np.abs(knots[:, 1:-1] - kink).argmin(axis=1)
        knots[inside, nearest[inside]] = kink
    return knots


def _chords(function: Smooth, ends: np.ndarray) -> Curve:
    """Through the function at all `ends` (C, pieces + 1); the first and the last go on."""
    values = function.at(ends)
    width = np.maximum(np.diff(ends, axis=1), 1e-300)
    slopes = np.diff(values, axis=1) / width
    return Curve(function.name, ends[:, 1:-1], slopes, values[:, :-1] - slopes * ends[:, :-1])


def _apart(function: Smooth, curve: Curve, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(C,) the most that they differ between the first and the last end, and (C,) where."""
    share = np.linspace(0, 1, DENSE + 1)
    x = ends[:, :-1, None] + np.diff(ends, axis=1)[:, :, None] * share
    gap = np.abs(curve.slopes[:, :, None] * x + curve.offsets[:, :, None] - function.at(x))
    gap, x = gap.reshape(len(x), -1), x.reshape(len(x), -1)
    largest = gap.argmax(axis=1)[:, None]
    return np.take_along_axis(gap, largest, 1)[:, 0], np.take_along_axis(x, largest, 1)[:, 0]
