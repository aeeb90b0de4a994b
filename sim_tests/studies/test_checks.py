"""Each design rule: a graph that breaks it by one, and one that just does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from graphs import ResidualPoolNet, randomized, readout, small
from torch import nn

import dnisnm_lava as dn
from dnisnm_lava import cli
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir import SNM, Input, MaxPool, Population, Projection, ReadOut, Resample, Shape, SpikingGraph
from dnisnm_lava.ir.arithmetic import Window
from dnisnm_lava.studies.loihi2.limits import LOIHI2
from dnisnm_lava.studies.loihi2.rules import RULES, Checked, named
from dnisnm_lava.views import checks
from exporters import netx

STATE = (1 << 23) - 1
RNG = np.random.default_rng(0)


def neurons(
    name: str, shape: Shape, *projections: Projection, lead: int = 0, levels: int = 1, two_sided: bool = False
) -> SNM:
    """All alike: theta 8, payload 3, no bias."""
    every, ones = (lambda value: np.full(shape, value, np.int32)), np.ones(shape[0])
    start = every(0 if two_sided else 4)
    return SNM(
        name,
        shape,
        projections,
        bias=np.zeros(1, np.int32),
        vth=every(8),
        payload=every(3),
        v_init=start,
        unit=ones,
        spike_unit=ones,
        v_range=ones,
        levels=levels,
        lead=lead,
        two_sided=two_sided,
    )


def dense(source: str, rows: int, columns: int, value: int = 1) -> Projection:
    return Projection(source, np.full((rows, columns), value, np.int32))


def ending(source: str, features: int, name: str = "out") -> ReadOut:
    return readout(name, (1,), (dense(source, 1, features),), RNG)


def graph(*populations: Population, steps: int = 8) -> SpikingGraph:
    return SpikingGraph(populations, steps=steps)


def chain(change: Callable[[SNM], SNM] = lambda p: p, weight: int = 1, steps: int = 8) -> SpikingGraph:
    """Two inputs, two neurons, one read-out."""
    return graph(
        Input("input", (2,), np.ones(2), 8),
        change(neurons("a", (2,), dense("input", 2, 2, weight))),
        ending("a", 2),
        steps=steps,
    )


def broken(found: Checked) -> list[str]:
    return [v.rule for v in found.violations]


def test_a_small_network_breaks_nothing() -> None:
    integer, _ = small()
    found = dn.check(integer)
    assert found.violations == ()
    assert (found.cores, found.chips_needed) == (sum(row.cores for row in found.rows), 1)
    assert [row.name for row in found.rows] == [p.name for p in integer]
    assert (found.shortest_period, found.period) == (6, 8)


# ---------------------------------------------------------------- the limit itself, and one beyond


def widest_weight(value: int) -> SpikingGraph:
    return chain(weight=value)


def widest_negative_weight(value: int) -> SpikingGraph:
    return chain(weight=-value)


def widest_resampled_weight(value: int) -> SpikingGraph:
    """7 * 9 * 2 = 126, 8 * 8 * 2 = 128: what the matrices make of the weight."""
    weight, entry = {126: (9, 7), 128: (8, 8)}[value]
    q = Projection(
        "input",
        np.full((1, 1, 1, 1), weight, np.int8),
        resample=Resample(np.array([[entry]], np.int8), np.array([[2]], np.int8)),
    )
    return graph(Input("input", (1, 1, 1), np.ones(1), 8), neurons("a", (1, 1, 1), q), ending("a", 1))


def largest_threshold(value: int) -> SpikingGraph:
    return chain(lambda p: replace(p, vth=np.array([8, value], np.int32)))


def largest_bias(value: int) -> SpikingGraph:
    return chain(lambda p: replace(p, bias=np.array([0, -value], np.int32)))


def largest_initial_potential(value: int) -> SpikingGraph:
    return chain(lambda p: replace(p, v_init=np.array([4, value], np.int32)))


def largest_expected_potential(value: int) -> SpikingGraph:
    return chain(lambda p: replace(p, v_range=np.array([1, value / 4]), unit=np.array([1, 0.25])))


def largest_spike(value: int) -> SpikingGraph:
    return chain(lambda p: replace(p, payload=np.array([1, value], np.int32)))


def largest_spike_of_levels(value: int) -> SpikingGraph:
    """One payload more or less, times 2."""
    return chain(lambda p: replace(p, payload=np.array([1, value // 2], np.int32), levels=2))


def longest_delay(value: int) -> SpikingGraph:
    """The image waits for `a`, which leads by one step less."""
    a = neurons("a", (2,), dense("input", 2, 2), lead=value - 1)
    b = neurons("b", (2,), dense("a", 2, 2), dense("input", 2, 2))
    return graph(Input("input", (2,), np.ones(2), 8), a, b, ending("b", 2))


def most_groups(value: int) -> SpikingGraph:
    q = Projection("input", np.ones((value, 1, 1, 1), np.int8), groups=value)
    return graph(
        Input("input", (value, 1, 1), np.ones(value), 8), neurons("a", (value, 1, 1), q), ending("a", value)
    )


def most_columns(value: int) -> SpikingGraph:
    q = Projection("input", np.ones((1, 1, 1, 1), np.int8))
    return graph(
        Input("input", (1, 1, value), np.ones(1), 8), neurons("a", (1, 1, value), q), ending("a", value)
    )


def largest_fan_in_of_a_kernel(value: int) -> SpikingGraph:
    q = Projection("input", np.ones((1, value, 1, 1), np.int8))
    return graph(Input("input", (value, 1, 1), np.ones(value), 8), neurons("a", (1, 1, 1), q), ending("a", 1))


def largest_window(value: int) -> SpikingGraph:
    return graph(
        Input("input", (1, 1, value), np.ones(1), 8),
        MaxPool("a", (1, 1, 1), "input", Window((1, value), (1, 1))),
        ending("a", 1),
    )


def most_cores(value: int) -> SpikingGraph:
    """One of the image, one of the read-out, and as many of 127 neurons, what one axon's list holds."""
    a = neurons("a", (127 * (value - 2),), dense("input", 127 * (value - 2), 1))
    return graph(Input("input", (1,), np.ones(1), 8), a, ending("input", 1))


LIMITS = [
    ("weights fit 8 bits", widest_weight, 127, 128),
    ("weights fit 8 bits", widest_negative_weight, 127, 128),
    ("weights fit 8 bits", widest_resampled_weight, 126, 128),
    ("thresholds fit the state", largest_threshold, STATE, STATE + 1),
    ("biases fit the state", largest_bias, STATE, STATE + 1),
    ("initial potentials fit the state", largest_initial_potential, STATE, STATE + 1),
    ("expected potentials fit the state", largest_expected_potential, STATE, STATE + 1),
    ("spikes fit graded messages", largest_spike, STATE, STATE + 1),
    ("spikes fit graded messages", largest_spike_of_levels, STATE - 1, STATE + 1),
    ("delays are 0 to 62 steps", longest_delay, 62, 63),
    ("convolutions read at most 256 columns", most_columns, 256, 257),
    ("synapses fit a core", largest_fan_in_of_a_kernel, 16_000, 16_001),
    ("cores fit the chips", most_cores, 128, 129),
]


@pytest.mark.parametrize(
    ("rule", "make", "last", "first"), LIMITS, ids=[make.__name__ for _, make, _, _ in LIMITS]
)
def test_a_rule_holds_at_its_limit_and_breaks_beyond(
    rule: str, make: Callable[[int], SpikingGraph], last: int, first: int
) -> None:
    assert broken(dn.check(make(last))) == []
    (found,) = dn.check(make(first)).violations
    assert (found.rule, found.value) == (rule, first)
    assert found.limit in (last, last + 1)
    assert found.remedy


def test_a_dense_layers_fan_in_is_its_input_axons_and_their_lists() -> None:
    def fan_in(value: int) -> SpikingGraph:
        return graph(
            Input("input", (value,), np.ones(value), 8),
            neurons("a", (1,), dense("input", 1, value)),
            ending("a", 1),
        )

    assert broken(dn.check(fan_in(16_000))) == []
    found = dn.check(fan_in(16_001))
    assert broken(found) == ["input axons fit a core", "synapses fit a core"]
    assert {v.population for v in found.violations} == {"a"}
    assert found.cores == sum(
        row.cores for row in found.rows if row.name != "a"
    )  # what does not fit has no cores


def test_a_max_pools_window_is_the_state_of_one_neuron() -> None:
    """24 bits for each input and the maximum, of 4,095 * 64 bits: 10,919 inputs."""
    assert broken(dn.check(largest_window(10_919))) == []
    (found,) = dn.check(largest_window(10_920)).violations
    assert (found.rule, found.population, found.value, found.limit) == (
        "neurons' state fits a core",
        "a",
        4096,
        4095,
    )


def test_every_rule_has_a_graph_that_breaks_it() -> None:
    shown = {rule for rule, *_ in LIMITS} | {
        "input axons fit a core",
        "neurons' state fits a core",
    }  # the tests above
    shown |= {"the reset interval is a power of two", "samples do not overlap"}  # the test below
    assert shown == {named(rule) for rule in RULES}


# ---------------------------------------------------------------- time


@pytest.mark.parametrize(
    ("steps", "lead", "period", "rules"),
    [
        (8, 0, 8, []),
        (8, 0, 64, []),
        (8, 0, 9, ["the reset interval is a power of two"]),
        (8, 0, 4, ["samples do not overlap"]),
        (8, 1, 8, ["samples do not overlap"]),
        (8, 8, 16, []),
        (9, 0, 7, ["the reset interval is a power of two", "samples do not overlap"]),
    ],
)
def test_the_period(steps: int, lead: int, period: int, rules: list[str]) -> None:
    leading = chain(lambda p: replace(p, lead=lead), steps=steps)
    assert broken(dn.check(leading, period=period)) == rules
    chosen = dn.check(leading).period
    assert broken(dn.check(leading)) == []
    assert chosen in {1 << i for i in range(10)}
    assert chosen // 2 < steps + lead <= chosen


def test_delays_are_those_that_lava_gets() -> None:
    """A shortcut around two layers, whose leads it waits for."""
    a = neurons("a", (2,), dense("input", 2, 2), lead=2)
    b = neurons("b", (2,), dense("a", 2, 2), lead=3)
    c = neurons("c", (2,), dense("b", 2, 2), dense("a", 2, 2), dense("input", 2, 2))
    found = dn.check(graph(Input("input", (2,), np.ones(2), 8), a, b, c, ending("c", 2)))
    assert [(d.source, d.target, d.steps) for d in found.delays] == [
        ("a", "c", 1 + 3),
        ("input", "c", 2 + 2 + 3),
    ]


# ---------------------------------------------------------------- remedies


def test_a_pooled_map_of_its_own_is_the_remedy_for_its_kernel() -> None:
    """A mean over 4x4, then 3x3: as in VGG-16, where it is 2x2 of more channels."""
    channels, pool, around = 127, Window((4, 4), (4, 4)), ((1, 1), (1, 1))
    image = Input("input", (channels, 8, 8), np.ones(channels), 8)
    kernel = np.full((8, channels, 3, 3), 100, np.int8)
    composed = graph(
        image,
        neurons("a", (8, 2, 2), Projection("input", kernel, sum_pool=pool, padding=around)),
        ending("a", 32),
    )
    (found,) = dn.check(composed).violations
    assert (found.rule, found.value) == ("synapses fit a core", 12 * 12 * channels)
    assert "give the pooled map a layer of its own" in found.remedy
    mean = Projection("input", np.ones((channels, 1, 4, 4), np.int8), stride=(4, 4), groups=channels)
    relay = neurons("mean", (channels, 2, 2), mean, two_sided=True)
    assert (
        broken(
            dn.check(
                graph(
                    image,
                    relay,
                    neurons("a", (8, 2, 2), Projection("mean", kernel, padding=around)),
                    ending("a", 32),
                )
            )
        )
        == []
    )


@pytest.mark.parametrize("layer", [None, "relu", "clamp"])
def test_a_clamp_behind_the_pool_gives_the_map_a_layer_and_a_relu_does_not(layer: str | None) -> None:
    class Pooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.last = (
                nn.Conv2d(2, 127, 1),
                nn.Conv2d(127, 8, 3, padding=1),
                nn.Linear(32, 2),
            )

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = F.avg_pool2d(torch.relu(self.first(x)), 4)
            x = {None: x, "relu": torch.relu(x), "clamp": torch.clamp(x, 0, 1e6)}[layer]
            return self.last(torch.relu(self.second(x)).flatten(1))

    found = dn.check(small(Pooled(), (2, 8, 8))[0])
    assert broken(found) == ([] if layer == "clamp" else ["synapses fit a core"])
    assert all("torch.clamp(x, 0, 1e6) behind the pool" in v.remedy for v in found.violations)


def test_more_chips_are_the_remedy_for_many_cores() -> None:
    (found,) = dn.check(most_cores(257)).violations
    assert found.remedy.startswith("chips=3")
    assert broken(dn.check(most_cores(257), chips=2)) == ["cores fit the chips"]
    assert broken(dn.check(most_cores(257), chips=3)) == []


def test_groups_that_lavas_conv_cannot_hold_are_a_caution_and_no_matter_of_the_chip() -> None:
    assert dn.check(most_groups(127)).cautions == ()
    found = dn.check(most_groups(128))
    assert found.fits
    (caution,) = found.cautions
    assert (caution.rule, caution.value, caution.limit) == ("groups fit Lava's own Conv", 128, 127)
    told = checks.cautions_told(found.cautions)
    assert told.startswith("in Lava, not on a chip: groups fit Lava's own Conv, at most 127; ")
    assert "PyConvModelFast" in told
    assert checks.verdict(found).endswith(", 14 of 14 rules; " + checks.verdict(found).rpartition("; ")[2])


def test_cheaper_networks_are_tried_where_one_may_help() -> None:
    assert dn.check(most_cores(257)).is_too_large
    assert dn.check(chain(weight=300)).is_too_large
    assert not dn.check(most_columns(300)).is_too_large
    assert not dn.check(chain()).is_too_large


def test_the_remedy_of_a_state_of_fewer_bits_cures() -> None:
    """Compensated rounding chooses units that fill 24 bits, whatever the weights' bits; nearest does not."""
    narrow = replace(LOIHI2, state_bits=20)
    rng = np.random.default_rng(0)
    x = rng.random((16, 2, 6, 6), np.float32)

    def of_state(**options: Any) -> set[str]:
        nets = dn.build(randomized(ResidualPoolNet(), 0), x, replace(dn.BEST, **options))
        found = dn.check(nets.integer, target=narrow).violations
        return {v.remedy for v in found if "fit the state" in v.rule}

    remedy = "coarser units: rounding=nearest and fewer weight_bits (compensated rounding fills 24 bits)"
    assert of_state(weight_bits=8) == of_state(weight_bits=4) == {remedy}
    assert of_state(weight_bits=4, rounding="nearest") == set()


def test_all_violations_are_collected() -> None:
    found = dn.check(
        chain(
            lambda p: replace(p, vth=p.vth * (STATE + 1), bias=np.array([0, STATE + 5], np.int32)), weight=300
        ),
        period=3,
    )
    assert broken(found) == [
        "weights fit 8 bits",
        "thresholds fit the state",
        "biases fit the state",
        "the reset interval is a power of two",
        "samples do not overlap",
    ]


def test_graded_spikes_are_told_from_spikes_of_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(**options: object) -> str:
        spiking, _ = small(quantize=False, granularity="channel", **options)
        file = netx.write(tmp_path / "a.net", dn.quantize(spiking, spikes="binary"), overwrite=True)
        cli.main(["check", str(file)])
        return capsys.readouterr().out

    assert "spikes are 1 and -1 alone, but for the image" in told()
    assert "graded spikes of up to 3, from 4 of 4 populations, and the image" in told(levels=3)
    assert dn.check(chain(lambda p: replace(p, payload=np.array([1, 5], np.int32)))).largest_spikes == {
        "input": 127,
        "a": 5,
    }


def test_floats_and_nonsense_are_refused() -> None:
    with pytest.raises(OutOfRange, match="quantize it first"):
        dn.check(small(quantize=False)[0])
    with pytest.raises(OutOfRange, match="0 chips"):
        dn.check(chain(), chips=0)


# ---------------------------------------------------------------- the verb


def test_check_tells_what_does_not_hold_and_says_so_in_its_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = netx.write(tmp_path / "a.net", small()[0])
    assert cli.main(["check", str(file), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["violations"] == []
    assert facts["cores"] == sum(row["cores"] for row in facts["rows"])
    assert "not verified on Loihi 2" in facts["basis"]
    assert cli.main(["check", str(file)]) == 0
    told = " ".join(capsys.readouterr().out.replace("│", "").split())
    assert "estimated by a rule" in told
    assert "by published limits" in told
    assert "the price of a max-pool is a guess" in told
    wide = netx.write(tmp_path / "wide.net", most_columns(300))
    assert cli.main(["check", str(wide), "--period", "9"]) == 1
    told = capsys.readouterr()
    assert "guess" not in told.out
    assert (
        "2 of 14 rules do not hold (the reset interval is a power of two; convolutions read at most 256 "
        "columns)" in told.err
    )
    assert "2 strips" in told.out
