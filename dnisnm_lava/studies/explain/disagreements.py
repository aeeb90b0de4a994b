"""Answers of the ANN, the float and the integer SNN side by side, and the images on which they part."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from dnisnm_lava.evaluation import tallies
from dnisnm_lava.measures import Counts, Measure, Score
from dnisnm_lava.measures import answers as tables
from dnisnm_lava.measures.answers import Answers, of_measure
from dnisnm_lava.studies.explain.values import Disagreement

NETWORKS = ("ann", "float", "integer")


@dataclass(frozen=True)
class Outcome:
    """What networks say of some images. counts: {ann: {float, integer: against the ANN's own answers},
    labels: {each of NETWORKS: against labels}, where there are some, and spreads: {ann, labels}}.
    disagreements: none where values are measured. alone: {float, integer: of how many images it alone says
    the ANN's answer}, none where an image has several answers. answers: the ANN's, where they are counted and
    there are labels."""

    counts: Counts
    disagreements: tuple[Disagreement, ...]
    alone: dict[str, int]
    answers: Answers | None


def outcome(measure: Measure, values: Sequence[np.ndarray], labels: np.ndarray | None, first: int) -> Outcome:
    """values: of NETWORKS, each (n, *shape of the output), in real units. labels: (n, *spots). first: index
    of the first image."""
    said = dict(zip(NETWORKS, map(measure.said, values), strict=True))
    wanted = {"ann": said["ann"], **({} if labels is None else {"labels": labels})}
    counts: Counts = {
        name: {key: measure.count(found, right) for key, found in said.items() if key != name}
        for name, right in wanted.items()
    }
    counts["spreads"] = {name: measure.spread(right) for name, right in wanted.items()}
    parted = _disagreements(measure, values[0], values[2], labels, first) if measure.is_share else ()
    met = [said[name] == said["ann"] for name in NETWORKS[1:]]
    single = measure.is_share and measure.answers == 1
    alone = {
        name: int(np.count_nonzero(one & ~other)) if single else 0
        for name, one, other in zip(NETWORKS[1:], met, met[::-1], strict=True)
    }
    answers = None if labels is None or not measure.is_share else of_measure(measure, said["ann"], labels)
    return Outcome(tallies.placed(counts, first), tuple(parted), alone, answers)


def scores(measure: Measure, found: Outcome, name: str, images: int) -> dict[str, Score]:
    """{network: its score} against labels, or the ANN (`name`); empty where there is no such,
    and where the values to be met do not vary, as of one image."""
    if name not in found.counts:
        return {}
    spread = tallies.branch(found.counts, "spreads", name)
    counts = tallies.branch(found.counts, name)
    if not measure.varies(spread):
        return {}
    return {key: measure.score(tallies.branch(counts, key), spread, images) for key in counts}


def _disagreements(
    measure: Measure, ann: np.ndarray, integer: np.ndarray, labels: np.ndarray | None, first: int
) -> Iterable[Disagreement]:
    """One for each image with a pixel, of that where the two part most."""
    ann, integer = _by_class(measure, ann), _by_class(measure, integer)
    ours, theirs = ann.argmax(axis=1), integer.argmax(axis=1)
    margins = [_margin(ann, ours, theirs), _margin(integer, theirs, ours)]
    parted = np.where(ours == theirs, -1.0, margins[0] + margins[1])
    wanted = None if labels is None else labels.reshape(ours.shape)
    for i in np.flatnonzero((parted >= 0).any(axis=1)):
        place = int(parted[i].argmax())
        label = None if wanted is None else int(wanted[i, place])
        yield Disagreement(
            first + int(i),
            place,
            int(ours[i, place]),
            int(theirs[i, place]),
            label,
            *(float(m[i, place]) for m in margins),
        )


def _by_class(measure: Measure, values: np.ndarray) -> np.ndarray:
    """(n, classes, pixels); of binary answers 0 and the value, of which that is larger which the threshold
    says."""
    if measure.kind == "binary":
        return np.stack([np.zeros_like(values), values], axis=1).reshape(len(values), 2, -1)
    return np.moveaxis(values, 1 + measure.axis, 1).reshape(len(values), measure.classes, -1)


def _margin(scores: np.ndarray, own: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(n, pixels): scores (n, classes, pixels) of the class `own`, less those of `other`."""
    a, b = (np.take_along_axis(scores, c[:, None], axis=1)[:, 0] for c in (own, other))
    return a - b


def summed(outcomes: Sequence[Outcome]) -> Outcome:
    """The outcome of all images; the largest disagreements first."""
    everything = sorted(
        (d for o in outcomes for d in o.disagreements), key=lambda d: -(d.ann_margin + d.integer_margin)
    )
    alone = {name: sum(o.alone[name] for o in outcomes) for name in NETWORKS[1:]}
    answers = tables.summed([o.answers for o in outcomes])
    return Outcome(tallies.total(o.counts for o in outcomes), tuple(everything), alone, answers)
