"""Early exit: an image stops at the first step where its read-out's margin passes a bound.

The bound of each step comes from calibration images, without labels: it is the smallest margin from which on
at least a share `confidence` of them keep the class that they have then until the last step.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.measures import classes

NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Exits:
    """bounds: (T,) margins of `Run.scores`; 0 at the last step, where all stop. images: calibrated on so
    many."""

    bounds: np.ndarray
    confidence: float
    images: int


def margins(logits: np.ndarray) -> np.ndarray:
    """(N, T) largest score less the second, of `Run.scores` (N, T, C); of one channel, how far from 0 it
    is."""
    if logits.ndim > 3 and prod(logits.shape[3:]) == 1:  # a map of one pixel
        logits = logits.reshape(logits.shape[:3])
    if logits.ndim != 3:
        raise OutOfRange(
            f"early exit: read-outs of shape {logits.shape[2:]}; it needs one class an image, (C,)"
        )
    if logits.shape[2] == 1:
        return np.abs(logits[:, :, 0])
    first_two = np.partition(logits, -2, axis=2)[:, :, -2:]
    return first_two[:, :, 1] - first_two[:, :, 0]


def calibrate(logits: np.ndarray, confidence: float) -> Exits:
    """Bounds from `Run.scores` (N, T, C) of an integer network on calibration images."""
    if not 0 < confidence <= 1:
        raise OutOfRange(f"confidence: {confidence} given; give a share above 0, at most 1")
    margin, last = margins(logits), classes(logits[:, -1])
    bounds = [
        _bound(margin[:, t], classes(logits[:, t]) == last, confidence) for t in range(logits.shape[1] - 1)
    ]
    return Exits(np.array([*bounds, 0], margin.dtype), confidence, len(logits))


def _bound(margin: np.ndarray, keeps: np.ndarray, confidence: float) -> int | float:
    """The smallest margin from which on a share `confidence` keeps its class; NEVER where there is none."""
    order = np.argsort(-margin, kind="stable")
    ranked, kept = margin[order], np.cumsum(keeps[order])
    enough = kept >= confidence * np.arange(1, len(margin) + 1)
    enough[:-1] &= ranked[:-1] != ranked[1:]  # equal margins stop together
    return ranked[np.flatnonzero(enough)[-1]].item() if enough.any() else NEVER


def exit_steps(logits: np.ndarray, exits: Exits) -> np.ndarray:
    """(N,) the step, from 1, after which each image stops, from its read-outs (N, T, C)."""
    if logits.shape[1] != len(exits.bounds):
        raise OutOfRange(
            f"early exit: bounds of {len(exits.bounds)} steps and a run of {logits.shape[1]}; calibrate "
            f"on as many steps"
        )
    return (margins(logits) >= exits.bounds).argmax(axis=1) + 1


def classes_at(logits: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """(N,) the class of each image after its own number of steps."""
    return classes(logits[np.arange(len(logits)), steps - 1])
