"""What is measured of a network's output, and what may be said of it: classes, binary answers, or values.

    classes   the largest of an output's channels against an integer label: of an image, or of each pixel of a map.
    binary    each value of an output against a label 0 or 1, with a threshold at 0, as of a logit (a last sigmoid at 0.5).
    values    each value of an output against a target, or against the ANN's own value.

Of the first two, a *share*: correct answers of all answers, which no count can take above 1. Of values, RMSE in the output's own
units, and R2, the share of their variance that is explained:

    R2 = 1 - sum (said - wanted)^2 / sum (wanted - mean of its channel)^2

over images, channels and pixels: 1 where all are equal, 0 where each channel's mean would have been as good an answer, below 0 where
it would have been a better one; the coefficient of determination, averaged over channels by their variance. Per channel, since what
channels differ by from one another is no merit of a network. Its root, sqrt(1 - R2), is the RMSE by the standard deviation.

Counts are integers, those of values too (sums of doubles, exactly, in units of 2^-1074): parts add up to the same whole in any cut.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import prod, sqrt

import numpy as np

from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir.functions import applied

Shape = tuple[int, ...]
Counts = dict[str, "int | Counts"]  # nested; keys are names, or steps as strings

KINDS = ("classes", "binary", "values")
AUTO = "auto"
Z = 1.959963984540054  # of the normal distribution: 95 % lie within +-Z
EXACT = 1074  # the smallest double is 2^-1074
ROUNDING = Fraction(1, 2**40)  # a variance below this share of the power is rounding: pairwise sums of 2^13 values err by 13 * 2^-53
ONE = 1e-3  # how far a row of soft labels may be from 1: in half precision, 2^-11 of each


# ---------------------------------------------------------------- what may be said


@dataclass(frozen=True)
class Share:
    """`correct` answers of `of`, on so many `images`; there is none above 1 or below 0."""

    correct: int
    of: int
    images: int

    def __post_init__(self) -> None:
        if not 0 <= self.correct <= self.of or not 1 <= self.images <= self.of:
            raise ValueError(f"a share of {self.correct} of {self.of} answers on {self.images} images")

    @property
    def value(self) -> float:
        return self.correct / self.of

    @property
    def standard_error(self) -> float:
        return sqrt(self.value * (1 - self.value) / self.images)

    @property
    def interval(self) -> tuple[float, float]:
        """95 % (`wilson`). It counts images: pixels of one image are no independent trials."""
        return wilson(self.value, self.images)


def wilson(share: float, images: int) -> tuple[float, float]:
    """95 % interval of a share of `images` (Wilson, J. Am. Stat. Assoc. 22:209, 1927)."""
    square = Z * Z / images
    middle = (share + square / 2) / (1 + square)
    half = Z * sqrt(share * (1 - share) / images + square / (4 * images)) / (1 + square)
    return min(share, max(0.0, middle - half)), max(share, min(1.0, middle + half))


@dataclass(frozen=True)
class Fit:
    """Values against wanted ones. mean_squared: of the errors; deviation: of the images' own mean squares, by the root of their
    number; variance: of the wanted values, each channel around its mean."""

    mean_squared: float
    deviation: float
    variance: float
    images: int

    @property
    def value(self) -> float:
        """R2."""
        return 1 - self.mean_squared / self.variance

    @property
    def rmse(self) -> float:
        return sqrt(self.mean_squared)

    @property
    def relative(self) -> float:
        """RMSE by the standard deviation of the wanted values: sqrt(1 - R2)."""
        return sqrt(self.mean_squared / self.variance)

    @property
    def standard_error(self) -> float:
        return self.deviation / self.variance

    @property
    def interval(self) -> tuple[float, float]:
        """95 %, as of a mean of independent images (normal); at most 1."""
        return self.value - Z * self.standard_error, min(1.0, self.value + Z * self.standard_error)


Score = Share | Fit


# ---------------------------------------------------------------- what is measured


@dataclass(frozen=True)
class Measure:
    """What is measured: one of KINDS, of the output `output`, whose values have `shape` for an image; it is the `index`th of `outputs`.

    axis: of `shape`, along which classes lie. ignored: a label that is not counted. labels: is there something to meet, or the
    ANN's own answers alone? function: (name, axis) of what the model does to its last layer (`functions`): values have it applied,
    classes and thresholds are those before it.
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
    def spots(self) -> Shape:
        """Where an image has answers: () for one alone."""
        return _without(self.shape, self.axis) if self.kind == "classes" else self.shape

    @property
    def answers(self) -> int:
        """Of an image."""
        return prod(self.spots)

    def said(self, values: np.ndarray) -> np.ndarray:
        """The answers (N, *spots) in the output's values (N, *shape) before its last function, in any positive unit but for `values`."""
        if values.shape[1:] != self.shape:
            raise ValueError(f"{self.output}: values of shape {values.shape[1:]}, {self.shape} expected")
        if self.kind == "classes":
            return values.argmax(axis=1 + self.axis)
        if self.kind == "binary":
            return values > 0
        return _finite(applied(*self.function, values.astype(np.float64)), f"values of output {self.output}")

    def wanted(self, labels: np.ndarray) -> np.ndarray:
        """Labels or targets of N images, checked, as (N, *spots); OutOfRange where they are none of this output."""
        if self.kind == "classes" and self.classes > 1 and _fits(labels, self.shape) and not _fits(labels, self.spots):
            labels = _from_one_hot(labels.reshape(len(labels), *self.shape), self.axis, self.output)
        if not _fits(labels, self.spots):
            each = "x".join(map(str, self.spots)) or "1"
            raise OutOfRange(f"labels: shape {labels.shape} given, {each} for each image needed by {self.kind} of output {self.named}")
        y = labels.reshape(len(labels), *self.spots)
        if self.kind == "values":
            return _finite(y.astype(np.float64), "targets")
        most = self.classes - 1 if self.kind == "classes" else 1
        return _checked_classes(y, most, self.ignored, self.named)

    @property
    def named(self) -> str:
        return f"{self.output} ({'x'.join(map(str, self.shape)) or '1'})"

    def __str__(self) -> str:
        """For people: what is measured, of which output, and how to choose."""
        where = f"output {self.output}" + (f", the {_nth(self.index)} of {self.outputs} (--output chooses)" if self.outputs > 1 else "")
        size = "x".join(map(str, self.shape)) or "1"
        left_out = "" if self.ignored is None else f", label {self.ignored} not counted"
        if self.kind == "classes":
            what = f"{self.classes:,} classes" + (f" at each of {self.answers:,} pixels: correct pixels" if self.answers > 1 else "")
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
        """Of a score, as a heading."""
        if not self.is_share:
            return "R2" if self.labels else "R2 to the ANN"
        if not self.labels:
            return "agreement with the ANN, %"
        return "accuracy, %" if self.answers == 1 else ("pixel accuracy, %" if self.kind == "classes" else "right answers, %")

    def shown(self, score: float, digits: int = 2) -> str:
        """The value of a score: a share in %, R2 as a number."""
        return f"{100 * score:.{digits}f}" if self.is_share else f"{score:.{digits + 2}f}"

    @property
    def facts(self) -> dict[str, object]:
        """For JSON."""
        against = "labels" if self.labels else "the ANN's own"
        return {
            "kind": self.kind, "output": self.output, "index": self.index, "shape": list(self.shape), "against": against,
            "ignored_label": self.ignored, "told": str(self),
        }  # fmt: skip

    # ------------------------------------------------------------ counting

    def count(self, said: np.ndarray, wanted: np.ndarray) -> Counts:
        """{correct, of} of answers (N, *spots); of values, {error: sum of squares, square: sum of the squares of the images' own}."""
        if said.shape != wanted.shape:
            raise ValueError(f"{self.output}: answers of shape {said.shape} against {wanted.shape}")
        if self.is_share:
            counted = np.ones(wanted.shape, bool) if self.ignored is None else wanted != self.ignored
            return {"correct": int(np.count_nonzero((said == wanted) & counted)), "of": int(np.count_nonzero(counted))}
        errors = [float(np.sum(np.square(row))) for row in (said - wanted).reshape(len(said), -1)]
        return {"error": sum(map(exact, errors)), "square": sum(exact(e * e) for e in errors)}

    def constant(self, wanted: np.ndarray) -> float:
        """The score of one answer for every image: the most frequent one of (N, *spots); of values, each channel's mean."""
        if not self.is_share:
            return 0.0
        counted = wanted if self.ignored is None else wanted[wanted != self.ignored]
        return float(np.unique(counted, return_counts=True)[1].max(initial=0) / max(1, counted.size))

    def spread(self, wanted: np.ndarray) -> Counts:
        """Of wanted values (N, *spots), what their variance follows from; of answers, how many images."""
        if self.is_share:
            return {"images": len(wanted)}
        channels = wanted.reshape(len(wanted), self.shape[0] if self.shape else 1, -1)
        sums: Counts = {str(c): sum(exact(float(np.sum(row))) for row in channels[:, c]) for c in range(channels.shape[1])}
        power = sum(exact(float(np.sum(np.square(row)))) for row in channels.reshape(len(wanted), -1))
        return {"images": len(wanted), "power": power, "sums": sums}

    def score(self, counts: Counts, spread: Counts, images: int) -> Score:
        """From the counts of so many images; `spread`: of all wanted values, at least of theirs. OutOfRange where nothing can fail."""
        if self.is_share:
            correct, of = counts["correct"], counts["of"]
            assert isinstance(correct, int)
            assert isinstance(of, int)
            if of < images:
                raise OutOfRange(f"labels: {of} of {images} images' answers count, label {self.ignored} left out; give images with some")
            return Share(correct, of, images)
        error, square = (Fraction(_int(counts[key]), 1 << EXACT) / self.answers**n for n, key in ((1, "error"), (2, "square")))
        mean = error / images
        spare = max(Fraction(0), square / images - mean * mean) / max(1, images - 1)
        return Fit(float(mean), sqrt(spare), self._variance(spread), images)

    def varies(self, spread: Counts) -> bool:
        """Could a constant answer be told from a right one? Of answers this is not asked here."""
        return self.is_share or self._around(spread) > 0

    def _variance(self, spread: Counts) -> float:
        images, around = _int(spread["images"]), self._around(spread)
        if not around:
            of = "targets" if self.labels else "the ANN's values"
            raise OutOfRange(
                f"values of output {self.named}: {of} do not vary over {images} image{'s' * (images > 1)}, so that any constant "
                "would explain them; give images that differ"
            )
        return float(around / (images * self.answers))

    def _around(self, spread: Counts) -> Fraction:
        """Sum of the squares around the channels' means; 0 where it is rounding."""
        images, power, sums = _int(spread["images"]), Fraction(_int(spread["power"]), 1 << EXACT), spread["sums"]
        assert isinstance(sums, dict)
        each = images * self.answers // len(sums)
        around = power - sum((Fraction(_int(s), 1 << EXACT) ** 2 for s in sums.values()), Fraction(0)) / each
        return around if around > ROUNDING * power else Fraction(0)


def classes(scores: np.ndarray) -> np.ndarray:
    """(N, ...) classes in outputs (N, C, ...): argmax over the channels, the first of equals; (N,) for maps of one pixel. One channel
    alone: 1 where it is above 0, else 0, unless it is all classes in a row (N, 1, C)."""
    axis = _class_axis(scores.shape[1:])
    found = scores.argmax(axis=1 + axis) if scores.shape[1 + axis] > 1 else np.squeeze(scores > 0, 1 + axis).astype(np.int64)
    return found.reshape(len(found)) if found.size == len(found) else found


def accuracy(values: np.ndarray, labels: np.ndarray) -> Share:
    """Answers in an output's values (N, *shape), in any positive unit, that are the labels (N, ...): classes or binary, as `chosen` tells.
    OutOfRange for labels that do not fit, and for targets, which are met more or less."""
    measure = chosen({"the first": values.shape[1:]}, labels)
    found = measure.score(measure.count(measure.said(values), measure.wanted(labels)), {}, len(values)) if measure.is_share else None
    if not isinstance(found, Share):
        raise OutOfRange("labels: targets given, not classes; compare them with Run.values, or by measure=values of dn.compare")
    return found


def exact(value: float) -> int:
    """A double as an integer, in units of 2^-1074."""
    numerator, denominator = value.as_integer_ratio()
    return numerator * ((1 << EXACT) // denominator)


# ---------------------------------------------------------------- choosing


def chosen(
    outputs: Mapping[str, Shape], labels: np.ndarray | None = None, kind: str = AUTO, output: str | int | None = None,
    ignored: int | None = None,
) -> Measure:  # fmt: skip
    """The measure of one of `outputs`, {name: shape for an image}: the first, or that of this name or index.

    kind: one of KINDS, or `auto`: what shape and labels (N, ...) tell; OutOfRange where they do not, or do not fit what is asked for.
    """
    if kind not in (AUTO, *KINDS):
        raise OutOfRange(f"measure: {kind} given; choose of {', '.join((AUTO, *KINDS))}")
    name = named_output(outputs, output)
    shape = outputs[name]
    found = _decided(shape, labels, name, outputs, ignored) if kind == AUTO else kind
    if found == "binary" and ignored is not None and ignored in (0, 1):
        raise OutOfRange(f"ignored label: {ignored} given, which is an answer; give another")
    axis = _class_axis(shape) if found == "classes" else 0
    if found == "classes" and labels is not None and prod(shape[1:]) > 1 and _fits(labels, shape[1:]):
        axis = 0
    if found == "classes" and shape[axis] == 1:
        raise OutOfRange(f"measure: classes of output {name} asked for, which has one channel; say --measure binary or values")
    made = Measure(found, name, shape, list(outputs).index(name), len(outputs), axis, ignored, labels is not None)
    if found == "values" and labels is not None and not _fits(labels, shape) and _whole(labels):
        return Measure(found, name, shape, made.index, made.outputs, labels=False)  # classes are no targets: the ANN's own values
    if labels is not None:
        made.wanted(labels)
    return made


def named_output(outputs: Mapping[str, Shape], wanted: str | int | None) -> str:
    """The first of them, or that of this name or index."""
    names = list(outputs)
    if wanted is None:
        return names[0]
    if wanted in outputs:
        return str(wanted)
    try:
        return names[_index(int(wanted), len(names))]
    except (ValueError, IndexError):
        raise OutOfRange(f"output: {wanted} asked for; the network has {_told(outputs)}") from None


def _index(index: int, count: int) -> int:
    if not 0 <= index < count:
        raise IndexError
    return index


def _told(outputs: Mapping[str, Shape]) -> str:
    return ", ".join(f"{i}: {name} ({'x'.join(map(str, shape)) or '1'})" for i, (name, shape) in enumerate(outputs.items()))


def _decided(shape: Shape, labels: np.ndarray | None, name: str, outputs: Mapping[str, Shape], ignored: int | None) -> str:
    """What shape and labels tell, or one sentence."""
    size = "x".join(map(str, shape)) or "1"
    others = f", or another --output of {_told(outputs)}" if len(outputs) > 1 else ""
    axis = _class_axis(shape)
    several, one_answer = shape[axis] > 1, prod(_without(shape, axis)) == 1
    if labels is None:
        if several and one_answer:
            return "classes"
        raise OutOfRange(
            f"output {name} ({size}) may hold classes of pixels, answers 0 or 1, or values, and no labels tell; "
            f"say --measure classes, binary or values{others}"
        )
    if several and _whole(labels) and (_fits(labels, _without(shape, axis)) or _fits(labels, shape[1:])):
        return "classes"
    if _fits(labels, shape):
        y = labels.reshape(len(labels), *shape)
        if several and _is_one_hot(y, axis):
            return "classes"
        if np.isin(y if ignored is None else y[y != ignored], (0, 1)).all():
            return "binary"
        if not (_whole(labels) and labels.dtype.kind in "iu"):
            return "values"
        told = f"{int(labels.min())} to {int(labels.max())}"
        raise OutOfRange(
            f"labels: {told} given for the {size} value{'s' * (size != '1')} of output {name}; give 0 and 1 for binary answers "
            f"(--ignore-label leaves one out), or say --measure values if they are targets{others}"
        )
    if several and not _whole(labels) and _fits(labels, _without(shape, axis)):
        raise OutOfRange(
            f"labels: {labels.dtype} given, of which some are no class indices; give integers for output {name} ({size}), or targets in "
            f"its shape{others}"
        )
    raise OutOfRange(
        f"labels: shape {labels.shape} given, which are neither classes nor targets of output {name} ({size}); give labels that fit, "
        f"or say --measure values, against the ANN's own{others}"
    )


# ---------------------------------------------------------------- labels


def _class_axis(shape: Shape) -> int:
    """The channels, or, where there is but one, a row of classes (1, C)."""
    long = [i for i, n in enumerate(shape) if n > 1]
    return long[0] if len(long) == 1 else 0


def _without(shape: Shape, axis: int) -> Shape:
    return (*shape[:axis], *shape[axis + 1 :])


def _fits(labels: np.ndarray, shape: Shape) -> bool:
    """One for each of `shape`, of each image; axes of length 1 aside."""
    return tuple(n for n in labels.shape[1:] if n > 1) == tuple(n for n in shape if n > 1)


def _whole(labels: np.ndarray) -> bool:
    return labels.dtype.kind in "iub" or bool((labels % 1 == 0).all())


def _is_one_hot(y: np.ndarray, axis: int) -> bool:
    """A share of 1 for each class, 0 and 1 or softened."""
    return bool((y >= 0).all() and (np.abs(y.sum(axis=1 + axis, dtype=np.float64) - 1) <= ONE).all())


def _from_one_hot(y: np.ndarray, axis: int, who: str) -> np.ndarray:
    if not _is_one_hot(y, axis):
        raise OutOfRange(
            f"labels: {y.shape[1 + axis]} for each answer of output {who}, which are not one-hot; say --measure binary or values"
        )
    return y.argmax(axis=1 + axis)


def _finite(values: np.ndarray, who: str) -> np.ndarray:
    if not np.isfinite(values).all():
        bad = int(np.count_nonzero(~np.isfinite(values)))
        raise OutOfRange(f"{who}: {bad} of {values.size} are NaN or infinite; clean the data and the weights first")
    return values


def _checked_classes(y: np.ndarray, most: int, ignored: int | None, who: str) -> np.ndarray:
    if not _whole(y):
        raise OutOfRange(f"labels: {y.dtype} given, of which some are no class indices; give integers")
    y = y.astype(np.int64)
    counted = y if ignored is None else y[y != ignored]
    if counted.size and not 0 <= counted.min() <= counted.max() <= most:
        told = sorted({int(v) for v in np.unique(counted[(counted < 0) | (counted > most)])})
        few = ", ".join(map(str, told[:3])) + (" ..." if len(told) > 3 else "")
        hint = f"; --ignore-label {told[0]} leaves it out" if len(told) == 1 and y.ndim > 1 else ""
        raise OutOfRange(
            f"labels: {few} among them, output {who} tells classes 0 to {most}; number them so, or choose another --output{hint}"
        )
    return y


def _int(value: int | Counts) -> int:
    assert isinstance(value, int)
    return value


def _nth(index: int) -> str:
    return ("first", "second", "third")[index] if index < 3 else f"{index + 1}th"
