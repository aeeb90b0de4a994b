"""Labels as they come: classes, one-hot or softened, and what is none of an output's."""

from __future__ import annotations

import numpy as np

from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir.values import Shape

ONE = 1e-3  # how far a row of soft labels may be from 1: in half precision, 2^-11 of each


def class_axis(shape: Shape) -> int:
    """The channels, or, where there is but one, a row of classes (1, C)."""
    long = [i for i, n in enumerate(shape) if n > 1]
    return long[0] if len(long) == 1 else 0


def without(shape: Shape, axis: int) -> Shape:
    return (*shape[:axis], *shape[axis + 1 :])


def fits(labels: np.ndarray, shape: Shape) -> bool:
    """One for each of `shape`, of each image; axes of length 1 aside."""
    return tuple(n for n in labels.shape[1:] if n > 1) == tuple(n for n in shape if n > 1)


def are_whole(labels: np.ndarray) -> bool:
    return labels.dtype.kind in "iub" or bool((labels % 1 == 0).all())


def is_one_hot(y: np.ndarray, axis: int) -> bool:
    """A share of 1 for each class, 0 and 1 or softened."""
    return bool((y >= 0).all() and (np.abs(y.sum(axis=1 + axis, dtype=np.float64) - 1) <= ONE).all())


def from_one_hot(y: np.ndarray, axis: int, who: str) -> np.ndarray:
    if not is_one_hot(y, axis):
        raise OutOfRange(
            f"labels: {y.shape[1 + axis]} for each answer of output {who}, which are not one-hot; say "
            f"--measure binary or values"
        )
    return y.argmax(axis=1 + axis)


def finite(values: np.ndarray, who: str) -> np.ndarray:
    if not np.isfinite(values).all():
        bad = int(np.count_nonzero(~np.isfinite(values)))
        raise OutOfRange(
            f"{who}: {bad} of {values.size} are NaN or infinite; clean the data and the weights first"
        )
    return values


def is_black_and_white(labels: np.ndarray) -> bool:
    """Are they 0 and 255, as masks that were kept as pictures?"""
    return np.unique(labels).tolist() == [0, 255]


BLACK_AND_WHITE = "masks of 0 and 255, as in pictures, are 0 and 1 divided by 255"


def _numbering(labels: np.ndarray, most: int) -> str:
    """What to do with classes that are not 0 to `most`; labels: those that count."""
    first, last = int(labels.min()), int(labels.max())
    if is_black_and_white(labels):
        return BLACK_AND_WHITE
    if first > 0 and last - first <= most:
        return f"they begin at {first}: subtract {first}"
    if first < 0 and last - first <= most:
        return f"they begin at {first}: add {-first}"
    return "number them so"


def checked_classes(y: np.ndarray, most: int, ignored: int | None, who: str) -> np.ndarray:
    if not are_whole(y):
        raise OutOfRange(f"labels: {y.dtype} given, of which some are no class indices; give integers")
    y = y.astype(np.int64)
    counted = y if ignored is None else y[y != ignored]
    if counted.size and not 0 <= counted.min() <= counted.max() <= most:
        told = sorted({int(v) for v in np.unique(counted[(counted < 0) | (counted > most)])})
        few = ", ".join(map(str, told[:3])) + (" ..." if len(told) > 3 else "")
        hint = f"; --ignore-label {told[0]} leaves it out" if len(told) == 1 and y.ndim > 1 else ""
        raise OutOfRange(
            f"labels: {few} among them, output {who} tells classes 0 to {most}; {_numbering(counted, most)}, "
            f"or choose another --output{hint}"
        )
    return y
