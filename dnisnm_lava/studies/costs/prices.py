"""What counted operations cost, by three rules. Energies in pJ; each is *estimated by this rule*, and none
was measured.

The paper's, of layers (24 to 26), in 32-bit floats; a quantized ANN beside the same network in integers; and
a chip like Loihi, where moving a spike and updating a neuron cost too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, log2

import numpy as np

from dnisnm_lava.ir import SNM, Graph, ReadOut
from dnisnm_lava.ir.curves import MULTIPLIER
from dnisnm_lava.ir.fixedpoint import STATE_BITS

# ---------------------------------------------------------------- the paper's

MAC, AC = (
    4.6,
    0.9,
    # 32-bit float multiplication (3.7) and addition, 45 nm, 0.9 V: Horowitz, ISSCC 2014, as the paper takes
    # them
)
READINGS = ("own", "arriving")
Spikes = Mapping[str, tuple[int, int]]  # population -> (up, down), over all images and steps


@dataclass(frozen=True)
class Layer:
    """neurons; macs: {source: multiplications of one step}. first: it reads the image. fires: it is no
    read-out."""

    name: str
    neurons: int
    macs: Mapping[str, int]
    first: bool
    fires: bool

    @property
    def operations(self) -> int:
        """Eq. (24)."""
        return sum(self.macs.values())


def layers(graph: Graph) -> list[Layer]:
    found = []
    for p in graph:
        if isinstance(p, SNM | ReadOut):
            macs: dict[str, int] = {}
            for q in p.projections:
                macs[q.source] = macs.get(q.source, 0) + q.macs(graph[q.source].shape)
            found.append(
                Layer(p.name, int(np.prod(p.shape)), macs, graph.input.name in macs, isinstance(p, SNM))
            )
    return found


def rates(graph: Graph, spikes: Spikes, images: int, steps: int) -> dict[str, float]:
    """{population: spikes of a neuron for one image, over all steps}; the image itself counts once a step."""
    found = {
        name: sum(counts) / (images * int(np.prod(graph[name].shape))) for name, counts in spikes.items()
    }
    return {**found, graph.input.name: float(steps)}


def operations(layer: Layer, rate: Mapping[str, float], reading: str) -> float:
    """Eq. (25), read in two ways. `own`: as written, with the layer's own spikes; the last layer has none,
    and takes those that arrive. `arriving`: with the spikes that each of its synapses really gets, and the
    image in each of T steps."""
    if reading == "own" and layer.fires:
        return rate[layer.name] * layer.operations
    return sum(rate[source] * macs for source, macs in layer.macs.items())


def energy_drop(ann: Sequence[float], snn: Sequence[float], first: Sequence[bool]) -> float:
    """Eq. (26): (energy of the SNN - energy of the ANN) / energy of the ANN, of layers' operations."""
    return spent(snn, first) / (MAC * sum(ann)) - 1


def spent(snn: Sequence[float], first: Sequence[bool]) -> float:
    """The SNN's energy in (26): 4.6 pJ for each operation of a layer that reads the image, 0.9 pJ for all
    others."""
    return sum((MAC if reads_image else AC) * ops for ops, reads_image in zip(snn, first, strict=True))


# ---------------------------------------------------------------- integers

SLOPE_BITS = MULTIPLIER.bit_length() + 1
INT8_MULTIPLY, INT32_ADD = 0.2, 0.1  # 45 nm, 0.9 V: Horowitz, ISSCC 2014


def activation_bits(steps: int, levels: int, two_sided: bool = False) -> int:
    """Bits of the ANN's activation that says as much as T steps of K levels: ceil(log2(T K + 1)), with K = 1
    that of Yan, Bai, Tang and Wong, arXiv 2409.08290; a sign doubles the range."""
    return ceil(log2((2 if two_sided else 1) * steps * levels + 1))


def accumulate() -> float:
    """A synaptic operation of a spike that is 1 or -1. Potentials have 24 bits, and are paid as 32."""
    return INT32_ADD


def multiply_accumulate(value_bits: int, weight_bits: int) -> float:
    """One of a value of more than one bit. A multiplier's energy grows with the product of the widths: 32 x
    32 bits come to 3.2 pJ by this rule, where Horowitz has 3.1."""
    return INT8_MULTIPLY * value_bits * weight_bits / 64 + INT32_ADD


# ---------------------------------------------------------------- a chip like Loihi

# Davies et al., "Loihi: a neuromorphic manycore processor with on-chip learning", IEEE Micro 38(1), 2018,
# Table 2: Loihi 1,
# 14 nm, 0.75 V, "pre-silicon SDF and SPICE simulations". No such table is public for Loihi 2.
SYNAPTIC_OPERATION = 23.6  # "energy per synaptic spike op (min)": a lower bound; its memory access is in it
NEURON_ACTIVE, NEURON_INACTIVE = 81.0, 52.0  # "energy per neuron update (active / inactive)"
SPIKE_IN_TILE = 1.7  # "within-tile spike energy"
HOP_EAST_WEST, HOP_NORTH_SOUTH = 3.0, 4.0  # "energy per tile hop (E-W / N-S)"
HOPS = (1, 1)  # assumed: east-west and north-south hops of one message, since placement is not known


def message() -> float:
    """One spike to one population that reads it."""
    return SPIKE_IN_TILE + HOPS[0] * HOP_EAST_WEST + HOPS[1] * HOP_NORTH_SOUTH


def curve(pieces: int) -> float:
    """What a neuron that sends a curve of `pieces` lines computes beyond an update, once a step: a comparison
    for each halving of its knots, and a potential of 24 bits times a slope of 16, at 45 nm. A guess: no
    chip's program of it is public."""
    return ceil(log2(pieces)) * INT32_ADD + multiply_accumulate(STATE_BITS, SLOPE_BITS)


def gate() -> float:
    """What a neuron of a gate computes, once a step: the product of two sums of 24 bits, and that of it with
    a gain. A guess, as `curve`."""
    return 2 * multiply_accumulate(STATE_BITS, STATE_BITS)


def graded_extra(value_bits: int, weight_bits: int) -> float:
    """What a synaptic operation of a graded spike costs beyond a binary one's. Loihi 1 has no graded spikes
    and Loihi 2's price is not public; one message and one access to memory they share, so the multiplication
    is added, at 45 nm: rather too much."""
    return multiply_accumulate(value_bits, weight_bits) - accumulate()
