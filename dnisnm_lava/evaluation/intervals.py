"""How sure an accuracy is, which T follows from it, and what no other T beats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt


def standard_error(share: float, images: int) -> float:
    return sqrt(share * (1 - share) / images)


def suggested(accuracy: Mapping[int, float], images: int) -> int:
    """The fewest steps whose accuracy lies within one standard error of the best (Breiman et al.,
    Classification and Regression Trees, 1984, 3.4.3). accuracy: {T: share of `images`}."""
    best = max(accuracy.values())
    enough = best - standard_error(best, images)
    return min(t for t, share in accuracy.items() if share >= enough)


def front(accuracy: Sequence[float], cost: Sequence[float]) -> list[bool]:
    """Of points, which no other beats: as accurate for less, or more accurate for as little."""
    points = list(zip(accuracy, cost, strict=True))
    return [not any((a >= x and c < y) or (a > x and c <= y) for a, c in points) for x, y in points]
