"""Images of a graph, as users give them: of its shape, finite, at least one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from dnisnm_lava.data import inputs
from dnisnm_lava.data.inputs import Images, Labels
from dnisnm_lava.errors import OutOfRange

if TYPE_CHECKING:
    from dnisnm_lava.ir.graphs import Graph


def checked_images(graph: Graph, images: Images) -> np.ndarray:
    """All images as an array (N, *input shape); OutOfRange for another shape, NaN, infinity or no image."""
    return _checked(graph, inputs.whole(images, graph.input.image_shape)[0])


def checked_pairs(
    graph: Graph, images: Images, labels: Labels | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """All images, and `labels`, or those that come with the images, (N, ...) as they are; None where there
    are none."""
    x, own = inputs.whole(images, graph.input.image_shape)
    x = _checked(graph, x)
    given = own if labels is None else labels
    return x, None if given is None else inputs.labels(given, len(x))


def _checked(graph: Graph, images: np.ndarray) -> np.ndarray:
    x = np.ascontiguousarray(images)  # torch sums in another order over other memory layouts
    shape = graph.input.image_shape
    if x.ndim == 3 and len(shape) == 3 and shape[1] == 1:  # sequences (N, C, L) are maps of one row
        x = x[:, :, None]
    if x.ndim != len(shape) + 1 or x.shape[1:] != shape:
        raise OutOfRange(
            f"images: shape {x.shape} given, (N, {', '.join(map(str, shape))}) needed; resize or "
            f"re-order the axes"
        )
    if len(x) == 0:
        raise OutOfRange("images: 0 given; give at least 1")
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        bad = int(np.count_nonzero(~np.isfinite(x)))
        raise OutOfRange(f"images: {bad} of {x.size} values are NaN or infinite; clean the data first")
    return x


def checked_batches(graph: Graph, images: Images) -> Iterator[np.ndarray]:
    """The images (N, *input shape), batch by batch."""
    return (x for x, _ in labelled_batches(graph, images))


def turns(
    graph: Graph, images: Images, rank: int, size: int
) -> Iterator[tuple[int, tuple[np.ndarray, np.ndarray | None]]]:
    """Every `size`th of the labelled batches, from the `rank`th on, with its number."""
    for number, (x, labels) in inputs.turns(images, graph.input.image_shape, rank, size):
        yield number, (_checked(graph, x), labels)


def labelled_batches(graph: Graph, images: Images) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """The same, each with the labels that come with it, as they are."""
    for x, labels in inputs.batches(images, graph.input.image_shape):
        yield _checked(graph, x), labels
