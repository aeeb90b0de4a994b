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

from dnisnm_lava.backends.batched import triton_here
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
NEURONS = ("auto", "compiled", "stepped", "triton")
NUMPY: dict[torch.dtype, np.dtype] = {
    torch.uint8: np.dtype(np.uint8),
    torch.float32: np.dtype(np.float32),
    torch.float64: np.dtype(np.float64),
}


@dataclass(frozen=True)
class Plan:
    """A population ready to run. code: how its spikes are stored. projections: {name of the source:
    synapses}, in order; of a shortcut, its own byte's weights (C,). bias: of the displaced currents, whose
    sums `dtype` holds. way: of the neurons, one of NEURONS. limit: of v."""

    code: Code
    dtype: torch.dtype = torch.float64
    projections: tuple[tuple[str, Synapses], ...] = ()
    shortcut: tuple[str, np.ndarray] | None = None
    bias: np.ndarray = field(default_factory=lambda: np.zeros(0))
    way: str = "stepped"
    limit: int = STATE.limit
    neurons: Any = None  # constants of an SNM that is not stepped, as the file of its way has them


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
        way, signed = _ways(graph, synapses, neurons, device)
        _PLANS[key] = _plan(graph, synapses, way, signed, device, once)
        weakref.finalize(graph, _PLANS.pop, key, None)
    return _PLANS[key]


def paths(plan: Mapping[str, Plan]) -> dict[str, dict[str, int]]:
    """How many projections go which way, and how many populations: for provenance."""
    ways = Counter(s.way for p in plan.values() for _, s in p.projections)
    ways.update("shortcut" for p in plan.values() if p.shortcut is not None)
    neurons = Counter(p.way for p in plan.values() if p.projections)
    return {"synapses": dict(sorted(ways.items())), "neurons": dict(sorted(neurons.items()))}


def _plan(
    graph: SpikingGraph, asked: str, way: str, signed: bool, device: str, once: bool
) -> dict[str, Plan]:
    if not graph.is_integer:
        return {p.name: _planned_float(p, asked, way, device) for p in graph}
    sent = largest_spikes(graph)
    plan: dict[str, Plan] = {}
    for p in graph:
        levels = _code_of_signed(p, plan) if signed else _code_of_once(graph, p, plan) if once else None
        code = levels or code_of(sent.get(p.name, 0), signed)
        plan[p.name] = (
            _planned(graph, p, code, plan, sent, asked, _way_of(p, way), device)
            if isinstance(p, SNM | ReadOut)
            else Plan(code, way=way)
        )
    return plan


def _code_of_signed(p: Population, plan: Mapping[str, Plan]) -> Code | None:
    """The code of a population whose levels a byte with a sign holds; of a max-pool, its source's."""
    if isinstance(p, MaxPool):
        return plan[p.source].code
    return code_of_levels(np.broadcast_to(p.payload, p.shape), p.levels, True) if isinstance(p, SNM) else None


def _code_of_once(graph: SpikingGraph, p: Population, plan: Mapping[str, Plan]) -> Code | None:
    """The code of a population that holds nothing before its only step, so takes nothing back; else None."""
    if isinstance(p, MaxPool):
        source = plan[p.source].code
        return source if source.dtype is torch.uint8 and source.offset == 0 else None
    if not isinstance(p, SNM) or graph.carry or p.band > 0 or p.most > 0:
        return None
    if p.two_sided or p.lead > 0 or p.curve is not None:
        return None
    return code_of_levels(np.broadcast_to(p.payload, p.shape), p.levels)


def _planned_float(p: Population, asked: str, way: str, device: str) -> Plan:
    """Float networks are what integers are compared with, not equal to: float32 is near enough, unless
    float64 is asked for."""
    dtype = torch.float32 if way == "compiled" and asked != "float64" else torch.float64
    code = Code(dtype)
    if not isinstance(p, SNM | ReadOut):
        return Plan(code, dtype)
    kind = str(dtype).removeprefix("torch.")
    ways = tuple((q.source, Synapses(linear(q, dtype, device), 0.0, 0, kind)) for q in p.projections)
    way = _way_of(p, way)
    compiled = p if isinstance(p, SNM) and way == "compiled" else None
    constants = None if compiled is None else _neurons(compiled, code, dtype, p.bias, None, UNLIMITED)
    return Plan(code, dtype, ways, None, p.bias, way, UNLIMITED, constants)


def _planned(
    graph: SpikingGraph,
    p: SNM | ReadOut,
    code: Code,
    plan: dict[str, Plan],
    sent: dict[str, int],
    asked: str,
    way: str,
    device: str,
) -> Plan:
    bias, limit = p.bias.astype(np.int64), FixedPointFormat(p.state_bits).limit
    largest = int(np.abs(bias).max())
    bound = sum(q.bound(sent[q.source]) for q in p.projections) + largest
    require_exact(bound + STATE.limit, p.name)
    own, shortcut = None, None
    reads_bytes = way != "stepped" and asked in ("auto", "int8", "triton")
    if reads_bytes and not (isinstance(p, SNM) and p.curve is not None):
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
    if isinstance(p, SNM) and way == "triton":
        return _planned_triton(p, code, ways, shortcut, bias - silence, reach, limit, device)
    far = (
        isinstance(p, SNM) and p.curve is None and p.down < 1 and int(p.vth.max()) > STATE.limit
    )  # a level taken back leaves v beyond 24 bits
    wide = far or reach >= EXACT_FLOAT32 or asked == "float64"
    dtype = torch.float64 if wide else torch.float32
    constants = (
        _neurons(p, code, dtype, bias - silence, shortcut, limit)
        if isinstance(p, SNM) and way == "compiled"
        else None
    )
    return Plan(code, dtype, ways, shortcut, bias - silence, way, limit, constants)


def _planned_triton(
    p: SNM,
    code: Code,
    ways: tuple[tuple[str, Synapses], ...],
    shortcut: tuple[str, np.ndarray] | None,
    bias: np.ndarray,
    reach: int,
    limit: int,
    device: str,
) -> Plan:
    from dnisnm_lava.backends.batched import triton_neurons

    dtype = triton_neurons.sums_of(p, reach, limit)
    weight = np.zeros(1) if shortcut is None else per_channel(shortcut[1], p.shape)
    constants = triton_neurons.neurons(p, bias, weight, code, limit, dtype, device)
    return Plan(code, dtype, ways, shortcut, bias, "triton", limit, constants)


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


def _way_of(p: Population, way: str) -> str:
    """`way`, or stepped where it does not know such neurons: compiled ones know no dead band and no bound of
    m, Triton's no curves either."""
    if not isinstance(p, SNM):
        return way
    known = p.band == 0 and p.most == 0 and (way != "triton" or p.curve is None)
    return way if known else "stepped"


def _ways(graph: SpikingGraph, synapses: str, neurons: str, device: str) -> tuple[str, bool]:
    """The way of neurons, and whether spikes are stored with a sign, as Triton's synapses read them; of
    `auto` on CUDA, Triton's where it is to be had."""
    if not graph.is_integer:
        return ("compiled" if _is_compiled(neurons, device) else "stepped"), False
    for name, asked in (("synapses", synapses), ("neurons", neurons)):
        if asked == "triton":
            triton_here.require(name, device)
    chosen = device.startswith("cuda") and "auto" in (synapses, neurons) and triton_here.is_exact(device)
    signed = synapses == "triton" or (synapses == "auto" and chosen)
    if signed and neurons == "compiled":
        raise OutOfRange(
            "neurons: compiled asked for, and synapses: triton, which read no bytes of compiled neurons; "
            "choose auto, stepped or triton"
        )
    if neurons == "triton" or (neurons == "auto" and (chosen or signed)):
        return "triton", signed
    return ("compiled" if _is_compiled(neurons, device) else "stepped"), signed


def _is_compiled(asked: str, device: str) -> bool:
    suits = device == "cpu" and importlib.util.find_spec("numba") is not None
    if asked == "compiled" and not suits:
        raise OutOfRange("neurons: compiled asked for; that needs the CPU and numba: choose auto or stepped")
    return suits and asked not in ("stepped", "triton")
