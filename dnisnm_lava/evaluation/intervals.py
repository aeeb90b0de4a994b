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


def front(score: Sequence[float], *costs: Sequence[float]) -> list[bool]:
    """Is each of these points one that no other beats: as good for no more of any cost, and not the same?"""
    points = list(zip(score, *costs, strict=True))

    def beats(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
        return a[0] >= b[0] and all(x <= y for x, y in zip(a[1:], b[1:], strict=True)) and a != b

    return [not any(beats(other, point) for other in points) for point in points]
