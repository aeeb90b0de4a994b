"""The measure of a graph's output: which, and whether there is something to count by."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir import Graph
from dnisnm_lava.measures.choosing import chosen
from dnisnm_lava.measures.measure import AUTO, Measure


def of(
    graph: Graph,
    labels: np.ndarray | None = None,
    kind: str = AUTO,
    output: str | int | None = None,
    ignored: int | None = None,
) -> Measure:
    """What is measured of an output of `graph` (`chosen`): the first, or that of this name or index."""
    found = chosen(graph.output_shapes, labels, kind, output, ignored)
    return replace(found, function=graph.functions.get(found.output, ("", 0)))


def of_own(graph: Graph, labels: np.ndarray, name: str, ignored: int | None = None) -> Measure:
    """What is measured of the output of this name, whose own labels or targets these are."""
    shapes = graph.output_shapes
    found = chosen({name: shapes[name]}, labels, AUTO, name, ignored)
    place = list(shapes).index(name)
    return replace(found, index=place, outputs=len(shapes), function=graph.functions.get(name, ("", 0)))


@dataclass(frozen=True)
class Ask:
    """What to measure: one of KINDS, or `auto`, what shape and labels tell; of which output, by name or index
    (default: the first); ignored: a label that is not counted, such as 255 in masks."""

    kind: str = AUTO
    output: str | int | None = None
    ignored: int | None = None


Asked = str | Ask | Measure  # a kind alone; with output or ignored label; or what was decided before


def ask(measure: Asked) -> Ask:
    if isinstance(measure, Measure):
        return Ask(measure.kind, measure.output, measure.ignored)
    return Ask(measure) if isinstance(measure, str) else measure


def asked(graph: Graph, labels: np.ndarray | None, measure: Asked) -> Measure:
    """The measure of `graph`'s output for who counts answers by labels: OutOfRange where there are none,
    unless values are set against the ANN's."""
    if isinstance(measure, Measure):
        return measure
    wanted = ask(measure)
    if labels is None and wanted.kind != "values":
        raise OutOfRange(
            "labels: none given, and the images bring none; give them, or (images, labels) batches, or "
            "say measure=values, "
            "the distance from the ANN's own"
        )
    return of(graph, labels, wanted.kind, wanted.output, wanted.ignored)
