"""What an integer graph says: its images in integers, the largest spikes, how far potentials go, bits of each
population."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from dnisnm_lava.data.inputs import Images
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir.channels import per_channel
from dnisnm_lava.ir.curves import MULTIPLIER
from dnisnm_lava.ir.fixedpoint import STATE, STATE_BITS, FixedPointFormat
from dnisnm_lava.ir.graphs import Graph, SpikingGraph
from dnisnm_lava.ir.images import checked_images
from dnisnm_lava.ir.populations import SNM, Gate, Input, MaxPool, Population, ReadOut
from dnisnm_lava.ir.timing import checked_steps

INT32 = 1 << 31
EXACT = 1 << 52  # a value and half a threshold of it are below 2**53
Bits = int | Mapping[str, int]  # one number for all populations, or {population: its own}


def encode_images(graph: SpikingGraph, images: Images) -> tuple[np.ndarray, int]:
    """Images in the units of the graph's input, (N, *shape), and how many values were clipped: signed
    8-bit integers for an integer graph, float64 and 0 for a float graph."""
    x = graph.input.arranged(checked_images(graph, images))
    if not graph.is_integer:
        return x.astype(np.float64), 0
    assert graph.input.scale is not None
    return FixedPointFormat(graph.input.bits).rounded(x / per_channel(graph.input.scale, graph.input.shape))


def sent_by_input(graph: SpikingGraph, images: Images, steps: int) -> np.ndarray:
    """(N, T, *shape) what the input of an integer graph sends: in each step the image, or of a stream's
    frames the change."""
    codes = encode_images(graph, images)[0].astype(np.int64)
    if graph.carry:
        codes = np.diff(codes, axis=0, prepend=np.zeros_like(codes[:1]))
    return np.repeat(codes[:, None], steps, axis=1)


def steps_of(graph: SpikingGraph, steps: int | None) -> int:
    """`steps`, or the graph's; OutOfRange below 1, and beyond what float64 counts exactly of its curves and
    gates, which quantization left room for at the graph's own."""
    count = checked_steps(graph.steps if steps is None else steps)
    if not graph.is_integer or (count <= graph.steps and not graph.carry):
        return count
    products = [p for p in graph if isinstance(p, Gate) or (isinstance(p, SNM) and p.curve is not None)]
    sent = largest_spikes(graph) if products else {}
    for p in products:
        value = 0
        if isinstance(p, SNM) and p.curve is not None:
            value = STATE.limit * MULTIPLIER + count * int(np.abs(p.curve.offsets).max())
        elif isinstance(p, Gate):
            value = count**2 * sent[p.source] * sent[p.gate] * int(p.gain.max(initial=0)) // count
        if value >= EXACT:
            raise OutOfRange(
                f"{p.name}: {count} steps given, in which its values reach {value:.3g}, and integers are "
                f"exact below 2**53; it was made for {graph.steps} steps: convert for as many as are run"
            )
    return count


def largest_spikes(graph: SpikingGraph) -> dict[str, int]:
    """Largest |value| that each population of an integer graph can send in one step."""
    largest: dict[str, int] = {}
    for p in graph:
        if not isinstance(p, ReadOut):
            largest[p.name] = largest_spike(p, largest)
            if graph.carry and isinstance(p, Input):
                largest[p.name] *= 2  # a change, from one end to the other
    return largest


def largest_spike(p: Population, sent: Mapping[str, int]) -> int:
    """The largest spike of one population, given those before it; a read-out sends nothing."""
    if isinstance(p, Input):
        return FixedPointFormat(p.bits).limit
    if isinstance(p, MaxPool):
        return sent[p.source]
    return int(p.payload.max(initial=0)) * p.levels if isinstance(p, SNM | Gate) else 0


@dataclass(frozen=True)
class StateRange:
    """One population's potentials, in integer units. current: static bound on |z + b| in one step
    (sum |w| * |spike|max + |b|); expected: largest |v| on the calibration images, with no margin;
    limit: the 24-bit state's."""

    name: str
    current: int
    expected: int
    limit: int = STATE.limit


def state_ranges(graph: SpikingGraph) -> list[StateRange]:
    """The static and the measured range of every integrating population of an integer graph."""
    sent = largest_spikes(graph)
    ranges = []
    for p in graph:
        if isinstance(p, SNM | ReadOut):
            assert p.v_range is not None
            assert p.unit is not None
            current = sum(q.bound(sent[q.source]) for q in p.projections) + int(
                np.abs(p.bias.astype(np.int64)).max()
            )
            ranges.append(StateRange(p.name, current, int(np.ceil((p.v_range / p.unit).max()))))
    return ranges


def signed_bits(codes: np.ndarray) -> int:
    """Bits of the narrowest signed integers that hold every code and its negative."""
    return int(np.abs(codes.astype(np.int64)).max(initial=0)).bit_length() + 1


def unsigned_bits(codes: np.ndarray) -> int:
    """Bits of the narrowest integers without a sign that hold every code."""
    return max(1, int(codes.max(initial=0)).bit_length())


def bits_by_population(graph: Graph, bits: Bits, default: int) -> dict[str, int]:
    """{population: bits} of all."""
    if not isinstance(bits, Mapping):
        return {p.name: bits for p in graph}
    names = [p.name for p in graph]
    unknown = sorted(set(bits) - set(names))
    if unknown:
        raise OutOfRange(f"bits: no population is called {', '.join(unknown)}; there are {', '.join(names)}")
    return {name: bits.get(name, default) for name in names}


def with_state_bits(graph: SpikingGraph, bits: Bits) -> SpikingGraph:
    """The same integers with a state of so many bits, 2 to 24, of all populations, or of those that are
    named."""
    own = bits_by_population(graph, bits, STATE_BITS)
    done = [replace(p, state_bits=own[p.name]) if isinstance(p, SNM | ReadOut) else p for p in graph]
    return replace(graph, populations=tuple(done))


def check_state(graph: SpikingGraph, who: str) -> None:
    """OutOfRange where a population has fewer bits of state than `who` knows: Lava's 24."""
    few = next((p for p in graph if isinstance(p, SNM | ReadOut) and p.state_bits != STATE_BITS), None)
    if few is not None:
        raise OutOfRange(
            f"{few.name}: has a state of {few.state_bits} bits, and {who} knows {STATE_BITS}; "
            "quantize without state_bits, or run it with backends.batched"
        )


def check_int32(graph: SpikingGraph) -> None:
    """Lava's channels carry int32: OutOfRange, never a wrapped current, where a sum may not fit."""
    if not graph.is_integer:
        return
    sent = largest_spikes(graph)
    for p in graph:
        if isinstance(p, SNM | ReadOut):
            bound = sum(q.bound(sent[q.source]) for q in p.projections)
            if bound >= INT32:
                raise OutOfRange(
                    f"{p.name}: currents may reach {bound}, beyond Lava's int32 channels; use fewer bits "
                    f"or levels"
                )


def check_images(graph: SpikingGraph, who: str) -> None:
    """OutOfRange where the network is a stream's, and `who` takes images that have nothing to do with each
    other."""
    if graph.carry:
        raise OutOfRange(
            f"{who}: the network is a stream's, which keeps its state from frame to frame; give the network "
            f"of images that it was made of, or follow frames with dnisnm stream (dn.stream)"
        )
