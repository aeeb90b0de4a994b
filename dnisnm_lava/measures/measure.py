"""What is measured of a network's output, and what may be said of it: classes, binary answers, or values.

    classes   the largest of an output's channels against an integer label: of an image, or of each pixel of
              a map.
    binary    each value of an output against a label 0 or 1, with a threshold at 0, as of a logit (a last
              sigmoid at 0.5).
    values    each value of an output against a target, or against the ANN's own value.

Of the first two, a *share*: correct answers of all answers, which no count can take above 1. Of values, RMSE
in the output's own units, and R2, the share of their variance that is explained:

    R2 = 1 - sum (said - wanted)^2 / sum (wanted - mean of its channel)^2

over images, channels and pixels: 1 where all are equal, 0 where each channel's mean would have been as good
an answer, below 0 where it would have been a better one; the coefficient of determination, averaged over
channels by their variance. Per channel, since what channels differ by from one another is no merit of a
network. Its root, sqrt(1 - R2), is the RMSE by the standard deviation.

Counts are integers, those of values too (sums of doubles, exactly, in units of 2^-1074): parts add up to the
same whole in any cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import prod, sqrt

import numpy as np

from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir.functions import applied
from dnisnm_lava.ir.values import Shape
from dnisnm_lava.measures.labels import checked_classes, class_axis, finite, fits, from_one_hot, without
from dnisnm_lava.measures.scores import Fit, Score, Share

Counts = dict[str, "int | Counts"]  # nested; keys are names, or steps as strings
KINDS = ("classes", "binary", "values")
AUTO = "auto"
WORST, LARGEST = "worst", "largest"  # of counts: what adds up to the worse of two
EXACT = 1074  # the smallest double is 2^-1074
ROUNDING = Fraction(
    1, 2**40
)  # a variance below this share of the power is rounding: pairwise sums of 2^13 values err by 13 * 2^-53


@dataclass(frozen=True)
class Measure:
    """What is measured: one of KINDS, of the output `output`, whose values have `shape` for an image; it is
    the `index`th of `outputs`.

    axis: of `shape`, along which classes lie. ignored: a label that is not counted. labels: is there
    something to meet, or the ANN's own answers alone? function: (name, axis) of what the model does to its
    last layer (`functions`): values have it applied, classes and thresholds are those before it.
    """

    kind: str
    output: str
    shape: Shape
    index: int = 0
    outputs: int = 1
    axis: int = 0
    ignored: int | None = None
    labels: bool = True
    function: tuple[str, int] = ("", 0)

    @property
    def is_share(self) -> bool:
        return self.kind != "values"

    @property
    def classes(self) -> int:
        return self.shape[self.axis]

    @property
    def is_mask(self) -> bool:
        """Has each pixel of a map an answer?"""
        pixels = self.answers if self.kind == "classes" else prod(self.shape[1:])
        return self.is_share and pixels > 1

    @property
    def spots(self) -> Shape:
        """Where an image has answers: () for one alone."""
        return without(self.shape, self.axis) if self.kind == "classes" else self.shape

    @property
    def answers(self) -> int:
        """How many answers an image has."""
        return prod(self.spots)

    def said(self, values: np.ndarray) -> np.ndarray:
        """The answers (N, *spots) in the output's values (N, *shape) before its last function, in any
        positive unit but for `values`."""
        if values.shape[1:] != self.shape:
            raise ValueError(f"{self.output}: values of shape {values.shape[1:]}, {self.shape} expected")
        if self.kind == "classes":
            return values.argmax(axis=1 + self.axis)
        if self.kind == "binary":
            return values > 0
        return finite(applied(*self.function, values.astype(np.float64)), f"values of output {self.output}")

    def wanted(self, labels: np.ndarray) -> np.ndarray:
        """Labels or targets of N images, checked, as (N, *spots); OutOfRange where they are none of this
        output."""
        if (
            self.kind == "classes"
            and self.classes > 1
            and fits(labels, self.shape)
            and not fits(labels, self.spots)
        ):
            labels = from_one_hot(labels.reshape(len(labels), *self.shape), self.axis, self.output)
        if not fits(labels, self.spots):
            each = "x".join(map(str, self.spots)) or "1"
            raise OutOfRange(
                f"labels: shape {labels.shape} given, {each} for each image needed by {self.kind} of "
                f"output {self.named}"
            )
        y = labels.reshape(len(labels), *self.spots)
        if self.kind == "values":
            return finite(y.astype(np.float64), "targets")
        most = self.classes - 1 if self.kind == "classes" else 1
        return checked_classes(y, most, self.ignored, self.named)

    @property
    def named(self) -> str:
        return f"{self.output} ({'x'.join(map(str, self.shape)) or '1'})"

    def __str__(self) -> str:
        """For people: what is measured, of which output, and how to choose."""
        where = f"output {self.output}" + (
            f", the {_nth(self.index)} of {self.outputs} (--output chooses)" if self.outputs > 1 else ""
        )
        size = "x".join(map(str, self.shape)) or "1"
        left_out = "" if self.ignored is None else f", label {self.ignored} not counted"
        if self.kind == "classes":
            what = f"{self.classes:,} classes" + (
                f" at each of {self.answers:,} pixels: correct pixels" if self.answers > 1 else ""
            )
        elif self.kind == "binary":
            before = f", before its {self.function[0]}" if self.function[0] else ""
            of = f"each of {self.answers:,} values ({size})" if self.answers > 1 else "its one value"
            what = f"0 or 1, by a threshold at 0 of {of}{before}"
        else:
            of = "targets" if self.labels else "the ANN's own values"
            behind = f" of its {self.function[0]}" if self.function[0] else ""
            values = f"{self.answers:,} value{'s' * (self.answers > 1)}"
            what = f"{values}{behind} ({size}): RMSE, and R2, the explained share of the variance of {of}"
        if self.is_share and not self.labels:
            what += ", against the ANN's own"
        return f"measured: {where}, {what}{left_out}"

    @property
    def unit(self) -> str:
        """What a score is told in."""
        return "%" if self.is_share else "R2"

    @property
    def name(self) -> str:
        """What a score is called, as a heading."""
        if not self.is_share:
            return "R2" if self.labels else "R2 to the ANN"
        if not self.labels:
            return "agreement with the ANN, %"
        return (
            "accuracy, %"
            if self.answers == 1
            else ("pixel accuracy, %" if self.kind == "classes" else "right answers, %")
        )

    @property
    def aim(self) -> str:
        """What a quality is called, as a heading: of masks the mean IoU, else `name`."""
        if not self.is_mask:
            return self.name
        return "mean IoU, %" if self.labels else "mean IoU to the ANN, %"

    def shown(self, score: float, digits: int = 2) -> str:
        """The value of a score: a share in %, R2 as a number."""
        return f"{100 * score:.{digits}f}" if self.is_share else f"{score:.{digits + 2}f}"

    @property
    def facts(self) -> dict[str, object]:
        """For JSON."""
        against = "labels" if self.labels else "the ANN's own"
        return {
            "kind": self.kind,
            "output": self.output,
            "index": self.index,
            "shape": list(self.shape),
            "against": against,
            "ignored_label": self.ignored,
            "told": str(self),
        }

    # ------------------------------------------------------------ counting

    def count(self, said: np.ndarray, wanted: np.ndarray) -> Counts:
        """{correct, of} of answers (N, *spots), and of masks {both, said, wanted: {class: pixels}}; of
        values, {error: sum of squares, square: sum of the squares of the images' own, worst: {error, image:
        its place}, largest: the same of single values}."""
        if said.shape != wanted.shape:
            raise ValueError(f"{self.output}: answers of shape {said.shape} against {wanted.shape}")
        if self.is_share:
            counted = np.ones(wanted.shape, bool) if self.ignored is None else wanted != self.ignored
            found: Counts = {
                "correct": int(np.count_nonzero((said == wanted) & counted)),
                "of": int(np.count_nonzero(counted)),
            }
            return {**found, **(self._pixels(said[counted], wanted[counted]) if self.is_mask else {})}
        apart = (said - wanted).reshape(len(said), -1)
        errors = [float(np.sum(np.square(row))) for row in apart]
        return {
            "error": sum(map(exact, errors)),
            "square": sum(exact(e * e) for e in errors),
            WORST: _most(errors),
            LARGEST: _most([float(np.abs(row).max()) for row in apart]),
        }

    def _pixels(self, said: np.ndarray, wanted: np.ndarray) -> Counts:
        """Counts of pixels (n,) of masks by class: those that are said to be of it, that are, and both."""
        count = self.classes if self.kind == "classes" else 2
        parts = {"both": said[said == wanted], "said": said, "wanted": wanted}
        each = {name: np.bincount(part.astype(np.int64), minlength=count) for name, part in parts.items()}
        return {name: {str(c): int(n) for c, n in enumerate(found)} for name, found in each.items()}

    def constant(self, wanted: np.ndarray) -> float:
        """The quality of one answer for every image: the most frequent one of (N, *spots), of masks in every
        pixel; of values, each channel's mean."""
        if not self.is_share:
            return 0.0
        counted = wanted if self.ignored is None else wanted[wanted != self.ignored]
        found = np.unique(counted, return_counts=True)[1]
        share = float(found.max(initial=0) / max(1, counted.size))
        return share / max(1, len(found)) if self.is_mask else share

    def spread(self, wanted: np.ndarray) -> Counts:
        """What the variance of wanted values (N, *spots) follows from; of answers, how many images."""
        if self.is_share:
            return {"images": len(wanted)}
        channels = wanted.reshape(len(wanted), self.shape[0] if self.shape else 1, -1)
        sums: Counts = {
            str(c): sum(exact(float(np.sum(row))) for row in channels[:, c]) for c in range(channels.shape[1])
        }
        power = sum(exact(float(np.sum(np.square(row)))) for row in channels.reshape(len(wanted), -1))
        return {"images": len(wanted), "power": power, "sums": sums}

    def score(self, counts: Counts, spread: Counts, images: int) -> Score:
        """From the counts of so many images; `spread`: of all wanted values, at least of theirs. OutOfRange
        where nothing can fail."""
        if self.is_share:
            correct, of = counts["correct"], counts["of"]
            assert isinstance(correct, int)
            assert isinstance(of, int)
            if of < images:
                raise OutOfRange(
                    f"labels: {of} of {images} images' answers count, label {self.ignored} left out; "
                    f"give images with some"
                )
            return Share(correct, of, images, _ious(counts) if self.is_mask else ())
        error, square = (
            Fraction(_int(counts[key]), 1 << EXACT) / self.answers**n
            for n, key in ((1, "error"), (2, "square"))
        )
        mean = error / images
        spare = max(Fraction(0), square / images - mean * mean) / max(1, images - 1)
        image, error = _image(counts[WORST])
        worst = image, sqrt(error / self.answers)
        image, error = _image(counts[LARGEST])
        return Fit(float(mean), sqrt(spare), self._variance(spread), images, worst, (image, float(error)))

    def varies(self, spread: Counts) -> bool:
        """Could a constant answer be told from a right one? Of answers this is not asked here."""
        return self.is_share or self._around(spread) > 0

    def _variance(self, spread: Counts) -> float:
        images, around = _int(spread["images"]), self._around(spread)
        if not around:
            of = "targets" if self.labels else "the ANN's values"
            raise OutOfRange(
                f"values of output {self.named}: {of} do not vary over {images} "
                f"image{'s' * (images > 1)}, so that any constant "
                "would explain them; give images that differ"
            )
        return float(around / (images * self.answers))

    def _around(self, spread: Counts) -> Fraction:
        """Sum of the squares around the channels' means; 0 where it is rounding."""
        images, power, sums = (
            _int(spread["images"]),
            Fraction(_int(spread["power"]), 1 << EXACT),
            spread["sums"],
        )
        assert isinstance(sums, dict)
        each = images * self.answers // len(sums)
        around = power - sum((Fraction(_int(s), 1 << EXACT) ** 2 for s in sums.values()), Fraction(0)) / each
        return around if around > ROUNDING * power else Fraction(0)


def classes(scores: np.ndarray) -> np.ndarray:
    """(N, ...) classes in outputs (N, C, ...): argmax over the channels, the first of equals; (N,) for maps
    of one pixel. One channel alone: 1 where it is above 0, else 0, unless it is all classes in a row (N, 1,
    C)."""
    axis = class_axis(scores.shape[1:])
    found = (
        scores.argmax(axis=1 + axis)
        if scores.shape[1 + axis] > 1
        else np.squeeze(scores > 0, 1 + axis).astype(np.int64)
    )
    return found.reshape(len(found)) if found.size == len(found) else found


def _ious(counts: Counts) -> tuple[float | None, ...]:
    """By class."""
    both, said, wanted = counts["both"], counts["said"], counts["wanted"]
    assert isinstance(both, dict)
    assert isinstance(said, dict)
    assert isinstance(wanted, dict)
    either = {c: _int(said[c]) + _int(wanted[c]) - _int(both[c]) for c in both}
    return tuple(_int(both[c]) / either[c] if either[c] else None for c in both)


def _most(errors: list[float]) -> Counts:
    """The largest of the images' errors, and whose it is."""
    place = int(np.argmax(errors)) if errors else 0
    return {"error": exact(errors[place]) if errors else 0, "image": place}


def _image(found: int | Counts) -> tuple[int, Fraction]:
    """What `_most` told."""
    assert isinstance(found, dict)
    return _int(found["image"]), Fraction(_int(found["error"]), 1 << EXACT)


def exact(value: float) -> int:
    """A double as an integer, in units of 2^-1074."""
    numerator, denominator = value.as_integer_ratio()
    return numerator * ((1 << EXACT) // denominator)


def _int(value: int | Counts) -> int:
    assert isinstance(value, int)
    return value


def _nth(index: int) -> str:
    return ("first", "second", "third")[index] if index < 3 else f"{index + 1}th"
