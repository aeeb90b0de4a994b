"""Each output of a network that has several, as it is: its values against the ANN's own, such as the raw maps
of a detector's heads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from dnisnm_lava.backends.results import Run
from dnisnm_lava.evaluation.tallies import Tally, branch, said, scores
from dnisnm_lava.ir import Graph
from dnisnm_lava.measures import Measure, Score, of


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
