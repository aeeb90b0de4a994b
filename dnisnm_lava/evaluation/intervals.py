"""How sure an accuracy is, which T follows from it, and what no other T beats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt

import numpy as np

from dnisnm_lava.measures import Quality, wilson


def suggested(found: Mapping[int, Quality]) -> int:
    """The fewest steps whose quality lies within one standard error of the best (Breiman et al.,
    Classification and Regression Trees, 1984, 3.4.3). found: {T: quality}."""
    best = max(found.values(), key=lambda quality: quality.value)
    enough = best.value - best.standard_error
    return min(t for t, quality in found.items() if quality.value >= enough)


def front(score: Sequence[float], *costs: Sequence[float]) -> list[bool]:
    """Is each of these points one that no other beats: as good for no more of any cost, and not the same?"""
    points = list(zip(score, *costs, strict=True))

    def beats(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
        return a[0] >= b[0] and all(x <= y for x, y in zip(a[1:], b[1:], strict=True)) and a != b

    return [not any(beats(other, point) for other in points) for point in points]


def newcombe(both: int, first: int, second: int, neither: int) -> tuple[float, float]:
    """95 % interval of p1 - p2 = (first - second) / n, of two who answer the same n images: on so many both
    are right, the first alone, the second alone, neither. Method 10 of Newcombe (Statistics in Medicine
    17:2635, 1998): Wilson's intervals of p1 and p2, squared and added with their correlation phi, which is
    corrected for its chance of being above 0."""
    n = both + first + second + neither
    p1, p2 = (both + first) / n, (both + second) / n
    (low1, high1), (low2, high2) = wilson(p1, n), wilson(p2, n)
    phi = _correlation(both, first, second, neither)
    below, above = (p1 - low1, high2 - p2), (high1 - p1, p2 - low2)
    least, most = (sqrt(max(0.0, a * a - 2 * phi * a * b + b * b)) for a, b in (below, above))
    return p1 - p2 - least, p1 - p2 + most


def paired(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """`newcombe` of two who are right (True) or wrong on the same images, (N,) each."""
    both, first, second = (int(np.count_nonzero(n)) for n in (a & b, a & ~b, b & ~a))
    return newcombe(both, first, second, len(a) - both - first - second)


def _correlation(both: int, first: int, second: int, neither: int) -> float:
    """phi of the four counts; 0 where one of the two is right, or wrong, on all images."""
    spread = (both + first) * (second + neither) * (both + second) * (first + neither)
    together, half = both * neither - first * second, (both + first + second + neither) / 2
    corrected = max(together - half, 0.0) if together >= 0 else float(together)
    return corrected / sqrt(spread) if spread else 0.0
