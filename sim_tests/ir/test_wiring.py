"""Synapses one by one: their sum is the projection, and there are as many as `fanout` counts."""

from __future__ import annotations

import numpy as np
from graphs import gated_graphs, integer_graphs
from hypothesis import given, settings

from dnisnm_lava.ir import Gate, Input, MaxPool, SpikingGraph, fanout
from dnisnm_lava.ir.wiring import heard, wired


@given(integer_graphs())
@settings(max_examples=60, deadline=None)
def test_synapses_one_by_one_add_up_to_the_projection(graph: SpikingGraph) -> None:
    rng = np.random.default_rng(0)
    for p in graph:
        for q in heard(p, graph):
            source = graph[q.source].shape
            spikes = rng.integers(-3, 4, source)
            neurons = np.flatnonzero(spikes)
            found = wired(q, source).of(neurons)
            sums = np.zeros(int(np.prod(p.shape)), np.int64)
            np.add.at(sums, found.target, found.weight * spikes.reshape(-1)[neurons[found.source]])
            np.testing.assert_array_equal(sums.reshape(p.shape), q(spikes[None])[0])
            each = np.zeros(source, np.int64).reshape(-1)
            np.add.at(each, neurons[found.source], 1)
            counted = fanout.of_max_pool(p, source) if isinstance(p, MaxPool) else None
            expected = fanout.of_projection(q, source) if counted is None else counted
            np.testing.assert_array_equal(each.reshape(source), expected * (spikes != 0))


@given(gated_graphs())
@settings(max_examples=20, deadline=None)
def test_a_gate_hears_each_value_that_its_products_take(graph: SpikingGraph) -> None:
    for p in graph.of(Gate):
        for q in heard(p, graph):
            source = graph[q.source].shape
            found = wired(q, source).of(np.arange(int(np.prod(source))))
            values = np.arange(int(np.prod(source))).reshape(source)
            expected = np.broadcast_to(values, p.shape).reshape(-1)
            np.testing.assert_array_equal(found.source[np.argsort(found.target)], expected)
            assert len(found.source) == int(fanout.of_gate(p, source).sum())


@given(integer_graphs())
@settings(max_examples=5, deadline=None)
def test_the_image_hears_nothing(graph: SpikingGraph) -> None:
    assert [heard(p, graph) for p in graph.of(Input)] == [()]
