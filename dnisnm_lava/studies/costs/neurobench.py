"""NeuroBench's metrics of a spiking graph, under NeuroBench's names and by its definitions (neurobench 2.3).

A test holds them against the `neurobench` package itself, on a torch module that takes the same steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dnisnm_lava.ir import SNM, Curve, Gate, Projection, ReadOut, SpikingGraph
from dnisnm_lava.ir.curves import LARGEST_SHIFT
from dnisnm_lava.ir.fixedpoint import STATE_BITS
from dnisnm_lava.ir.integers import signed_bits, unsigned_bits
from dnisnm_lava.studies.costs.counts import Counts


@dataclass(frozen=True)
class SynapticOperations:
    """Per image. Effective: values other than 0 times weights other than 0. A projection counts as ACs where
    all that its weights can read is 1 and -1; else as MACs: the image, graded spikes (payload times weight),
    and sums of a pool. NeuroBench looks at each batch and step instead: where graded spikes happen to be 1
    alone, it says ACs. Dense: all synapses that exist."""

    Effective_MACs: float
    Effective_ACs: float
    Dense: float


@dataclass(frozen=True)
class NeuroBench:
    """footprint: bytes of parameters and buffers, in the dtypes that they are stored in. connection_sparsity:
    share of weights that are 0. activation_sparsity: share of steps in which a neuron that can fire does not.
    membrane_updates: steps of such neurons that change the potential, per image; the first counts always.
    Max-pools and read-outs are no activations."""

    footprint: int
    connection_sparsity: float
    activation_sparsity: float
    synaptic_operations: SynapticOperations
    membrane_updates: float


def metrics(graph: SpikingGraph, counts: Counts) -> NeuroBench:
    firing = counts.of(SNM)
    outputs = counts.images * counts.steps * sum(a.neurons for a in firing)
    synapses = [s for a in counts.populations for s in a.synapses]
    operations = SynapticOperations(
        sum(s.effective for s in synapses if not s.read_adds) / counts.images,
        sum(s.effective for s in synapses if s.read_adds) / counts.images,
        sum(s.existing for s in synapses) / counts.images,
    )
    weights = [q.weight for q in projections(graph)]
    return NeuroBench(
        sum(a.nbytes for a in arrays(graph)),
        sum(int(np.count_nonzero(w == 0)) for w in weights) / sum(w.size for w in weights),
        1 - sum(a.spikes for a in firing) / outputs if outputs else 0.0,
        operations,
        sum(a.changes for a in firing) / counts.images,
    )


def projections(graph: SpikingGraph) -> Iterator[Projection]:
    for p in graph:
        if isinstance(p, SNM | ReadOut):
            yield from p.projections


def arrays(graph: SpikingGraph) -> Iterator[np.ndarray]:
    """What a module would keep as parameters and buffers. Units and ranges are told for people, and no
    executor reads them."""
    for q in projections(graph):
        yield q.weight
        yield from (a for a in (q.source_channels, q.target_channels, q.target_order) if a is not None)
        if q.resample is not None:
            yield from (q.resample.rows, q.resample.cols)
    for p in graph:
        if isinstance(p, SNM | ReadOut):
            yield p.bias
        if isinstance(p, SNM):
            yield from (p.vth, p.payload, p.v_init)
        if isinstance(p, SNM) and p.curve is not None:
            yield from (p.curve.knots, p.curve.slopes, p.curve.offsets)
        if isinstance(p, Gate):
            yield from (p.vth, p.payload, p.gain)


def _memory_bits(p: SNM, steps: int) -> int:
    """The bits of a neuron's m: a relay needs none, and that of a curve which goes below 0 has a sign."""
    if p.curve is None and p.two_sided:
        return 0
    return (steps * p.levels).bit_length() + int(p.two_sided)


def _gate_bits(p: Gate, graph: SpikingGraph) -> int:
    """The bits of a gate: of its sums, 24 each, of m, and of a gain and a shift for each channel."""
    neurons, others = p.vth.size, int(np.prod(graph[p.gate].shape))
    memory = (graph.steps * p.levels).bit_length() + int(p.two_sided)
    each = unsigned_bits(p.gain) + LARGEST_SHIFT.bit_length()
    return STATE_BITS * (neurons + others) + memory * neurons + each * len(p.gain)


def _table_bits(curve: Curve) -> int:
    """The bits of all rows of a curve: knots, slopes, offsets, and a shift each, of which a threshold is a
    power of two."""
    tables = (curve.knots, curve.slopes, curve.offsets)
    return sum(signed_bits(a) * a.size for a in tables) + curve.rows * LARGEST_SHIFT.bit_length()


def packed_bytes(graph: SpikingGraph) -> dict[str, float]:
    """The integers in the fewest bits that hold them, in bytes, and the state (v of 24 bits, m of 0 to T K),
    which NeuroBench's footprint leaves out: a module has none before it runs."""
    snm = graph.of(SNM)
    integrating: list[SNM | ReadOut] = [*snm, *graph.readouts]
    curves = [p.curve for p in snm if p.curve is not None]
    bits = {
        "weights": sum(signed_bits(q.weight) * q.weight.size for q in projections(graph)),
        "biases": sum(signed_bits(p.bias) * p.bias.size for p in integrating),
        "thresholds": sum(unsigned_bits(p.vth) * p.vth.size for p in snm if p.curve is None),
        "payloads": sum(unsigned_bits(p.payload) * p.payload.size for p in snm),
        "initial potentials": sum(signed_bits(p.v_init) * p.v_init.size for p in snm),
        "potentials": sum(STATE_BITS * int(np.prod(p.shape)) for p in integrating),
        "memories": sum(_memory_bits(p, graph.steps) * p.vth.size for p in snm),
    }
    if curves:
        bits["curves"] = sum(_table_bits(curve) for curve in curves)
    gates = graph.of(Gate)
    if gates:
        bits["gates"] = sum(_gate_bits(p, graph) for p in gates)
    return {name: total / 8 for name, total in bits.items()}
