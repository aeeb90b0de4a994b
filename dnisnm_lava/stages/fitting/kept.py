"""What `fit` has made of the populations that it is done with, so that one which was interrupted goes on.

A population is kept as the arrays that fit may change, with what its weights read. What populations send is
not kept: whoever goes on computes it anew, from what was made of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar, cast

import numpy as np

from dnisnm_lava.ir import SNM, Gate, Population, ReadOut, SpikingGraph
from dnisnm_lava.ir.values import NEURON_CONSTANTS, narrowed
from dnisnm_lava.stages.compensation import Reads
from dnisnm_lava.system.ranks import ALONE, Group

FIELDS = ("bias", "vth", "payload", "v_init", "v_range")
OF_CURVES = ("knots", "slopes", "offsets", "low", "high", "error", "worst")
OfProjections = tuple[tuple[Reads, ...], ...]
P = TypeVar("P", SNM, Gate, ReadOut)


class Keep(Protocol):
    """Where arrays are kept, each whole or not at all; those of another job are refused."""

    def of(self, **covered: Any) -> Keep:
        """The same, of a job that depends on this, too."""
        ...

    def put_arrays(self, name: str, arrays: Mapping[str, np.ndarray]) -> None: ...

    def arrays(self, name: str) -> dict[str, np.ndarray] | None: ...


@dataclass(frozen=True)
class Journal:
    """The populations that are done. graph: as it was converted, or, of those that an attempt before has
    kept, as they were made. reads: what weights read, of each that is done."""

    graph: SpikingGraph
    reads: dict[str, OfProjections] = field(default_factory=dict)
    keep: Keep | None = None

    @property
    def is_whole(self) -> bool:
        return all(p.name in self.reads for p in self.graph if isinstance(p, SNM | Gate | ReadOut))

    def once(self, p: P, work: Callable[[], tuple[P, OfProjections]]) -> P:
        """What was made of p in an attempt before, or else what `work` makes."""
        if p.name in self.reads:
            return cast(P, self.graph[p.name])
        made, self.reads[p.name] = work()
        if self.keep is not None:
            self.keep.put_arrays(_file(p), {**_arrays(made), **_arrays_of_reads(self.reads[p.name])})
        return made


def journal(graph: SpikingGraph, keep: Keep | None, group: Group = ALONE) -> Journal:
    """With what the first rank of `group` has kept of `graph`, for all."""
    reads: dict[str, OfProjections] = {}

    def recalled(p: Population) -> Population:
        if not isinstance(p, SNM | Gate | ReadOut):
            return p
        kept = group.broadcast(None if keep is None else keep.arrays(_file(p)))
        if kept is None:
            return p
        reads[p.name] = _reads(p, kept)
        return _restored(p, kept)

    return Journal(SpikingGraph(tuple(map(recalled, graph)), steps=graph.steps), reads, keep)


def _file(p: Population) -> str:
    return f"fit-{hashlib.sha256(p.name.encode()).hexdigest()[:16]}"


def _arrays(p: SNM | Gate | ReadOut) -> dict[str, np.ndarray]:
    found = {name: getattr(p, name) for name in FIELDS if getattr(p, name, None) is not None}
    found = {name: narrowed(a) if name in NEURON_CONSTANTS else a for name, a in found.items()}
    if not isinstance(p, Gate):
        found |= {f"weight.{i}": q.weight for i, q in enumerate(p.projections)}
    if isinstance(p, SNM) and p.curve is not None:
        tables = {f"curve.{name}": getattr(p.curve, name) for name in OF_CURVES}
        found |= {name: a for name, a in tables.items() if a is not None}
    return found


def _restored(p: SNM | Gate | ReadOut, kept: Mapping[str, np.ndarray]) -> Population:
    changed: dict[str, Any] = {name: kept[name] for name in FIELDS if name in kept}
    if not isinstance(p, Gate):
        weights = enumerate(p.projections)
        changed["projections"] = tuple(replace(q, weight=kept[f"weight.{i}"]) for i, q in weights)
    if isinstance(p, SNM) and p.curve is not None:
        curve: dict[str, Any] = {name: kept.get(f"curve.{name}") for name in OF_CURVES}
        changed["curve"] = replace(p.curve, **curve)
    return replace(p, **changed)


def _arrays_of_reads(reads: OfProjections) -> dict[str, np.ndarray]:
    found = {}
    for i, blocks in enumerate(reads):
        for j, block in enumerate(blocks):
            found[f"columns.{i}.{j}"] = np.array([block.columns.start, block.columns.stop])
            found[f"mean.{i}.{j}"], found[f"covariance.{i}.{j}"] = block.mean, block.covariance
    return found


def _reads(p: SNM | Gate | ReadOut, kept: Mapping[str, np.ndarray]) -> OfProjections:
    def block(at: str) -> Reads:
        return Reads(slice(*map(int, kept[f"columns.{at}"])), kept[f"mean.{at}"], kept[f"covariance.{at}"])

    def of(i: int) -> tuple[Reads, ...]:
        count = sum(name.startswith(f"columns.{i}.") for name in kept)
        return tuple(block(f"{i}.{j}") for j in range(count))

    return () if isinstance(p, Gate) else tuple(map(of, range(len(p.projections))))
