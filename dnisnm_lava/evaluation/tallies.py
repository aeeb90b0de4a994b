"""What a run says of some images, as integers that add up: in any cut of the images, on any number of
machines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce

import numpy as np

from dnisnm_lava.backends.results import Run
from dnisnm_lava.evaluation import sanity
from dnisnm_lava.evaluation.exits import Exits, classes_at, exit_steps
from dnisnm_lava.evaluation.sanity import CAUSES, Alarm
from dnisnm_lava.measures import Counts, Measure, Score
from dnisnm_lava.measures.answers import Answers, of_measure
from dnisnm_lava.measures.measure import LARGEST, WORST

Tally = Counts
MARKS = "marks"  # of a tally: what each image got, which does not add up


def tally(run: Run, measure: Measure, wanted: Mapping[str, np.ndarray], steps: Iterable[int]) -> Tally:
    """images; of each of `wanted`, {name: (N, *spots)}: {steps: {T: counts}, spread}; spikes: {population:
    {up, down}}; saturations: {population: neurons}; clipped_inputs."""
    return {**measured({t: said(run, measure, t) for t in steps}, measure, wanted), **activity(run)}


def measured(answers: Mapping[int, np.ndarray], measure: Measure, wanted: Mapping[str, np.ndarray]) -> Tally:
    """The first part of it, of {T: answers (N, *spots)}."""
    return {
        name: {
            "steps": {str(t): measure.count(found, right) for t, found in answers.items()},
            "spread": measure.spread(right),
        }
        for name, right in wanted.items()
    }


def activity(run: Run) -> Tally:
    """The other part."""
    return {
        "images": len(run.logits),
        "spikes": {name: {"up": up, "down": down} for name, (up, down) in run.spike_counts.items()},
        "saturations": dict(run.saturations),
        "clipped_inputs": run.clipped_inputs,
    }


def said(run: Run, measure: Measure, t: int) -> np.ndarray:
    """(N, *spots) what the run answers after t steps."""
    return measure.said(run.rates(t, measure.output))


def early(run: Run, measure: Measure, wanted: np.ndarray, exits: Exits) -> Tally:
    """counts: with each image stopped early; steps: how many they took, together."""
    scores = run.scores_of(measure.output)
    steps = exit_steps(scores, exits)
    found = classes_at(scores, steps).reshape(wanted.shape)
    return {"counts": measure.count(found, wanted), "steps": int(steps.sum())}


def scores(t: Tally, measure: Measure, name: str, spread: Tally | None = None) -> dict[int, Score]:
    """{T: score} of what a run's tally counts under `name`. spread: of more images than these."""
    around, images = branch(t, name, "spread") if spread is None else spread, number(t, "images")
    return {
        int(step): measure.score(branch(t, name, "steps", step), around, images)
        for step in branch(t, name, "steps")
    }


def guessed(measure: Measure, answers: np.ndarray, labels: np.ndarray | None) -> Tally:
    """What alarms need of answers and labels (N, *spots): right; classes, said: {class of the output: answers
    of it}, of one class an image or a pixel; maps: images with pixels; labels: {label: {label and answer,
    "01": how many}} of images with several labels. Nothing of values, and without labels."""
    found = None if labels is None or not measure.is_share else of_measure(measure, answers, labels)
    several = measure.kind == "binary" and bool(measure.shape) and measure.shape[0] > 1
    count = (
        0 if labels is None or not measure.is_share else measure.classes if measure.kind == "classes" else 2
    )
    table = np.zeros((count, count), np.int64) if found is None else found.table
    none = np.zeros((measure.shape[0] if several else 0, 2, 2), np.int64)
    each = none if found is None or found.by_label is None else found.by_label
    return {
        "right": int(np.trace(table)),
        "maps": 0 if found is None else found.maps,
        "classes": {str(i): int(n) for i, n in enumerate(table.sum(axis=1))},
        "said": {str(i): int(n) for i, n in enumerate(table.sum(axis=0))},
        "labels": {
            str(i): {f"{a}{b}": int(cell[a, b]) for a in (0, 1) for b in (0, 1)}
            for i, cell in enumerate(each)
        },
    }


def alarms(
    t: Tally, data: str, expected: float | None = None, causes: Sequence[str] = CAUSES, who: str = "the ANN"
) -> tuple[Alarm, ...]:
    """Those of `sanity` of what `guessed` told."""
    maps, labels = number(t, "maps"), branch(t, "labels")
    if labels:
        by_label = np.array(
            [[[number(labels, name, f"{a}{b}") for b in (0, 1)] for a in (0, 1)] for name in labels]
        )
        found = Answers(by_label.sum(axis=0), by_label, maps)
        return sanity.of_answers(found if found.of else None, data, expected, causes, who)
    by_class, said = ([number(t, key, name) for name in branch(t, key)] for key in ("classes", "said"))
    if not sum(by_class):
        return ()
    return sanity.set_up(number(t, "right"), by_class, data, expected, causes, who, said=said, maps=maps)


def alone(a: Mapping[int, np.ndarray], b: Mapping[int, np.ndarray]) -> Tally:
    """{float, integer: {T: images of which it alone is right}}, from {T: (N,) is it right?} of the two;
    nothing of maps, whose pixels are no trials of their own."""
    pairs = {"float": (a, b), "integer": (b, a)}
    return {
        key: {str(t): int(np.count_nonzero(one[t] & ~other[t])) for t in one if one[t].size == len(one[t])}
        for key, (one, other) in pairs.items()
    }


def total(tallies: Iterable[Tally]) -> Tally:
    """The sum, key by key, without the marks: they are each part's own (`marks.joined` has them together)."""
    return reduce(_added, ({key: value for key, value in t.items() if key != MARKS} for t in tallies))


def _added(a: Tally, b: Tally) -> Tally:
    if a.keys() != b.keys():
        raise ValueError(
            f"tallies of {sorted(a)} and {sorted(b)} do not add up; tally the same runs on all images"
        )
    return {key: _worse(a[key], b[key]) if key in (WORST, LARGEST) else _sum(a[key], b[key]) for key in a}


def _worse(a: int | Tally, b: int | Tally) -> Tally:
    """The worse of two images; the first of equals, in any order."""
    assert isinstance(a, dict)
    assert isinstance(b, dict)
    return max(a, b, key=lambda t: (number(t, "error"), -number(t, "image")))


def placed(t: Tally, first: int) -> Tally:
    """The same, of images of which so many came before: places of images count all."""
    return {key: _placed(key, value, first) for key, value in t.items()}


def _placed(key: str, value: int | Tally, first: int) -> int | Tally:
    if not isinstance(value, dict):
        return value
    if key in (WORST, LARGEST):
        return {**value, "image": number(value, "image") + first}
    return placed(value, first)


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
