"""How what neurons send goes with what the ANN says: what a line leaves unexplained."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dnisnm_lava.ir import Shape

DISTANCE = 1e-3  # of the squared distance, in what a line decides: where nothing varies, it decides alone


@dataclass(frozen=True)
class Gaps:
    """Sums over `count` values, (...): of the gap between the ANN's activation and the mean spike, worth one
    threshold a level; of its square; of the mean spike; of its square; and of the product of the two."""

    count: int
    gap: np.ndarray
    squares: np.ndarray
    sent: np.ndarray
    sent_squares: np.ndarray
    products: np.ndarray

    @property
    def unexplained(self) -> np.ndarray:
        """What no line of the mean spikes says of the activations, in squares: the weights and biases that
        read spikes make a line of them. And a thousandth of the squared distance."""
        of_gap, of_sent, product = self._centred
        lost = of_gap - product**2 / np.where(of_sent > 0, of_sent, np.inf)
        return np.maximum(lost, 0) + DISTANCE * self.squares

    @property
    def variances(self) -> np.ndarray:
        """(2, ...) `count` times the variances of the activations, and of the mean spikes."""
        of_gap, of_sent, product = self._centred
        return np.maximum([of_gap + 2 * product + of_sent, of_sent], 0)

    @property
    def _centred(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Squares of gaps, of mean spikes, and their products, about the means."""
        return (
            self.squares - self.gap**2 / self.count,
            self.sent_squares - self.sent**2 / self.count,
            self.products - self.gap * self.sent / self.count,
        )


def groups_of(shape: Shape, granularity: str) -> int:
    """How many share nothing: neurons, channels, or the one layer."""
    return {"neuron": int(np.prod(shape)), "channel": shape[0], "layer": 1}[granularity]


def pooled(values: np.ndarray, shape: Shape, granularity: str) -> np.ndarray:
    """Sums of `values` (..., *shape) over neurons that choose together; what is summed over has size 1."""
    first = values.ndim - len(shape)
    apart = {"neuron": len(shape), "channel": 1, "layer": 0}[granularity]
    return values.sum(axis=tuple(range(first + apart, values.ndim)), dtype=np.float64, keepdims=True)
