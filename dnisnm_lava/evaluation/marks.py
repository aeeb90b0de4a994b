"""What each image got: kept beside the counts, so that networks are compared on the same images, pair by
pair."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np

from dnisnm_lava.errors import BadFile
from dnisnm_lava.evaluation.intervals import paired
from dnisnm_lava.evaluation.tallies import MARKS, Tally, branch, number
from dnisnm_lava.measures import Measure, Z

VERSION = 1
KINDS = {"right": np.uint8, "share": np.float32, "squared error": np.float32}


@dataclass(frozen=True, eq=False)
class Marks:
    """kind: `right`, 1 or 0, where an image has one answer; its `share` of right answers; of values its mean
    `squared error`. against: labels, or the ANN. of: {"ann": {0: (N,)}, "float": {T: (N,)}, "integer": ...};
    no ANN where it is what is met."""

    kind: str
    against: str
    of: Mapping[str, Mapping[int, np.ndarray]]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Marks) and to_json(self) == to_json(other)


@dataclass(frozen=True)
class Difference:
    """By how much one mean is above the other on the same images, and its paired 95 % interval."""

    value: float
    interval: tuple[float, float]


def kind_of(measure: Measure) -> str:
    if not measure.is_share:
        return "squared error"
    return "right" if measure.answers == 1 and measure.ignored is None else "share"


def mark(said: np.ndarray, wanted: np.ndarray, measure: Measure) -> np.ndarray:
    """(N,) of `kind_of(measure)`, from answers (N, *spots)."""
    if not measure.is_share:
        return np.square(said - wanted).reshape(len(said), -1).mean(axis=1).astype(np.float32)
    right = right_answers(said, wanted, measure)
    if kind_of(measure) == "right":
        return right.astype(np.uint8)
    of = counted(wanted, measure).reshape(len(said), -1).sum(axis=1)
    return (right / np.maximum(of, 1)).astype(np.float32)


def counted(wanted: np.ndarray, measure: Measure) -> np.ndarray:
    """Which of the answers (N, *spots) count: all but those whose label is ignored."""
    return np.ones(wanted.shape, bool) if measure.ignored is None else wanted != measure.ignored


def right_answers(said: np.ndarray, wanted: np.ndarray, measure: Measure) -> np.ndarray:
    """(N,) how many of each image's answers are right."""
    return ((said == wanted) & counted(wanted, measure)).reshape(len(said), -1).sum(axis=1)


def difference(kind: str, a: np.ndarray, b: np.ndarray) -> Difference:
    """mean a - mean b (N,): Newcombe's interval of answers that are right or wrong, else that of the mean of
    the images' own differences (normal). Of squared errors, b - a: less is more."""
    if kind == "right":
        first, second = a > 0, b > 0
        apart = int(np.count_nonzero(first)) - int(np.count_nonzero(second))
        return Difference(apart / len(a), paired(first, second))
    each = (a.astype(np.float64) - b) * (-1 if kind == "squared error" else 1)
    half = Z * float(np.std(each, ddof=1 if len(a) > 1 else 0)) / sqrt(len(a))
    value = float(each.mean())
    return Difference(value, (value - half, value + half))


# ---------------------------------------------------------------- in a tally: of a block of images


def tallied(
    said: Mapping[str, Mapping[int, np.ndarray]], right: Mapping[str, np.ndarray], measure: Measure
) -> Tally:
    """{network: {T: all marks of these images, as one integer}}. right: {"labels", where there are some,
    "ann"}."""
    against = "labels" if measure.labels else "ann"
    found = {"ann": {0: right["ann"]}, **said} if measure.labels else dict(said)
    return {
        key: {str(t): _packed(mark(answers, right[against], measure)) for t, answers in at.items()}
        for key, at in found.items()
    }


def _packed(marks: np.ndarray) -> int:
    return int.from_bytes(_bytes(marks), "big")


def _bytes(marks: np.ndarray) -> bytes:
    """Bits of 1 and 0; else little-endian float32."""
    return np.packbits(marks).tobytes() if marks.dtype == np.uint8 else marks.astype("<f4").tobytes()


def _marks(data: bytes, kind: str, images: int) -> np.ndarray:
    if KINDS[kind] is np.uint8:
        return np.unpackbits(np.frombuffer(data, np.uint8), count=images)
    return np.frombuffer(data, "<f4", count=images).astype(np.float32)


def _length(kind: str, images: int) -> int:
    """Bytes that so many marks take."""
    return -(-images // 8) if KINDS[kind] is np.uint8 else 4 * images


def joined(tallies: Iterable[Tally], measure: Measure) -> Marks | None:
    """The marks of all blocks, in their order; None where one was kept by a version that had none."""
    parts = list(tallies)
    if not all(MARKS in part for part in parts):
        return None
    kind = kind_of(measure)

    def of(part: Tally, key: str, t: str) -> np.ndarray:
        images = number(part, "ann", "images")
        packed = number(part, MARKS, key, t)
        return _marks(packed.to_bytes(_length(kind, images), "big"), kind, images)

    first = branch(parts[0], MARKS)
    return Marks(
        kind,
        "labels" if measure.labels else "ann",
        {
            key: {int(t): np.concatenate([of(p, key, t) for p in parts]) for t in branch(first, key)}
            for key in first
        },
    )


# ---------------------------------------------------------------- in a file


def to_json(marks: Marks) -> dict[str, Any]:
    """Packed, as base64: of 1,000 images that are right or wrong 168 characters for each T."""
    images = len(next(iter(next(iter(marks.of.values())).values())))
    return {
        "version": VERSION,
        "kind": marks.kind,
        "against": marks.against,
        "images": images,
        "of": {
            key: {str(t): base64.b64encode(_bytes(m)).decode() for t, m in at.items()}
            for key, at in marks.of.items()
        },
    }


def from_json(told: Any, who: str) -> Marks | None:
    """None of another version. BadFile for what `to_json` did not write."""
    try:
        if told["version"] != VERSION:
            return None
        kind, images = str(told["kind"]), int(told["images"])
        if kind not in KINDS or not 1 <= images <= 1 << 32:
            raise ValueError(f"{kind} of {images} images")
        found: dict[str, dict[int, np.ndarray]] = {}
        for key, at in told["of"].items():
            for t, text in at.items():
                data = base64.b64decode(text, validate=True)
                if len(data) != _length(kind, images):
                    raise ValueError(f"{len(data)} bytes of {images} images")
                found.setdefault(str(key), {})[int(t)] = _marks(data, kind, images)
    except (KeyError, TypeError, ValueError, AttributeError, binascii.Error) as error:
        raise BadFile(
            f"{who}: its answers are none that compare wrote ({type(error).__name__}: {error})"
        ) from None
    return Marks(kind, str(told["against"]), found)
