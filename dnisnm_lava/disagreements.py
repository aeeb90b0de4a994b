"""Classes of the ANN, the float and the integer SNN side by side, and the images on which they part."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from dnisnm_lava.explanation import Disagreement

NETWORKS = ("ann", "float", "integer")


@dataclass(frozen=True)
class Outcome:
    """Of some images. classes: how many, one an image, or one a pixel of an output that is a map. same: {float, integer: how many
    are the ANN's}. correct: {each of NETWORKS: how many are the label}, empty without labels."""

    classes: int
    same: dict[str, int]
    correct: dict[str, int]
    disagreements: tuple[Disagreement, ...]


def outcome(scores: Sequence[np.ndarray], labels: np.ndarray | None, first: int) -> Outcome:
    """scores: of NETWORKS, each (n, classes, ...) in units of its own that rank alike, real ones for the margins. first: index of the
    first of these images."""
    flat = [s.reshape(*s.shape[:2], -1) for s in scores]
    classes = {name: s.argmax(axis=1) for name, s in zip(NETWORKS, flat, strict=True)}  # (n, pixels)
    wanted = None if labels is None else np.reshape(labels, classes["ann"].shape)
    return Outcome(
        classes["ann"].size,
        {name: int(np.count_nonzero(classes[name] == classes["ann"])) for name in NETWORKS[1:]},
        {} if wanted is None else {name: int(np.count_nonzero(classes[name] == wanted)) for name in NETWORKS},
        tuple(_disagreements(flat[0], flat[2], classes["ann"], classes["integer"], wanted, first)),
    )


def _disagreements(
    ann: np.ndarray, integer: np.ndarray, ours: np.ndarray, theirs: np.ndarray, wanted: np.ndarray | None, first: int
) -> Iterable[Disagreement]:
    """One for each image with a pixel, of that where the two part most."""
    margins = [_margin(ann, ours, theirs), _margin(integer, theirs, ours)]
    parted = np.where(ours == theirs, -1.0, margins[0] + margins[1])
    for i in np.flatnonzero((parted >= 0).any(axis=1)):
        place = int(parted[i].argmax())
        label = None if wanted is None else int(wanted[i, place])
        yield Disagreement(
            first + int(i), place, int(ours[i, place]), int(theirs[i, place]), label, *(float(m[i, place]) for m in margins)
        )  # fmt: skip


def _margin(scores: np.ndarray, own: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(n, pixels): scores (n, classes, pixels) of the class `own`, less those of `other`."""
    a, b = (np.take_along_axis(scores, c[:, None], axis=1)[:, 0] for c in (own, other))
    return a - b


def summed(outcomes: Sequence[Outcome]) -> Outcome:
    """Of all images; the largest disagreements first."""
    everything = sorted((d for o in outcomes for d in o.disagreements), key=lambda d: -(d.ann_margin + d.integer_margin))
    return Outcome(
        sum(o.classes for o in outcomes),
        {name: sum(o.same[name] for o in outcomes) for name in outcomes[0].same},
        {name: sum(o.correct[name] for o in outcomes) for name in outcomes[0].correct},
        tuple(everything),
    )
