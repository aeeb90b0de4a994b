"""Thresholds by maxima over two sets of images, as maps: what data-based initialization rests on (paper, Fig.
4)."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from dnisnm_lava.studies.explain.values import ThresholdMap

GREYS = 255


def compared(train: np.ndarray, test: np.ndarray) -> ThresholdMap:
    """The map of the largest activations of a population's neurons, (*shape), over two sets of images."""
    alive = train > 0
    constant = train.std() == 0 or test.std() == 0
    return ThresholdMap(
        as_matrix(train),
        as_matrix(test),
        None if constant else float(np.corrcoef(train.ravel(), test.ravel())[0, 1]),
        float(np.mean(test > train)),
        float(train.max() / np.median(train[alive])) if alive.any() else None,
        int(np.count_nonzero(~alive)),
    )


def as_matrix(a: np.ndarray) -> np.ndarray:
    """float32, (rows, columns), as square as they come."""
    rows = max(n for n in range(1, int(a.size**0.5) + 1) if a.size % n == 0)
    return a.reshape(rows, -1).astype(np.float32)


def encoded(maxima: np.ndarray) -> dict[str, Any]:
    """A map in 255 greys, of its largest: bytes of its matrix, row by row, in base 64."""
    matrix = as_matrix(maxima)
    largest = float(matrix.max())
    greys = (matrix / (largest or 1) * GREYS).astype(np.uint8)
    return {
        "shape": list(greys.shape),
        "largest": largest,
        "greys": base64.b64encode(greys.tobytes()).decode(),
    }
