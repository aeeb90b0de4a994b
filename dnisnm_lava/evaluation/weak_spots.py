"""Where the integers of a network lose most: a state that saturates, or the projection whose weights have the
fewest bits left."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from dnisnm_lava.ir import SNM, ReadOut, SpikingGraph
from dnisnm_lava.ir.weight_use import FEW_BITS, effective_bits

MANY = 0.25  # of the weights: more that become 0 are no small change


@dataclass(frozen=True)
class Codes:
    """The integer weights of a projection. bits: effective ones, of `weight_use`. zeros: share of the weights
    that are 0, of those that are not 0 in floats, where these are known: so many that a few large weights
    leave nothing to."""

    population: str
    source: str
    bits: float
    zeros: float

    @property
    def starved(self) -> bool:
        return self.bits < FEW_BITS or self.zeros > MANY

    def __str__(self) -> str:
        return f"the projection from {self.source} into {self.population}"


def codes(integer: SpikingGraph, spiking: SpikingGraph | None = None) -> Iterable[Codes]:
    """The codes of all projections with several weights a row: those of one use what they need. spiking: the
    float network."""
    for p in (p for p in integer if isinstance(p, SNM | ReadOut)):
        floats = None if spiking is None else spiking[p.name]
        assert floats is None or isinstance(floats, SNM | ReadOut)
        for i, q in enumerate(p.projections):
            if q.weight[0].size > 1:
                rms = float(np.sqrt(np.mean(np.square(q.weight, dtype=np.float64))))
                told = np.ones(q.weight.shape, bool) if floats is None else floats.projections[i].weight != 0
                zeros = (
                    float(np.mean(q.weight[told] == 0))
                    if told.shape == q.weight.shape and told.any()
                    else 0.0
                )
                yield Codes(p.name, q.source, effective_bits(rms), zeros)


def look_at(
    integer: SpikingGraph, saturations: Mapping[str, int], spiking: SpikingGraph | None = None
) -> str:
    """Where to look, in words. saturations: {population: how often its state did}. spiking: the float
    network, where it is at hand."""
    worst = max(saturations, key=lambda name: saturations[name], default="")
    if worst and saturations[worst]:
        return f"look at {worst}, whose state saturates ({saturations[worst]:,} times)"
    fewest = max(codes(integer, spiking), key=lambda c: (c.zeros, -c.bits), default=None)
    if fewest is None:
        return "look at the thresholds: `dnisnm explain` tells which population errs most"
    return (
        f"look at {fewest}, whose weights use {fewest.bits:.1f} bits ({100 * fewest.zeros:.0f} % of "
        f"them are 0)"
    )
