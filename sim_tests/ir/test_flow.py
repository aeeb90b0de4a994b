"""`Graph.flow`: a graph's values, each held as long as a population still reads it."""

from __future__ import annotations

import graphs
import numpy as np

from dnisnm_lava.ir import Graph, Input, Projection, SpikingGraph
from dnisnm_lava.ir.populations import sources


def with_shortcuts() -> SpikingGraph:
    """input -> a -> b -> c -> out, where c reads a too, twice, and `out` the image; e is a second output of
    b."""
    rng = np.random.default_rng(0)
    shape = (2, 1, 1)

    def reading(*names: str) -> tuple[Projection, ...]:
        return tuple(Projection(name, graphs.weights(rng, 2, 2, 1, 1)) for name in names)

    a, b, c = (
        graphs.snm(n, shape, reading(*r), rng)
        for n, r in (("a", ["input"]), ("b", ["a"]), ("c", ["b", "a", "a"]))
    )
    out, e = (graphs.readout(n, shape, reading(*r), rng) for n, r in (("out", ["c", "input"]), ("e", ["b"])))
    return SpikingGraph((Input("input", shape, np.ones(2), 8), a, b, c, out, e), steps=2)


def test_values_are_dropped_once_nobody_reads_them() -> None:
    values: dict[str, str] = {}
    held = []
    for p, heard in with_shortcuts().flow(values):
        assert heard == {name: name for name in sources(p)}
        values[p.name] = p.name
        held.append("".join(name[0] for name in values))
    assert held == ["i", "ia", "iab", "iabc", "ibco", "boe"]  # never more than 4 of 6 at once
    assert list(values) == ["out", "e"]


def test_values_are_those_of_a_walk_that_keeps_all() -> None:
    graph: Graph = with_shortcuts()
    rng = np.random.default_rng(1)
    x = rng.integers(-5, 6, (3, *graph.input.shape))
    flowing: dict[str, np.ndarray] = {}
    kept: dict[str, np.ndarray] = {}
    for p, heard in graph.flow(flowing):
        for values, read in ((flowing, heard), (kept, kept)):
            own = [q(read[q.source]) for q in getattr(p, "projections", ())]
            values[p.name] = x if isinstance(p, Input) else np.asarray(np.maximum(sum(own), 0))
    assert list(flowing) == ["out", "e"]
    for name, value in flowing.items():
        np.testing.assert_array_equal(value, kept[name])
