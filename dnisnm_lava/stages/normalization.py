"""The weight-normalization branch of Algorithm 1: thresholds of 1, weights divided by (18)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir import SNM, Gate, Graph, Input, MaxPool, Population, Projection, ReadOut, SpikingGraph
from dnisnm_lava.ir.channels import channel_max, per_channel, scale_inputs


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
        elif isinstance(p, Gate) or (isinstance(p, SNM) and p.curve is not None):
            raise OutOfRange(
                f"{p.name}: a curve or a gate has no normalized weights; convert with branch='balance'"
            )
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
        p,
        projections=projections,
        bias=p.bias / (own if p.bias.shape == p.shape else per_channel(scale, p.shape)),
        vth=alive,
        payload=alive,
        v_init=alive * p.v_init / own,
        unit=scale,
        spike_unit=scale,
        v_range=channel_max(per_channel(p.v_range, p.shape) / own),
    )


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
            f"{who}: thresholds differ within a channel, so its shared kernel cannot be normalized "
            f"exactly (18); "
            "convert with granularity='channel' or branch='balance'"
        )
    return flat[:, 0]
