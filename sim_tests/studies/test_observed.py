"""One watched run tells what each study's own would."""

from __future__ import annotations

import graphs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnisnm_lava.backends import watched
from dnisnm_lava.backends.observing import First, together
from dnisnm_lava.ir import Population, SpikingGraph
from dnisnm_lava.studies.costs import energy
from dnisnm_lava.studies.loihi2 import runtime
from dnisnm_lava.studies.observed import Watch


@given(graphs.integer_graphs(), st.integers(0, 5), st.integers(1, 5), st.integers(1, 5))
@settings(max_examples=12, deadline=None)
def test_a_watched_run_tells_costs_and_time_as_runs_of_their_own(
    graph: SpikingGraph, begun: int, counted: int, timed: int
) -> None:
    """Of images of which the first `begun` were watched in a run of somebody else; some graphs lead."""
    x = np.random.default_rng(7).integers(-3, 4, (5, *graph.input.shape)).astype(np.float32)
    steps = (1, 3, 4)
    watch = Watch(graph, steps, counted, timed)
    if begun:
        watched.run(graph, x[:begun], steps=4, observe=watch.observe)
    found = watch.found(x)
    assert found.costs == energy.energies(graph, x[:counted], steps)
    assert found.runtimes == runtime.runtimes(graph, x[:timed], steps)


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_an_observer_of_the_first_images_is_told_of_no_others(at_once: int) -> None:
    """Whatever the cut: here runs of 1, 2 or 3 images after one another."""
    graph, x = graphs.small()
    everything: list[np.ndarray] = []
    few: list[np.ndarray] = []

    def keep(told: list[np.ndarray]):  # type: ignore[no-untyped-def]
        def observe(p: Population, step: int, v: np.ndarray, m: np.ndarray, k: np.ndarray) -> None:
            if p.name == graph.readout.name and step == 2:
                told.append(v)

        return observe

    watch = together(keep(everything), First(4, keep(few)))
    for start in range(0, 6, at_once):
        watched.run(graph, x[start : start + at_once], steps=2, observe=watch)
    np.testing.assert_array_equal(np.concatenate(few), np.concatenate(everything)[:4])
