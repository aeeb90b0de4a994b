"""Each part of a population's error on networks where it can be computed by hand; on all kinds of
populations, by the reference."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import oracle
import pytest
import torch
from graphs import CurvedNet, GatedNet, ResidualPoolNet, curved, curved_snm, images, randomized, small
from rich.console import Console
from searched import MINE
from searched import place as place

import dnisnm_lava as dn
from dnisnm_lava import cli, measures
from dnisnm_lava.backends import batched, reference
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.evaluation import tallies
from dnisnm_lava.ir import (
    SNM,
    Activation,
    AnalogGraph,
    Curve,
    Input,
    MaxPool,
    Population,
    Projection,
    ReadOut,
    Rectifier,
    Relay,
    Smooth,
    SpikingGraph,
    dynamics,
)
from dnisnm_lava.ir.fixedpoint import STATE
from dnisnm_lava.ir.integers import encode_images
from dnisnm_lava.studies.explain import disagreements, explain, first_wrong, headroom, rates, threshold_maps
from dnisnm_lava.studies.explain.values import OWN, PARTS, Explained, Explanation
from dnisnm_lava.views import explanation

Networks = tuple[AnalogGraph, SpikingGraph, SpikingGraph]


# ---------------------------------------------------------------- by hand


def rectifier(name: str, source: str, weight: list[list[float]]) -> Rectifier:
    return Rectifier(name, (len(weight),), (Projection(source, np.array(weight)),), np.zeros(len(weight)))


def networks(
    layers: list[Rectifier],
    theta: dict[str, float],
    *,
    steps: int,
    inputs: int,
    integer: dict[str, Any] | None = None,
    **neuron: dict[str, Any],
) -> Networks:
    """Layers, one threshold each, and a read-out of the last. neuron: fields of the SNM of that name that are
    not as convert's."""
    last = layers[-1]
    n = last.shape[0]
    out = ReadOut("out", (n,), (Projection(last.name, np.eye(n)),), bias=np.zeros(n))
    analog = AnalogGraph((Input("input", (inputs,)), *layers, out))
    spiking: list[Population] = [Input("input", (inputs,), np.full(inputs, 4.0))]
    for p in layers:
        vth, ones = np.full(p.shape, theta[p.name]), np.ones(p.shape[0])
        made = SNM(
            p.name,
            p.shape,
            p.projections,
            bias=p.bias,
            vth=vth,
            payload=vth,
            v_init=vth / 2,
            unit=ones,
            spike_unit=ones,
            v_range=100 * ones,
        )
        spiking.append(replace(made, **neuron.get(p.name, {})))
    spiking.append(replace(out, unit=np.ones(n), v_range=np.full(n, 100.0)))
    graph = SpikingGraph(tuple(spiking), steps=steps)
    return analog, graph, dn.quantize(graph, **(integer or {}))


def row(graphs: Networks, x: list[float], name: str, **options: Any) -> Explained:
    return dn.explain(dn.Networks(*graphs), np.array([x]), **options)[name]


def parts(found: Explained) -> dict[str, float]:
    """The parts that are there, as mean squares; integers carry their units' rounding."""
    return {name: p.mean_squared for name, p in found.parts.items() if p.mean_squared > 1e-9}


def test_what_k_levels_cannot_say_is_clipping() -> None:
    graphs = networks([rectifier("a", "input", [[1.0]])], {"a": 1.0}, steps=4, inputs=1)
    found = row(graphs, [3.0], "a")  # 1 is sent in each of 4 steps
    assert parts(found) == {"clipping": pytest.approx((1 - 3) ** 2 / 3**2)}
    assert found.parts["clipping"].mean == pytest.approx((1 - 3) / 3)
    assert (found.power, found.rate_up, found.rate_down) == (9.0, 1.0, 0.0)
    levels = row(
        networks([rectifier("a", "input", [[1.0]])], {"a": 1.0}, steps=4, inputs=1, a={"levels": 3}),
        [3.0],
        "a",
    )
    assert parts(levels) == {}
    assert levels.levels == 3


def test_what_lies_between_two_steps_of_theta_is_discreteness() -> None:
    graphs = networks([rectifier("a", "input", [[1.0]])], {"a": 1.0}, steps=4, inputs=1)
    found = row(graphs, [0.3], "a")  # floor(1/2 + 4 * 0.3) = 1 spike in 4 steps
    assert parts(found) == {"discreteness": pytest.approx((0.25 - 0.3) ** 2 / 0.3**2)}
    assert found.parts["discreteness"].mean == pytest.approx((0.25 - 0.3) / 0.3)
    moved = row(
        networks(
            [rectifier("a", "input", [[1.0]])], {"a": 1.0}, steps=4, inputs=1, a={"v_init": np.array([0.875])}
        ),
        [0.3],
        "a",
    )
    assert parts(moved) == {
        "discreteness": pytest.approx((0.5 - 0.3) ** 2 / 0.3**2)
    }  # floor(0.875 + 1.2) = 2 spikes


LATE = {
    "a": {"v_init": np.array([0.5, 0.25])}
}  # of 0.5 in 2 steps: the first neuron spikes at once, the second at the end


@pytest.mark.parametrize(
    ("weight", "lead", "sent"),
    [
        (
            [[1.0, -1.0]],
            0,
            0.5,
        ),  # the paper's Fig. 3: v = 3/2 spikes; then v = -1/2, which takes nothing back
        ([[1.0, -1.0]], 1, 0.0),  # it has heard both before it fires
        ([[1.0, -2.0]], 0, 0.0),  # v = -3/2: the memory takes the spike back
    ],
)
def test_a_negative_current_that_comes_late_is_asynchronism(
    weight: list[list[float]], lead: int, sent: float
) -> None:
    """Beside it a neuron that hears the first alone, and gives the population its power."""
    layers = [rectifier("a", "input", [[1.0, 0.0], [0.0, 1.0]]), rectifier("b", "a", [*weight, [1.0, 0.0]])]
    graphs = networks(layers, {"a": 1.0, "b": 1.0}, steps=2, inputs=2, b={"lead": lead}, **LATE)
    assert parts(row(graphs, [0.5, 0.5], "a")) == {}
    found = row(graphs, [0.5, 0.5], "b")
    assert found.power == pytest.approx((0**2 + 0.5**2) / 2)
    assert parts(found) == ({"asynchronism": pytest.approx(sent**2 / 2 / found.power)} if sent else {})
    assert found.parts["asynchronism"].mean == pytest.approx(sent / 2 / found.power**0.5)
    assert found.lead == lead


def test_what_sources_send_wrongly_is_inherited() -> None:
    layers = [rectifier("a", "input", [[1.0]]), rectifier("b", "a", [[1.0]])]
    graphs = networks(layers, {"a": 1.0, "b": 4.0}, steps=4, inputs=1)
    assert parts(row(graphs, [3.0], "b")) == {
        "inherited": pytest.approx((1 - 3) ** 2 / 3**2)
    }  # b alone would send 3
    corrected = replace(graphs[1]["b"], bias=np.array([2.0]))  # as `fit` makes up for it
    spiking = SpikingGraph(tuple(corrected if p.name == "b" else p for p in graphs[1]), steps=4)
    assert parts(row((graphs[0], spiking, dn.quantize(spiking)), [3.0], "b")) == {}


def test_what_codes_of_few_bits_say_otherwise_is_integers() -> None:
    graphs = networks(
        [rectifier("a", "input", [[1.0, 0.3]])], {"a": 1.0}, steps=4, inputs=2, integer={"weight_bits": 2}
    )
    found = row(
        graphs, [0.25, 1.0], "a"
    )  # z = 0.55: floor(1/2 + 2.2) = 2 spikes; the code of 0.3 is 0: floor(1/2 + 1) = 1
    assert found.parts["integers"].mean_squared == pytest.approx((0.25 - 0.5) ** 2 / 0.55**2)
    assert found.parts["discreteness"].mean_squared == pytest.approx((0.5 - 0.55) ** 2 / 0.55**2)
    assert found.parts["integers"].contribution == pytest.approx(
        ((0.25 - 0.55) ** 2 - (0.5 - 0.55) ** 2) / 0.55**2
    )
    assert found.spiking.mean_squared == pytest.approx((0.5 - 0.55) ** 2 / 0.55**2)
    assert found.total.mean_squared == pytest.approx((0.25 - 0.55) ** 2 / 0.55**2)


def test_a_population_that_is_silent_in_the_ann_has_its_errors_by_one() -> None:
    graphs = networks(
        [rectifier("a", "input", [[-1.0]])], {"a": 1.0}, steps=2, inputs=1, a={"bias": np.array([2.0])}
    )
    found = row(graphs, [1.0], "a")  # hears 1 instead of -1
    assert (found.power, found.inactive, found.silent) == (0.0, 1, 0)
    assert parts(found) == {"inherited": pytest.approx(1.0)}


# ---------------------------------------------------------------- the staircase


@pytest.mark.parametrize("down", [1.0, 0.5, 0.0])
@pytest.mark.parametrize("two_sided", [False, True])
def test_the_staircase_is_a_neuron_that_hears_equal_currents_or_all_at_once(
    two_sided: bool, down: float
) -> None:
    """Against the neuron in Python integers, in sixteenths, for every lead."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        steps, levels, lead = (int(rng.integers(1, n)) for n in (7, 4, 4))
        vth, x = (
            2 * int(rng.integers(1, 20)),
            int(rng.integers(-60, 150)),
        )  # even, so that half of it is an integer
        v_init = int(rng.integers(0, vth + 1))
        ones = np.ones(1)
        p = SNM(
            "p",
            (1,),
            (),
            bias=np.zeros(1),
            vth=np.array([vth / 16]),
            payload=np.array([vth / 16]),
            v_init=np.array([v_init / 16]),
            unit=ones,
            spike_unit=ones,
            v_range=ones,
            levels=levels,
            lead=lead,
            two_sided=two_sided,
            down=down,
        )
        found = float(rates.staircase(p, torch.tensor([[x / 16]], dtype=torch.float64), steps))
        for currents in ([x] * steps, [x * steps] + [0] * (steps - 1)):
            neuron, sent = oracle.Neuron(vth, 1, v_init, 0, levels, two_sided, down), 0
            for t in range(steps + lead):
                if t < steps:
                    neuron.integrate(currents[t])
                sent += neuron.fire() if t >= lead else 0
            assert found == pytest.approx(sent * vth / 16 / steps, rel=1e-12), (
                steps,
                levels,
                lead,
                vth,
                x,
                v_init,
            )


@pytest.mark.parametrize("two_sided", [False, True])
def test_the_staircase_of_a_curve_is_a_neuron_that_hears_equal_currents(two_sided: bool) -> None:
    """Against the neuron in Python integers, for every lead."""
    rng = np.random.default_rng(0)
    for _ in range(60):
        steps, levels, lead = (int(rng.integers(1, n)) for n in (7, 4, 4))
        p = curved_snm("p", (1,), (), rng, levels=levels, lead=lead, two_sided=two_sided)
        p, x = replace(p, bias=np.zeros(1, np.int32)), int(rng.integers(-4000, 4001))
        found = float(rates.staircase(p, torch.tensor([[x]], dtype=torch.float64), steps))
        (neuron,) = oracle.neurons_of(p, steps).values()
        sent = 0
        for t in range(steps + lead):
            if t < steps:
                neuron.integrate(x)
            sent += neuron.fire() if t >= lead else 0
        assert found == sent * int(p.payload[0]) / steps


def test_what_the_lines_of_a_curve_say_otherwise_is_function() -> None:
    """SiLU by two lines, those of a ReLU: of 1 it says 1."""
    lines = Curve("silu", np.zeros((1, 1)), np.array([[0.0, 1.0]]), np.zeros((1, 2)), error=np.array([0.3]))
    analog, spiking, _ = networks(
        [rectifier("a", "input", [[1.0]])],
        {"a": 0.25},
        steps=4,
        inputs=1,
        a={"levels": 8, "curve": lines, "v_init": np.zeros(1), "down": 0.0, "two_sided": True},
    )
    z = analog["a"]
    assert isinstance(z, Rectifier)
    silu = Activation("a", z.shape, z.projections, z.bias, Smooth("silu"))
    analog = replace(analog, populations=(analog.input, silu, analog.readout))
    found = dn.explain(dn.Networks(analog, spiking, dn.quantize(spiking)), np.array([[1.0]]))
    said = 1 / (1 + np.exp(-1.0))
    a = found["a"]
    assert (a.kind, a.map) == ("Activation", None)
    assert parts(a) == {"function": pytest.approx((1 - said) ** 2 / said**2)}
    assert found.first is not None
    assert (found.first.cause, found.first.remedies[0].dial) == ("function", "function_error")
    assert "straight lines that neurons have in place of the ANN's function" in found.sentence


# ---------------------------------------------------------------- every kind of population, by the reference


class TwoOutputs(ResidualPoolNet):
    """Residual, max-pool, average pool, groups; a second output, which is a map."""

    def __init__(self) -> None:
        super().__init__()
        self.head = torch.nn.Conv2d(4, 2, 1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:  # type: ignore[override]
        x = torch.relu(self.bn1(self.conv1(x)))
        x = self.pool(torch.relu(x + self.bn2(self.conv2(x))))
        return self.fc(self.avg(torch.relu(self.conv3(x))).flatten(1)), self.head(x)


@pytest.fixture(scope="module", params=["plain", "fitted"])
def whole(request: pytest.FixtureRequest) -> tuple[Networks, np.ndarray]:
    """Levels, and a lead in the middle."""
    x = images(24, (2, 6, 6), 0)
    analog = dn.from_torch(randomized(TwoOutputs(), 0), x[0])
    second = analog.of(Rectifier)[1].name
    spiking = dn.convert(analog, dn.calibrate(analog, [x]), steps=4, levels=2, lead={second: 2})
    if request.param == "fitted":
        spiking = dn.fit(analog, spiking, x)
    return (analog, spiking, dn.quantize(spiking)), images(5, (2, 6, 6), 1)


@pytest.fixture(scope="module")
def found(whole: tuple[Networks, np.ndarray]) -> Explanation:
    return dn.explain(dn.Networks(*whole[0]), whole[1], session=dn.Session(memory=1))


def evenly(p: SNM, x: np.ndarray, steps: int) -> np.ndarray:
    """Mean spikes for a current x, (N, *shape), in every step, by the specification's neuron."""
    v, m, total = np.broadcast_to(p.v_init, x.shape), np.zeros(x.shape, np.int64), np.zeros(x.shape)
    for t in range(steps + p.lead):
        v = v + x if t < steps else v
        if t >= p.lead:
            k, v, m = dynamics.fire(
                v, m, p.vth, p.levels, p.two_sided, dynamics.lower_threshold(p.vth, p.down)
            )
            total += k * p.payload
    return total / steps


def expected(graphs: Networks, x: np.ndarray) -> dict[str, list[np.ndarray]]:
    """The six rates, with NumPy's projections, the reference's spikes, and neurons that go step by step."""
    analog, spiking, integer = graphs
    runs = [reference.run(g, x) for g in (spiking, integer)]
    ann, heard = {"input": x.astype(np.float64)}, {"input": x.astype(np.float64)}
    rates_of: dict[str, list[np.ndarray]] = {}
    for p in analog.populations[1:]:
        other, last = spiking[p.name], integer[p.name]
        if isinstance(p, ReadOut):
            z = sum(q(ann[q.source]) for q in p.projections) + p.bias
            assert isinstance(last, ReadOut)
            ends = [
                (r.logits if p.name == analog.readout.name else r.further[p.name])[:, -1] / 4 for r in runs
            ]
            r4, r5 = ends[0], ends[1] * last.unit[0]  # a read-out has one unit
            rates_of[p.name] = [z, z, z, z, r4, r4, r5]
            continue
        r4 = runs[0].spikes[p.name].mean(axis=1)
        scale = integer[p.source].spike_unit if isinstance(p, MaxPool) else last.spike_unit
        r5 = runs[1].spikes[p.name].sum(axis=1) * scale[:, None, None] / 4
        if isinstance(p, MaxPool):
            a = dynamics.pool(np.zeros_like(ann[p.source]), ann[p.source], p.window)[1]
            rates_of[p.name] = [a, a, a, a, r4, r4, r5]
        else:
            assert isinstance(p, Rectifier)
            assert isinstance(other, SNM)
            z = sum(q(ann[q.source]) for q in p.projections) + p.bias
            arriving = sum(q(heard[q.source]) for q in other.projections) + other.bias
            a = np.maximum(z, 0)
            rates_of[p.name] = [
                a,
                np.minimum(a, 2 * other.vth),
                np.minimum(a, 2 * other.vth),
                evenly(other, z, 4),
                evenly(other, arriving, 4),
                r4,
                r5,
            ]
        ann[p.name], heard[p.name] = rates_of[p.name][0], r4
    return rates_of


def test_every_part_is_the_references(whole: tuple[Networks, np.ndarray], found: Explanation) -> None:
    rates_of = expected(*whole)
    assert [p.name for p in found.populations] == list(rates_of)
    assert {p.kind for p in found.populations} == {"Rectifier", "MaxPool", "ReadOut"}
    for p in found.populations:
        r = rates_of[p.name]
        power = np.mean(r[0] ** 2)
        assert p.power == pytest.approx(power, rel=1e-9)
        for name, before, after in zip(PARTS, r, r[1:], strict=False):
            assert p.parts[name].mean_squared == pytest.approx(
                np.mean((after - before) ** 2) / power, rel=1e-9, abs=1e-15
            ), p.name
            assert p.parts[name].mean == pytest.approx(
                np.mean(after - before) / power**0.5, rel=1e-9, abs=1e-12
            ), p.name
        assert p.total.mean_squared == pytest.approx(np.mean((r[-1] - r[0]) ** 2) / power, rel=1e-9)
        assert p.spiking.mean_squared == pytest.approx(np.mean((r[-2] - r[0]) ** 2) / power, rel=1e-9)
        assert p.inactive == (0 if p.kind == "ReadOut" else np.count_nonzero((r[0] == 0).all(axis=0)))


def test_means_and_contributions_sum_to_the_whole(found: Explanation) -> None:
    for p in found.populations:
        assert sum(part.mean for part in p.parts.values()) == pytest.approx(p.total.mean, abs=1e-12)
        assert sum(part.contribution for part in p.parts.values()) == pytest.approx(
            p.total.mean_squared, abs=1e-12
        )
        floats = sum(p.parts[name].contribution for name in PARTS if name != "integers")
        assert floats == pytest.approx(p.spiking.mean_squared, abs=1e-12)


def test_of_curves_only_those_that_approximate_have_an_error_of_the_function() -> None:
    x = images(24, (2, 6, 6), 0)
    analog = dn.from_torch(randomized(CurvedNet(), 0), x[0])
    spiking = dn.convert(analog, dn.calibrate(analog, [x]), steps=2, levels=15, function_error=2.0)
    found = dn.explain(dn.Networks(analog, spiking, dn.quantize(spiking)), x)
    assert [p.kind for p in found.populations] == ["Activation", "MaxPool", "Activation", "ReadOut"]
    leaky, _, silu, _ = found.populations
    assert leaky.parts["function"].mean_squared < 1e-24  # float64's rounding, of torch's and of ours
    assert silu.parts["function"].mean_squared > 1e-6
    for p in found.populations:
        assert sum(part.mean for part in p.parts.values()) == pytest.approx(p.total.mean, abs=1e-12)


def test_a_gate_says_its_product_to_the_nearest_level() -> None:
    """Of the float network's own sums: what its sources bring wrongly is inherited."""
    x = images(24, (2, 6, 6), 0)
    analog = dn.from_torch(randomized(GatedNet(), 0), x[0])
    spiking = dn.convert(analog, dn.calibrate(analog, [x]), steps=1, levels=31)
    found = dn.explain(dn.Networks(analog, spiking, dn.quantize(spiking)), x)
    (gate,) = [p for p in found.populations if p.kind == "Product"]
    assert (gate.levels, gate.headroom, gate.map) == (31, None, None)
    assert gate.thresholds is not None
    assert gate.parts["function"].mean_squared == 0
    assert gate.parts["asynchronism"].mean_squared < 1e-24  # one step: nothing comes late
    assert gate.parts["discreteness"].mean_squared > 0
    assert sum(part.mean for part in gate.parts.values()) == pytest.approx(gate.total.mean, abs=1e-12)


def test_chunks_change_nothing(whole: tuple[Networks, np.ndarray], found: Explanation) -> None:
    """Integers are equal; sums of float64 in another order differ by their rounding."""
    together = dn.explain(dn.Networks(*whole[0]), whole[1])
    a, b = (explanation.explanation_json(e, {}) for e in (found, together))
    same_but_for_rounding(a, b)


def same_but_for_rounding(a: Any, b: Any) -> None:
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            same_but_for_rounding(a[key], b[key])
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            same_but_for_rounding(x, y)
    elif isinstance(a, float):
        assert a == pytest.approx(b, rel=1e-9, abs=1e-12)
    else:
        assert a == b


def test_spikes_rates_and_neurons_are_the_references(
    whole: tuple[Networks, np.ndarray], found: Explanation
) -> None:
    (_, _, integer), x = whole
    run = reference.run(integer, x)
    for p in found.populations:
        if p.kind == "ReadOut":
            assert (p.rate_up, p.dead, p.silent, p.raster) == (0.0, 0, 0, None)
            continue
        spikes = run.spikes[p.name]
        assert p.rate_up == np.count_nonzero(spikes > 0) / spikes.size
        assert p.rate_down == np.count_nonzero(spikes < 0) / spikes.size
        assert p.silent == np.count_nonzero((spikes == 0).all(axis=(0, 1)))
        assert p.dead == (0 if p.kind == "MaxPool" else integer.dead_neurons[p.name])


def test_a_raster_shows_neurons_of_every_activity_in_one_image(whole: tuple[Networks, np.ndarray]) -> None:
    graphs, x = whole
    integer = graphs[2]
    shown = dn.explain(dn.Networks(*graphs), x, detail=dn.Detail(raster=3))
    run = reference.run(integer, x)
    for p in (p for p in shown.populations if p.kind != "ReadOut"):
        spikes = run.spikes[p.name][3].reshape(4, -1)
        active = np.count_nonzero(spikes, axis=0)
        assert p.raster is not None
        assert p.raster.levels.dtype == np.int8
        assert (p.raster.firing, p.raster.total) == (np.count_nonzero(active), active.size)
        assert len(p.raster.neurons) == min(64, active.size)
        ranked, firing = sorted(active, reverse=True), np.count_nonzero(active)
        places = [i * firing // 64 for i in range(64)] if firing > 64 else range(len(p.raster.neurons))
        assert active[p.raster.neurons].tolist() == [ranked[i] for i in places]
        assert len(set(p.raster.neurons.tolist())) == len(p.raster.neurons)
        own = integer[p.name]
        payload = (
            own.payload.reshape(-1)[p.raster.neurons]
            if isinstance(own, SNM)
            else np.abs(spikes[:, p.raster.neurons])
        )
        np.testing.assert_array_equal(p.raster.levels * payload, spikes[:, p.raster.neurons])


def test_relays_have_parts_too() -> None:
    """A linear tensor that two layers read: z = 3 x of +-1/2, in levels of 3/4, which both are multiples
    of."""
    relay = Relay("r", (1,), (Projection("input", np.array([[3.0]])),), np.zeros(1))
    out = ReadOut("out", (1,), (Projection("r", np.eye(1)),), bias=np.zeros(1))
    analog = AnalogGraph((Input("input", (1,)), relay, out))
    x = np.array([[0.5], [-0.5], [-0.25]])
    spiking = dn.convert(analog, dn.calibrate(analog, [x]), steps=2, relay_levels=2)
    exact = dn.explain(dn.Networks(analog, spiking, dn.quantize(spiking)), x)["r"]
    assert (exact.kind, exact.total.mean_squared) == ("Relay", pytest.approx(0, abs=1e-6))
    beyond = dn.explain(dn.Networks(analog, spiking, dn.quantize(spiking)), np.array([[-1.0]]))[
        "r"
    ]  # -3, of which -3/2 can be said
    assert beyond.parts["clipping"].mean_squared == pytest.approx((1.5 / 3) ** 2)
    assert beyond.parts["clipping"].mean == pytest.approx(1.5 / 3)


# ---------------------------------------------------------------- the state


@pytest.mark.parametrize("made", [small, curved])
def test_potentials_and_memories_are_those_of_python_integers(made: Any) -> None:
    graph, x = made(steps=4, levels=2, lead=1)
    codes, _ = encode_images(graph, x[:2])
    reached = headroom.Reached(graph.steps)
    run = batched.run(graph, x[:2], observe=reached)
    largest = {p.name: [0, 0] for p in graph.of(SNM)}
    for code in codes:
        sent = {name: list(trace) for name, trace in oracle.simulate(graph, code, 4).items()} | {
            "input": [code] * 4
        }
        for p in graph.of(SNM):
            arriving = [oracle.arriving(p, sent, t) for t in range(4)]
            for i, neuron in oracle.neurons_of(p, 4).items():
                for t in range(4 + p.lead):
                    if t < 4:
                        neuron.integrate(int(arriving[t][i]))
                        largest[p.name][0] = max(largest[p.name][0], abs(neuron.v))
                    if t >= p.lead:
                        neuron.fire()
                        largest[p.name][1] = max(largest[p.name][1], abs(neuron.m))
    found = reached.largest
    assert {name: list(pair) for name, pair in found.items() if name in largest} == largest
    assert found[graph.readout.name] == (int(np.abs(run.logits).max()), 0)


def test_a_state_that_saturates_has_no_bit_left_and_is_named() -> None:
    analog, spiking, integer = networks([rectifier("a", "input", [[1.0]])], {"a": 1.0}, steps=4, inputs=1)
    full = replace(integer["a"], bias=np.array([STATE.limit // 2 + 1], np.int32))
    integer = SpikingGraph(tuple(full if p.name == "a" else p for p in integer), steps=4)
    found = dn.explain(dn.Networks(analog, spiking, integer), np.array([[0.25]]))
    a = found["a"]
    assert a.headroom is not None
    assert (a.headroom.largest_v, a.headroom.bits_left) == (STATE.limit, 0.0)
    assert a.saturations > 0
    assert found.first is not None
    assert (found.first.part, found.first.cause) == ("integers", "integers")
    assert "saturates" in found.sentence


# ---------------------------------------------------------------- findings


def test_the_first_population_that_goes_wrong_is_named_with_a_remedy() -> None:
    layers = [rectifier("a", "input", [[1.0]]), rectifier("b", "a", [[1.0]]), rectifier("c", "b", [[1.0]])]
    clipped = networks(layers, {"a": 1.0, "b": 4.0, "c": 4.0}, steps=4, inputs=1)
    first = dn.explain(dn.Networks(*clipped), np.array([[3.0]])).first
    assert first is not None
    assert (first.population, first.part, first.origin, first.cause) == ("a", "clipping", "a", "clipping")
    assert first.value == pytest.approx(4 / 9)
    assert "a is the first population" in first.sentence
    assert first.remedy.startswith("--threshold max (")


def test_what_is_inherited_is_traced_to_what_its_ancestors_add() -> None:
    """d, of another branch, rounds more than a does; c hears of a alone."""
    layers = [
        rectifier("a", "input", [[1.0]]),
        rectifier("b", "a", [[1.0]]),
        rectifier("d", "input", [[1.0]]),
        rectifier("c", "b", [[1.0]]),
    ]
    graphs = networks(
        layers, {"a": 1.0, "b": 1.0, "d": 0.75, "c": 1.0}, steps=4, inputs=1, c={"bias": np.array([-0.375])}
    )
    found = dn.explain(dn.Networks(*graphs), np.array([[0.3]]), detail=dn.Detail(tolerance=0.2))
    assert found["d"].total.mean_squared == pytest.approx((0.375 - 0.3) ** 2 / 0.3**2)
    first = found.first
    assert first is not None
    assert (first.population, first.part, first.origin, first.cause) == (
        "c",
        "inherited",
        "a",
        "discreteness",
    )
    assert first.cause_value == pytest.approx((0.25 - 0.3) ** 2 / 0.3**2)
    assert "--steps 8 (" in first.remedy


def test_a_lead_is_advised_where_currents_come_late() -> None:
    layers = [
        rectifier("a", "input", [[1.0, 0.0], [0.0, 1.0]]),
        rectifier("b", "a", [[1.0, -1.0], [1.0, 0.0]]),
    ]
    found = dn.explain(
        dn.Networks(*networks(layers, {"a": 1.0, "b": 1.0}, steps=2, inputs=2, **LATE)),
        np.array([[0.5, 0.5]]),
    )
    assert found.first is not None
    assert (found.first.population, found.first.part) == ("b", "asynchronism")
    assert "--lead 1 (" in found.first.remedy


def test_where_nothing_goes_wrong_the_largest_error_is_told() -> None:
    found = dn.explain(
        dn.Networks(*networks([rectifier("a", "input", [[1.0]])], {"a": 1.0}, steps=4, inputs=1)),
        np.array([[0.26]]),
    )
    assert found.first is None
    assert found.sentence.startswith("No population's error exceeds 10 %")
    assert "0.148 %" in found.sentence  # (0.01 / 0.26)^2


# ---------------------------------------------------------------- classes and maps


def counted(found: disagreements.Outcome, name: str) -> dict[str, int]:
    return {
        key: tallies.number(found.counts, name, key, "correct") for key in tallies.branch(found.counts, name)
    }


def test_disagreements_are_ordered_by_their_margins() -> None:
    ann = np.array([[3.0, 1.0], [0.0, 1.0], [2.0, 0.0]])
    integer = np.array([[1.0, 1.5], [0.0, 1.0], [0.0, 4.0]])
    labels = np.array([1, 1, 0])
    measure = measures.chosen({"out": (2,)}, labels)
    both = disagreements.summed(
        [
            disagreements.outcome(measure, [ann[i], ann[i], integer[i]], labels[i], 10 + i.start)
            for i in (slice(0, 2), slice(2, 3))
        ]
    )
    assert counted(both, "ann") == {"float": 3, "integer": 1}
    assert counted(both, "labels") == {"ann": 2, "float": 2, "integer": 2}
    assert [
        (d.image, d.ann, d.integer, d.label, d.ann_margin, d.integer_margin) for d in both.disagreements
    ] == [
        (12, 0, 1, 0, 2.0, 4.0),
        (10, 0, 1, 1, 2.0, 0.5),
    ]


def test_of_a_map_the_pixel_that_disagrees_most_is_told() -> None:
    ann = np.array([[[[0.0, 2.0, 0.0]], [[1.0, 0.0, 3.0]]]])  # (1, 2 classes, 1, 3)
    integer = np.array([[[[5.0, 0.0, 1.0]], [[0.0, 1.0, 2.0]]]])
    measure = measures.chosen({"out": (2, 1, 3)}, kind="classes")
    found = disagreements.outcome(measure, [ann, ann, integer], None, 0)
    (d,) = found.disagreements
    assert (d.image, d.place, d.ann, d.integer, d.label, d.ann_margin, d.integer_margin) == (
        0,
        0,
        1,
        0,
        None,
        1.0,
        5.0,
    )
    counted = found.counts["ann"]["integer"]
    assert (counted["correct"], counted["of"], "labels" in found.counts) == (1, 3, False)  # type: ignore[index, call-overload]


def test_classes_are_the_runs(whole: tuple[Networks, np.ndarray]) -> None:
    (analog, spiking, integer), x = whole
    labels = np.arange(5) % 3
    found = dn.explain(dn.Networks(analog, spiking, integer), x, labels, session=dn.Session(memory=1))
    own, ours = analog.ann(x).argmax(axis=1), reference.run(integer, x).predictions(4)
    assert found.accuracy["integer"] == np.mean(ours == labels)
    assert found.agreement["integer"] == np.mean(ours == own)
    assert found.disagreeing == np.count_nonzero(ours != own)
    assert {d.image: (d.ann, d.integer) for d in found.disagreements} == {
        i: (own[i], ours[i]) for i in np.flatnonzero(ours != own)
    }


def test_maps_compare_halves_or_calibration_images(
    whole: tuple[Networks, np.ndarray], found: Explanation
) -> None:
    (analog, spiking, integer), x = whole
    stats = {half: dn.calibrate(analog, [x[half::2]]) for half in range(2)}
    train = images(7, (2, 6, 6), 5)
    other = dn.explain(dn.Networks(analog, spiking, integer, dn.calibrate(analog, [train])), x)
    assert found.map_sets == ("the even images", "the odd images")
    assert other.map_sets == (f"{len(train)} calibration images", f"these {len(x)} images")
    for p in analog.of(Rectifier):
        halves, calibrated = found[p.name].map, other[p.name].map
        assert halves is not None
        assert calibrated is not None
        even, odd = (stats[half].maxima(p.name) for half in range(2))
        np.testing.assert_allclose(
            halves.train.ravel(), even.ravel(), rtol=1e-5, atol=1e-6
        )  # one of them is float32
        np.testing.assert_allclose(halves.test.ravel(), odd.ravel(), rtol=1e-5, atol=1e-6)
        assert halves.correlation == pytest.approx(np.corrcoef(even.ravel(), odd.ravel())[0, 1], rel=1e-4)
        np.testing.assert_allclose(
            calibrated.train.ravel(), dn.calibrate(analog, [train]).maxima(p.name).ravel(), rtol=1e-5
        )
        np.testing.assert_allclose(
            calibrated.test.ravel(), np.maximum(even, odd).ravel(), rtol=1e-5, atol=1e-6
        )
        assert calibrated.test_above_train == np.mean(calibrated.test > calibrated.train)


def test_one_image_has_no_two_halves(whole: tuple[Networks, np.ndarray]) -> None:
    found = dn.explain(dn.Networks(*whole[0]), whole[1][:1])
    assert all(p.map is None for p in found.populations)


def test_a_map_in_greys_keeps_its_shape_and_its_largest() -> None:
    entry = threshold_maps.encoded(np.arange(12.0).reshape(3, 2, 2))
    assert (entry["shape"], entry["largest"]) == ([3, 4], 11.0)


# ---------------------------------------------------------------- doors


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"detail": dn.Detail(raster=5)}, "image 5 asked for, of 5"),
        ({"labels": np.zeros(4)}, "4 given for 5 images"),
        ({"steps": 0}, "0 given"),
    ],
)
def test_bad_options_are_refused(
    whole: tuple[Networks, np.ndarray], options: dict[str, Any], match: str
) -> None:
    with pytest.raises(OutOfRange, match=match):
        dn.explain(dn.Networks(*whole[0]), whole[1], **options)


def test_graphs_that_do_not_belong_together_are_refused(whole: tuple[Networks, np.ndarray]) -> None:
    (analog, spiking, integer), x = whole
    with pytest.raises(OutOfRange, match="give the float network"):
        dn.explain(dn.Networks(analog, integer, integer), x)
    with pytest.raises(OutOfRange, match="other populations"):
        dn.explain(
            dn.Networks(
                analog,
                spiking,
                networks([rectifier("a", "input", [[1.0]])], {"a": 1.0}, steps=4, inputs=1)[2],
            ),
            x,
        )


def test_the_table_says_the_sentence_and_the_json_is_json(found: Explanation) -> None:
    with (console := Console(width=130)).capture() as shown:
        console.print(explanation.explanation_table(found, "a [net]"))
    text = " ".join(shown.get().replace("│", " ").split())
    assert found.sentence in text
    assert "a [net]" in text
    facts = json.loads(json.dumps(explanation.explanation_json(found, {"seed": 0}), allow_nan=False))
    assert (
        facts["populations"][0]["parts"]["clipping"]["mean_squared"]
        == found.populations[0].parts["clipping"].mean_squared
    )
    assert facts["provenance"] == {"seed": 0}
    assert set(first_wrong.MEANINGS) == set(PARTS) == {*OWN, "inherited"}


def test_the_command_explains(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "explain",
        *MINE,
        "--anyway",
    ]
    assert cli.main([*words, "--images", "12", "-o", "why.json"]) == 0
    assert "asynchronism" in capsys.readouterr().out
    written = json.loads((place / "why.json").read_text())
    assert (written["images"], written["steps"], written["map_sets"][0]) == (12, 2, "90 calibration images")
    assert set(written["accuracy"]) == {"ann", "float", "integer"}
    assert cli.main([*words, "-o", "why.json"]) == 1
    assert cli.EXPLAINED_IMAGES == 64
    assert explain.DETAIL.tolerance == 0.1
