"""One number for how good answers are, whatever is measured, how sure it is, and how it is told.

    classes, binary   the share of right answers, in %
    masks             the mean intersection over union, in %
    values            R2, told as RMSE in the output's units; against the ANN's own, as RMSE by their standard
                      deviation, in %

More is better, and a *point* is 0.01 of it. Of masks the number is no mean over images, so its standard error
is the delta method's: each image has an influence on it, the derivative of the number by the image's weight
(the infinitesimal jackknife: Efron, The Jackknife, the Bootstrap and Other Resampling Plans, 1982, 6). Two
networks on the same images differ by what their influences differ by, image by image.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np

from dnisnm_lava.measures.measure import Measure
from dnisnm_lava.measures.scores import Fit, Score, Share, Z


@dataclass(frozen=True)
class Quality:
    """value: the number. interval: 95 %."""

    value: float
    interval: tuple[float, float]
    standard_error: float


def quality(measure: Measure, score: Score, said: np.ndarray, wanted: np.ndarray) -> Quality:
    """The quality of answers (N, *spots), whose score is known."""
    if not (isinstance(score, Share) and score.ious):
        return Quality(score.quality, score.interval, score.standard_error)
    error = standard_error(influence(measure, said, wanted))
    if len(said) == 1:  # which tells nothing of others
        return Quality(score.quality, (0.0, 1.0), error)
    low, high = score.quality - Z * error, score.quality + Z * error
    return Quality(score.quality, (max(0.0, low), min(1.0, high)), error)


def influence(measure: Measure, said: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """(N,) by how much each image moves the quality of answers (N, *spots), masks or values; they sum to
    0."""
    if not measure.is_share:
        errors = np.square(said - wanted).reshape(len(said), -1).mean(axis=1)
        fit = measure.score(measure.count(said, wanted), measure.spread(wanted), len(said))
        assert isinstance(fit, Fit)
        return np.asarray((errors.mean() - errors) / (len(errors) * fit.variance))
    both, either = _pixels(measure, said, wanted)
    whole = either.sum(axis=0)
    there = whole > 0
    ious = both.sum(axis=0)[there] / whole[there]
    return np.asarray(((both[:, there] - ious * either[:, there]) / whole[there]).mean(axis=1))


def _pixels(measure: Measure, said: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, classes) pixels of each image that are said and wanted to be of a class, and that are either."""
    count, images = measure.classes if measure.kind == "classes" else 2, len(said)
    said, wanted = (a.reshape(images, -1).astype(np.int64) for a in (said, wanted))
    counted = np.ones(wanted.shape, bool) if measure.ignored is None else wanted != measure.ignored
    first = count * np.arange(images)[:, None]

    def by_class(answers: np.ndarray, which: np.ndarray) -> np.ndarray:
        found = np.bincount((first + answers)[which], minlength=count * images)
        return found.reshape(images, count)

    both = by_class(said, counted & (said == wanted))
    return both, by_class(said, counted) + by_class(wanted, counted) - both


def standard_error(each: np.ndarray) -> float:
    """The standard error of a number, from the influences (N,) of its images; 0 of one image, which tells
    none."""
    count = len(each)
    return sqrt(float(np.square(each).sum()) * count / (count - 1)) if count > 1 else 0.0


@dataclass(frozen=True)
class Scale:
    """How qualities are told. name: of the number; unit: `%`, or none for the output's own. deviation: of
    values, what an RMSE is told by; 0 of shares."""

    name: str
    unit: str
    deviation: float = 0.0

    @property
    def lost(self) -> str:
        """What points are of."""
        return "R2" if self.deviation else self.name

    @property
    def title(self) -> str:
        return self.name[:1].upper() + self.name[1:]

    @property
    def id(self) -> str:
        return self.name.lower().replace(" ", "-")

    def of(self, value: float) -> float:
        """A quality as it is told: a share in %; of values the error, of which less is better."""
        return self.deviation * sqrt(max(0.0, 1 - value)) if self.deviation else 100 * value

    def bounds(self, found: Quality) -> tuple[float, float]:
        """The interval, as it is told, the lower end first."""
        low, high = sorted(map(self.of, found.interval))
        return low, high

    def number(self, told: float) -> str:
        return f"{told:.2f}" if self.unit == "%" else f"{told:#.4g}".rstrip(".")

    def words(self, told: float) -> str:
        return f"{self.number(told)} {self.unit}".strip()

    def span(self, low: float, high: float) -> str:
        return f"{self.number(low)} to {self.words(high)}"


def scale(measure: Measure, score: Score) -> Scale:
    """By the measure, and one score of it."""
    if isinstance(score, Fit):
        return Scale("RMSE", "", score.variance**0.5) if measure.labels else Scale("error", "%", 100.0)
    if measure.is_mask:
        return Scale("mean IoU", "%")
    return Scale(measure.name.removesuffix(", %"), "%")
