"""Float spiking graph to integers: weights, thresholds, payloads, biases, initial potentials.

Units: a spike of level k carries k * payload, worth `spike_unit` (alpha_c) each; v counts in `unit` (u_c).
alpha is folded into the readers' weights. Every rounding goes through `fixedpoint`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from dnisnm_lava import rounding
from dnisnm_lava.conversion import channel_max, per_channel, scale_inputs
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.fixedpoint import MESSAGE_BITS, STATE, STATE_BITS, WEIGHT_BITS, FixedPointFormat
from dnisnm_lava.inputs import Images
from dnisnm_lava.ir import (
    SNM,
    Graph,
    Input,
    MaxPool,
    Population,
    Projection,
    ReadOut,
    Resample,
    SpikingGraph,
    checked_images,
)
from dnisnm_lava.rounding import Reads

INPUT_BITS = 8
SMALLEST_SCALE = 1e-300  # its reciprocal is a float64
PAYLOAD_BITS = 5
Bits = int | Mapping[str, int]
Readings = Mapping[str, tuple[tuple[Reads, ...], ...]]  # of each population, for each of its projections
BITS = {"weight_bits": (2, 32), "payload_bits": (1, MESSAGE_BITS), "state_bits": (2, STATE_BITS)}  # the least and the most
STATE_MARGIN = 1.25  # of the range measured in calibration: test images go somewhat further


def quantize(
    spiking: SpikingGraph,
    *,
    weight_bits: Bits = WEIGHT_BITS,
    payload_bits: Bits = PAYLOAD_BITS,
    spikes: str = "graded",
    state_bits: Bits = STATE_BITS,
    readings: Readings | None = None,
) -> SpikingGraph:
    """The same network in integers.

    spikes: `graded` (a payload per neuron, of `payload_bits`) or `binary` (payload 1; thresholds must be shared within
    each channel; with levels = 1, all but relays send 1 and -1 alone). weight_bits: of projections with several weights a row;
    those of one (shortcuts, pools) keep 8, they are few. readings: what weights read on calibration images
    (`fitting.readings`): with it, they are rounded with error compensation, without it to the nearest. state_bits: of v; fewer
    than 24 for what-if studies. Bits are one number for all, or {population: its own}, the others' the default.
    """
    if spiking.is_integer:
        raise OutOfRange("quantize: the graph holds integers already; give the float graph of convert")
    if spikes not in ("graded", "binary"):
        raise OutOfRange(f"spikes: {spikes!r} given; choose graded or binary")
    check_bits(weight_bits=weight_bits, payload_bits=payload_bits, state_bits=state_bits)
    weight, payload_of, state = (
        bits_by_population(spiking, bits, default)
        for bits, default in ((weight_bits, WEIGHT_BITS), (payload_bits, PAYLOAD_BITS), (state_bits, STATE_BITS))
    )
    alpha: dict[str, np.ndarray] = {}
    done: list[Population] = []
    for p in spiking:
        if isinstance(p, Input):
            alpha[p.name] = _input_scale(p)
            done.append(replace(p, scale=alpha[p.name], bits=INPUT_BITS))
        elif isinstance(p, MaxPool):
            alpha[p.name] = alpha[p.source]
            done.append(p)
        else:
            assert isinstance(p, SNM | ReadOut)
            widths = _Widths(FixedPointFormat(weight[p.name]), FixedPointFormat(state[p.name]))
            floats = [q.weight for q in p.projections]
            p, folded, unit = _with_integer_matrices(p, alpha, spiking, widths)
            assert p.unit is not None
            reads = _reads(p, floats, readings, alpha, spiking)
            if any(reads):
                unit = _clipping_unit(p, folded, unit, reads, widths)
            projections, lacking = _encode_weights(p, folded, unit, reads, widths)
            bias = widths.state.encode_exactly(p.bias / per_channel(unit, p.shape) + per_channel(lacking, p.shape), f"{p.name}: bias")
            encoded = replace(p, projections=projections, bias=bias, unit=unit * p.unit)
            if isinstance(encoded, SNM):
                assert isinstance(p, SNM)
                payloads = FixedPointFormat(payload_of[p.name] + 1)  # unsigned; the sign is the spike's own
                alpha[p.name], payload = _payloads(p, payloads, spikes)
                vth = _thresholds(p, payload, alpha[p.name], unit, widths.state)
                spike_unit = alpha[p.name] * p.spike_unit
                encoded = replace(encoded, vth=vth, payload=payload, v_init=_initial(p, vth, unit, widths.state), spike_unit=spike_unit)
            done.append(encoded)
    return SpikingGraph(tuple(done), steps=spiking.steps)


def check_bits(**given: Bits | Iterable[int]) -> None:
    """OutOfRange for bits, by the names of BITS, that are too few or too many: before anything costs time."""
    for name, bits in given.items():
        least, most = BITS[name]
        several = bits.values() if isinstance(bits, Mapping) else bits if isinstance(bits, Iterable) else (bits,)
        wrong = [b for b in several if not least <= b <= most]
        if wrong:
            raise OutOfRange(f"{name}: {wrong[0]} given; choose {least} to {most}")


def bits_by_population(graph: Graph, bits: Bits, default: int) -> dict[str, int]:
    """{population: bits} of all."""
    if not isinstance(bits, Mapping):
        return {p.name: bits for p in graph}
    names = [p.name for p in graph]
    unknown = sorted(set(bits) - set(names))
    if unknown:
        raise OutOfRange(f"bits: no population is called {', '.join(unknown)}; there are {', '.join(names)}")
    return {name: bits.get(name, default) for name in names}


def _input_scale(p: Input) -> np.ndarray:
    assert p.scale is not None
    scale = p.scale / FixedPointFormat(INPUT_BITS).limit
    return np.where(scale > SMALLEST_SCALE, scale, 1.0)  # else there is no image to speak of: all 0


def _current_unit(p: SNM | ReadOut, folded: list[np.ndarray], widths: _Widths) -> np.ndarray:
    """(C,) smallest unit in which all weights of a channel fit their bits, and the measured range of v
    fits the state with a margin. A read-out has one unit for all channels: argmax needs no floats."""
    assert p.v_range is not None
    unit = _shared(p, np.maximum(_unit_of_weights(p, folded, widths), _unit_of_range(p, widths.state)))
    return np.where(unit > 0, unit, 1.0)


def _shared(p: SNM | ReadOut, unit: np.ndarray) -> np.ndarray:
    """(C,) `unit`, or the largest of them for every channel of a read-out."""
    return np.full_like(unit, unit.max()) if isinstance(p, ReadOut) else unit


@dataclass(frozen=True)
class _Widths:
    """Bits of weights and of the state."""

    weights: FixedPointFormat
    state: FixedPointFormat

    def of(self, weight: np.ndarray) -> FixedPointFormat:
        """One weight a row (a shortcut, a pool) keeps 8 bits: there are few, and nothing takes up their error."""
        few = weight[0].size == 1 and self.weights.bits < WEIGHT_BITS
        return FixedPointFormat(WEIGHT_BITS) if few else self.weights


def _unit_of_range(p: SNM | ReadOut, state: FixedPointFormat) -> np.ndarray:
    """(C,) unit in which the range of v expected from calibration fits the state, with a margin, and the thresholds, which v may
    never reach where a layer shares them."""
    assert p.v_range is not None
    bias = channel_max(np.abs(np.broadcast_to(p.bias, p.shape)))
    least = np.maximum(p.v_range, bias) * STATE_MARGIN
    return (np.maximum(least, channel_max(p.vth)) if isinstance(p, SNM) else least) / state.limit


def _unit_of_weights(p: SNM | ReadOut, folded: list[np.ndarray], widths: _Widths) -> np.ndarray:
    """(C,) smallest unit in which all weights of a channel fit their bits."""
    return _largest_weights(p, [w / widths.of(w).limit for w in folded])


Blocks = tuple[Reads, ...]  # of one projection; none where its weights are rounded to the nearest


def _reads(
    p: SNM | ReadOut, floats: list[np.ndarray], readings: Readings | None, alpha: dict[str, np.ndarray], graph: Graph
) -> list[Blocks]:
    """What the weights read in integers, where `readings` tell it in floats. floats: the weights before a resampling was
    made of integers."""
    if readings is None:
        return [()] * len(p.projections)
    found = []
    for q, before, blocks in zip(p.projections, floats, readings[p.name], strict=True):
        ones = np.ones((q.groups if q.is_conv else 1, *q.weight.shape[1:]))
        worth = scale_inputs(replace(q, weight=ones), alpha[q.source], graph[q.source].shape).reshape(len(ones), -1)
        moved = np.abs(q.weight).max() / max(np.abs(before).max(), 1e-300) or 1.0
        found.append(tuple(block.rescaled(1 / (worth * moved)) for block in blocks))
    return found


def _encode_weights(
    p: SNM | ReadOut, folded: list[np.ndarray], unit: np.ndarray, reads: list[Blocks], widths: _Widths
) -> tuple[tuple[Projection, ...], np.ndarray]:
    """Projections with codes, and (C,) what they lack of the mean current, in units: the bias's to add."""
    encoded, lacking = [], np.zeros(p.shape[0])
    for q, w, blocks in zip(p.projections, folded, reads, strict=True):
        values = w / per_channel(unit[q.channel_of_row], w.shape) * 2.0**-q.exponent
        if blocks:
            codes, lost = rounding.compensated(values, blocks, widths.of(w))
            rows = np.bincount(q.channel_of_row, minlength=p.shape[0])[q.channel_of_row]  # that drive the same channel
            np.add.at(lacking, q.channel_of_row, lost * 2.0**q.exponent / rows)
        else:
            codes = widths.of(w).encode_exactly(values, f"{p.name}: weights")
        encoded.append(replace(q, weight=codes))
    return tuple(encoded), lacking


CLIPS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)  # of the unit in which all weights fit: below 1 the largest are clipped


def _clipping_unit(p: SNM | ReadOut, folded: list[np.ndarray], unit: np.ndarray, reads: list[Blocks], widths: _Widths) -> np.ndarray:
    """(C,) of CLIPS times `unit`, that with the least error of the currents when weights go to the nearest code; not so
    small that a state, or weights without compensation, do not fit."""
    without = replace(p, projections=tuple(q for q, blocks in zip(p.projections, reads, strict=True) if not blocks))
    least = _unit_of_weights(without, [w for w, blocks in zip(folded, reads, strict=True) if not blocks], widths)
    least = _shared(p, np.maximum(least, _unit_of_range(p, widths.state)))
    units = np.array([np.maximum(unit * clip, least) for clip in CLIPS])
    errors = np.array([_error(p, folded, tried, reads, widths) for tried in units])
    if isinstance(p, ReadOut):  # one choice for all channels
        errors = np.broadcast_to(errors.sum(axis=1, keepdims=True), errors.shape)
    return units[errors.argmin(axis=0), np.arange(len(unit))]


def _error(p: SNM | ReadOut, folded: list[np.ndarray], unit: np.ndarray, reads: list[Blocks], widths: _Widths) -> np.ndarray:
    found = np.zeros(p.shape[0])
    for q, w, blocks in zip(p.projections, folded, reads, strict=True):
        units = per_channel(unit[q.channel_of_row], w.shape) * 2.0**q.exponent
        codes, _ = widths.of(w).encode(w / units)
        np.add.at(found, q.channel_of_row, rounding.error(w, codes * units, blocks))
    return found


Folded = tuple[SNM | ReadOut, list[np.ndarray], np.ndarray]
MATRIX_LIMITS = (127, 63, 31, 15, 7, 3)  # the largest integer that a resampling may hold


def _with_integer_matrices(p: SNM | ReadOut, alpha: dict[str, np.ndarray], graph: SpikingGraph, widths: _Widths) -> Folded:
    """p with integers in its resamplings, its weights with their sources' worth, and its unit.

    A finer matrix takes state from the weights: of MATRIX_LIMITS, the one with the least error of both is kept."""
    if all(q.resample is None for q in p.projections):
        folded = [scale_inputs(q, alpha[q.source], graph[q.source].shape) for q in p.projections]
        return p, folded, _current_unit(p, folded, widths)
    tried: list[tuple[float, Folded]] = []
    for limit in MATRIX_LIMITS:
        rounded = [_integer_resampling(q, limit) for q in p.projections]
        changed = replace(p, projections=tuple(q for q, _ in rounded))
        folded = [scale_inputs(q, alpha[q.source], graph[q.source].shape) for q in changed.projections]
        unit = _current_unit(changed, folded, widths)
        half_steps = 0.5 * unit / np.maximum(_largest_weights(changed, folded), 1e-300)
        error = max(e for _, e in rounded) + float(np.minimum(half_steps, 1).mean())
        tried.append((error, (changed, folded, unit)))
    return min(tried, key=lambda t: t[0])[1]


def _integer_resampling(q: Projection, limit: int) -> tuple[Projection, float]:
    """The same projection with integers in its resampling, whose unit moves into the weights, and their error."""
    if q.resample is None:
        return q, 0.0
    (rows, row_unit, row_error), (cols, col_unit, col_error) = (_integer_matrix(a, limit) for a in (q.resample.rows, q.resample.cols))
    return replace(q, resample=Resample(rows, cols), weight=q.weight * (row_unit * col_unit)), row_error + col_error


def _integer_matrix(a: np.ndarray, limit: int) -> tuple[np.ndarray, float, float]:
    """Integers up to `limit`, their unit, and the largest error by the largest entry: none for fractions of one small
    denominator, else to the nearest."""
    format = FixedPointFormat(WEIGHT_BITS)
    largest = float(np.abs(a).max(initial=0)) or 1.0
    for denominator in range(1, int(limit / largest) + 1):
        codes, _ = format.encode(a * denominator)
        if np.abs(codes - a * denominator).max(initial=0) < 1e-9:  # fractions of float64: 2**-53 * 127, with room
            return codes, 1 / denominator, 0.0
    codes, _ = format.encode(a * (limit / largest))
    return codes, largest / limit, float(np.abs(codes * (largest / limit) - a).max() / largest)


def _largest_weights(p: SNM | ReadOut, folded: list[np.ndarray]) -> np.ndarray:
    """(C,) the largest weight into each channel, before exponents."""
    largest = np.zeros(p.shape[0])
    for w, q in zip(folded, p.projections, strict=True):
        np.maximum.at(largest, q.channel_of_row, channel_max(np.abs(w)) * 2.0**-q.exponent)
    return largest


def _payloads(p: SNM, payloads: FixedPointFormat, spikes: str) -> tuple[np.ndarray, np.ndarray]:
    """alpha (C,), and payload (*shape): theta = payload * alpha, at least 1 where a neuron lives."""
    largest = channel_max(p.payload)
    alive = p.payload > 0
    if spikes == "binary" or p.two_sided:  # a relay counts in levels: payload 1
        if (alive & (p.payload != per_channel(largest, p.shape))).any():
            raise OutOfRange(
                f"{p.name}: binary spikes need one threshold per channel, but thresholds differ within one; "
                "convert (and fit) with granularity='channel' or 'layer', or quantize with spikes='graded'"
            )
        return np.where(largest > 0, largest, 1.0), alive.astype(np.int32)
    if payloads.limit * p.levels >= 1 << (MESSAGE_BITS - 1):
        raise OutOfRange(f"{p.name}: {p.levels} levels of {payloads.bits - 1}-bit payloads exceed {MESSAGE_BITS}-bit messages; use fewer")
    alpha = np.where(largest > 0, largest, 1.0) / payloads.limit
    codes, _ = payloads.encode(p.payload / per_channel(alpha, p.shape))
    return alpha, np.where(alive, np.maximum(codes, 1), 0).astype(np.int32)


def _thresholds(p: SNM, payload: np.ndarray, alpha: np.ndarray, unit: np.ndarray, state: FixedPointFormat) -> np.ndarray:
    """vth = payload * alpha / u to the nearest, so that what is subtracted is worth what is sent; >= 1 if alive.

    In a normalized graph v and spikes count in the same unit, so one formula serves both branches."""
    theta = payload * per_channel(alpha, p.shape) * np.where(p.payload > 0, p.vth / np.where(p.payload > 0, p.payload, 1), 0)
    codes = state.encode_exactly(theta / per_channel(unit, p.shape), f"{p.name}: thresholds")
    return np.where(payload > 0, np.maximum(codes, 1), 0).astype(np.int32)


def _initial(p: SNM, vth: np.ndarray, unit: np.ndarray, state: FixedPointFormat) -> np.ndarray:
    """v_init: vth / 2 of the snapped threshold, rounded down, and what a correction adds to that; of the dead, 0."""
    if p.two_sided:
        return np.zeros_like(vth)
    shift = state.encode_exactly((p.v_init - p.vth / 2) / per_channel(unit, p.shape), f"{p.name}: initial potentials")
    return np.where(vth > 0, (vth >> 1) + shift, 0).astype(np.int32)


def encode_images(graph: SpikingGraph, images: Images) -> tuple[np.ndarray, int]:
    """Images in the units of the graph's input, (N, *shape), and how many values were clipped: signed
    8-bit integers for an integer graph, float64 and 0 for a float graph."""
    x = checked_images(graph, images)
    if not graph.is_integer:
        return x.astype(np.float64), 0
    assert graph.input.scale is not None
    return FixedPointFormat(graph.input.bits).encode(x / per_channel(graph.input.scale, graph.input.shape))


def largest_spikes(graph: SpikingGraph) -> dict[str, int]:
    """Largest |value| that each population of an integer graph can send in one step."""
    largest: dict[str, int] = {}
    for p in graph:
        if isinstance(p, Input):
            largest[p.name] = FixedPointFormat(p.bits).limit
        elif isinstance(p, MaxPool):
            largest[p.name] = largest[p.source]
        elif isinstance(p, SNM):
            largest[p.name] = int(p.payload.max(initial=0)) * p.levels
    return largest


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
            current = sum(q.bound(sent[q.source]) for q in p.projections) + int(np.abs(p.bias.astype(np.int64)).max())
            ranges.append(StateRange(p.name, current, int(np.ceil((p.v_range / p.unit).max()))))
    return ranges
