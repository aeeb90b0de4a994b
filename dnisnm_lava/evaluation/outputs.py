"""Each output of a network that has several: as it is, its values against the ANN's own, such as the raw maps
of a detector's heads; and, where it has labels or targets of its own, against them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dnisnm_lava.backends.results import Run
from dnisnm_lava.data import inputs
from dnisnm_lava.data.inputs import Labels
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.evaluation.tallies import Tally, branch, measured, said, scores
from dnisnm_lava.ir import Graph
from dnisnm_lava.measures import AUTO, Asked, Measure, Score, ask, asked, named_output, of, of_own

Targets = Mapping[str | int, Labels]  # of outputs, by name or index


def measures(graph: Graph) -> dict[str, Measure]:
    """{output: its values against the ANN's}, where there are several; else none."""
    names = list(graph.output_shapes)
    return {name: of(graph, None, "values", name) for name in names} if len(names) > 1 else {}


def own(graph: Graph, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """{output: (N, *shape) the ANN's values, as they are measured}, of each of several. values: the ANN's."""
    return {name: measure.said(values[name]) for name, measure in measures(graph).items()}


def counted(
    graph: Graph, run: Run, right: Mapping[str, np.ndarray], steps: Sequence[int]
) -> dict[str, int | Tally]:
    """{output: {ann: {steps: {T: counts}, spread}}} after each of `steps` of one run."""
    return {
        name: {
            "ann": {
                "steps": {str(t): measure.count(said(run, measure, t), right[name]) for t in steps},
                "spread": measure.spread(right[name]),
            }
        }
        for name, measure in measures(graph).items()
    }


def fits(graph: Graph, found: Tally) -> dict[str, Mapping[int, Score]]:
    """{output: {T: the fit}} of what `counted` told, of outputs of the ANN that vary. found: a run's tally,
    with `images`."""
    told: dict[str, Mapping[int, Score]] = {}
    for name, measure in measures(graph).items():
        own = {"images": found["images"], **branch(found, "outputs", name)}
        if measure.varies(branch(own, "ann", "spread")):
            told[name] = scores(own, measure, "ann")
    return told


# ---------------------------------------------------------------- outputs with labels of their own


@dataclass(frozen=True, eq=False)
class Wanted:
    """What the images of one network should get. measure, labels: of the measured output; further: {another
    output: (its measure, its labels (N, ...))}."""

    measure: Measure
    labels: np.ndarray | None
    further: Mapping[str, tuple[Measure, np.ndarray]]

    @property
    def measures(self) -> dict[str, Measure]:
        return {name: measure for name, (measure, _) in self.further.items()}


def as_before(aim: Wanted, graph: Graph, images: int, labels: np.ndarray | None, targets: Targets) -> Wanted:
    """What `wanted` told of some images, of `images` others: measured the same."""
    given = {named_output(graph.output_shapes, key): values for key, values in targets.items()}
    mine = given.pop(aim.measure.output, None)
    own = labels if mine is None else inputs.labels(mine, images)
    further = {name: (measure, inputs.labels(given[name], images)) for name, measure in aim.measures.items()}
    return Wanted(aim.measure, own, further)


def wanted(
    graph: Graph, images: int, labels: np.ndarray | None, targets: Targets | None, measure: Asked
) -> Wanted:
    """From the labels (N, ...) of so many images, and those of single outputs, which come first. OutOfRange
    for an output that is told twice, or is none."""
    given: dict[str, np.ndarray] = {}
    for key, values in (targets or {}).items():
        name = named_output(graph.output_shapes, key)
        if name in given:
            raise OutOfRange(f"targets: output {name} given twice; give each once")
        given[name] = inputs.labels(values, images)
    wish = ask(measure)
    name = named_output(graph.output_shapes, wish.output)
    own = given.pop(name, None)
    if own is None:
        found = asked(graph, labels, measure)
    elif isinstance(measure, Measure) or wish.kind != AUTO:
        found, labels = of(graph, own, wish.kind, name, wish.ignored), own
    else:
        found, labels = of_own(graph, own, name, wish.ignored), own
    return Wanted(
        found,
        labels,
        {n: (of_own(graph, values, n, wish.ignored), values) for n, values in given.items()},
    )


def met(
    said_of: Mapping[str, Mapping[int, np.ndarray]], further: Mapping[str, tuple[Measure, np.ndarray]]
) -> Tally:
    """{output: {labels: {steps: {T: counts}, spread}}} of {output: {T: answers (N, *spots)}}."""
    return {
        name: measured(answers, further[name][0], {"labels": further[name][0].wanted(further[name][1])})
        for name, answers in said_of.items()
    }


def met_by(run: Run, further: Mapping[str, tuple[Measure, np.ndarray]], steps: Sequence[int]) -> Tally:
    """The same of a run, after each of `steps`."""
    return met({n: {t: said(run, m, t) for t in steps} for n, (m, _) in further.items()}, further)


def scores_of(found: Tally, measures: Mapping[str, Measure]) -> dict[str, dict[int, Score]]:
    """{output: {T: score}} of a network's tally, with `images` and `met`."""
    return {
        name: scores({"images": found["images"], **branch(found, "met", name)}, measure, "labels")
        for name, measure in measures.items()
    }
