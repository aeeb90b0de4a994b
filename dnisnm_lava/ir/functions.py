"""Functions behind a network's last layer, which no neuron computes: they are applied to the values of a
read-out.

Each rises with its input (a softmax: with its input less the others), so that the largest stays the largest.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def _log_softmax(x: np.ndarray, axis: int) -> np.ndarray:
    shifted = x - x.max(axis=axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))


FUNCTIONS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "sigmoid": lambda x, _: np.exp(-np.logaddexp(0, -x)),
    "tanh": lambda x, _: np.tanh(x),
    "log_sigmoid": lambda x, _: -np.logaddexp(0, -x),
    "softplus": lambda x, _: np.logaddexp(0, x),
    "exp": lambda x, _: np.exp(x),
    "softmax": lambda x, axis: np.exp(_log_softmax(x, axis)),
    "log_softmax": _log_softmax,
}
ALONG_AN_AXIS = ("softmax", "log_softmax")


def applied(name: str, axis: int, values: np.ndarray) -> np.ndarray:
    """The function `name` of values (N, *shape), in float64; softmax along axis `axis` of `shape`. "": the
    values as they are."""
    return FUNCTIONS[name](values.astype(np.float64, copy=False), 1 + axis) if name else values
