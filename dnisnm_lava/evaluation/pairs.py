"""Two networks on the same images: what one loses to the other, and where they part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import sqrt

import numpy as np

from dnisnm_lava.evaluation.comparison import Answered
from dnisnm_lava.evaluation.intervals import paired
from dnisnm_lava.evaluation.marks import counted, right_answers
from dnisnm_lava.evaluation.sanity import mcnemar
from dnisnm_lava.measures import Fit, Measure, Quality, Score, Z, quality
from dnisnm_lava.measures.quality import influence, standard_error

FAR = 0.1  # of the standard deviation of the ANN's values: one point of R2
SHARES = (50, 90, 99, 100)  # % of the images, of which the largest error is told


@dataclass(frozen=True)
class Loss:
    """The ANN's quality (`measures.quality`) less a spiking network's, on the same `images`. lost: the
    difference; below 0 where the spiking network has more; of values without targets, what R2 to the ANN
    lacks of 1. interval: 95 %, paired: Newcombe's where an image has one answer, else of the sum of what each
    image adds to the difference (normal). worse, better: images of which the spiking network has fewer right
    answers than the ANN, or a larger error, and the other way; 0 without targets. p: of McNemar's exact test
    on these two; of several answers an image, the sign test, which is the same sum."""

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
    images; of values, those whose RMSE to the ANN exceeds FAR of `deviation`, the standard deviation of the
    ANN's values. ann_right, integer_right: of them, those on which that one alone has more right answers, or
    the smaller error; 0 without labels. confusion: {(ANN's answer, integer SNN's): how many}, of answers that
    differ; of values none. An answer is a class; of several binary answers an image, 2 * label + answer.
    shown: indices of the first images of `apart`, those where the ANN was surest of the answer it does not
    share; of maps, those with most pixels apart; of values, of all images those of the largest errors.
    errors: of values, {%: the largest RMSE to the ANN of so many of the images}."""

    images: int
    apart: int
    ann_right: int
    integer_right: int
    confusion: Mapping[tuple[int, int], int]
    shown: tuple[int, ...]
    deviation: float = 0.0
    errors: Mapping[int, float] = field(default_factory=dict)


def qualities(
    found: Answered, measure: Measure, scores: Mapping[str, Score | Mapping[int, Score]]
) -> dict[str, dict[int, Quality]]:
    """{"ann": {0: against the labels}, where there are some, "float": {T: ...}, "integer": ...}. scores: the
    comparison's."""
    wanted = found.right["labels" if measure.labels else "ann"]
    said = {"ann": {0: found.right["ann"]}, **found.said} if measure.labels else found.said
    told: dict[str, dict[int, Quality]] = {}
    for key, at in said.items():
        own = scores[key]
        each = own if isinstance(own, Mapping) else {0: own}
        told[key] = {t: quality(measure, each[t], answers, wanted) for t, answers in at.items()}
    return told


def losses(found: Answered, measure: Measure, key: str) -> dict[int, Loss]:
    """{T: what "float" or "integer" loses to the ANN}, against labels or targets; of values without any, to
    the ANN's own; none of answers without labels."""
    if "labels" not in found.right:
        return {} if measure.is_share else _distances(found, measure, key)
    labels = found.right["labels"]
    if not measure.is_share or measure.is_mask:
        return {t: _apart(measure, found.right["ann"], said, labels) for t, said in found.said[key].items()}
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


def _apart(measure: Measure, ann: np.ndarray, own: np.ndarray, wanted: np.ndarray) -> Loss:
    """The loss of masks and values (N, *spots), by the influence of each image on both qualities."""
    images = len(ann)
    each = [
        measure.score(measure.count(said, wanted), measure.spread(wanted), images).quality
        for said in (ann, own)
    ]
    lost = each[0] - each[1]
    error = standard_error(influence(measure, ann, wanted) - influence(measure, own, wanted))
    half = Z * error if images > 1 else float("inf")
    gained = _gained(measure, ann, own, wanted)
    worse, better = int(np.count_nonzero(gained < 0)), int(np.count_nonzero(gained > 0))
    return Loss(lost, (max(-1.0, lost - half), min(1.0, lost + half)), worse, better, images)


def _gained(measure: Measure, ann: np.ndarray, own: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """(N,) right answers of `own` beyond the ANN's; of values, by how much its squared error is smaller."""
    if measure.is_share:
        return right_answers(own, wanted, measure) - right_answers(ann, wanted, measure)
    return _squares(ann, wanted) - _squares(own, wanted)


def _squares(said: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """(N,) the mean squared error of each image's values."""
    return np.square(said - wanted).reshape(len(said), -1).mean(axis=1)


def _distances(found: Answered, measure: Measure, key: str) -> dict[int, Loss]:
    """The losses of values, by T, against the ANN's own, which has all."""
    ann, told = found.right["ann"], {}
    for t, said in found.said[key].items():
        fit = measure.score(measure.count(said, ann), measure.spread(ann), len(ann))
        low, high = fit.interval
        told[t] = Loss(1 - fit.value, (1 - high, 1 - low), 0, 0, len(ann))
    return told


# ---------------------------------------------------------------- where they part


def partings(found: Answered, measure: Measure, most: int) -> dict[int, Parting]:
    """{T: where the integer SNN parts from the ANN}, with at most so many images to show."""
    if not measure.is_share:
        return {t: _distance(found, measure, said, most) for t, said in found.said["integer"].items()}
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


def _distance(found: Answered, measure: Measure, said: np.ndarray, most: int) -> Parting:
    """The parting of values, by each image's RMSE to the ANN's."""
    ann, labels = found.right["ann"], found.right.get("labels")
    fit = measure.score(measure.count(ann, ann), measure.spread(ann), len(ann))
    assert isinstance(fit, Fit)
    deviation, errors = sqrt(fit.variance), np.sqrt(_squares(said, ann))
    far = errors > FAR * deviation
    gained = np.zeros(len(ann)) if labels is None else _gained(measure, ann, said, labels)
    shown = sorted(range(len(ann)), key=lambda i: (-float(errors[i]), i))[:most]
    return Parting(
        len(ann),
        int(np.count_nonzero(far)),
        int(np.count_nonzero(far & (gained < 0))),
        int(np.count_nonzero(far & (gained > 0))),
        {},
        tuple(i for i in shown if errors[i] > 0),
        deviation,
        {share: float(np.percentile(errors, share, method="inverted_cdf")) for share in SHARES},
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
