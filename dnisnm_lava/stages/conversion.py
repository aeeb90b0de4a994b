"""ANN to SNN without training: DNISNM (Wang et al. 2024, Algorithm 1), in float64."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir import (
    SNM,
    AnalogGraph,
    Graph,
    Input,
    MaxPool,
    Population,
    Projection,
    ReadOut,
    Rectifier,
    Relay,
    Shape,
    SpikingGraph,
    checked_steps,
    frozen,
    narrowed,
)
from dnisnm_lava.stages.calibration import Statistics

RELAY_LEVELS = 31  # what a 5-bit payload can say, either way


def convert(
    analog: AnalogGraph,
    stats: Statistics,
    *,
    steps: int,
    granularity: str = "neuron",
    threshold: str = "max",
    levels: int | Mapping[str, int] = 1,
    lead: int | Mapping[str, int] = 0,
    branch: str = "balance",
    relay_levels: int = RELAY_LEVELS,
    down: float = 1.0,
) -> SpikingGraph:
    """The spiking network: theta from data, v_init = theta / 2 (DNI), signed neurons with memory.

    granularity: neuron, channel or layer. threshold: max (the paper). levels K: theta = maximum / K, so
    that K levels a step reach the maximum (K = 1 is the paper); for all rectifiers, or {name: K} of each. lead: steps before a
    neuron may fire, for all rectifiers or {name: lead}. branch: `balance` keeps the weights and sends theta; `normalize`
    divides the weights (Eq. 18) and sends 1, where the weights allow it. relay_levels: those of two-sided
    populations, which pass on linear tensors. down: of rectifiers, the lower threshold as a share of theta, 0 to 1 (1 is the
    paper): how much of a level too much is kept before it is taken back. Relays have 0.
    """
    checked_steps(steps)
    if threshold != "max":
        raise OutOfRange(f"threshold: {threshold!r} given; choose max")
    check_down(down)
    if branch not in ("balance", "normalize"):
        raise OutOfRange(f"branch: {branch!r} given; choose balance or normalize")
    leads = dict(lead) if isinstance(lead, Mapping) else {p.name: lead for p in analog.of(Rectifier)}
    names = [p.name for p in analog if isinstance(p, Rectifier | Relay)]
    if not set(leads) <= set(names) or any(v < 0 for v in leads.values()):
        raise OutOfRange(f"lead: {lead} names no population or is negative; give steps >= 0 for some of {', '.join(names)}")
    each = levels_of(levels, [p.name for p in analog.of(Rectifier)])
    check_levels(levels=each, relay_levels=relay_levels)
    populations = tuple(
        _relay(p, stats, relay_levels, leads.get(p.name, 0))
        if isinstance(p, Relay)
        else _convert(p, stats, steps, granularity, each.get(p.name, 1), leads.get(p.name, 0), down)
        for p in analog
    )  # fmt: skip
    graph = SpikingGraph(populations, steps=steps)
    return graph if branch == "balance" else normalize_weights(graph)


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
        raise OutOfRange(f"levels: given by name, but not for each rectifier once ({', '.join(wrong)}); there are {', '.join(names)}")
    return dict(levels)


def check_down(down: float) -> None:
    """OutOfRange for what is no share."""
    if not 0 <= down <= 1:
        raise OutOfRange(f"down: {down} given; give 0 to 1, a share of the threshold")


def _convert(p: Population, stats: Statistics, steps: int, granularity: str, levels: int, lead: int, down: float) -> Population:
    if isinstance(p, Input):
        return replace(p, scale=stats.input_magnitude)
    if isinstance(p, ReadOut):
        return replace(p, unit=np.ones(p.shape[0]), v_range=channel_max(steps * stats.magnitude(p.name)))
    if isinstance(p, MaxPool):
        return p
    assert isinstance(p, Rectifier)
    theta = frozen(np.minimum(narrowed(stats.maxima(p.name, granularity)), p.ceiling) / levels)
    ones = np.ones(p.shape[0])
    v_range = channel_max(_largest_potential(stats, p.name, theta, steps, levels, lead))
    return SNM(
        p.name, p.shape, p.projections, p.bias, vth=theta, payload=theta, v_init=theta / 2,
        unit=ones, spike_unit=ones, v_range=v_range, levels=levels, lead=lead, down=down,
    )  # fmt: skip


def _relay(p: Relay, stats: Statistics, levels: int, lead: int) -> SNM:
    """A two-sided population: `levels` levels of one threshold a channel reach its largest magnitude, so it
    sends what it hears to the nearest level: it starts at half of one, and takes one back as soon as v < 0."""
    largest = channel_max(stats.magnitude(p.name))
    theta = per_channel(largest / levels, p.shape)
    ones = np.ones(p.shape[0])
    return SNM(
        p.name, p.shape, p.projections, p.bias, vth=theta, payload=theta, v_init=theta / 2, unit=ones, spike_unit=ones,
        v_range=(lead + 2) * largest, levels=levels, lead=lead, two_sided=True, down=0.0,
    )  # fmt: skip


def _largest_potential(stats: Statistics, name: str, theta: np.ndarray, steps: int, levels: int, lead: int) -> np.ndarray:
    """How far v may go on the calibration images: down for all steps where the pre-activation is
    negative (such a neuron never fires), up by what exceeds `levels * theta` and by the lead."""
    high, low = (np.maximum(a, 0, dtype=np.float64) for a in (stats.high[name], -stats.low[name]))
    upward = steps * np.maximum(high - levels * theta, 0) + (lead + 2) * high
    return theta / 2 + np.maximum(steps * low, upward)


def channel_max(a: np.ndarray) -> np.ndarray:
    """(C, ...) -> (C,) maxima."""
    return a.reshape(a.shape[0], -1).max(axis=1)


def per_channel(a: np.ndarray, shape: Shape) -> np.ndarray:
    """(C,) -> an array that broadcasts along the first axis of `shape`."""
    return a.reshape(-1, *(1,) * (len(shape) - 1))


def scale_inputs(projection: Projection, scale: np.ndarray, source_shape: Shape) -> np.ndarray:
    """The projection's weight when its source counts in units of `scale`, (C,) or (*source shape)."""
    weight = projection.weight
    if projection.source_channels is not None:
        scale = scale[projection.source_channels]
    if projection.is_conv:
        outputs, inputs = weight.shape[:2]
        by_group = scale.reshape(projection.groups, inputs)  # (groups, I / groups)
        rows = np.repeat(by_group, outputs // projection.groups, axis=0)  # (O, I / groups)
        return weight * rows[:, :, None, None]
    pooled = projection.read_shape(source_shape)
    full = scale if scale.ndim == len(pooled) else per_channel(scale, pooled)
    return weight * np.broadcast_to(full, pooled).reshape(1, -1)


def normalize_weights(graph: SpikingGraph) -> SpikingGraph:
    """The weight-normalization branch of Algorithm 1: W * lambda_source / lambda_target (18), sending 1.

    Exact only where a kernel's positions share lambda: OutOfRange where a conv, a sum-pool or a max-pool
    touches a population whose thresholds differ within a channel.
    """
    worth: dict[str, np.ndarray] = {}  # lambda: (C,) or (*shape); 1 for dead neurons
    done: list[Population] = []
    for p in graph:
        if isinstance(p, Input):
            worth[p.name] = np.ones(p.shape[0])
            done.append(p)
        elif isinstance(p, MaxPool):
            worth[p.name] = _channel_worth(worth[p.source], p.name)
            done.append(p)
        else:
            assert isinstance(p, SNM | ReadOut)
            own = np.ones(p.shape) if isinstance(p, ReadOut) else np.where(p.vth > 0, p.vth, 1.0)
            projections = tuple(_normalized(q, worth[q.source], own, graph, p.name) for q in p.projections)
            worth[p.name] = own
            done.append(_with_unit_spikes(p, projections, own))
    return SpikingGraph(tuple(done), steps=graph.steps)


def _with_unit_spikes(p: SNM | ReadOut, projections: tuple[Projection, ...], own: np.ndarray) -> Population:
    if isinstance(p, ReadOut):
        return replace(p, projections=projections)
    alive = (p.vth > 0).astype(np.float64)
    scale = channel_max(own)
    return replace(
        p, projections=projections, bias=p.bias / (own if p.bias.shape == p.shape else per_channel(scale, p.shape)),
        vth=alive, payload=alive, v_init=alive * p.v_init / own, unit=scale, spike_unit=scale,
        v_range=channel_max(per_channel(p.v_range, p.shape) / own),
    )  # fmt: skip


def _normalized(q: Projection, source: np.ndarray, own: np.ndarray, graph: Graph, who: str) -> Projection:
    shape = graph[q.source].shape
    if q.is_conv:
        rows = _channel_worth(own, who)[q.channel_of_row]
        weight = scale_inputs(q, _channel_worth(source, q.source), shape) / rows[:, None, None, None]
    else:
        source = source if q.spatial is None else _channel_worth(source, q.source)
        rows = own.reshape(-1) if q.target_channels is None else own[q.target_channels]
        weight = scale_inputs(q, source, shape) / rows.reshape(-1, 1)
    return replace(q, weight=weight)


def _channel_worth(worth: np.ndarray, who: str) -> np.ndarray:
    """(C,) when all neurons of a channel share one threshold; OutOfRange when not."""
    flat = worth.reshape(worth.shape[0], -1)
    if (flat != flat[:, :1]).any():
        raise OutOfRange(
            f"{who}: thresholds differ within a channel, so its shared kernel cannot be normalized exactly (18); "
            "convert with granularity='channel' or branch='balance'"
        )
    return flat[:, 0]
