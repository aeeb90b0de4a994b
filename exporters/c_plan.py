"""What a program in C (exporters.c) is made by: names, widths of integers, how large what is sent is, and
where it lies in memory."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np

from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir import SNM, Gate, Input, MaxPool, Projection, ReadOut, SpikingGraph
from dnisnm_lava.ir.arithmetic import require_exact
from dnisnm_lava.ir.fixedpoint import FixedPointFormat
from dnisnm_lava.ir.integers import largest_spikes
from dnisnm_lava.ir.populations import sources
from dnisnm_lava.ir.values import Shape
from exporters.c_functions import NAMES

LARGEST_CONSTANT = (1 << 31) - 1  # of a threshold and an initial potential
WORDS = ("begin", "next", "sent", "run", "frame", "init", "encode", "saturated")
COUNTS = ("STEPS", "CODES", "SUMS", "POPULATIONS", "H")

# ---------------------------------------------------------------- names, widths


def identifier(name: str, taken: set[str]) -> str:
    """`name` as a name of C that is not among those taken, and is among them from now on."""
    plain = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_") or "network"
    plain = f"n_{plain}" if plain[0].isdigit() else plain
    made = next(m for m in (plain, *(f"{plain}_{i}" for i in range(2, len(taken) + 3))) if m not in taken)
    taken.add(made)
    return made


def bytes_for(least: int, largest: int) -> int:
    """Bytes of the narrowest of C's integers that hold both."""
    return next(b for b in (1, 2, 4, 8) if -(1 << 8 * b - 1) <= least and largest < 1 << 8 * b - 1)


def bytes_of(array: np.ndarray) -> int:
    return bytes_for(int(array.min(initial=0)), int(array.max(initial=0)))


def kind(bytes_: int) -> str:
    return f"int{8 * bytes_}_t"


def as_map(shape: Shape) -> tuple[int, int, int]:
    """(channels, height, width) of the same elements in the same order."""
    return (shape[0], shape[1], shape[2]) if len(shape) == 3 else (shape[0], 1, math.prod(shape[1:]))


# ---------------------------------------------------------------- what is known before anything is written


@dataclass(frozen=True)
class Plan:
    """sent: the largest spike of each population, in what one integer of its trace is worth; worth: that.
    held: the most that the sums of its spikes can be, likewise (0: no bound). name: as an identifier."""

    graph: SpikingGraph
    prefix: str
    steps: int
    sent: dict[str, int]
    worth: dict[str, int]
    held: dict[str, int]
    name: dict[str, str]


def planned(graph: SpikingGraph, prefix: str, steps: int) -> Plan:
    largest = largest_spikes(graph)
    worth: dict[str, int] = {}
    held: dict[str, int] = {}
    for p in graph:
        if isinstance(p, SNM | Gate):
            worth[p.name] = math.gcd(*(int(n) for n in np.unique(p.payload))) or 1
            most = p.most or (0 if graph.carry else steps * p.levels)
            held[p.name] = most * int(p.payload.max()) // worth[p.name]
        elif isinstance(p, MaxPool):
            worth[p.name], held[p.name] = worth[p.source], held[p.source]
        elif isinstance(p, Input):
            worth[p.name], held[p.name] = 1, steps * FixedPointFormat(p.bits).limit
        if isinstance(p, SNM | ReadOut):
            require_exact(sum(q.bound(largest[q.source]) for q in p.projections), p.name)
        if isinstance(p, SNM):
            _check_constants(p)
    taken = {*WORDS, *COUNTS, *(n.removeprefix(f"{prefix}_") for n in NAMES if n.startswith(f"{prefix}_"))}
    return Plan(
        graph,
        prefix,
        steps,
        {name: largest[name] // worth[name] for name in largest},
        worth,
        held,
        {p.name: identifier(p.name, taken) for p in graph},
    )


def _check_constants(p: SNM) -> None:
    for key in ("vth", "v_init"):
        largest = int(np.abs(getattr(p, key).astype(np.int64)).max())
        if largest > LARGEST_CONSTANT:
            raise OutOfRange(
                f"{p.name}: its {key} reaches {largest}, and C's neurons count in 32 bits; quantize it anew"
            )


# ---------------------------------------------------------------- memory of spikes


@dataclass(frozen=True)
class Buffer:
    """`count` integers of so many bytes, from where they are made to where they are read last."""

    bytes: int
    count: int
    first: int
    last: int


Key = tuple[str, int]  # (population, its projection whose pooled source it is, or SENT)
SENT = -1


def buffers_of(plan: Plan) -> dict[Key, Buffer]:
    found: dict[Key, Buffer] = {}
    graph = plan.graph
    last = {s: i for i, p in enumerate(graph) for s in sources(p)}
    for i, p in enumerate(graph):
        neurons = math.prod(p.shape)
        if isinstance(p, SNM | Gate | MaxPool) or (isinstance(p, Input) and graph.carry):
            count = neurons * (1 if isinstance(p, Input) else plan.steps)
            width = bytes_for(0, plan.sent[p.name])
            found[p.name, SENT] = Buffer(width, count, i, last.get(p.name, i))
        for j, q in enumerate(p.projections if isinstance(p, SNM | ReadOut) else ()):
            if q.spatial is not None:
                count = math.prod(q.read_shape(graph[q.source].shape)) * _distinct(plan, q.source)
                found[p.name, j] = Buffer(bytes_for(0, plan.sent[q.source] * gain(q)), count, i, i)
    return found


def placed(plan: Plan) -> tuple[dict[Key, tuple[int, int]], dict[int, int]]:
    """{buffer: (its width, where it begins)}, and how many integers of each width there are: the largest
    first, each as low as those allow that are needed while it is."""
    buffers = buffers_of(plan)
    found: dict[Key, tuple[int, int]] = {}
    needed: dict[int, int] = {}
    for key, b in sorted(buffers.items(), key=lambda item: -item[1].count):
        beside = [(found[k][1], buffers[k]) for k in found if _meet(buffers[k], b)]
        start = 0
        for at, other in sorted(beside, key=lambda pair: pair[0]):
            if at - start >= b.count:
                break
            start = max(start, at + other.count)
        found[key] = (b.bytes, start)
        needed[b.bytes] = max(needed.get(b.bytes, 0), start + b.count)
    return found, needed


def _meet(a: Buffer, b: Buffer) -> bool:
    return a.bytes == b.bytes and a.first <= b.last and b.first <= a.last


def _distinct(plan: Plan, source: str) -> int:
    """Steps that are kept of what a population sends: one of the image's, which are all the same."""
    return 1 if isinstance(plan.graph[source], Input) else plan.steps


def gain(q: Projection) -> int:
    """The most that rows and columns add up to, of integers that do not exceed 1."""
    if q.sum_pool is not None:
        return math.prod(q.sum_pool.kernel)
    return 1 if q.resample is None else int(q.resample.gain)
