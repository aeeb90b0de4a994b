"""Design rules for Loihi 2 and Lava: functions named in English, from a network to all that breaks them.

What they rest on stands in `limits`: published limits, and for cores the estimate of `layers`; nothing was
verified on a chip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir import SNM, Projection, ReadOut, SpikingGraph, lead
from dnisnm_lava.ir.integers import largest_spikes, state_ranges
from dnisnm_lava.ir.weight_use import WeightUse, few_bits
from dnisnm_lava.studies.loihi2 import layers, limits
from dnisnm_lava.studies.loihi2.cores import Row, ceil_div
from dnisnm_lava.studies.loihi2.layers import largest_weight
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


Breaches = Iterator[tuple[str, int, int, str]]  # of one rule: population, value, limit, remedy


@dataclass(frozen=True)
class Delay:
    """`steps` that the spikes of `source` wait on their way into `target`: other paths into it are longer."""

    source: str
    target: str
    steps: int


@dataclass(frozen=True)
class Network:
    """An integer graph with its estimate, to run with one sample every `period` steps on `chips` chips."""

    graph: SpikingGraph
    rows: tuple[Row, ...]
    period: int
    chips: int

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
        graph, offset = self.graph, self.graph.window_starts()
        return tuple(
            Delay(q.source, name, offset[name] - 1 - offset[q.source] - lead(graph[q.source]))
            for name, q in self.projections
        )


@dataclass(frozen=True)
class Checked:
    """Every violation, and what was found on the way: rows of the estimate, delays that are not 0, shortest
    and actual period. largest_spikes: {population: largest |value| that it can send in a step}; 1 is a spike
    without a payload. few_bits: projections whose weights use few of their bits, which costs accuracy and
    breaks no rule. stream: the dials, of a stream's network."""

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

    @property
    def state_words(self) -> int:
        """Words of 64 bits that all neurons keep; of a stream's network, from frame to frame."""
        return sum(row.neurons * row.state_words for row in self.rows)

    @property
    def chips_needed(self) -> int:
        return ceil_div(self.cores, limits.CORES_PER_CHIP)


def check(graph: SpikingGraph, *, chips: int = 1, period: int | None = None) -> Checked:
    """All rules on an integer graph. period: steps from one sample to the next (default: the shortest power
    of two)."""
    if not graph.is_integer:
        raise OutOfRange("check: the graph holds floats, which have no widths; quantize it first")
    if chips < 1 or (period is not None and period < 1):
        raise OutOfRange(f"check: {chips} chips and a period of {period} given; give 1 or more")
    shortest = shortest_period(graph)
    network = Network(graph, layers.estimate(graph), period or 1 << (shortest - 1).bit_length(), chips)
    violations = tuple(Violation(named(rule), *breach) for rule in RULES for breach in rule(network))
    delays = tuple(d for d in network.delays if d.steps)
    return Checked(
        violations,
        network.rows,
        delays,
        shortest,
        network.period,
        network.cores,
        chips,
        largest_spikes(graph),
        few_bits(graph),
        dials(graph) if graph.carry else None,
    )


def shortest_period(graph: SpikingGraph) -> int:
    """Steps between samples at which no two windows of a population overlap: T and the largest lead."""
    return graph.steps + max(lead(p) for p in graph)


# ---------------------------------------------------------------- widths


def weights_fit_8_bits(network: Network) -> Breaches:
    for name, q in network.projections:
        value, limit = largest_weight(q), limits.WEIGHT.limit
        if value > limit:
            how = (
                "of the weights" if q.resample is None else "of weights times the resampling in front of them"
            )
            remedy = f"quantize with fewer weight_bits ({how}; from {q.source})"
            yield (name, value, limit, remedy)


def thresholds_fit_the_state(network: Network) -> Breaches:
    for p in network.graph.of(SNM):
        if p.curve is None:  # whose threshold is a shift
            yield from _beyond_the_state(p.name, p.vth, "coarser units: quantize with fewer weight_bits")


def biases_fit_the_state(network: Network) -> Breaches:
    for p in network.graph:
        if isinstance(p, SNM | ReadOut):
            yield from _beyond_the_state(p.name, p.bias, "coarser units: quantize with fewer weight_bits")


def initial_potentials_fit_the_state(network: Network) -> Breaches:
    for p in network.graph.of(SNM):
        remedy = "coarser units (fewer weight_bits), or fit without correct=v_init"
        yield from _beyond_the_state(p.name, p.v_init, remedy)


def expected_potentials_fit_the_state(network: Network) -> Breaches:
    for r in state_ranges(network.graph):
        if r.expected > limits.STATE.limit:
            remedy = "quantize again from the float network, with calibration images like those to come"
            yield (r.name, r.expected, limits.STATE.limit, remedy)


def _beyond_the_state(name: str, values: np.ndarray, remedy: str) -> Breaches:
    value = int(np.abs(values.astype(np.int64)).max(initial=0))
    if value > limits.STATE.limit:
        yield (name, value, limits.STATE.limit, remedy)


def spikes_fit_graded_messages(network: Network) -> Breaches:
    for name, value in largest_spikes(network.graph).items():
        if value > limits.MESSAGE.limit:
            yield (name, value, limits.MESSAGE.limit, "fewer payload_bits or levels")


# ---------------------------------------------------------------- time


def delays_are_0_to_62_steps(network: Network) -> Breaches:
    for d in network.delays:
        if d.steps > limits.DELAY_STEPS:
            remedy = f"shorter leads, or a relay between {d.source} and {d.target}"
            yield (d.target, d.steps, limits.DELAY_STEPS, remedy)


def the_reset_interval_is_a_power_of_two(network: Network) -> Breaches:
    # NOTEBOOK mnist/run.ipynb (limits): a reset interval on Loihi 2 is one
    below = 1 << (network.period.bit_length() - 1)
    if network.period != below:
        yield ("", network.period, below, f"a period of {2 * below}")


def samples_do_not_overlap(network: Network) -> Breaches:
    shortest = shortest_period(network.graph)
    if network.period < shortest:
        remedy = f"a period of {1 << (shortest - 1).bit_length()}: windows of {shortest} steps overlap"
        yield ("", shortest, network.period, remedy)


# ---------------------------------------------------------------- shapes


def groups_fit_the_stock_conv(network: Network) -> Breaches:
    for name, q in network.projections:
        if q.is_conv and q.groups > limits.CONV_GROUPS:
            remedy = (
                "this project's Conv, or PyConvModelFast for Lava's (procs/stock_conv.py); Lava's "
                "own model sends zeros"
            )
            yield (name, q.groups, limits.CONV_GROUPS, remedy)


def convolutions_read_at_most_256_columns(network: Network) -> Breaches:
    for name, q in network.projections:
        columns = network.graph[q.source].shape[-1]
        if q.is_conv and columns > limits.CONV_COLUMNS:
            remedy = (
                f"smaller images, or {ceil_div(columns, limits.CONV_COLUMNS)} strips: spikes near "
                f"column 255 may be dropped"
            )
            yield (name, columns, limits.CONV_COLUMNS, remedy)


# ---------------------------------------------------------------- cores, as estimated


def input_axons_fit_a_core(network: Network) -> Breaches:
    for row in network.rows:
        if row.axons > limits.INPUT_AXONS:
            remedy = "pool, or convolve, before the dense layer: each neuron's fan-in comes to one core"
            yield (row.name, row.axons, limits.INPUT_AXONS, remedy)


def synapses_fit_a_core(network: Network) -> Breaches:
    for row in network.rows:
        if row.words > limits.SYNAPSE_WORDS:
            remedy = (
                f"a smaller fan-in: one neuron alone takes {row.words:,} words{_of_pools(network, row.name)}"
            )
            yield (row.name, row.words, limits.SYNAPSE_WORDS, remedy)


def _of_pools(network: Network, name: str) -> str:
    """A clamp, since the front-end leaves out a ReLU of what is never negative."""
    pooled = any(q.sum_pool is not None for who, q in network.projections if who == name)
    how = "torch.clamp(x, 0, 1e6) behind the pool, where its map is never negative"
    return (
        f"; an average pool is composed into its kernel, give the pooled map a layer of its own: {how}"
        if pooled
        else ""
    )


def neurons_fit_a_core(network: Network) -> Breaches:
    for row in network.rows:
        value = row.kept
        if value > limits.STATE_WORDS:
            remedy = f"a smaller window: one neuron alone takes {value:,} words of state"
            yield (row.name, value, limits.STATE_WORDS, remedy)


def cores_fit_the_chips(network: Network) -> Breaches:
    limit = network.chips * limits.CORES_PER_CHIP
    if network.cores > limit:
        remedy = f"chips={ceil_div(network.cores, limits.CORES_PER_CHIP)} (--chips), or a smaller network"
        yield ("", network.cores, limit, remedy)


Rule = Callable[[Network], Breaches]
RULES: tuple[Rule, ...] = (
    weights_fit_8_bits,
    thresholds_fit_the_state,
    biases_fit_the_state,
    initial_potentials_fit_the_state,
    expected_potentials_fit_the_state,
    spikes_fit_graded_messages,
    delays_are_0_to_62_steps,
    the_reset_interval_is_a_power_of_two,
    samples_do_not_overlap,
    groups_fit_the_stock_conv,
    convolutions_read_at_most_256_columns,
    input_axons_fit_a_core,
    synapses_fit_a_core,
    neurons_fit_a_core,
    cores_fit_the_chips,
)


def named(rule: Rule) -> str:
    """A rule's name is its sentence."""
    return rule.__name__.replace("_", " ")
