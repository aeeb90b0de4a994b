"""Who watches a run: the executors tell the same of every step, and what they tell adds up to what they
record."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import numpy as np
import oracle
import pytest
from graphs import curved_graphs, gated_graphs, integer_graphs, small
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import assert_same

from dnisnm_lava.backends import batched, reference
from dnisnm_lava.backends.batched import chunks
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir import SNM, Gate, Input, MaxPool, Population, ReadOut, SpikingGraph
from dnisnm_lava.ir.integers import encode_images

GRAPHS = st.one_of(integer_graphs(), curved_graphs(), gated_graphs())
Steps = list[tuple[int, np.ndarray, np.ndarray, np.ndarray]]


class Notes:
    """An observer that keeps all it is told, and in which order."""

    def __init__(self) -> None:
        self.order: list[tuple[str, int, int]] = []  # population, step, images
        self.of: dict[str, Steps] = defaultdict(list)

    def __call__(
        self, population: Population, step: int, v: np.ndarray, m: np.ndarray, k: np.ndarray
    ) -> None:
        assert v.shape == m.shape == k.shape == (len(v), *population.shape)
        self.order.append((population.name, step, len(v)))
        self.of[population.name].append((step, v, m, k))

    def __len__(self) -> int:
        return 0  # whatever is given is called, also where it is false

    def over_time(self, name: str) -> np.ndarray:
        """(3, N, T + lead, *shape) of v, m and k, whatever the chunks."""
        steps = max(step for step, *_ in self.of[name])
        whole = [
            [np.concatenate([told[i] for told in self.of[name] if told[0] == t]) for t in range(1, steps + 1)]
            for i in (1, 2, 3)
        ]
        return np.moveaxis(np.array(whole), 1, 2)


@settings(max_examples=40)
@given(graph=GRAPHS, seed=st.integers(0, 1000))
def test_what_the_reference_tells_adds_up_to_the_spikes_that_it_records(
    graph: SpikingGraph, seed: int
) -> None:
    x = np.random.default_rng(seed).integers(-140, 141, (2, *graph.input.shape)).astype(float)
    notes = Notes()
    run = reference.run(graph, x, observe=notes)
    codes, _ = encode_images(graph, x)
    for p in graph:
        v, m, k = notes.over_time(p.name)
        np.testing.assert_array_equal(m, np.cumsum(k, axis=1))
        if isinstance(p, SNM):
            np.testing.assert_array_equal(k[:, : p.lead], 0)
            np.testing.assert_array_equal(k[:, p.lead :] * p.payload, run.spikes[p.name])
            assert p.two_sided or (m >= 0).all()
        elif isinstance(p, Gate):
            np.testing.assert_array_equal(k * p.payload, run.spikes[p.name])
        elif isinstance(p, MaxPool):
            np.testing.assert_array_equal(k, run.spikes[p.name])
        elif isinstance(p, Input):
            np.testing.assert_array_equal(k, np.repeat(codes[:, None], graph.steps, axis=1))
        else:
            sums = run.logits if p.name == graph.readout.name else run.further[p.name]
            np.testing.assert_array_equal(v, sums.reshape(v.shape))
        if not isinstance(p, SNM | ReadOut):
            assert not v.any()


@settings(max_examples=30)
@given(graph=GRAPHS, seed=st.integers(0, 1000))
def test_potentials_and_memories_are_those_of_python_integers(graph: SpikingGraph, seed: int) -> None:
    x = np.random.default_rng(seed).integers(-127, 128, (1, *graph.input.shape)).astype(float)
    notes = Notes()
    reference.run(graph, x, observe=notes)
    code = encode_images(graph, x)[0][0].astype(object)
    sent = {name: list(trace) for name, trace in oracle.simulate(graph, code, graph.steps).items()}
    for p in graph.of(SNM):
        v, m, _ = notes.over_time(p.name)
        arriving = [oracle.arriving(p, sent, t) for t in range(graph.steps)]
        for i, neuron in oracle.neurons_of(p, graph.steps).items():
            for t in range(graph.steps + p.lead):
                if t < graph.steps:
                    neuron.integrate(int(arriving[t][i]))
                if t >= p.lead:
                    neuron.fire()
                assert (v[(0, t, *i)], m[(0, t, *i)]) == (neuron.v, neuron.m)


@settings(max_examples=50)
@given(graph=GRAPHS, seed=st.integers(0, 1000), way=st.sampled_from(["auto", "int8", "float64"]))
def test_batched_tells_what_the_reference_tells(graph: SpikingGraph, seed: int, way: str) -> None:
    x = np.random.default_rng(seed).integers(-140, 141, (3, *graph.input.shape)).astype(float)
    one, many = Notes(), Notes()
    reference.run(graph, x, observe=one)
    run = batched.run(graph, x, record=True, synapses=way, observe=many)
    for p in graph:
        np.testing.assert_array_equal(many.over_time(p.name), one.over_time(p.name), err_msg=p.name)
    assert_same(batched.run(graph, x, record=True), run)


@pytest.mark.parametrize("options", [{}, {"levels": 2, "lead": 3}, {"levels": 7, "down": 0.0}])
def test_a_float_network_is_told_in_floats_and_nearly_alike(options: dict[str, float]) -> None:
    """Sums of another order: potentials differ by float64's rounding of values around 1, levels at a tie
    alone, of which there is none."""
    graph, x = small(quantize=False, **options)
    one, many = Notes(), Notes()
    reference.run(graph, x[:3], observe=one)
    batched.run(graph, x[:3], observe=many)
    for p in graph:
        assert {a.dtype for notes in (one, many) for told in notes.of[p.name] for a in told[1:]} == {
            np.dtype(float)
        }
        (v, *levels), (same_v, *same_levels) = one.over_time(p.name), many.over_time(p.name)
        np.testing.assert_allclose(v, same_v, atol=1e-12)
        if isinstance(p, SNM):
            np.testing.assert_array_equal(levels, same_levels)


def test_integers_are_told_in_64_bits() -> None:
    graph, x = small()
    one, many = Notes(), Notes()
    reference.run(graph, x[:2], observe=one)
    batched.run(graph, x[:2], observe=many)
    told = [a for notes in (one, many) for steps in notes.of.values() for step in steps for a in step[1:]]
    assert {a.dtype for a in told} == {np.dtype(np.int64)}


def test_images_come_in_their_order_and_each_chunk_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads would take a chunk each; whoever watches hears the chunks one after the other."""
    graph, x = small(lead=2)
    whole, cut = Notes(), Notes()
    batched.run(graph, x[:6], observe=whole)
    monkeypatch.setattr(chunks, "SPIKES", 1)  # one image a chunk
    monkeypatch.setattr("torch.get_num_threads", lambda: 2)
    batched.run(graph, x[:6], observe=cut)
    once = [(p.name, t + 1, 1) for p in graph for t in range(graph.steps + getattr(p, "lead", 0))]
    assert cut.order == once * 6
    assert whole.order == [(name, step, 6) for name, step, _ in once]
    for p in graph:
        np.testing.assert_array_equal(cut.over_time(p.name), whole.over_time(p.name))


@pytest.mark.parametrize("quantize", [True, False])
def test_what_was_told_stays_as_it_was(quantize: bool) -> None:
    """Potentials go on in place; those that an observer keeps are of their step."""
    graph, x = small(levels=3, quantize=quantize)
    kept, copied = Notes(), Notes()

    def both(p: Population, step: int, v: np.ndarray, m: np.ndarray, k: np.ndarray) -> None:
        kept(p, step, v, m, k)
        copied(p, step, v.copy(), m.copy(), k.copy())

    batched.run(graph, x[:2], observe=both)
    for p in graph:
        np.testing.assert_array_equal(kept.over_time(p.name), copied.over_time(p.name))


@pytest.mark.parametrize("levels", [1, 31])
def test_a_watched_run_lies_in_memory_as_any_other(levels: int) -> None:
    """So that `explain`, whose sums of squares are of floats, has the same last bit."""
    graph, x = small(levels=levels)
    plain, watched = (batched.run(graph, x[:3], record=True, observe=o) for o in (None, Notes()))
    for name, spikes in plain.spikes.items():
        assert watched.spikes[name].strides == spikes.strides, name
    assert watched.logits.strides == plain.logits.strides


def test_fewer_bits_of_state_are_told_as_they_are() -> None:
    graph, x = small(levels=3)
    narrow = SpikingGraph(
        tuple(replace(p, state_bits=8) if isinstance(p, SNM) else p for p in graph), steps=graph.steps
    )
    notes = Notes()
    run = batched.run(narrow, x[:4], observe=notes)
    assert sum(run.saturations.values()) > 0
    for p in narrow.of(SNM):
        v, _, k = notes.over_time(p.name)
        assert np.abs(v + k * p.vth).max() <= 127


def test_compiled_neurons_cannot_be_observed() -> None:
    graph, x = small()
    with pytest.raises(OutOfRange, match=r"neurons: compiled asked for, and observe.*choose auto or stepped"):
        batched.run(graph, x[:1], neurons="compiled", observe=Notes())


@pytest.mark.parametrize("run", [reference.run, batched.run])
def test_what_an_observer_raises_ends_the_run(run: type) -> None:
    class Enough(Exception):
        pass

    def stop(*_: object) -> None:
        raise Enough

    graph, x = small()
    with pytest.raises(Enough):
        run(graph, x[:2], observe=stop)
