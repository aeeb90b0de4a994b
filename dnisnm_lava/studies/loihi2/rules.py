"""Design rules for a chip, Loihi 2 by default, and Lava: sentences, and functions from a network to all that
each of them reads.

What they rest on stands in `loihi2.toml`, published limits with their sources, which `limits` reads, and for
cores in the estimate of `layers`; nothing was verified on a chip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir import SNM, Input, Projection, ReadOut, SpikingGraph
from dnisnm_lava.ir.fixedpoint import STATE_BITS
from dnisnm_lava.ir.integers import largest_spikes, state_ranges
from dnisnm_lava.ir.timing import early_by, shortest_period
from dnisnm_lava.ir.weight_use import WeightUse, few_bits
from dnisnm_lava.studies.loihi2 import layers
from dnisnm_lava.studies.loihi2.cores import Row, ceil_div
from dnisnm_lava.studies.loihi2.layers import largest_weight
from dnisnm_lava.studies.loihi2.limits import LOIHI2, Limits
from dnisnm_lava.studies.loihi2.limits import limits as read_limits
from dnisnm_lava.studies.streams.dials import Dials, dials


@dataclass(frozen=True)
class Violation:
    """`rule` does not hold in `population` (empty: in the whole): `value` exceeds `limit`; `remedy` says what
    now."""

    rule: str
    population: str
    value: int
    limit: int
    remedy: str


@dataclass(frozen=True)
class Use:
    """How much of its limit a rule's fullest reading takes: `value` of `limit`, in `population` (empty: in
    the whole)."""

    rule: str
    population: str
    value: int
    limit: int

    @property
    def share(self) -> float:
        return self.value / self.limit if self.limit else float(self.value > 0)


Reading = tuple[str, int, int, str]  # of one rule: population, value, limit, and a remedy
Readings = Iterator[Reading]


@dataclass(frozen=True)
class Delay:
    """`steps` that the spikes of `source` wait on their way into `target`: other paths into it are longer."""

    source: str
    target: str
    steps: int


@dataclass(frozen=True)
class Network:
    """An integer graph with its estimate, to run with one sample every `period` steps on `chips` chips of
    these limits."""

    graph: SpikingGraph
    rows: tuple[Row, ...]
    period: int
    chips: int
    limits: Limits = LOIHI2

    @property
    def projections(self) -> Iterator[tuple[str, Projection]]:
        return ((p.name, q) for p in self.graph if isinstance(p, SNM | ReadOut) for q in p.projections)

    @property
    def cores(self) -> int:
        """The cores of the populations that fit."""
        return sum(row.cores for row in self.rows if row.fits)

    @cached_property
    def delays(self) -> tuple[Delay, ...]:
        """Those of every projection that reads spikes, in the order of the graph."""
        graph, starts = self.graph, self.graph.window_starts()
        return tuple(
            Delay(q.source, name, early_by(starts, graph[q.source], name)) for name, q in self.projections
        )


@dataclass(frozen=True)
class Checked:
    """Every violation, and what was found on the way: rows of the estimate, delays that are not 0, shortest
    and actual period. largest_spikes: {population: largest |value| that it can send in a step}; 1 is a spike
    without a payload. few_bits: projections whose weights use few of their bits, which costs accuracy and
    breaks no rule. stream: the dials, of a stream's network. uses: of each rule that was asked, the fullest
    reading. target: the chip. cautions: where Lava's own processes would go wrong, which is no matter of the
    chip."""

    violations: tuple[Violation, ...]
    rows: tuple[Row, ...]
    delays: tuple[Delay, ...]
    shortest_period: int
    period: int
    cores: int
    chips: int
    largest_spikes: Mapping[str, int]
    few_bits: tuple[WeightUse, ...] = ()
    stream: Dials | None = None
    uses: tuple[Use, ...] = ()
    target: Limits = LOIHI2
    cautions: tuple[Violation, ...] = ()

    @property
    def fits(self) -> bool:
        return not self.violations

    @property
    def is_too_large(self) -> bool:
        """Does a rule not hold that a cheaper network may hold?"""
        of_cost = {named(rule, self.target) for rule in EVERY if rule.readings in OF_COST}
        return any(v.rule in of_cost for v in self.violations)

    @property
    def rules_held(self) -> int:
        """The number of `uses` whose rule holds everywhere."""
        broken = {v.rule for v in self.violations}
        return sum(use.rule not in broken for use in self.uses)

    @property
    def memory(self) -> int:
        """Bytes of weights and state of what fits, by the estimate: on each core of a population the words of
        its fullest one (the last may hold less), and what all its neurons keep."""
        words = sum(
            row.cores * (row.words + row.table_words) + row.neurons * row.state_words
            for row in self.rows
            if row.fits
        )
        return words * self.target.word_bits // 8

    @property
    def state_words(self) -> int:
        """Words that all neurons keep; of a stream's network, from frame to frame."""
        return sum(row.neurons * row.state_words for row in self.rows)

    @property
    def chips_needed(self) -> int:
        return ceil_div(self.cores, self.target.cores)


def check(
    graph: SpikingGraph,
    *,
    chips: int = 1,
    period: int | None = None,
    target: Limits | str | Path = LOIHI2,
) -> Checked:
    """All rules on an integer graph. period: steps from one sample to the next (default: the shortest power
    of two). target: a chip's limits, `loihi2`, or a TOML file of them (docs/resources.md)."""
    if not graph.is_integer:
        raise OutOfRange("check: the graph holds floats, which have no widths; quantize it first")
    if chips < 1 or (period is not None and period < 1):
        raise OutOfRange(f"check: {chips} chips and a period of {period} given; give 1 or more")
    chip = target if isinstance(target, Limits) else read_limits(target)
    shortest = shortest_period(graph, graph.steps)
    network = Network(
        graph, layers.estimate(graph, chip), period or 1 << (shortest - 1).bit_length(), chips, chip
    )
    readings = _read(EVERY, network)
    return Checked(
        _violations(readings),
        network.rows,
        tuple(d for d in network.delays if d.steps),
        shortest,
        network.period,
        network.cores,
        chips,
        largest_spikes(graph),
        few_bits(graph),
        dials(graph) if graph.carry else None,
        tuple(_fullest(rule, found) for rule, found in readings.items()),
        chip,
        _violations(_read(OF_LAVA, network)),
    )


def _read(rules: tuple[Rule, ...], network: Network) -> dict[str, tuple[Reading, ...]]:
    """{a rule's sentence: what it reads}, of those that are asked of the chip."""
    chip = network.limits
    return {named(rule, chip): tuple(rule.readings(network)) for rule in rules if rule.is_asked(chip)}


def _violations(readings: Mapping[str, tuple[Reading, ...]]) -> tuple[Violation, ...]:
    return tuple(Violation(rule, *r) for rule, found in readings.items() for r in found if r[1] > r[2])


def _fullest(rule: str, readings: tuple[Reading, ...]) -> Use:
    """A rule of which a network has nothing to read holds, by 0 of 1."""
    uses = [Use(rule, name, value, limit) for name, value, limit, _ in readings]
    return max(uses, key=lambda use: use.share, default=Use(rule, "", 0, 1))


# ---------------------------------------------------------------- widths


def weights(network: Network) -> Readings:
    for name, q in network.projections:
        how = "of the weights" if q.resample is None else "of weights times the resampling in front of them"
        remedy = f"quantize with fewer weight_bits ({how}; from {q.source})"
        yield (name, largest_weight(q), network.limits.largest_weight, remedy)


COARSER = "coarser units: quantize with fewer weight_bits"
FILLED = (
    f"coarser units: rounding=nearest and fewer weight_bits (compensated rounding fills {STATE_BITS} bits)"
)


def thresholds(network: Network) -> Readings:
    for p in network.graph.of(SNM):
        if p.curve is None:  # whose threshold is a shift
            yield _of_state(network, p.name, p.vth, COARSER)


def biases(network: Network) -> Readings:
    for p in network.graph:
        if isinstance(p, SNM | ReadOut):
            yield _of_state(network, p.name, p.bias, COARSER)


def initial_potentials(network: Network) -> Readings:
    remedy = "coarser units (fewer weight_bits), or fit without correct=v_init"
    for p in network.graph.of(SNM):
        yield _of_state(network, p.name, p.v_init, remedy)


def expected_potentials(network: Network) -> Readings:
    again = "quantize again from the float network, with calibration images like those to come"
    for r in state_ranges(network.graph):
        yield (r.name, r.expected, network.limits.largest_state, _remedy(network, again))


def _of_state(network: Network, name: str, values: np.ndarray, remedy: str) -> tuple[str, int, int, str]:
    largest = int(np.abs(values.astype(np.int64)).max(initial=0))
    return name, largest, network.limits.largest_state, _remedy(network, remedy)


def _remedy(network: Network, remedy: str) -> str:
    """The remedy for a state that is too narrow."""
    return FILLED if network.limits.state_bits < STATE_BITS else remedy


def spikes(network: Network) -> Readings:
    for name, value in largest_spikes(network.graph).items():
        fewer = "fewer payload_bits or levels"
        coded = "an image of fewer bits, or one that is coded into such messages in front of the network"
        is_image = isinstance(network.graph[name], Input)
        yield (name, value, network.limits.largest_message, coded if is_image else fewer)


# ---------------------------------------------------------------- time


def delays(network: Network) -> Readings:
    most = network.limits.delay_steps
    assert most is not None
    for d in network.delays:
        yield (d.target, d.steps, most, f"shorter leads, or a relay between {d.source} and {d.target}")


def reset(network: Network) -> Readings:
    below = 1 << (network.period.bit_length() - 1)
    yield ("", network.period, below, f"a period of {2 * below}")


def samples(network: Network) -> Readings:
    shortest = shortest_period(network.graph, network.graph.steps)
    remedy = f"a period of {1 << (shortest - 1).bit_length()}: windows of {shortest} steps overlap"
    yield ("", shortest, network.period, remedy)


# ---------------------------------------------------------------- shapes


def groups(network: Network) -> Readings:
    fast = "this project's Conv, or PyConvModelFast for Lava's (procs/stock_conv.py)"
    remedy = f"{fast}; Lava's own model sends zeros"
    most = network.limits.conv_groups
    assert most is not None
    for name, q in network.projections:
        if q.is_conv:
            yield (name, q.groups, most, remedy)


def columns(network: Network) -> Readings:
    most = network.limits.conv_columns
    assert most is not None
    for name, q in network.projections:
        read = network.graph[q.source].shape[-1]
        if q.is_conv:
            dropped = f"spikes near column {most - 1} may be dropped"
            yield (name, read, most, f"smaller images, or {ceil_div(read, most)} strips: {dropped}")


# ---------------------------------------------------------------- cores, as estimated


def input_axons(network: Network) -> Readings:
    most = network.limits.input_axons
    assert most is not None
    remedy = "pool, or convolve, before the dense layer: each neuron's fan-in comes to one core"
    for row in network.rows:
        yield (row.name, row.axons, most, remedy)


def fan_in(network: Network) -> Readings:
    most = network.limits.fan_in
    assert most is not None
    remedy = "smaller kernels or fewer channels in front, or pool before the dense layer"
    for row in network.rows:
        yield (row.name, ceil_div(row.synapses, row.neurons), most, remedy)


def synapses(network: Network) -> Readings:
    for row in network.rows:
        alone = f"one neuron alone takes {row.words:,} words"
        remedy = f"a smaller fan-in: {alone}{_of_pools(network, row.name)}"
        yield (row.name, row.words, network.limits.synapse_words, remedy)


def _of_pools(network: Network, name: str) -> str:
    """A clamp, since the front-end leaves out a ReLU of what is never negative."""
    pooled = any(q.sum_pool is not None for who, q in network.projections if who == name)
    how = "torch.clamp(x, 0, 1e6) behind the pool, where its map is never negative"
    return (
        f"; an average pool is composed into its kernel, give the pooled map a layer of its own: {how}"
        if pooled
        else ""
    )


def neurons(network: Network) -> Readings:
    for row in network.rows:
        remedy = f"a smaller window: one neuron alone takes {row.kept:,} words of state"
        yield (row.name, row.kept, network.limits.state_words, remedy)


def cores(network: Network) -> Readings:
    of_chip = network.limits.cores
    remedy = f"chips={ceil_div(network.cores, of_chip)} (--chips), or a smaller network"
    yield ("", network.cores, network.chips * of_chip, remedy)


@dataclass(frozen=True)
class Rule:
    """`sentence`: what holds, with the limits' own names in braces. It is asked of a chip whose limit
    `needs` is neither missing nor false."""

    sentence: str
    readings: Callable[[Network], Readings]
    needs: str = "name"

    def is_asked(self, limits: Limits) -> bool:
        value = getattr(limits, self.needs)
        return value is not None and value is not False


EVERY: tuple[Rule, ...] = (
    Rule("weights fit {weight_bits} bits", weights),
    Rule("thresholds fit the state", thresholds),
    Rule("biases fit the state", biases),
    Rule("initial potentials fit the state", initial_potentials),
    Rule("expected potentials fit the state", expected_potentials),
    Rule("spikes fit graded messages", spikes),
    Rule("delays are 0 to {delay_steps} steps", delays, "delay_steps"),
    Rule("the reset interval is a power of two", reset, "reset_is_power_of_two"),
    Rule("samples do not overlap", samples),
    Rule("convolutions read at most {conv_columns} columns", columns, "conv_columns"),
    Rule("input axons fit a core", input_axons, "input_axons"),
    Rule("a neuron has at most {fan_in} synapses", fan_in, "fan_in"),
    Rule("synapses fit a core", synapses),
    Rule("neurons' state fits a core", neurons),
    Rule("cores fit the chips", cores),
)
OF_LAVA = (Rule("groups fit Lava's own Conv", groups, "conv_groups"),)  # of the simulator, not of a chip
OF_COST = (weights, synapses, neurons, cores)  # which narrower weights and shared thresholds may mend
RULES = tuple(rule for rule in EVERY if rule.is_asked(LOIHI2))


def named(rule: Rule, limits: Limits = LOIHI2) -> str:
    """A rule's sentence, with the chip's own numbers."""
    return rule.sentence.format(**asdict(limits))
