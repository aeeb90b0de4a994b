"""How many of their bits the weights of a network really use."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dnisnm_lava.ir import SNM, Projection, ReadOut, SpikingGraph

FEW_BITS = 4.0  # below, roundings of weights are no longer small beside them


@dataclass(frozen=True)
class WeightUse:
    """The integer weights of one projection. rms: of its codes. zeros: share of codes that are 0. bits:
    effective ones, see `effective_bits`. exponent: of the projection."""

    population: str
    source: str
    rms: float
    zeros: float
    bits: float
    exponent: int

    @property
    def is_few(self) -> bool:
        return self.bits < FEW_BITS


def weight_use(graph: SpikingGraph) -> tuple[WeightUse, ...]:
    """The use of every projection of an integer graph, in the graph's order."""
    return tuple(used(p.name, q) for p in graph if isinstance(p, SNM | ReadOut) for q in p.projections)


def used(population: str, q: Projection) -> WeightUse:
    codes = q.weight.astype(np.float64)
    rms = float(np.sqrt(np.mean(codes**2)))
    return WeightUse(population, q.source, rms, float(np.mean(codes == 0)), effective_bits(rms), q.exponent)


def effective_bits(rms: float) -> float:
    """log2(1 + sqrt(12) rms): n integers around 0 that are all as likely have a variance of (n^2 - 1) / 12,
    so that codes of this rms are worth about 1 + sqrt(12) rms of them; 0 where all codes are 0."""
    return float(np.log2(1 + np.sqrt(12) * rms))


def few_bits(graph: SpikingGraph) -> tuple[WeightUse, ...]:
    """The projections with fewer than FEW_BITS effective bits, fewest first."""
    return tuple(sorted((use for use in weight_use(graph) if use.is_few), key=lambda use: use.bits))


def sentence(uses: tuple[WeightUse, ...]) -> str:
    """What `few_bits` found, in one sentence; nothing where it found nothing."""
    if not uses:
        return ""
    first, more = uses[0], f" ({len(uses)} such projections)" if len(uses) > 1 else ""
    told = f"rms {first.rms:.1f}, {first.zeros:.0%} are 0"
    return (
        f"{first.population}: its weights from {first.source} use {first.bits:.1f} bits ({told}){more}: "
        "their rounding costs accuracy; quantize with more weight_bits, or give what they read a "
        "population of its own"
    )
