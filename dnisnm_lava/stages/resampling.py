"""Resamplings in integers, that keep what their rows add up to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dnisnm_lava.ir import Projection, Resample
from dnisnm_lava.ir.fixedpoint import STATE, WEIGHT_BITS, FixedPointFormat


def integer(q: Projection, limit: int) -> tuple[Projection, float]:
    """The same projection with integers up to `limit` in its resampling, whose unit moves into the weights,
    and the error: the largest of any entry, by the largest entry."""
    if q.resample is None:
        return q, 0.0
    (rows, row_unit, row_error), (cols, col_unit, col_error) = (
        _matrix(a, limit) for a in (q.resample.rows, q.resample.cols)
    )
    return replace(
        q, resample=Resample(rows, cols), weight=q.weight * (row_unit * col_unit)
    ), row_error + col_error


def _matrix(a: np.ndarray, limit: int) -> tuple[np.ndarray, float, float]:
    """Integers, their unit, and the largest error by the largest entry: none for fractions of one small
    denominator, else rounded so that each row keeps its sum, to the nearest unit."""
    format = FixedPointFormat(WEIGHT_BITS)
    largest = float(np.abs(a).max(initial=0)) or 1.0
    for denominator in range(1, int(limit / largest) + 1):
        codes, _ = format.rounded(a * denominator)
        if (
            np.abs(codes - a * denominator).max(initial=0) < 1e-9
        ):  # fractions of float64: 2**-53 * 127, with room
            return codes, 1 / denominator, 0.0
    by = int(limit / largest) or limit / largest
    codes = np.array([_with_its_sum(row * by, format) for row in a])
    return codes, 1 / by, float(np.abs(codes / by - a).max() / largest)


def _with_its_sum(row: np.ndarray, format: FixedPointFormat) -> np.ndarray:
    """The nearest integers, and those whose rounding took most from the sum, or gave most to it, one further,
    until the row's sum is its own to the nearest: a constant picture stays what it was."""
    codes, _ = format.rounded(row)
    wanted, _ = STATE.rounded(row.sum(keepdims=True))
    off = int(wanted[0]) - int(codes.sum())
    order = np.argsort(codes - row if off > 0 else row - codes, kind="stable")
    further = np.zeros_like(codes)
    further[order[: abs(off)]] = np.sign(off)
    return format.rounded(codes + further.astype(np.float64))[0]
