"""Each output of a network that has several, as it is: its values against the ANN's own, such as the raw maps
of a detector's heads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from dnisnm_lava.backends import ann
from dnisnm_lava.backends.results import Run
from dnisnm_lava.data.inputs import Device
from dnisnm_lava.evaluation.tallies import Tally, branch, said, scores
from dnisnm_lava.ir import AnalogGraph, Graph
from dnisnm_lava.measures import Measure, Score, of


def measures(graph: Graph) -> dict[str, Measure]:
    """{output: its values against the ANN's}, where there are several; else none."""
    names = list(graph.output_shapes)
    return {name: of(graph, None, "values", name) for name in names} if len(names) > 1 else {}


def own(analog: AnalogGraph, images: np.ndarray, device: Device = "cpu") -> dict[str, np.ndarray]:
    """{output: (N, *shape) the ANN's values}, of each of several."""
    told = measures(analog)
    values = ann.outputs(analog, images, list(told), device=device) if told else {}
    return {name: measure.said(values[name]) for name, measure in told.items()}


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
