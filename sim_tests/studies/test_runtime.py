"""The bound on time: what cores and links are asked for is counted again here, synapse by synapse and router
by router."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from graphs import curved, gated, gated_graphs, integer_graphs, small
from hypothesis import given, settings
from hypothesis import strategies as st

import dnisnm_lava as dn
from dnisnm_lava.backends import streams
from dnisnm_lava.errors import BadFile, OutOfRange
from dnisnm_lava.ir import SNM, Gate, MaxPool, Projection, ReadOut, SpikingGraph, arithmetic, sources
from dnisnm_lava.ir.integers import largest_spikes
from dnisnm_lava.studies.costs.counts import count
from dnisnm_lava.studies.loihi2 import layers, rates, runtime, traffic
from dnisnm_lava.studies.loihi2.rates import TERMS


def cut(graph: SpikingGraph, rng: np.random.Generator) -> dict[str, traffic.Placed]:
    """Each population on several cores, cut anyhow."""
    rows = [
        replace(row, tile=tuple(int(rng.integers(1, n + 1)) for n in row.shape))
        for row in layers.estimate(graph)
    ]
    return traffic.placed(tuple(rows))


def ways_of_a_neuron(
    graph: SpikingGraph, source: str, reader: str, at: tuple[int, ...], zeros: bool = False
) -> list[np.ndarray]:
    """For each projection of the reader from the source, (*shape of the reader) synapses from one neuron:
    what a spike of 1 gives where each weight that is not 0 is 1; zeros: and those of a kernel that are 0."""
    p, one = graph[reader], np.zeros((1, *graph[source].shape), np.int64)
    one[(0, *at)] = 1
    if isinstance(p, SNM | ReadOut):
        return [_present(q, zeros)(one)[0] for q in p.projections if q.source == source]
    if isinstance(p, Gate):
        return [np.broadcast_to(one[0], p.shape) for name in sources(p) if name == source]
    assert isinstance(p, MaxPool)
    return [arithmetic.sum_pool(one, p.window)[0]]


def _present(q: Projection, zeros: bool) -> Projection:
    matrices = q.resample and replace(
        q.resample, rows=(q.resample.rows != 0) * 1, cols=(q.resample.cols != 0) * 1
    )
    weight = (q.weight != 0) | (zeros and q.is_conv)
    return replace(q, weight=weight.astype(np.int8), exponent=0, resample=matrices)


@settings(max_examples=12, deadline=None)
@given(graph=st.one_of(integer_graphs(), gated_graphs()), seed=st.integers(0, 1000))
def test_each_core_and_each_message_is_counted_once(graph: SpikingGraph, seed: int) -> None:
    rng = np.random.default_rng(seed)
    where = cut(graph, rng)
    for source, reader, way, _ in _one_way_of_a_pair(graph, where):
        spikes = (rng.random((2, *graph[source].shape)) < 0.3).astype(float)
        operations = np.zeros((2, len(where[reader].neurons)))
        messages = np.zeros((2, len(where[source].neurons), len(where[reader].neurons)))
        for at in np.argwhere(spikes.any(0)):
            (heard,) = ways_of_a_neuron(graph, source, reader, tuple(at))
            each = np.bincount(
                where[reader].core_of_neuron, weights=heard.reshape(-1), minlength=operations.shape[1]
            )
            own = where[source].core_of_neuron.reshape(graph[source].shape)[tuple(at)]
            sends = spikes[(slice(None), *at)]
            operations += sends[:, None] * each
            (heard,) = ways_of_a_neuron(graph, source, reader, tuple(at), zeros=True)
            reached = np.bincount(where[reader].core_of_neuron, weights=heard.reshape(-1)) > 0
            messages[:, own, : len(reached)] += sends[:, None] * reached
        spikes = spikes.reshape(2, *where[source].shape)
        np.testing.assert_array_equal(way.operations(spikes), operations)
        np.testing.assert_array_equal(way.messages(spikes, where[source]), messages)


def _one_way_of_a_pair(graph: SpikingGraph, where: dict[str, traffic.Placed]) -> list:  # type: ignore[type-arg]
    """Ways of those pairs that have one alone."""
    found = list(traffic.ways(graph, where))
    pairs = Counter((source, reader) for source, reader, *_ in found)
    return [way for way in found if pairs[way[:2]] == 1]


@pytest.mark.parametrize("make", [small, curved, gated, lambda: small(levels=3, lead={"conv1": 2})])
def test_the_total_of_all_cores_is_what_costs_count(make) -> None:  # type: ignore[no-untyped-def]
    graph, x = make()
    found = runtime.runtime(graph, x[:3])
    counted = count(graph, x[:3])
    delivered = sum(s.delivered for a in counted.populations for s in a.synapses)
    terms = {t.name: t for t in found.terms}
    assert round(3 * terms["synaptic_operation"].total) == delivered
    assert terms["neuron_update"].total == found.period * sum(a.neurons for a in counted.populations)
    assert found.steps == max(graph.window_starts()[p.name] for p in graph) + graph.steps  # a lead is in it


@pytest.mark.parametrize("make", [small, gated])
def test_links_pass_the_bits_of_each_message(make) -> None:  # type: ignore[no-untyped-def]
    """Of 128 cores of 16,000 input axons one is named, in 21 bits; beside it the value and its sign."""
    graph, x = make()
    sent = runtime._sent(graph, x[:2], graph.steps)
    where, largest, bits = traffic.placed(layers.estimate(graph)), largest_spikes(graph), 0
    for source, _, way, _ in traffic.ways(graph, where):
        for t in range(graph.steps):
            spikes = sent[source][:, t].astype(np.float64).reshape(2, *where[source].shape)
            messages = way.messages(spikes, where[source]).sum()
            bits += messages * (21 + largest[source].bit_length() + 1)
    found = {term.name: term for term in runtime.runtime(graph, x[:2]).terms}
    assert found["link_bit"].total == bits / 2
    assert 0 < found["link_bit"].most <= found["link_bit"].total


def test_messages_go_along_rows_first_then_along_columns() -> None:
    rng = np.random.default_rng(0)
    sent = rng.integers(0, 5, (150, 150))  # two chips
    walked: Counter[tuple[str, int, int]] = Counter()
    y, x = traffic.router_of(np.arange(150))
    for a, b in np.argwhere(sent):
        here = x[a]
        while here != x[b]:
            if here < x[b]:
                walked["east", y[a], here] += sent[a, b]
                here += 1
            else:
                here -= 1
                walked["west", y[a], here] += sent[a, b]
        up = y[a]
        while up != y[b]:
            if up < y[b]:
                walked["south", up, here] += sent[a, b]
                up += 1
            else:
                up -= 1
                walked["north", up, here] += sent[a, b]
    everywhere = slice(0, 150)
    of_both = traffic.loads(np.stack([sent, 0 * sent]), everywhere, everywhere, 150)
    assert all(not a[1].any() for a in of_both.values())
    found = {key: a[0] for key, a in of_both.items()}
    for key in ("east", "west", "south", "north"):
        assert found[key].sum() == sum(n for (k, *_), n in walked.items() if k == key)
        for (k, row, column), n in walked.items():
            if k == key:
                assert found[key][row, column] == n
    assert found["out of a core"].sum() == found["into a core"].sum() == sent.sum()


def test_the_bound_is_the_largest_term_of_each_step() -> None:
    """By hand, of two cores and two steps of two images."""
    operations = np.array([[[3.0, 0.0], [1.0, 0.0]], [[0.0, 10.0], [0.0, 2.0]]])
    nothing = {"out of a core": np.zeros((2, 2, 1, 2))}
    row = layers.estimate(small()[0])[0]
    where = {
        name: traffic.Placed(i, replace(row, name=name, shape=(4,), tile=(4,)))
        for i, name in enumerate(("a", "b"))
    }
    work = runtime.Work(where, np.array([4, 4]), operations, 2 * operations, nothing)
    chip = rates.Rates(
        "of this test",
        {
            "neuron_update": rates.Rate(1e-9, "measured", "by hand"),
            "synaptic_operation": rates.Rate(1e-9, "measured", "by hand"),
            "synapse_read": rates.Rate(None, "unknown", "nowhere"),
            "link_bit": rates.Rate(None, "unknown", "nowhere"),
            "barrier": rates.Rate(2e-9, "measured", "by hand"),
        },
    )
    found = runtime.bound(work, 1, chip)
    assert found.latency == pytest.approx(1e-9 * (4 + 10 + 4 + 4) / 2)  # updates in three of four steps
    assert found.seconds == pytest.approx(1e-9 * (10 + 4) / 2)  # both steps at once, an image each step
    assert found.limiting == "synaptic_operation"
    assert found.relief == runtime.Relief("b", 2, pytest.approx(1e-9 * (5 + 4) / 2))
    known = replace(chip, of={**chip.of, "synapse_read": rates.Rate(1e-9, "measured", "by hand")})
    assert runtime.bound(work, 1, known).limiting == "synapse_read"
    assert runtime.bound(work, 1, known).seconds == pytest.approx(1e-9 * (20 + 4) / 2)


def test_an_unknown_rate_is_counted_and_left_out() -> None:
    graph, x = small()
    found = runtime.runtime(graph, x[:2])
    assert found.rates.unknown == ("synapse_read", "link_bit")
    of = {t.name: t for t in found.terms}
    assert of["link_bit"].seconds is None
    assert of["link_bit"].most > 0
    assert found.seconds >= max(t.seconds for t in found.terms if t.seconds is not None)
    assert found.frames_a_second == 1 / found.seconds


def test_steps_apart_are_slices_of_one_run() -> None:
    graph, x = small()
    both = runtime.runtimes(graph, x[:2], (2, 6))
    for t, found in both.items():
        alone = runtime.runtime(graph, x[:2], steps=t)
        assert found == alone


def test_rates_of_a_file(tmp_path: Path) -> None:
    own = json.loads(Path(runtime.__file__).with_name("rates.json").read_text())
    own["link_bit"] = {"value": 1e-9, "status": "measured", "source": "a board"}
    path = tmp_path / "rates.json"
    path.write_text(json.dumps(own))
    assert rates.rates(path).unknown == ("synapse_read",)
    assert set(rates.rates().of) == set(TERMS)
    for value, status in ((-1, "measured"), ("fast", "measured"), (None, "published"), (1e-9, "guessed")):
        own["link_bit"] = {"value": value, "status": status, "source": "a board"}
        path.write_text(json.dumps(own))
        with pytest.raises(BadFile, match="link_bit is"):
            rates.rates(path)
    path.write_text("{}")
    with pytest.raises(BadFile, match="no file of rates"):
        rates.rates(path)
    with pytest.raises(BadFile, match="cannot be read"):
        rates.rates(tmp_path / "none.json")


def test_what_has_no_bound_is_refused() -> None:
    graph, x = small(quantize=False)
    with pytest.raises(OutOfRange, match="floats"):
        runtime.runtime(graph, x[:1])
    graph, x = small(lead=2)
    with pytest.raises(OutOfRange, match="windows take 8"):
        runtime.runtime(graph, x[:1], period=7)
    with pytest.raises(OutOfRange, match="1 frame given of a stream"):
        runtime.runtime(dn.streaming(graph), x[:1])
    with pytest.raises(OutOfRange, match="3 steps given, and the stream's network has 1"):
        runtime.runtime(dn.streaming(graph), x[:2], steps=3)


def test_a_stream_counts_the_changes_behind_its_first_frame() -> None:
    graph, x = small()
    stream = dn.streaming(graph)
    still = runtime.runtime(stream, np.repeat(x[:1], 4, axis=0))
    of = {t.name: t for t in still.terms}
    first = {t.name: t for t in runtime.runtime(graph, x[:1]).terms}
    assert (
        of["synaptic_operation"].total < first["synaptic_operation"].total / 4
    )  # neurons settle, and are silent
    moving = runtime.runtime(stream, x[:4])
    going = streams.going(stream)
    told = [going.step(frame) for frame in x[:4]][1:]
    delivered = sum(sum(frame.delivered.values()) for frame in told)
    assert round(3 * {t.name: t for t in moving.terms}["synaptic_operation"].total) == delivered
