"""How each population of a graph is computed: the way of its synapses, the dtype of its sums, what its
neurons read."""

from __future__ import annotations

import importlib.util
import weakref
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from dnisnm_lava.backends.batched.currents import WAYS, Synapses, shortcut_weight, synapses
from dnisnm_lava.backends.batched.linear import linear
from dnisnm_lava.backends.batched.storage import EXACT_FLOAT32, Code, code_of, code_of_levels, innermost
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir import SNM, MaxPool, Population, Projection, ReadOut, SpikingGraph
from dnisnm_lava.ir.arithmetic import require_exact
from dnisnm_lava.ir.channels import per_channel
from dnisnm_lava.ir.dynamics import lower_threshold
from dnisnm_lava.ir.fixedpoint import STATE, FixedPointFormat
from dnisnm_lava.ir.integers import largest_spikes

UNLIMITED = 1 << 62  # of the potentials of floats
NEURONS = ("auto", "compiled", "stepped")
NUMPY: dict[torch.dtype, np.dtype] = {
    torch.uint8: np.dtype(np.uint8),
    torch.float32: np.dtype(np.float32),
    torch.float64: np.dtype(np.float64),
}


@dataclass(frozen=True)
class Plan:
    """A population ready to run. code: how its spikes are stored. projections: {name of the source:
    synapses}, in order; of a shortcut, its own byte's weights (C,). bias: of the displaced currents, whose
    sums `dtype` holds. limit: of v."""

    code: Code
    dtype: torch.dtype = torch.float64
    projections: tuple[tuple[str, Synapses], ...] = ()
    shortcut: tuple[str, np.ndarray] | None = None
    bias: np.ndarray = field(default_factory=lambda: np.zeros(0))
    compiled: bool = False
    limit: int = STATE.limit
    neurons: Any = None  # backends.neurons.Neurons, of an SNM that is compiled


_PLANS: dict[tuple[Any, ...], dict[str, Plan]] = {}  # by the identity of a graph that lives


def planned(
    graph: SpikingGraph,
    synapses: str = "auto",
    neurons: str = "auto",
    device: str = "cpu",
    steps: int | None = None,
) -> dict[str, Plan]:
    """How each population of the graph is computed in `steps` (default: the graph's); kept as long as the
    graph."""
    for name, given, choices in (("synapses", synapses, WAYS), ("neurons", neurons, NEURONS)):
        if given not in choices:
            raise OutOfRange(f"{name}: {given!r} given; choose {', '.join(choices)}")
    once = (graph.steps if steps is None else steps) == 1
    key = id(graph), synapses, neurons, device, once
    if key not in _PLANS:
        _PLANS[key] = _plan(graph, synapses, _is_compiled(graph, neurons, device), device, once)
        weakref.finalize(graph, _PLANS.pop, key, None)
    return _PLANS[key]


def paths(plan: Mapping[str, Plan]) -> dict[str, dict[str, int]]:
    """How many projections go which way, and how many populations: for provenance."""
    ways = Counter(s.way for p in plan.values() for _, s in p.projections)
    ways.update("shortcut" for p in plan.values() if p.shortcut is not None)
    neurons = Counter("compiled" if p.compiled else "stepped" for p in plan.values() if p.projections)
    return {"synapses": dict(sorted(ways.items())), "neurons": dict(sorted(neurons.items()))}


def _plan(graph: SpikingGraph, asked: str, compiled: bool, device: str, once: bool) -> dict[str, Plan]:
    if not graph.is_integer:
        return {p.name: _planned_float(p, asked, compiled, device) for p in graph}
    sent = largest_spikes(graph)
    plan: dict[str, Plan] = {}
    for p in graph:
        code = (_code_of_once(graph, p, plan) if once else None) or code_of(sent.get(p.name, 0))
        plan[p.name] = (
            _planned(graph, p, code, plan, sent, asked, compiled and not _is_of_a_stream(p), device)
            if isinstance(p, SNM | ReadOut)
            else Plan(code, compiled=compiled)
        )
    return plan


def _code_of_once(graph: SpikingGraph, p: Population, plan: Mapping[str, Plan]) -> Code | None:
    """Of a population that holds nothing before its only step, and so takes nothing back."""
    if isinstance(p, MaxPool):
        source = plan[p.source].code
        return source if source.dtype is torch.uint8 and source.offset == 0 else None
    rises = isinstance(p, SNM) and not p.two_sided and p.lead == 0 and p.curve is None
    if graph.carry or not rises or _is_of_a_stream(p):
        return None
    assert isinstance(p, SNM)
    return code_of_levels(np.broadcast_to(p.payload, p.shape), p.levels)


def _planned_float(p: Population, asked: str, compiled: bool, device: str) -> Plan:
    """Float networks are what integers are compared with, not equal to: float32 is near enough, unless
    float64 is asked for."""
    dtype = torch.float32 if compiled and asked != "float64" else torch.float64
    code = Code(dtype)
    if not isinstance(p, SNM | ReadOut):
        return Plan(code, dtype)
    way = str(dtype).removeprefix("torch.")
    ways = tuple((q.source, Synapses(linear(q, dtype, device), 0.0, 0, way)) for q in p.projections)
    compiled = compiled and not _is_of_a_stream(p)
    constants = _neurons(p, code, dtype, p.bias, None, UNLIMITED) if isinstance(p, SNM) and compiled else None
    return Plan(code, dtype, ways, None, p.bias, compiled, UNLIMITED, constants)


def _planned(
    graph: SpikingGraph,
    p: SNM | ReadOut,
    code: Code,
    plan: dict[str, Plan],
    sent: dict[str, int],
    asked: str,
    compiled: bool,
    device: str,
) -> Plan:
    bias, limit = p.bias.astype(np.int64), FixedPointFormat(p.state_bits).limit
    largest = int(np.abs(bias).max())
    bound = sum(q.bound(sent[q.source]) for q in p.projections) + largest
    require_exact(bound + STATE.limit, p.name)
    own, shortcut = None, None
    if compiled and asked in ("auto", "int8") and not (isinstance(p, SNM) and p.curve is not None):
        own, shortcut = _shortcut(graph, p, plan)
    ways = tuple(
        (q.source, synapses(q, plan[q.source].code, sent[q.source], graph[q.source].shape, asked, device))
        for q in p.projections
        if q is not own
    )
    reach = largest + sum(
        s.reach for _, s in ways
    )  # no partial sum of displaced currents and their bias exceeds it
    silence = sum((s.silence for _, s in ways), start=np.float64(0))
    if own is not None and shortcut is not None:
        offset = plan[own.source].code.offset
        reach += own.bound(2 * offset if offset else sent[own.source])
        silence = silence + per_channel(shortcut[1] * offset, p.shape)
    far = (
        isinstance(p, SNM) and p.curve is None and p.down < 1 and int(p.vth.max()) > STATE.limit
    )  # a level taken back leaves v beyond 24 bits
    wide = far or reach >= EXACT_FLOAT32 or asked == "float64"
    dtype = torch.float64 if wide else torch.float32
    constants = (
        _neurons(p, code, dtype, bias - silence, shortcut, limit) if isinstance(p, SNM) and compiled else None
    )
    return Plan(code, dtype, ways, shortcut, bias - silence, compiled, limit, constants)


def _neurons(
    p: SNM,
    code: Code,
    dtype: torch.dtype,
    bias: np.ndarray,
    shortcut: tuple[str, np.ndarray] | None,
    limit: int,
) -> Any:
    if p.curve is not None:
        from dnisnm_lava.backends.batched import curve_neurons

        return curve_neurons.constants(
            p,
            p.curve,
            bias,
            p.payload,
            dtype=NUMPY[dtype],
            limit=limit,
            out=NUMPY[code.dtype],
            offset=code.offset,
        )
    from dnisnm_lava.backends.batched import neurons

    weight = np.zeros(1) if shortcut is None else per_channel(shortcut[1], p.shape)
    payload = p.payload if code.units is None else np.ones(())
    each = (bias, p.vth, payload, weight, lower_threshold(p.vth, p.down), p.v_init)
    constants = (innermost(np.broadcast_to(a, p.shape)).ravel() for a in each)
    return neurons.neurons(
        *constants,
        dtype=NUMPY[dtype],
        levels=p.levels,
        lead=p.lead,
        two_sided=p.two_sided,
        limit=limit,
        out=NUMPY[code.dtype],
        offset=code.offset,
        channels=p.shape[0],
    )


def _shortcut(
    graph: SpikingGraph, p: SNM | ReadOut, plan: dict[str, Plan]
) -> tuple[Projection | None, tuple[str, np.ndarray] | None]:
    """A projection that gives each neuron its own byte of a source, which the neurons' pass can read itself;
    beside others."""
    if isinstance(p, SNM) and len(p.projections) > 1:
        for q in p.projections:
            weight = shortcut_weight(q, plan[q.source].code, graph[q.source].shape)
            if weight is not None:
                return q, (q.source, weight)
    return None, None


def _is_of_a_stream(p: Population) -> bool:
    """Has it a dead band, or a bound of m? The compiled neurons know neither."""
    return isinstance(p, SNM) and (p.band > 0 or p.most > 0)


def _is_compiled(graph: SpikingGraph, asked: str, device: str) -> bool:
    suits = device == "cpu" and importlib.util.find_spec("numba") is not None
    if asked == "compiled" and not suits:
        raise OutOfRange("neurons: compiled asked for; that needs the CPU and numba: choose auto or stepped")
    return suits and asked != "stepped"
