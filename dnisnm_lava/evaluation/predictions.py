"""What a network says of images that nobody labelled: classes with their margins, or values where there are
no classes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from dnisnm_lava.backends import batched
from dnisnm_lava.data.inputs import Device
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.evaluation import early
from dnisnm_lava.evaluation.exits import Exits
from dnisnm_lava.ir import Shape, SpikingGraph
from dnisnm_lava.ir.integers import check_images
from dnisnm_lava.measures import classes, named_output


@dataclass(frozen=True)
class Predictions:
    """Answers for N images, each read after its own number of `steps` (N,).

    values: (N, *shape of the model's output), in its own units. classes (N,): the largest of them, or of the
    sums before a last function, which may round what they differ by away. margins (N,): by how much, in the
    units of values, it leads the second. Both None where the output is no row of two or more classes.

    sums: {read-out: (N, *shape of its output)} integers, of all outputs of the model. units: {read-out: what
    1 of them is worth after one step}: before a last function, an output is sum * unit / steps.
    """

    values: np.ndarray
    steps: np.ndarray
    classes: np.ndarray | None
    margins: np.ndarray | None
    sums: dict[str, np.ndarray]
    units: dict[str, np.ndarray]


def has_classes(shape: Shape) -> bool:
    """Is an output of this shape a row of two classes or more, and nothing else?"""
    return shape[0] > 1 and prod(shape[1:]) == 1


def predict(
    graph: SpikingGraph,
    batches: Iterable[np.ndarray],
    *,
    steps: int | None = None,
    exits: Exits | None = None,
    device: Device = "cpu",
    memory: int | None = None,
    output: str | int | None = None,
) -> Predictions:
    """What an output (the first, or that of this name or index) says of images that come in batches (n,
    *input shape); after `steps` (default: the graph's), or where `exits`, of as many, let each image stop: it
    is simulated no further (`early.run`)."""
    check_images(graph, "predict")
    name = named_output(graph.output_shapes, output)
    shape = graph.output_shapes[name]
    if exits is not None and not has_classes(shape):
        raise OutOfRange(f"early exit: output {name} has shape {shape}; it needs a row of 2 or more classes")
    found = [_of(graph, x, name, steps, exits, device=device, memory=memory) for x in batches]
    if not found:
        raise OutOfRange("predict: 0 images given; give at least 1")
    *arrays, all_sums = zip(*found, strict=True)
    values, own, said = (np.concatenate(parts) for parts in arrays)
    sums = {out: np.concatenate([part[out] for part in all_sums]) for out in graph.output_shapes}
    units = graph.units
    if not has_classes(shape):
        return Predictions(values, own, None, None, sums, units)
    first_two = np.partition(values.reshape(len(values), -1), -2, axis=1)[:, -2:]
    return Predictions(values, own, said, first_two[:, 1] - first_two[:, 0], sums, units)


def _of(
    graph: SpikingGraph,
    images: np.ndarray,
    output: str,
    steps: int | None,
    exits: Exits | None,
    **options: Any,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """(values, steps, classes, sums) of the images. The class is told by the sums: a last softmax rounds
    small differences away."""
    if exits is not None:
        found = early.run(graph, images, exits, output=output, **options)
        return found.values, found.steps, found.classes, found.sums
    run = batched.run(graph, images, steps=steps, **options)
    return (
        run.values(run.steps, output),
        np.full(len(images), run.steps),
        classes(run.scores_of(output)[:, -1]),
        run.sums(run.steps),
    )
