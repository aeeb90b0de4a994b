"""Simulating no further than early exit asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dnisnm_lava.backends import batched
from dnisnm_lava.data.inputs import Images
from dnisnm_lava.evaluation.exits import Exits, classes_at, exit_steps
from dnisnm_lava.ir import SpikingGraph, checked_images
from dnisnm_lava.ir.timing import most_ahead


@dataclass(frozen=True)
class EarlyRun:
    """classes, steps: (N,) of each image, and after how many steps it stopped. values: (N, *shape of the
    model's output), in its units, at that step. sums: {read-out: (N, *shape of its output)} integers at that
    step. simulated: image-steps that were computed, all attempts together."""

    classes: np.ndarray
    steps: np.ndarray
    values: np.ndarray
    sums: dict[str, np.ndarray]
    simulated: int


def run(
    graph: SpikingGraph, images: Images, exits: Exits, *, output: str | None = None, **options: Any
) -> EarlyRun:
    """What a read-out (the first, or that of this name) says of each image (N, *input shape) at its exit.
    `options`: those of `batched.run`.

    A run is the beginning of every longer one: so all images are run for an eighth of the steps, those that
    did not stop for a quarter, and so on. Where a population leads it is not: then all run for all steps, and
    stop by the same rule.
    """
    x = checked_images(graph, images)
    most = len(exits.bounds)
    classes, steps = np.zeros(len(x), np.int64), np.zeros(len(x), np.int64)
    values = np.zeros((len(x), *graph.output_shapes[output or graph.readout.name]))
    sums = {name: np.zeros((len(x), *shape), np.int64) for name, shape in graph.output_shapes.items()}
    going, simulated = np.arange(len(x)), 0
    for t in _attempts(most) if not most_ahead(graph) else [most]:
        part = batched.run(graph, x[going], steps=t, **options)
        logits = part.scores_of(output)
        simulated += len(going) * t
        bounds = exits.bounds[:t] if t == most else np.append(exits.bounds[:t], 0)
        last = (
            logits if t == most else np.concatenate([logits, logits[:, -1:]], axis=1)
        )  # step t + 1 stands for: not yet
        found = exit_steps(last, Exits(bounds, exits.confidence, exits.images))
        stopped = found <= t
        classes[going[stopped]], steps[going[stopped]] = (
            classes_at(logits[stopped], found[stopped]),
            found[stopped],
        )
        for step in np.unique(found[stopped]):
            at = found == step
            values[going[at]] = part.values(int(step), output)[at]
            for name, summed in part.sums(int(step)).items():
                sums[name][going[at]] = summed[at]
        going = going[~stopped]
        if len(going) == 0:
            break
    return EarlyRun(classes, steps, values, sums, simulated)


def _attempts(most: int) -> list[int]:
    return sorted({max(1, most >> shift) for shift in range(4)})
