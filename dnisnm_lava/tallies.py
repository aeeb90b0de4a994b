"""What a run says of some images, as integers that add up: in any cut of the images, on any number of machines."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce

import numpy as np

from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.exits import Exits, classes_at, exit_steps
from dnisnm_lava.simulation import Run, classes

Tally = dict[str, "int | Tally"]  # nested; keys are names, or steps as strings


def tally(run: Run, labels: np.ndarray, steps: Iterable[int]) -> Tally:
    """images; correct: {T: of `labels` (N,)}; spikes: {population: {up, down}}; saturations: {population: neurons};
    clipped_inputs."""
    return {
        "images": len(labels),
        "correct": {str(t): correct(run.predictions(t), labels) for t in steps},
        "spikes": {name: {"up": up, "down": down} for name, (up, down) in run.spike_counts.items()},
        "saturations": dict(run.saturations),
        "clipped_inputs": run.clipped_inputs,
    }


def early(run: Run, labels: np.ndarray, exits: Exits) -> Tally:
    """correct: with each image stopped early; steps: how many they took, together."""
    steps = exit_steps(run.scores, exits)
    return {"correct": correct(classes_at(run.scores, steps), labels), "steps": int(steps.sum())}


def correct(predictions: np.ndarray, labels: np.ndarray) -> int:
    """How many classes (N,) meet their labels (N,)."""
    if labels.shape != predictions.shape:
        raise OutOfRange(f"labels: shape {labels.shape} given, {predictions.shape} needed: a class for each of the network's answers")
    return int(np.count_nonzero(predictions == labels))


def correct_scores(scores: np.ndarray, labels: np.ndarray) -> int:
    """The same for an ANN's outputs (N, C)."""
    return correct(classes(scores), labels)


def total(tallies: Iterable[Tally]) -> Tally:
    """The sum, key by key."""
    return reduce(_added, tallies)


def _added(a: Tally, b: Tally) -> Tally:
    if a.keys() != b.keys():
        raise ValueError(f"tallies of {sorted(a)} and {sorted(b)} do not add up; tally the same runs on all images")
    return {key: _sum(a[key], b[key]) for key in a}


def _sum(a: int | Tally, b: int | Tally) -> int | Tally:
    if isinstance(a, dict) and isinstance(b, dict):
        return _added(a, b)
    if isinstance(a, dict) or isinstance(b, dict):
        raise ValueError("tallies of another shape do not add up")
    return a + b


def number(t: Tally, *path: str) -> int:
    """The integer at `path`."""
    value = _at(t, path)
    assert isinstance(value, int)
    return value


def branch(t: Tally, *path: str) -> Tally:
    """The tally at `path`."""
    value = _at(t, path)
    assert isinstance(value, dict)
    return value


def _at(t: Tally, path: tuple[str, ...]) -> int | Tally:
    value: int | Tally = t
    for key in path:
        assert isinstance(value, dict)
        value = value[key]
    return value


def shares(t: Tally, key: str = "correct") -> dict[int, float]:
    """{T: share of the images} of what a run's tally counts under `key`: by default the accuracy."""
    return {int(step): number(t, key, step) / number(t, "images") for step in branch(t, key)}
