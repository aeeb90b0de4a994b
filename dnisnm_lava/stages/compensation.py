"""Weights to integers with error compensation: what rounding one weight does, the weights after it take up.

Source: Frantar, Ashkboos, Hoefler, Alistarh, "GPTQ" (ICLR 2023), Eq. (2), (3), with the covariance of what a
row reads as its Hessian: the mean error of a row is the bias's to take up.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dnisnm_lava.ir.fixedpoint import FixedPointFormat

DAMPING = 0.01  # of the mean variance, onto each
LAZY = 64  # columns whose errors reach the later ones together, in one product (GPTQ, 3.3)


@dataclass(frozen=True)
class Reads:
    """What `columns` of a projection's weights read, on average over calibration images and places: mean (G,
    k) and covariance (G, k, k) for k columns of each of G groups."""

    columns: slice
    mean: np.ndarray
    covariance: np.ndarray

    def rescaled(self, by: np.ndarray) -> Reads:
        """The reads of what is read times `by`, (G, K) for all columns."""
        scale = by[:, self.columns]
        return Reads(self.columns, self.mean * scale, self.covariance * scale[:, :, None] * scale[:, None])


def compensated(
    weight: np.ndarray, reads: tuple[Reads, ...], format: FixedPointFormat
) -> tuple[np.ndarray, np.ndarray]:
    """Codes of `weight` (O, ...), in units of 1, and (O,) what the rows' mean currents lose by them.

    Codes are clipped to the format: what that changes is compensated like any other rounding."""
    rows = weight.reshape(len(weight), -1)
    codes, lost = np.zeros(rows.shape, format.dtype), np.zeros(len(rows))
    for of, columns, mean, covariance in _parts(len(rows), reads):
        codes[of, columns] = _compensated(rows[of, columns], covariance, format)
        lost[of] += (rows[of, columns] - codes[of, columns]) @ mean
    return codes.reshape(weight.shape), lost


def _parts(rows: int, reads: tuple[Reads, ...]) -> Iterator[tuple[slice, slice, np.ndarray, np.ndarray]]:
    """Which rows and columns belong together, and the mean and covariance of what they read."""
    for r in reads:
        share = rows // len(r.mean)
        for g, (mean, covariance) in enumerate(zip(r.mean, r.covariance, strict=True)):
            yield slice(g * share, (g + 1) * share), r.columns, mean, covariance


def _compensated(rows: np.ndarray, covariance: np.ndarray, format: FixedPointFormat) -> np.ndarray:
    """(O, k) codes; columns of large variance first, since nothing is left to take up the last one's
    error."""
    order = np.argsort(-covariance.diagonal(), kind="stable")
    left = rows[:, order]
    factor = _inverse_factor(covariance[np.ix_(order, order)])
    codes, errors = np.zeros(rows.shape, format.dtype), np.zeros(rows.shape)
    for start in range(0, len(order), LAZY):
        stop = start + LAZY
        for j, column in enumerate(order[start:stop], start):
            codes[:, column], _ = format.rounded(left[:, j])
            errors[:, j] = (left[:, j] - codes[:, column]) / factor[j, j]
            left[:, j + 1 : stop] -= np.outer(errors[:, j], factor[j, j + 1 : stop])
        left[:, stop:] -= errors[:, start:stop] @ factor[start:stop, stop:]
    return codes


def _inverse_factor(covariance: np.ndarray) -> np.ndarray:
    """U, upper triangular, with U^T U = (covariance + damping)^-1. The identity, with which nothing
    compensates, where nothing that is read varies by more than the noise of float32: that has no inverse."""
    variance = covariance.diagonal().mean()
    damped = covariance + (DAMPING * variance if variance > 0 else 1.0) * np.eye(len(covariance))
    try:
        return np.linalg.cholesky(np.linalg.inv(damped)).T
    except np.linalg.LinAlgError:
        return np.eye(len(covariance))


def error(weight: np.ndarray, codes: np.ndarray, reads: tuple[Reads, ...]) -> np.ndarray:
    """(O,) mean squared error of the rows' currents, beyond their means."""
    rows, found = (weight - codes).reshape(len(weight), -1), np.zeros(len(weight))
    for of, columns, _, covariance in _parts(len(rows), reads):
        gap = rows[of, columns]
        found[of] += np.einsum("oi,ij,oj->o", gap, covariance, gap, optimize=True)
    return found
