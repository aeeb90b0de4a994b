"""Piecewise-linear functions of a population's running sum, in floats and in integers."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir.values import Value

MOST_KNOTS = 255
MULTIPLIER = (1 << 15) - 1  # the largest slope of an integer curve: 16 bits, one of them the sign
LARGEST_OFFSET = 1 << 42  # 1,024 steps of it, and the slopes' products, 2**38: float64 holds every sum
LARGEST_SHIFT = 30
LEAST = 2.0**-149  # the least positive number of float32
LARGEST_PRODUCT = 1 << 51  # of a gate's sums and its gain, which float64 holds twice


@dataclass(frozen=True, eq=False)
class Curve(Value):
    """A line on each of n + 1 pieces that n knots part; a knot belongs to the piece on its right.

    name: what it stands for (`leaky_relu`, `silu`). knots: (rows, n), rising. slopes, offsets: (rows, n + 1).
    rows: one for each channel, or 1 for all. float64, or int64 in an integer graph, where values count in
    2**-shift levels (`SNM.vth` is 2**shift). low, high: (rows,) between which it was chosen, in real units;
    error: (rows,) the most that it differs there from the function, 0 where it is the function itself;
    worst: (rows,) where it differs so much, in real units, or None where that is not known; tolerance: the
    share of a level that was asked for (`--function-error`).
    """

    name: str
    knots: np.ndarray
    slopes: np.ndarray
    offsets: np.ndarray
    low: np.ndarray = field(default_factory=lambda: np.zeros(1))
    high: np.ndarray = field(default_factory=lambda: np.zeros(1))
    error: np.ndarray = field(default_factory=lambda: np.zeros(1))
    tolerance: float = 0.0
    worst: np.ndarray | None = field(default=None, compare=False)

    @property
    def rows(self) -> int:
        return len(self.slopes)

    @property
    def is_exact(self) -> bool:
        return not self.error.any()

    @cached_property
    def is_signed(self) -> bool:
        """Does it go below 0 anywhere?"""
        ends = (self.slopes[:, 0] > 0) | (self.slopes[:, -1] < 0)
        inner = [
            self.slopes[:, side : n + side] * self.knots + self.offsets[:, side : n + side]
            for n in (self.knots.shape[1],)
            for side in (0, 1)
        ]
        flat = self.knots.shape[1] == 0 and bool((self.offsets < 0).any())
        return bool(ends.any() or flat or any((values < 0).any() for values in inner))

    def at(self, x: np.ndarray, steps: int = 1) -> np.ndarray:
        """steps * f(x / steps) of running sums x (N, C, ...), in float64 or int64: knots and offsets are
        taken `steps` times, so that nothing is divided."""
        kind = np.int64 if self.slopes.dtype.kind == "i" else np.float64
        wide = (-1, *(1,) * (x.ndim - 2))
        piece = np.zeros(x.shape, np.intp)
        for knot in self.knots.T:
            piece += x >= (steps * knot).reshape(wide)
        row = np.arange(self.rows).reshape(wide)
        return x.astype(kind) * self.slopes[row, piece] + steps * self.offsets[row, piece]

    def check(self, who: str, channels: int) -> None:
        """OutOfRange, in the name of `who`, for what is no curve of so many channels."""
        rows, n = self.knots.shape if self.knots.ndim == 2 else (0, 0)
        lines = (rows, n + 1)
        if (
            rows not in (1, channels)
            or self.slopes.shape != lines
            or self.offsets.shape != lines
            or n > MOST_KNOTS
        ):
            raise OutOfRange(
                f"{who}: a curve of {rows} rows, {n} knots and {self.slopes.shape} slopes for {channels} "
                f"channels; give 1 row or one a channel, {MOST_KNOTS} knots at most, and one line more"
            )
        if n > 1 and (np.diff(self.knots, axis=1) < 0).any():
            raise OutOfRange(f"{who}: the knots of its curve do not rise")
        if self.slopes.dtype.kind == "i" and (
            _beyond(self.slopes, MULTIPLIER)
            or _beyond(self.offsets, LARGEST_OFFSET)
            or _beyond(self.knots, LARGEST_OFFSET)
        ):
            raise OutOfRange(f"{who}: slopes of its curve exceed {MULTIPLIER}, or offsets or knots 2**42")
        if not all(np.isfinite(a).all() for a in (self.knots, self.slopes, self.offsets)):
            raise OutOfRange(f"{who}: its curve holds NaN or infinity")


def _beyond(codes: np.ndarray, limit: int) -> bool:
    return bool(((codes > limit) | (codes < -limit)).any())


def through(name: str, knots: list[float], slopes: list[np.ndarray | float]) -> Curve:
    """The continuous curve through the origin of f with these slopes, numbers or (C,), between its knots, one
    of which is 0."""
    rows = max(np.size(s) for s in slopes)
    steep = np.stack([np.broadcast_to(np.asarray(s, np.float64).reshape(-1), rows) for s in slopes], axis=1)
    at = np.asarray(knots, np.float64)
    offsets = np.zeros_like(steep)
    zero = int(np.searchsorted(at, 0.0))  # the piece whose right end is 0, and that of its left end
    for i in range(zero, len(at)):
        offsets[:, i + 1] = offsets[:, i] + (steep[:, i] - steep[:, i + 1]) * at[i]
    for i in range(zero - 1, -1, -1):
        offsets[:, i] = offsets[:, i + 1] + (steep[:, i + 1] - steep[:, i]) * at[i]
    return Curve(name, np.broadcast_to(at, (rows, len(at))), steep, offsets)


def above(x: float) -> float:
    """The knot of a piece that begins beyond x and does not hold x itself: the next float64; beyond 0 the
    least number of float32, in which images are calibrated."""
    return float(np.nextafter(x, np.inf)) if x else LEAST


def jumping(name: str, knots: list[float], slopes: list[float], offsets: list[float]) -> Curve:
    """The curve of these lines, which need not meet at its knots."""
    at, steep, shifts = (np.asarray(a, np.float64)[None] for a in (knots, slopes, offsets))
    return Curve(name, at, steep, shifts)
