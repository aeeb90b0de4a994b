"""What a network costs: counts against Python loops, energies by hand, NeuroBench's metrics against
neurobench itself."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import graphs
import numpy as np
import oracle
import pytest
import torch
from hypothesis import given, settings
from rich.console import Console
from torch import nn
from torch.nn import functional as F

import dnisnm_lava as dn
from dnisnm_lava.backends import batched, watched
from dnisnm_lava.backends.batched import chunks
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir import SNM, Gate, Input, MaxPool, Projection, ReadOut, Resample, SpikingGraph
from dnisnm_lava.ir.arithmetic import Window
from dnisnm_lava.ir.integers import encode_images
from dnisnm_lava.studies.costs import counts as counting
from dnisnm_lava.studies.costs import energy, prices
from dnisnm_lava.studies.costs.counts import Counts
from dnisnm_lava.studies.costs.energy import Costs
from dnisnm_lava.studies.costs.neurobench import arrays
from dnisnm_lava.views import costs as costs_report

# ---------------------------------------------------------------- by hand


def by_hand(levels: int = 1) -> tuple[SpikingGraph, np.ndarray]:
    """Image (2, 0, -1), two neurons, two read-outs, two steps. Currents are 5 and -2 a step: neuron 0 goes 2,
    7, sends 1, 3, 8, sends 1 (or 2 levels), 4 (or 0); neuron 1 goes 50, 48, 46 and is silent."""
    one = np.ones(2)
    hidden = SNM(
        "hidden",
        (2,),
        (Projection("input", np.array([[3, 0, 1], [0, 5, 2]], np.int8)),),
        bias=np.zeros(2, np.int32),
        vth=np.array([4, 100], np.int32),
        payload=np.ones(2, np.int32),
        v_init=np.array([2, 50], np.int32),
        unit=one,
        spike_unit=one,
        v_range=one,
        levels=levels,
    )
    out = ReadOut(
        "out",
        (2,),
        (Projection("hidden", np.array([[1, 7], [0, 2]], np.int8)),),
        bias=np.zeros(2, np.int32),
        unit=one,
        v_range=one,
    )
    return SpikingGraph((Input("input", (3,), np.ones(3), 8), hidden, out), steps=2), np.array(
        [[2, 0, -1]], np.float32
    )


def test_a_dense_network_by_hand() -> None:
    found = dn.energy(*by_hand())
    bench = found.neurobench
    operations = bench.synaptic_operations
    # an image value of 2 has one weight, -1 has two, in 2 steps; 2 spikes have one weight each; all 6 + 4
    # weights in 2 steps
    assert (operations.Effective_MACs, operations.Effective_ACs, operations.Dense) == (6, 2, 20)
    assert (bench.activation_sparsity, bench.connection_sparsity) == (0.5, 0.3)
    assert bench.membrane_updates == 4  # 2 at first, then 3 -> 4 and 48 -> 46
    assert bench.footprint == 10 + 4 * (2 + 2) + 3 * 4 * 2  # 8-bit weights; biases; vth, payload, v_init


def test_the_energies_of_a_dense_network_by_hand() -> None:
    found = dn.energy(*by_hand())
    quantized, chip = found.quantized, found.chip
    assert (quantized.weight_bits, quantized.activation_bits) == (
        4,
        {"input": 8, "hidden": 2},
    )  # 7 and a sign; 0, 1, 2
    assert quantized.ann == pytest.approx(6 * (0.2 * 8 * 4 / 64 + 0.1) + 4 * (0.2 * 2 * 4 / 64 + 0.1))
    assert quantized.ann_skipping == pytest.approx(3 * 0.2 + 1 * 0.125)
    assert (quantized.snn_image, quantized.snn_spikes) == (pytest.approx(6 * 0.2), pytest.approx(2 * 0.1))
    assert (quantized.spike_rate, quantized.break_even) == (0.5, pytest.approx(1.25))
    assert quantized.break_even_skipping < 0  # the image alone costs more
    assert chip.synaptic_operations == pytest.approx(8 * 23.6)
    assert chip.multiplications == pytest.approx(6 * 0.1)
    assert chip.updates_active == pytest.approx((4 + 3) * 81)  # of the read-outs, one hears nothing in step 2
    assert chip.updates_inactive == pytest.approx(1 * 52)
    assert chip.messages == pytest.approx((4 + 2) * (1.7 + 3 + 4))
    assert chip.total == pytest.approx(188.8 + 0.6 + 567 + 52 + 52.2)


def test_the_papers_energies_of_a_dense_network_by_hand() -> None:
    paper = dn.energy(*by_hand()).paper
    assert (paper.operations_ann, paper.energy_ann) == (10, pytest.approx(46))
    assert paper.operations_snn == {
        "own": 1.0 * 6 + 1.0 * 4,
        "arriving": 2 * 6 + 1.0 * 4,
    }  # 2 spikes of 2 neurons
    assert paper.energy_snn == pytest.approx({"own": 4.6 * 6 + 0.9 * 4, "arriving": 4.6 * 12 + 0.9 * 4})
    assert paper.drop["own"] == pytest.approx(31.2 / 46 - 1)


def test_graded_spikes_multiply() -> None:
    """Two levels of the same neuron: in step 2 it may send 2, so a synapse multiplies in both steps."""
    graph, x = by_hand(levels=2)
    found = dn.energy(graph, x)
    assert found.neurobench.synaptic_operations.Effective_ACs == 0
    assert found.neurobench.synaptic_operations.Effective_MACs == 6 + 2
    assert found.quantized.activation_bits["hidden"] == 3  # 0 to 4
    assert found.quantized.snn_spikes == pytest.approx(
        2 * (0.2 * 2 * 4 / 64 + 0.1)
    )  # a value of 2 has 2 bits
    assert found.chip.synaptic_operations == pytest.approx(8 * 23.6)  # a message and an operation as before
    assert found.chip.messages == pytest.approx(6 * 8.7)
    assert found.chip.multiplications == pytest.approx(6 * 0.1 + 2 * 0.025)


def test_a_spike_is_one_message_to_each_population_that_reads_it() -> None:
    graph, x = by_hand()
    hidden, out = graph.of(SNM)[0], graph.readout
    twice = replace(out, name="second", projections=(*out.projections, *out.projections))
    found = dn.energy(SpikingGraph((graph.input, hidden, out, twice), steps=2), x)
    assert found.chip.messages == pytest.approx((4 + 2 * 2) * 8.7)
    assert found.chip.synaptic_operations == pytest.approx((6 + 2 + 4) * 23.6)


def test_sums_of_binary_spikes_multiply_and_the_spikes_do_not() -> None:
    """The average pool in front of `fc`: its weights read sums; on a chip, each spike goes to its targets."""
    graph, x = binary()
    (synapses,) = counting.count(graph, x).populations[-1].synapses
    assert (synapses.adds, synapses.read_adds) == (True, False)
    found = dn.energy(graph, x)
    acs = sum(s.effective for a in counting.count(graph, x).populations[2:-1] for s in a.synapses)
    assert found.neurobench.synaptic_operations.Effective_ACs == acs / len(x)
    assert found.populations[-1].ACs == synapses.delivered / len(x) >= synapses.effective / len(x) > 0
    assert found.populations[-1].MACs == 0


def test_only_synapses_that_exist_count() -> None:
    """3x3 by steps of 2 on a padded 4x4 map: windows at 0 and 2 begin one pixel outside; 3 of 9 taps fall off
    at an edge, 5 in the corner. One pixel spikes: (1, 1) lies in all four windows, (0, 0) in one, (3, 3) in
    one."""
    weight = np.ones((2, 1, 3, 3), np.int8)
    weight[1, 0, 0, 0] = (
        0  # the top left tap of row 1: of pixel (1, 1), the one of the window that begins there
    )
    q = Projection("input", weight, stride=(2, 2), padding=((1, 1), (1, 1)))
    for pixel, delivered in (((0, 0), 2), ((1, 1), 8 - 1), ((3, 3), 2), ((1, 0), 4)):
        x = np.zeros((1, 1, 4, 4), np.float32)
        x[0, 0, pixel[0], pixel[1]] = 5
        (synapses,) = counting.count(one_layer(q, (1, 4, 4)), x).populations[1].synapses
        assert synapses.existing == 2 * 3 * (4 + 6 + 6 + 9)  # in each of 3 steps
        assert synapses.effective == synapses.delivered == 3 * delivered
        assert synapses.delivered_once == delivered


def one_layer(q: Projection, source: tuple[int, ...]) -> SpikingGraph:
    shape = q.output_shape(source)
    out = ReadOut(
        "out",
        shape,
        (q,),
        bias=np.zeros((shape[0], 1, 1), np.int32),
        unit=np.ones(shape[0]),
        v_range=np.ones(shape[0]),
    )
    return SpikingGraph((Input("input", source, np.ones(source[0]), 8), out), steps=3)


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 7, 8, 15, 16])
@pytest.mark.parametrize("levels", [1, 3, 4, 31])
def test_the_bits_of_an_activation_are_the_fewest_that_tell_all_sums_apart(steps: int, levels: int) -> None:
    sums = steps * levels + 1
    assert (
        2 ** (prices.activation_bits(steps, levels) - 1) < sums <= 2 ** prices.activation_bits(steps, levels)
    )
    both = 2 * steps * levels + 1
    assert (
        2 ** (prices.activation_bits(steps, levels, True) - 1)
        < both
        <= 2 ** prices.activation_bits(steps, levels, True)
    )


# ---------------------------------------------------------------- against loops


def pattern(q: Projection) -> Projection:
    """Ones for what is not 0."""
    there = (
        None
        if q.resample is None
        else Resample(*((a != 0).astype(np.int8) for a in (q.resample.rows, q.resample.cols)))
    )
    return replace(q, weight=(q.weight != 0).astype(np.int8), exponent=0, resample=there)


def read_by(q: Projection, x: np.ndarray) -> np.ndarray:
    """What the weights read, one where it is not 0."""
    x = x if q.source_channels is None else x[q.source_channels]
    x = x if q.sum_pool is None else oracle.sum_pooled(x, q.sum_pool)
    x = x if q.resample is None else oracle.resampled(x, q.resample)
    return np.array(x != 0, dtype=np.int64)


def ways(q: Projection, shape: tuple[int, ...]) -> np.ndarray:
    """(*shape) from each neuron to the targets: back from every weight that is not 0, over what stands in
    front of it."""
    read = q.read_shape(shape)
    behind, before = np.zeros(read, np.int64), np.zeros((read[0], *shape[1:]), np.int64)
    if q.is_conv:
        outputs, inputs = q.weight.shape[:2]
        for o, y, x in np.ndindex(outputs, *q.output_shape(shape)[1:]):
            for (ky, kx, iy, ix), i in product(oracle.seen(q.window, read[1:], y, x), range(inputs)):
                behind[o // (outputs // q.groups) * inputs + i, iy, ix] += int(q.weight[o, i, ky, kx] != 0)
    else:
        for _, i in np.argwhere(q.weight):
            behind.reshape(-1)[i] += 1
    for at in np.ndindex(*read):
        if q.sum_pool is not None:
            for _, _, iy, ix in oracle.seen(q.sum_pool, shape[1:], *at[1:]):
                before[at[0], iy, ix] += behind[at]
        elif q.resample is not None:
            for iy, ix in product(
                np.flatnonzero(q.resample.rows[at[1]]), np.flatnonzero(q.resample.cols[at[2]])
            ):
                before[at[0], iy, ix] += behind[at]
        else:
            before[at] = behind[at]
    fan = np.zeros(shape, np.int64)
    for i, channel in enumerate(range(shape[0]) if q.source_channels is None else q.source_channels):
        fan[channel] += before[i]
    return fan


def changes(graph: SpikingGraph, p: SNM, sent: dict[str, np.ndarray], steps: int) -> int:
    bias = np.broadcast_to(p.bias, p.shape)
    traces = {name: list(trace) for name, trace in sent.items()}
    currents = [oracle.arriving(p, traces, t) for t in range(steps)]
    total = 0
    for i in np.ndindex(*p.shape):
        neuron = oracle.Neuron(
            int(p.vth[i]), int(p.payload[i]), int(p.v_init[i]), int(bias[i]), p.levels, p.two_sided, p.down
        )
        for t in range(steps + p.lead):
            before = neuron.v
            if t < steps:
                neuron.integrate(int(currents[t][i]))
            if t >= p.lead:
                neuron.fire()
            total += t == 0 or neuron.v != before
    return total


@given(graphs.integer_graphs())
@settings(max_examples=20)
def test_counts_equal_python_loops(graph: SpikingGraph) -> None:
    steps = graph.steps
    x = np.random.default_rng(5).integers(-3, 4, (1, *graph.input.shape)).astype(np.float32)
    sent = oracle.simulate(graph, encode_images(graph, x)[0][0].astype(object), steps)
    found = {a.name: a for a in counting.count(graph, x).populations}
    for p in graph:
        if isinstance(p, ReadOut):
            assert found[p.name].spikes == 0
            continue
        assert found[p.name].spikes == np.count_nonzero(sent[p.name])
        if isinstance(p, SNM):
            assert found[p.name].changes == changes(graph, p, sent, steps)
            assert found[p.name].updates == (steps + p.lead) * p.vth.size
    for p in graph:
        if not isinstance(p, SNM | ReadOut):
            continue
        for q, s in zip(p.projections, found[p.name].synapses, strict=True):
            spikes = sent[q.source]
            read = [read_by(q, spikes[t]) for t in range(steps)]
            bare = replace(pattern(q), source_channels=None, sum_pool=None, resample=None)
            assert s.effective == sum(int(oracle.weighted(bare, r).sum()) for r in read)
            full = replace(bare, weight=np.ones_like(bare.weight))
            assert s.existing == steps * int(oracle.weighted(full, np.ones_like(read[0])).sum())
            fan = ways(q, graph[q.source].shape)
            assert s.delivered == sum(int(((spikes[t] != 0) * fan).sum()) for t in range(steps))
            net = spikes[0] if q.source == "input" else spikes.sum(axis=0)
            assert s.delivered_once == int(((net != 0) * fan).sum())


@given(graphs.integer_graphs())
@settings(max_examples=40)
def test_costs_of_several_t_are_those_of_a_run_each(graph: SpikingGraph) -> None:
    """Of the graphs drawn, some have a population that leads, so that no run is the beginning of another."""
    x = np.random.default_rng(6).integers(-3, 4, (3, *graph.input.shape)).astype(np.float32)
    asked = (3, 1, 8, 5)
    found = counting.count_each(graph, x, asked)
    assert tuple(found) == asked
    assert found == {t: counting.count(graph, x, steps=t) for t in asked}  # integers all of them
    assert energy.energies(graph, x, asked) == {t: dn.energy(graph, x, steps=t) for t in asked}


@pytest.mark.parametrize(("lead", "told"), [(0, [(1, 2), (2, 2)]), (1, [(1, 4), (2, 4), (3, 4), (4, 4)])])
def test_one_simulation_tells_the_costs_of_all_t_unless_a_population_leads(
    lead: int, told: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    graph, x = graphs.small(lead=lead)
    expected = {t: dn.energy(graph, x[:2], steps=t) for t in (4, 2)}
    monkeypatch.setattr(chunks, "SPIKES", 1)  # one image a chunk
    seen: list[tuple[int, int]] = []
    assert (
        energy.energies(graph, x[:2], (4, 2), progress=lambda done, of: seen.append((done, of))) == expected
    )
    assert seen == told


@pytest.mark.parametrize("lead", [0, 2])
def test_counts_are_the_same_where_torch_is_not_installed(lead: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the reference is watched, image by image."""
    graph, x = graphs.small(levels=2, lead=lead)
    expected = counting.count_each(graph, x[:3], (2, 5))
    monkeypatch.setattr(watched, "find_spec", lambda _: None)
    monkeypatch.setattr(batched, "run", None)
    told: list[tuple[int, int]] = []
    found = counting.count_each(graph, x[:3], (2, 5), progress=lambda done, of: told.append((done, of)))
    assert found == expected
    of = 6 if lead else 3
    assert told == [(i + 1, of) for i in range(of)]


def test_costs_of_no_steps_are_refused_and_of_no_t_are_none() -> None:
    graph, x = graphs.small()
    with pytest.raises(OutOfRange, match="steps: 0 given"):
        energy.energies(graph, x, (2, 0))
    assert energy.energies(graph, x, ()) == {}


def test_a_max_pool_hears_a_spike_once_for_each_window() -> None:
    rng = np.random.default_rng(2)
    window = Window((3, 2), (2, 1), ((1, 0), (0, 1)))
    a = graphs.snm("a", (2, 5, 5), (Projection("input", graphs.weights(rng, 2, 1, 1, 1)),), rng)
    pool = MaxPool("pool", (2, *window.output_size((5, 5))), "a", window)
    out = graphs.readout(
        "out", (2,), (Projection("pool", graphs.weights(rng, 2, int(np.prod(pool.shape)))),), rng
    )
    graph = SpikingGraph((Input("input", (1, 5, 5), np.ones(1), 8), a, pool, out), steps=5)
    x = rng.integers(-9, 10, (2, 1, 5, 5)).astype(np.float32)
    spikes = batched.run(graph, x, record=True).spikes["a"]
    expected = sum(
        int(np.count_nonzero(spikes[:, :, c, iy, ix]))
        for c, y, z in np.ndindex(*pool.shape)
        for _, _, iy, ix in oracle.seen(window, (5, 5), y, z)
    )
    (synapses,) = counting.count(graph, x).populations[2].synapses
    assert synapses.delivered == expected > 0
    assert (synapses.existing, synapses.effective, synapses.adds) == (0, 0, True)


# ---------------------------------------------------------------- consistency


def binary(levels: int = 1) -> tuple[SpikingGraph, np.ndarray]:
    spiking, x = graphs.small(quantize=False, granularity="channel", levels=levels)
    return dn.quantize(spiking, spikes="binary"), x


@pytest.mark.parametrize("quantize", [True, False])
def test_spikes_are_those_of_the_executor_in_integers_and_floats(
    quantize: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph, x = graphs.small(quantize=quantize, levels=2, lead=2)
    whole = counting.count(graph, x, steps=5)
    expected = batched.run(graph, x, steps=5).spike_counts
    assert {a.name: a.spikes for a in whole.populations if a.name in expected} == {
        name: sum(c) for name, c in expected.items()
    }
    monkeypatch.setattr(chunks, "SPIKES", 1)  # one image a chunk
    told: list[tuple[int, int]] = []
    assert counting.count(graph, x, steps=5, progress=lambda done, of: told.append((done, of))) == whole
    assert told == [(i + 1, len(x)) for i in range(len(x))]


@pytest.mark.parametrize("make", [binary, graphs.small])
def test_rows_add_up_to_the_totals(make: type) -> None:
    graph, x = make()
    found = dn.energy(graph, x)
    assert sum(p.quantized for p in found.populations) == pytest.approx(found.quantized.snn)
    assert sum(p.chip for p in found.populations) == pytest.approx(found.chip.total)
    weighted = [p for p in found.populations if p.kind != "MaxPool"]
    assert found.chip.synaptic_operations == pytest.approx(
        23.6 * sum(p.ACs + p.MACs for p in found.populations)
    )
    assert found.quantized.snn_image == pytest.approx(
        weighted[1].quantized
    )  # the first layer, and it alone, reads the image
    rate = sum(p.spikes for p in weighted[1:]) / (graph.steps * sum(p.vth.size for p in graph.of(SNM)))
    assert (
        found.quantized.spike_rate
        == pytest.approx(rate)
        == pytest.approx(1 - found.neurobench.activation_sparsity)
    )


def scaled(counts: Counts, factor: float) -> Counts:
    """All spikes but the image's, more or fewer by the factor."""
    populations = []
    for a in counts.populations:
        synapses = tuple(
            s if s.source == "input" else replace(s, delivered=s.delivered * factor) for s in a.synapses
        )
        populations.append(replace(a, spikes=a.spikes * factor, synapses=synapses))
    return replace(counts, populations=tuple(populations))


@pytest.mark.parametrize("make", [binary, graphs.small])
def test_at_the_break_even_rate_both_cost_the_same(make: type) -> None:
    graph, x = make()
    counts = counting.count(graph, x, steps=1)  # so that the image costs less than the whole ANN
    found = energy.costs(graph, counts).quantized
    for rate, budget in ((found.break_even, found.ann), (found.break_even_skipping, found.ann_skipping)):
        assert rate > 0
        there = energy.costs(graph, scaled(counts, rate / found.spike_rate)).quantized
        assert there.spike_rate == pytest.approx(rate)
        assert there.snn == pytest.approx(budget)
        assert (found.snn > budget) == (found.spike_rate > rate)


def test_floats_are_refused_and_counted_all_the_same() -> None:
    graph, x = graphs.small(quantize=False)
    with pytest.raises(OutOfRange, match="quantize it first"):
        dn.energy(graph, x)
    assert counting.count(graph, x).populations[1].spikes > 0


def test_a_result_is_json_and_a_table() -> None:
    found = dn.energy(*binary())
    told = json.loads(json.dumps(costs_report.costs_json(found, {"seed": 0})))
    assert told["chip"]["total"] == found.chip.total
    assert told["neurobench"]["synaptic_operations"]["Dense"] == found.neurobench.synaptic_operations.Dense
    assert "never measured" in told["energies"]
    written = io.StringIO()
    Console(width=100, file=written).print(costs_report.costs_table(found, "small"))
    shown = written.getvalue()
    assert "never measured" in shown
    assert all(p.name in shown for p in found.populations)


def test_packed_bytes_by_hand() -> None:
    packed = dn.energy(*by_hand()).packed_bytes
    bits = {name: 8 * size for name, size in packed.items()}
    assert bits == {
        "weights": 6 * 4 + 4 * 4,
        "biases": (2 + 2) * 1,
        "thresholds": 2 * 7,
        "payloads": 2 * 1,
        "initial potentials": 2 * 7,
        "potentials": (2 + 2) * 24,
        "memories": 2 * 2,
    }


def test_curves_and_gates_are_computed_once_a_step() -> None:
    """A comparison for each halving of lines; products of 24 bits and 16, of 24 and 24, by the area rule."""
    graph, x = graphs.gated(steps=3, levels=3)
    found = dn.energy(graph, x[:4])
    pieces = {p.name: p.curve.slopes.shape[1] for p in graph.of(SNM) if p.curve is not None}
    neurons = {p.name: int(np.prod(p.shape)) for p in graph}
    curves = sum(
        3 * neurons[name] * (0.1 * math.ceil(math.log2(n)) + 0.2 * 24 * 16 / 64 + 0.1)
        for name, n in pieces.items()
    )
    (gate,) = graph.of(Gate)
    products = 3 * neurons[gate.name] * 2 * (0.2 * 24 * 24 / 64 + 0.1)
    assert found.chip.functions == pytest.approx(curves + products)
    assert found.chip.total == pytest.approx(sum(p.chip for p in found.populations))
    (row,) = [p for p in found.populations if p.name == gate.name]
    assert (row.quantized, row.ACs > 0) == (0.0, True)  # arithmetic of weights alone: it has none
    assert found.packed_bytes["curves"] > 0
    assert found.packed_bytes["gates"] * 8 >= 24 * (neurons[gate.name] + neurons[gate.gate])
    signed = [p for p in graph.of(SNM) if p.two_sided]
    for p in signed:  # 3 steps of 3 levels, either way
        assert found.quantized.activation_bits[p.name] == math.ceil(math.log2(2 * 9 + 1))


# ---------------------------------------------------------------- against neurobench


class Steps(nn.Module):
    """An integer graph as a torch module that takes the same steps: what neurobench can hook."""

    def __init__(self, graph: SpikingGraph, spiking: type[nn.Module]) -> None:
        super().__init__()
        self.graph = graph
        self.linear = nn.ModuleDict()
        self.neurons = nn.ModuleDict(
            {p.name.replace(".", "_"): neurons_of(p, spiking) for p in graph.of(SNM)}
        )
        for p in (*graph.of(SNM), *graph.readouts):
            for i, q in enumerate(p.projections):
                self.linear[f"{p.name}_{i}".replace(".", "_")] = layer_of(q)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        sums: dict[str, torch.Tensor] = {}
        for neurons in self.neurons.values():
            neurons.start(len(x))
        for _ in range(self.graph.steps):
            sent = {"input": x}
            for p in self.graph:
                name = p.name.replace(".", "_")
                if isinstance(p, MaxPool):
                    w = p.window
                    before = sums.get(p.name, torch.zeros(len(x), *self.graph[p.source].shape))
                    sums[p.name] = before + sent[p.source]
                    best, old = (
                        F.max_pool2d(s, w.kernel, w.stride, w.padding[0][0]) for s in (sums[p.name], before)
                    )
                    sent[p.name] = best - old
                elif isinstance(p, SNM | ReadOut):
                    z = sum(
                        self.heard(q, self.linear[f"{name}_{i}"], sent[q.source])
                        for i, q in enumerate(p.projections)
                    )
                    z = z + torch.tensor(p.bias, dtype=torch.float32)
                    if isinstance(p, SNM):
                        sent[p.name], _ = self.neurons[name](z)
                    else:
                        sums[p.name] = sums.get(p.name, 0) + z
        return sums[self.graph.readout.name]

    @staticmethod
    def heard(q: Projection, layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
        if q.sum_pool is not None:
            x = F.avg_pool2d(x, q.sum_pool.kernel, q.sum_pool.stride, divisor_override=1)
        return layer(x if q.is_conv else x.flatten(1))


def layer_of(q: Projection) -> nn.Module:
    assert (q.resample, q.source_channels, q.target_channels) == (None, None, None)
    outputs, inputs, *kernel = q.weight.shape
    if q.is_conv:
        padding = (q.padding[0][0], q.padding[1][0])
        assert q.padding == tuple((n, n) for n in padding)
        made: nn.Module = nn.Conv2d(
            inputs * q.groups, outputs, kernel, q.stride, padding, q.dilation, q.groups, bias=False
        )
    else:
        made = nn.Linear(inputs, outputs, bias=False)
    made.weight.data = torch.tensor(q.weight, dtype=torch.float32) * 2.0**q.exponent
    return made


def neurons_of(p: SNM, spiking: type[nn.Module]) -> nn.Module:
    """(19) to (23) as a spiking neuron of snntorch: `mem` before and after a call is what neurobench looks
    at."""

    class Signed(spiking):  # type: ignore[misc, valid-type]
        def start(self, images: int) -> None:
            self.mem = torch.tensor(p.v_init, dtype=torch.float32).expand(images, *p.shape)
            self.balance = torch.zeros_like(self.mem)

        def forward(self, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            vth = torch.tensor(p.vth, dtype=torch.float32)
            v = self.mem + z
            whole = torch.floor(v.abs() / vth.clamp(min=1)).clamp(max=p.levels) * (vth > 0)
            k = torch.where(v > 0, whole, -torch.minimum(whole, self.balance))
            self.mem, self.balance = v - k * vth, self.balance + k
            return k * torch.tensor(p.payload, dtype=torch.float32), self.mem

    return Signed(init_hidden=True, output=True)


class Stored(nn.Module):
    """A graph's arrays as buffers, dtype and all."""

    def __init__(self, graph: SpikingGraph) -> None:
        super().__init__()
        for i, a in enumerate(stored(graph)):
            self.register_buffer(f"array{i}", torch.tensor(a))


def stored(graph: SpikingGraph) -> Iterator[np.ndarray]:
    """Those of a network without resampling and chosen channels."""
    for p in graph:
        if isinstance(p, SNM):
            yield from (p.bias, p.vth, p.payload, p.v_init, *(q.weight for q in p.projections))
        elif isinstance(p, ReadOut):
            yield from (p.bias, *(q.weight for q in p.projections))


@pytest.mark.parametrize(
    "make", [binary, graphs.small, lambda: binary(levels=3)], ids=["binary", "graded", "levels"]
)
def test_neurobench_says_the_same(make: type) -> None:
    """Batches of 5, 5 and 3 images, every metric, exactly."""
    pytest.importorskip("neurobench", reason="`neurobench` is not installed: its metrics were not compared")
    from neurobench.benchmarks import Benchmark
    from neurobench.metrics.static import ConnectionSparsity, Footprint
    from neurobench.metrics.workload import ActivationSparsity, MembraneUpdates, SynapticOperations
    from neurobench.models import TorchModel
    from snntorch import SpikingNeuron
    from torch.utils.data import DataLoader, TensorDataset

    graph, x = make()
    x = x[:13]
    codes = torch.tensor(encode_images(graph, x)[0], dtype=torch.float32)
    network = Steps(graph, SpikingNeuron).eval()
    with torch.no_grad():
        logits = network(codes)
    np.testing.assert_array_equal(
        logits.numpy(), batched.run(graph, x).logits[:, -1]
    )  # it is the same network
    model = TorchModel(network)
    model.add_activation_module(SpikingNeuron)
    loader = DataLoader(TensorDataset(codes, torch.zeros(len(x))), batch_size=5)
    workload = [ActivationSparsity, SynapticOperations, MembraneUpdates]
    with torch.no_grad():
        told = Benchmark(model, loader, [], [], [[ConnectionSparsity], workload]).run(quiet=True)

    found: Costs = dn.energy(graph, x)
    ours = found.neurobench
    assert told["SynapticOperations"] == {
        name: getattr(ours.synaptic_operations, name) for name in ("Effective_MACs", "Effective_ACs", "Dense")
    }
    assert ours.synaptic_operations.Effective_MACs > 0
    assert told["MembraneUpdates"] == ours.membrane_updates
    assert told["ActivationSparsity"] == pytest.approx(
        ours.activation_sparsity, rel=1e-12
    )  # a mean of batches' means
    assert told["ConnectionSparsity"] == round(ours.connection_sparsity, 4)
    assert Footprint()(TorchModel(Stored(graph))) == ours.footprint == sum(a.nbytes for a in arrays(graph))
