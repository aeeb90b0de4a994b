"""ANN to SNN without training: DNISNM (Wang et al. 2024, Algorithm 1), in float64."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir import (
    SNM,
    Activation,
    AnalogGraph,
    Curve,
    Gate,
    Input,
    MaxPool,
    Population,
    Product,
    ReadOut,
    Rectifier,
    Relay,
    Smooth,
    SpikingGraph,
    checked_steps,
    frozen,
    narrowed,
)
from dnisnm_lava.ir import activations as curved
from dnisnm_lava.ir.channels import channel_max, channel_min, per_channel
from dnisnm_lava.stages.calibration import Statistics

RELAY_LEVELS = 31  # what a 5-bit payload can say, either way
FUNCTION_ERROR = 0.5  # of what one level is worth in all steps


def convert(
    analog: AnalogGraph,
    stats: Statistics,
    *,
    steps: int,
    granularity: str = "neuron",
    levels: int | Mapping[str, int] = 1,
    lead: int | Mapping[str, int] = 0,
    relay_levels: int = RELAY_LEVELS,
    down: float = 1.0,
    function_error: float = FUNCTION_ERROR,
) -> SpikingGraph:
    """The spiking network: theta from data, v_init = theta / 2 (DNI), signed neurons with memory.

    granularity: neuron, channel or layer, of the maxima (`normalize_weights` makes the paper's other branch
    of it). levels K: theta = maximum / K, so that K levels a step reach the maximum (K = 1 is the paper); for
    all rectifiers and activations, or {name: K} of each. lead: steps before a neuron may fire, for all of
    them or {name: lead}. relay_levels: those of two-sided populations, which pass on linear tensors. down: of
    rectifiers, the lower threshold as a share of theta, 0 to 1 (1 is the paper): how much of a level too much
    is kept before it is taken back. Relays have 0.
    """
    checked_steps(steps)
    check_down(down)
    check_function_error(function_error)
    waiting = [p.name for p in analog if isinstance(p, Rectifier | Activation)]
    leads = dict(lead) if isinstance(lead, Mapping) else dict.fromkeys(waiting, lead)
    names = [p.name for p in analog if isinstance(p, Rectifier | Relay | Activation)]
    if not set(leads) <= set(names) or any(v < 0 for v in leads.values()):
        raise OutOfRange(
            f"lead: {lead} names no population or is negative; give steps >= 0 for some of {', '.join(names)}"
        )
    each = levels_of(levels, with_levels(analog))
    check_levels(levels=each, relay_levels=relay_levels)
    populations = tuple(
        _relay(p, stats, relay_levels, leads.get(p.name, 0))
        if isinstance(p, Relay)
        else _activation(p, stats, steps, each[p.name], leads.get(p.name, 0), function_error)
        if isinstance(p, Activation)
        else _gate(p, stats, each[p.name])
        if isinstance(p, Product)
        else _convert(p, stats, steps, granularity, each.get(p.name, 1), leads.get(p.name, 0), down)
        for p in analog
    )
    return SpikingGraph(populations, steps=steps)


def check_levels(**given: int | Mapping[str, int]) -> None:
    """OutOfRange, by its name, for a number of levels below 1."""
    for name, value in given.items():
        least = min(value.values(), default=1) if isinstance(value, Mapping) else value
        if least < 1:
            raise OutOfRange(f"{name}: {least} given; give 1 or more")


def levels_of(levels: int | Mapping[str, int], names: Sequence[str]) -> dict[str, int]:
    """{rectifier: K} of all; OutOfRange where a mapping names others, or not all."""
    if not isinstance(levels, Mapping):
        return dict.fromkeys(names, levels)
    if set(levels) != set(names):
        wrong = sorted(set(levels) ^ set(names))
        raise OutOfRange(
            f"levels: given by name, but not for each rectifier once ({', '.join(wrong)}); there are "
            f"{', '.join(names)}"
        )
    return dict(levels)


def with_levels(analog: AnalogGraph) -> list[str]:
    """The populations that `levels` speaks of: rectifiers, activations and products."""
    return [p.name for p in analog if isinstance(p, Rectifier | Activation | Product)]


def check_function_error(share: float) -> None:
    """OutOfRange for what is no share."""
    if not 0 < share <= 16:
        raise OutOfRange(f"function_error: {share} given; give more than 0, at most 16, a share of a level")


def check_down(down: float) -> None:
    """OutOfRange for what is no share."""
    if not 0 <= down <= 1:
        raise OutOfRange(f"down: {down} given; give 0 to 1, a share of the threshold")


def _convert(
    p: Population, stats: Statistics, steps: int, granularity: str, levels: int, lead: int, down: float
) -> Population:
    if isinstance(p, Input):
        return replace(p, scale=stats.input_magnitude)
    if isinstance(p, ReadOut):
        return replace(p, unit=np.ones(p.shape[0]), v_range=channel_max(steps * stats.magnitude(p.name)))
    if isinstance(p, MaxPool):
        return p
    assert isinstance(p, Rectifier)
    theta = frozen(np.minimum(narrowed(stats.maxima(p.name, granularity)), p.ceiling) / levels)
    v_range = channel_max(_largest_potential(stats, p.name, theta, steps, levels, lead))
    return _neurons(p, theta, v_range, v_init=theta / 2, levels=levels, lead=lead, down=down)


def _neurons(p: Rectifier | Relay | Activation, theta: np.ndarray, v_range: np.ndarray, **dials: Any) -> SNM:
    """Neurons with the projections and the bias of p, in real units, that send what a level of theta is
    worth."""
    ones = np.ones(p.shape[0])
    return SNM(
        p.name,
        p.shape,
        p.projections,
        bias=p.bias,
        vth=theta,
        payload=theta,
        unit=ones,
        spike_unit=ones,
        v_range=v_range,
        **dials,
    )


def _activation(
    p: Activation, stats: Statistics, steps: int, levels: int, lead: int, function_error: float
) -> SNM:
    """A population that keeps its running sum and sends the change of its function: `levels` levels of one
    threshold a channel reach the function's largest magnitude."""
    low, high = channel_min(stats.low[p.name]), channel_max(stats.high[p.name])
    theta = curved.largest(p.function, low, high) / levels
    largest = channel_max(stats.magnitude(p.name))
    curve = of_levels(p.function, low, high, theta / steps, function_error)
    return _neurons(
        p,
        per_channel(theta, p.shape),
        steps * largest,
        v_init=np.zeros(p.shape),
        levels=levels,
        lead=lead,
        two_sided=curve.is_signed,
        down=0.0,
        curve=curve,
    )


def _gate(p: Product, stats: Statistics, levels: int) -> Gate:
    """`levels` levels of one threshold a channel reach the product's largest magnitude."""
    theta = per_channel(channel_max(stats.magnitude(p.name)) / levels, p.shape)
    ones = np.ones(p.shape[0])
    return Gate(
        p.name,
        p.shape,
        p.source,
        p.gate,
        vth=theta,
        payload=theta,
        gain=ones,
        spike_unit=ones,
        levels=levels,
        two_sided=bool((stats.low[p.name] < 0).any()),
    )


def of_levels(
    function: Curve | Smooth, low: np.ndarray, high: np.ndarray, level: np.ndarray, tolerance: float
) -> Curve:
    """The curve of neurons whose level is worth `level` (C,), for x between `low` and `high` (C,): the
    function itself where it is one."""
    if isinstance(function, Curve):
        return replace(function, low=low, high=high, tolerance=tolerance)
    error = tolerance * np.where(level > 0, level, 1.0)
    return curved.near(function, low, high, error, tolerance)


def _relay(p: Relay, stats: Statistics, levels: int, lead: int) -> SNM:
    """A two-sided population: `levels` levels of one threshold a channel reach its largest magnitude, so
    it sends what it hears to the nearest level: it starts at half of one, and takes one back as soon as v
    < 0."""
    largest = channel_max(stats.magnitude(p.name))
    theta = per_channel(largest / levels, p.shape)
    return _neurons(
        p,
        theta,
        (lead + 2) * largest,
        v_init=theta / 2,
        levels=levels,
        lead=lead,
        two_sided=True,
        down=0.0,
    )


def _largest_potential(
    stats: Statistics, name: str, theta: np.ndarray, steps: int, levels: int, lead: int
) -> np.ndarray:
    """How far v may go on the calibration images: down for all steps where the pre-activation is
    negative (such a neuron never fires), up by what exceeds `levels * theta` and by the lead."""
    high, low = (np.maximum(a, 0, dtype=np.float64) for a in (stats.high[name], -stats.low[name]))
    upward = steps * np.maximum(high - levels * theta, 0) + (lead + 2) * high
    return theta / 2 + np.maximum(steps * low, upward)
