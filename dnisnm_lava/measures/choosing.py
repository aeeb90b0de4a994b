"""Which measure suits an output and its labels."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from math import prod

import numpy as np

from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir.values import Shape
from dnisnm_lava.measures.labels import (
    BLACK_AND_WHITE,
    are_whole,
    class_axis,
    fits,
    is_black_and_white,
    is_one_hot,
    without,
)
from dnisnm_lava.measures.measure import AUTO, KINDS, Measure
from dnisnm_lava.measures.scores import Share


def accuracy(values: np.ndarray, labels: np.ndarray) -> Share:
    """Answers in an output's values (N, *shape), in any positive unit, that are the labels (N, ...): classes
    or binary, as `chosen` tells. OutOfRange for labels that do not fit, and for targets, which are met more
    or less."""
    measure = chosen({"the first": values.shape[1:]}, labels)
    found = (
        measure.score(measure.count(measure.said(values), measure.wanted(labels)), {}, len(values))
        if measure.is_share
        else None
    )
    if not isinstance(found, Share):
        raise OutOfRange(
            "labels: targets given, not classes; compare them with Run.values, or by measure=values of "
            "dn.compare"
        )
    return found


def chosen(
    outputs: Mapping[str, Shape],
    labels: np.ndarray | None = None,
    kind: str = AUTO,
    output: str | int | None = None,
    ignored: int | None = None,
) -> Measure:
    """The measure of one of `outputs`, {name: shape for an image}: the first, or that of this name or index.

    kind: one of KINDS, or `auto`: what shape and labels (N, ...) tell; OutOfRange where they do not, or do
    not fit what is asked for; and where they are labels of the first output, and another one, of which they
    would mean something else, is asked for. A UserWarning where `kind` says what, and where both have as many
    answers of the same kind.
    """
    if kind not in (AUTO, *KINDS):
        raise OutOfRange(f"measure: {kind} given; choose of {', '.join((AUTO, *KINDS))}")
    name = named_output(outputs, output)
    shape = outputs[name]
    found = _decided(shape, labels, name, outputs, ignored) if kind == AUTO else kind
    if found == "binary" and ignored is not None and ignored in (0, 1):
        raise OutOfRange(f"ignored label: {ignored} given, which is an answer; give another")
    axis = class_axis(shape) if found == "classes" else 0
    if found == "classes" and labels is not None and prod(shape[1:]) > 1 and fits(labels, shape[1:]):
        axis = 0
    if found == "classes" and shape[axis] == 1:
        raise OutOfRange(
            f"measure: classes of output {name} asked for, which has one channel; say --measure binary "
            f"or values"
        )
    made = Measure(
        found, name, shape, list(outputs).index(name), len(outputs), axis, ignored, labels is not None
    )
    if found == "values" and labels is not None and not fits(labels, shape) and are_whole(labels):
        return Measure(
            found, name, shape, made.index, made.outputs, labels=False
        )  # classes are no targets: the ANN's own values
    if labels is not None:
        made.wanted(labels)
        _check_whose(made, outputs, labels, kind == AUTO)
    return made


def _check_whose(found: Measure, outputs: Mapping[str, Shape], labels: np.ndarray, refuse: bool) -> None:
    """Labels that are the first output's say nothing of another, unless both are measured alike. Where each
    image has answers of the same kind from both, they may be either's."""
    name, shape = next(iter(outputs.items()))
    if found.output == name:
        return
    try:
        first = chosen({name: shape}, labels, ignored=found.ignored)
    except OutOfRange:
        return
    if (first.kind, first.shape) == (found.kind, found.shape):
        return
    told = (
        f"labels: those of the images fit {first.named}, the first output, and {found.named} is asked for, "
        f"of which they are taken as {MEANT[found.kind]}; give its own, --targets {found.output}=FILE "
        f"(targets=), or say --measure values, against the ANN's own"
    )
    if refuse and (first.kind, first.spots) != (found.kind, found.spots):
        raise OutOfRange(told.replace("are taken as", "would be"))
    warnings.warn(told, UserWarning, stacklevel=2)


MEANT = {"classes": "classes", "binary": "answers 0 and 1", "values": "targets"}


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
    return ", ".join(
        f"{i}: {name} ({'x'.join(map(str, shape)) or '1'})" for i, (name, shape) in enumerate(outputs.items())
    )


def _decided(
    shape: Shape, labels: np.ndarray | None, name: str, outputs: Mapping[str, Shape], ignored: int | None
) -> str:
    """What shape and labels tell, or one sentence."""
    size = "x".join(map(str, shape)) or "1"
    others = f", or another --output of {_told(outputs)}" if len(outputs) > 1 else ""
    axis = class_axis(shape)
    several, one_answer = shape[axis] > 1, prod(without(shape, axis)) == 1
    if labels is None:
        if several and one_answer:
            return "classes"
        raise OutOfRange(
            f"output {name} ({size}) may hold classes of pixels, answers 0 or 1, or values, and no "
            f"labels tell; "
            f"say --measure classes, binary or values{others}"
        )
    if several and are_whole(labels) and (fits(labels, without(shape, axis)) or fits(labels, shape[1:])):
        return "classes"
    if fits(labels, shape):
        y = labels.reshape(len(labels), *shape)
        if several and is_one_hot(y, axis):
            return "classes"
        if np.isin(y if ignored is None else y[y != ignored], (0, 1)).all():
            return "binary"
        if not (are_whole(labels) and labels.dtype.kind in "iu"):
            return "values"
        if is_black_and_white(labels):
            raise OutOfRange(
                f"labels: 255 among them, of answers 0 and 1 of output {name}; {BLACK_AND_WHITE}"
            )
        told = f"{int(labels.min())} to {int(labels.max())}"
        raise OutOfRange(
            f"labels: {told} given for the {size} value{'s' * (size != '1')} of output {name}; give 0 "
            f"and 1 for binary answers "
            f"(--ignore-label leaves one out), or say --measure values if they are targets{others}"
        )
    if several and not are_whole(labels) and fits(labels, without(shape, axis)):
        raise OutOfRange(
            f"labels: {labels.dtype} given, of which some are no class indices; give integers for output "
            f"{name} ({size}), or targets in "
            f"its shape{others}"
        )
    raise OutOfRange(
        f"labels: shape {labels.shape} given, which are neither classes nor targets of output {name} "
        f"({size}); give labels that fit, "
        f"or say --measure values, against the ANN's own{others}"
    )
