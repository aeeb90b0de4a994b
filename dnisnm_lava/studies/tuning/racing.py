"""Trials that cannot win, and why: known before they are fitted, or on the way through the held-back images.

The first is arithmetic: the best that a trial of this latency and T could be, every answer right and no spike
sent, still ranks no higher than the best so far. The second sets answers to the same images side by side, and
prunes nothing that is cheaper than the best: certain where even all further images would not do; else the
images on which one of the two alone is right are as tosses of a coin, were both equally good (the sign test,
McNemar's exact one-sided: Psychometrika 12:153, 1947). It is asked after a quarter and after half of the
images, so at most two trials in a thousand that are as good as the best are lost.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import comb

import numpy as np

from dnisnm_lava.stages.recipes import Recipe
from dnisnm_lava.studies.tuning.pareto import QUALITIES, Target, Trial, rank

ROUNDS = (4, 2)  # after the images' number by these
LEVEL = 0.001  # of each test


@dataclass(frozen=True)
class Pruned:
    """A recipe that cannot win. why: in words. images: that it was measured on; 0: nor was it fitted.
    certain: by arithmetic; else by the sign test, at LEVEL. latency: as of a Trial."""

    phase: str
    recipe: Recipe
    why: str
    images: int
    certain: bool
    latency: int


def hopeless(target: Target, best: Trial, latency: int, steps: int) -> str:
    """Why no trial of this latency and T could take the place of the best; nothing where one could."""
    ann = best.score + best.drop / 100
    ideal = replace(
        best,
        recipe=replace(best.recipe, steps=steps),
        score=1.0,
        drop=100 * (ann - 1),
        latency=latency,
        spikes=0.0,
    )
    if rank(target, ideal) > rank(target, best):
        return ""
    reached = "meets the target" if target.kind in QUALITIES else "scores all there is"
    return f"{latency} steps of latency, and the best {reached} in {best.latency}"


def is_cheaper(best: Trial, latency: int, steps: int, spikes: float) -> bool:
    """In one of the costs."""
    return latency < best.latency or steps < best.steps or spikes < best.spikes


def beaten(own: np.ndarray, best: np.ndarray) -> tuple[str, bool]:
    """(why, is it certain?) of a trial that is worse than the best, or ("", False). own: (m,) is it right of
    each of the first images? best: (n,) the same of the best, on all."""
    m, n, most = len(own), len(best), int(own.sum()) + len(best) - len(own)
    if most < best.sum():
        return f"at most {most} of {n} right after {m}, and the best {int(best.sum())}", True
    lost, won = int(np.sum(best[:m] & ~own)), int(np.sum(own & ~best[:m]))
    if sign_test(won, lost) < LEVEL:
        told = f"of the first {m} images the best alone is right of {lost}, it alone of {won}"
        return f"{told} (p < {LEVEL:g})", False
    return "", False


def sign_test(won: int, lost: int) -> float:
    """The chance of so few heads, or fewer, in won + lost tosses of a coin."""
    return sum(comb(won + lost, i) for i in range(won + 1)) / 2 ** (won + lost)
