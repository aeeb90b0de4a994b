"""Which answers the images of each class got: a table, from which alarms are told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.measures.choosing import chosen
from dnisnm_lava.measures.measure import Measure


@dataclass(frozen=True, eq=False)
class Answers:
    """What an ANN said of labelled images. table: (classes, classes) how many images of each class (row) got
    each answer (column); the two classes of one logit are 0 and 1. by_label: of images that have several
    labels, (labels, 2, 2), whose sum `table` is. maps: images, where each has many pixels, which are counted;
    else 0."""

    table: np.ndarray
    by_label: np.ndarray | None = None
    maps: int = 0

    @property
    def images(self) -> int:
        return self.maps or self.of // (1 if self.by_label is None else len(self.by_label))

    @property
    def of(self) -> int:
        """Answers: one of each label of an image, or of each pixel."""
        return int(self.table.sum())

    @property
    def right(self) -> int:
        return int(np.trace(self.table))

    @property
    def accuracy(self) -> float:
        return self.right / self.of


def answers(scores: np.ndarray, labels: np.ndarray | None) -> Answers | None:
    """The answers in an ANN's outputs (N, C, ...) before their last function, and classes (N, ...), a class
    for each row of C, or answers 0 and 1 for one value or for each of them, as `measures.chosen` tells. None
    where labels are none of these or targets. In maps one number beside the classes, such as 255, is a label
    that is not counted."""
    if labels is None or len(labels) != len(scores) or scores.ndim < 2:
        return None
    if scores.size == len(scores) * scores.shape[1]:
        scores = scores.reshape(scores.shape[:2])
    try:
        measure = chosen({"output": scores.shape[1:]}, labels, ignored=_beside(scores.shape[1:], labels))
        return of_measure(measure, measure.said(scores), measure.wanted(labels)) if measure.is_share else None
    except OutOfRange:
        return None


def _beside(shape: tuple[int, ...], labels: np.ndarray) -> int | None:
    """The one label of maps that is no class; None where there is none, or several."""
    if len(shape) < 2 or labels.dtype.kind not in "iu" or labels.ndim < 2:
        return None
    beside = np.unique(labels[(labels < 0) | (labels >= max(2, shape[0]))])
    return int(beside[0]) if len(beside) == 1 else None


def of_measure(measure: Measure, said: np.ndarray, wanted: np.ndarray) -> Answers | None:
    """The count of answers and labels (N, *spots), by a measure that is a share; None where no label
    counts."""
    said = said.astype(np.int64)
    wanted = wanted if measure.ignored is None else np.where(wanted == measure.ignored, -1, wanted)
    channels = 1 if measure.kind == "classes" or not measure.shape else measure.shape[0]
    maps = len(said) if measure.answers > channels else 0
    each = [part.reshape(len(said), channels, -1).swapaxes(0, 1) for part in (said, wanted)]
    count = measure.classes if measure.kind == "classes" else 2
    tables = np.array(
        [table(own.reshape(-1), meant.reshape(-1), count).table for own, meant in zip(*each, strict=True)]
    )
    found = Answers(tables.sum(axis=0), tables if channels > 1 else None, maps)
    return found if found.of else None


def table(said: np.ndarray, labels: np.ndarray, count: int) -> Answers:
    """The count of classes said (N,) and told (N,), of `count` classes; labels beyond them are not
    counted."""
    known = (labels >= 0) & (labels < count)
    pairs = labels[known].astype(np.int64) * count + said[known]
    return Answers(np.bincount(pairs, minlength=count * count).reshape(count, count))


def summed(parts: Sequence[Answers | None]) -> Answers | None:
    """The answers to all images; None where some part is, or they count other labels."""
    told = [part for part in parts if part is not None]
    labels = [p.by_label for p in told if p.by_label is not None]
    if (
        len(told) < len(parts)
        or len({(p.table.shape, p.maps > 0) for p in told}) != 1
        or len(labels) not in (0, len(told))
    ):
        return None
    if len({by_label.shape for by_label in labels}) > 1:
        return None
    by_label = np.sum(labels, axis=0) if labels else None
    return Answers(np.sum([p.table for p in told], axis=0), by_label, sum(p.maps for p in told))
