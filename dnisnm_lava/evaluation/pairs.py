"""Two networks on the same images: the accuracy that one loses to the other, and where they part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt

import numpy as np

from dnisnm_lava.evaluation.comparison import Answered
from dnisnm_lava.evaluation.intervals import paired
from dnisnm_lava.evaluation.marks import counted, right_answers
from dnisnm_lava.evaluation.sanity import mcnemar
from dnisnm_lava.measures import Measure, Z


@dataclass(frozen=True)
class Loss:
    """The ANN's accuracy less a spiking network's, on the same `images`. lost: the difference of the two
    shares; below 0 where the spiking network has more. interval: 95 %, paired: Newcombe's where an image has
    one answer, else of the mean of the images' own differences (normal). worse, better: images of which the
    spiking network has fewer right answers than the ANN, and more. p: of McNemar's exact test on these two;
    of several answers an image, the sign test, which is the same sum."""

    lost: float
    interval: tuple[float, float]
    worse: int
    better: int
    images: int

    @property
    def p(self) -> float:
        return mcnemar(self.worse, self.better)


@dataclass(frozen=True)
class Parting:
    """Where the integer SNN answers otherwise than the ANN, after some T, on all `images`. apart: how many
    images. ann_right, integer_right: of them, those on which that one alone has more right answers; 0 without
    labels. confusion: {(ANN's answer, integer SNN's): how many}, of answers that differ. An answer is a
    class; of several binary answers an image, 2 * label + answer. shown: indices of the first images of
    `apart`, those where the ANN was surest of the answer it does not share; of maps, those with most pixels
    apart."""

    images: int
    apart: int
    ann_right: int
    integer_right: int
    confusion: Mapping[tuple[int, int], int]
    shown: tuple[int, ...]


def losses(found: Answered, measure: Measure, key: str) -> dict[int, Loss]:
    """{T: what "float" or "integer" loses to the ANN}, against the labels; none without labels, or of
    values."""
    if not measure.is_share or "labels" not in found.right:
        return {}
    labels = found.right["labels"]
    ann, answers = right_answers(found.right["ann"], labels, measure), int(counted(labels, measure).sum())
    return {
        t: _loss(measure, ann, right_answers(said, labels, measure), answers)
        for t, said in found.said[key].items()
    }


def _loss(measure: Measure, ann: np.ndarray, own: np.ndarray, answers: int) -> Loss:
    """ann, own: (N,) right answers of each image, of so many `answers` that count in all."""
    differences, images = ann - own, len(ann)
    lost, worse, better = (
        int(differences.sum()) / answers,
        int(np.count_nonzero(differences > 0)),
        int(np.count_nonzero(differences < 0)),
    )
    if measure.answers == 1 and answers == images:
        return Loss(lost, paired(ann > 0, own > 0), worse, better, images)
    half = Z * float(np.std(differences, ddof=1 if images > 1 else 0)) * sqrt(images) / answers
    return Loss(lost, (lost - half, lost + half), worse, better, images)


# ---------------------------------------------------------------- where they part


def partings(found: Answered, measure: Measure, most: int) -> dict[int, Parting]:
    """{T: where the integer SNN parts from the ANN}, with at most so many images to show; none of values."""
    if not measure.is_share:
        return {}
    return {t: _parting(found, measure, said, most) for t, said in found.said["integer"].items()}


def _parting(found: Answered, measure: Measure, said: np.ndarray, most: int) -> Parting:
    ann, labels = found.right["ann"], found.right.get("labels")
    differs = (ann != said).reshape(len(said), -1)
    apart = np.flatnonzero(differs.any(axis=1))
    gained = np.zeros(len(said), int)
    if labels is not None:
        gained = right_answers(said, labels, measure) - right_answers(ann, labels, measure)
    rank = _sureness(found.ann, measure, ann, said) if measure.answers == 1 else differs.sum(axis=1)
    shown = sorted(apart.tolist(), key=lambda i: (-float(rank[i]), i))[:most]
    theirs, ours = (_coded(measure, answers)[differs] for answers in (ann, said))
    pairs = Counter(zip(theirs.tolist(), ours.tolist(), strict=True))
    return Parting(
        len(said),
        len(apart),
        int(np.count_nonzero(gained < 0)),
        int(np.count_nonzero(gained > 0)),
        dict(sorted(pairs.items(), key=lambda pair: (-pair[1], pair[0]))),
        tuple(shown),
    )


def _sureness(values: np.ndarray, measure: Measure, ann: np.ndarray, said: np.ndarray) -> np.ndarray:
    """(N,) the ANN's value of its own answer less that of the other's; of one logit, its size."""
    if measure.kind == "binary":
        return np.abs(values.reshape(len(values)))
    scores = values.reshape(len(values), measure.classes)
    rows = np.arange(len(scores))
    return scores[rows, ann.reshape(-1)] - scores[rows, said.reshape(-1)]


def _coded(measure: Measure, answers: np.ndarray) -> np.ndarray:
    """(N, answers of an image) as `Parting` has them."""
    if measure.kind == "binary" and measure.answers > 1:
        channels = np.arange(measure.shape[0]).reshape(1, -1, *(1,) * (len(measure.shape) - 1))
        answers = 2 * channels + answers.astype(np.int64)
    return answers.astype(np.int64).reshape(len(answers), -1)
