"""Float spiking graph to integers: weights, thresholds, payloads, biases, initial potentials.

Units: a spike of level k carries k * payload, worth `spike_unit` (alpha_c) each; v counts in `unit` (u_c).
alpha is folded into the readers' weights. Every rounding goes through `fixedpoint`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir import SNM, Curve, Gate, Input, MaxPool, Population, Projection, ReadOut, SpikingGraph
from dnisnm_lava.ir.channels import channel_max, per_channel, scale_inputs
from dnisnm_lava.ir.curves import LARGEST_OFFSET, LARGEST_PRODUCT, LARGEST_SHIFT, MULTIPLIER
from dnisnm_lava.ir.fixedpoint import MESSAGE_BITS, STATE_BITS, WEIGHT_BITS, FixedPointFormat, nearest
from dnisnm_lava.ir.integers import Bits, bits_by_population, largest_spike
from dnisnm_lava.stages import compensation, resampling, units
from dnisnm_lava.stages.compensation import Reads
from dnisnm_lava.stages.units import Drive, Units, Widths

INPUT_BITS = 8
GAIN = (1 << 23) - 1  # the largest of a gate
SMALLEST_SCALE = 1e-300  # its reciprocal is a float64
PAYLOAD_BITS = 5
DEAD_BITS = 4
Readings = Mapping[str, tuple[tuple[Reads, ...], ...]]  # of each population, for each of its projections
BITS = {
    "weight_bits": (2, 32),
    "payload_bits": (1, MESSAGE_BITS),
    "state_bits": (2, STATE_BITS),
}  # the least and the most


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

    spikes: `graded` (a payload per neuron, of `payload_bits`) or `binary` (payload 1; thresholds must be
    shared within each channel; with levels = 1, all but relays send 1 and -1 alone). weight_bits: of
    projections with several weights a row; those of one (shortcuts, pools) keep 8, they are few. readings:
    what weights read on calibration images (`fitting.readings`): with it, they are rounded with error
    compensation, without it to the nearest. state_bits: of v, which the graph keeps; fewer than 24 for
    what-if studies. Bits are one number for all, or {population: its own}, the others' the default.
    """
    if spiking.is_integer:
        raise OutOfRange("quantize: the graph holds integers already; give the float graph of convert")
    if spikes not in ("graded", "binary"):
        raise OutOfRange(f"spikes: {spikes!r} given; choose graded or binary")
    check_bits(weight_bits=weight_bits, payload_bits=payload_bits, state_bits=state_bits)
    weight, payload_of, state = (
        bits_by_population(spiking, bits, default)
        for bits, default in (
            (weight_bits, WEIGHT_BITS),
            (payload_bits, PAYLOAD_BITS),
            (state_bits, STATE_BITS),
        )
    )
    alpha: dict[str, np.ndarray] = {}
    sent: dict[str, int] = {}  # the largest spike of each population
    done: list[Population] = []
    for p in spiking:
        if isinstance(p, Input):
            alpha[p.name] = _input_scale(p)
            done.append(replace(p, scale=alpha[p.name], bits=INPUT_BITS))
        elif isinstance(p, MaxPool):
            alpha[p.name] = alpha[p.source]
            done.append(p)
        elif isinstance(p, Gate):
            encoded_gate = _gate(p, alpha, sent, spiking.steps)
            alpha[p.name] = np.where(channel_max(p.payload) > 0, channel_max(p.payload), 0.0)
            done.append(encoded_gate)
        else:
            assert isinstance(p, SNM | ReadOut)
            widths = Widths(FixedPointFormat(weight[p.name]), FixedPointFormat(state[p.name]))
            p, drives = _with_integer_matrices(
                p, widths, partial(_drives, graph=spiking, alpha=alpha, sent=sent, readings=readings)
            )
            assert p.unit is not None
            counted = units.chosen(p, drives, widths)
            unit = counted.unit
            projections, lacking = _encode_weights(p, drives, counted, widths)
            bias = widths.state.rounded_within(
                p.bias / per_channel(unit, p.shape) + lacking, f"{p.name}: bias"
            )
            encoded = replace(
                p, projections=projections, bias=bias, unit=unit * p.unit, state_bits=state[p.name]
            )
            if isinstance(encoded, SNM):
                assert isinstance(p, SNM)
                payloads = FixedPointFormat(payload_of[p.name] + 1)  # unsigned; the sign is the spike's own
                worth, payload = _payloads(p, payloads, spikes)
                curve, vth = p.curve, np.zeros(0)
                if curve is None:
                    vth = _thresholds(p, payload, worth, unit, widths.state)
                else:
                    curve, vth = _curve(curve, payload, worth, unit)
                if readings is not None and curve is None:
                    worth = _snapped(p, payload, worth, vth, unit)
                alpha[p.name] = _heard(worth, channel_max(payload) > 0, readings is not None)
                encoded = replace(
                    encoded,
                    vth=vth,
                    payload=payload,
                    v_init=_initial(p, vth, unit, widths.state),
                    spike_unit=worth * p.spike_unit,
                    curve=curve,
                )
            done.append(encoded)
        sent[p.name] = largest_spike(done[-1], sent)
    return SpikingGraph(tuple(done), steps=spiking.steps)


def check_bits(**given: Bits | Iterable[int]) -> None:
    """OutOfRange for bits, by the names of BITS, that are too few or too many: before anything costs time."""
    for name, bits in given.items():
        least, most = BITS[name]
        several = (
            bits.values() if isinstance(bits, Mapping) else bits if isinstance(bits, Iterable) else (bits,)
        )
        wrong = [b for b in several if not least <= b <= most]
        if wrong:
            raise OutOfRange(f"{name}: {wrong[0]} given; choose {least} to {most}")


def _input_scale(p: Input) -> np.ndarray:
    assert p.scale is not None
    scale = p.scale / FixedPointFormat(INPUT_BITS).limit
    seen = scale > SMALLEST_SCALE
    if not seen.any():  # there is no image to speak of: all 0
        return np.ones_like(scale)
    return np.where(seen, scale, scale.max())  # a channel that was always 0 decides no unit of its readers


def _heard(worth: np.ndarray, alive: np.ndarray, told: bool) -> np.ndarray:
    """alpha (C,) of a population as its readers count it: 0 of the dead, whose weights decide no unit then.
    Where no readings tell (`told`), the dead count 1 as in 0.1.0, unless that takes DEAD_BITS from all
    others."""
    most = float(worth[alive].max(initial=0)) * 2**DEAD_BITS
    return np.where(alive | (not told and worth <= most), worth, 0.0)


def _drives(
    projections: tuple[Projection, ...],
    p: SNM | ReadOut,
    graph: SpikingGraph,
    alpha: Mapping[str, np.ndarray],
    sent: Mapping[str, int],
    readings: Readings | None,
) -> list[Drive]:
    """p's `projections` with weights that count in their sources' spikes, and what they read, where
    `readings` tell it in floats: of p's own projections, before their resamplings were made of integers."""
    drives = []
    blocks = [()] * len(projections) if readings is None else readings[p.name]
    for q, before, read in zip(projections, p.projections, blocks, strict=True):
        shape = graph[q.source].shape
        folded = scale_inputs(q, alpha[q.source], shape)
        ones = np.ones((q.groups if q.is_conv else 1, *q.weight.shape[1:]))
        worth = scale_inputs(replace(q, weight=ones), alpha[q.source], shape).reshape(len(ones), -1)
        worth = np.where(worth > 0, worth, 1.0)  # of the dead nothing is read
        moved = np.abs(q.weight).max() / max(np.abs(before.weight).max(), 1e-300) or 1.0
        drives.append(
            Drive(q, folded, tuple(block.rescaled(1 / (worth * moved)) for block in read), sent[q.source])
        )
    return drives


def _encode_weights(
    p: SNM | ReadOut, drives: Sequence[Drive], counted: Units, widths: Widths
) -> tuple[tuple[Projection, ...], np.ndarray]:
    """Projections with codes, and what they lack of the mean current, in units, for the bias to add: (C, 1,
    1), or of read-outs whose neurons stand in another order than the rows (*shape)."""
    encoded, lacking = [], per_channel(np.zeros(p.shape[0]), p.shape)
    for d, exponent in zip(drives, counted.exponents, strict=True):
        values = d.weight / counted.steps(d, exponent)
        if d.blocks:
            codes, lost = compensation.compensated(values, d.blocks, widths.of(d.weight))
            lacking = lacking + _lacking(p, d, lost * 2.0**exponent)
        else:
            codes = widths.of(d.weight).rounded_within(values, f"{p.name}: weights")
        if d.weight.any() and not codes.any():
            warnings.warn(
                f"{p.name}: its weights from {d.projection.source} are all 0 as integers, too small "
                f"beside the rest for a "
                f"state of {widths.state.bits} bits, and are lost; give the state more bits, or the "
                f"layer fewer steps",
                stacklevel=2,
            )
        encoded.append(replace(d.projection, weight=codes, exponent=exponent))
    return tuple(encoded), lacking


def _lacking(p: SNM | ReadOut, drive: Drive, lost: np.ndarray) -> np.ndarray:
    """What p's neurons lack of their mean current where the rows of a projection lose `lost` (O,): (C, 1,
    1), the mean of each channel; of a read-out whose rows drive neurons of several channels, each neuron's
    own."""
    order = drive.projection.target_order
    if order is None:
        rows = drive.onto(np.ones(len(lost)), p.shape[0])[
            drive.projection.channel_of_row
        ]  # that drive the same channel
        return per_channel(drive.onto(lost / rows, p.shape[0]), p.shape)
    neurons = np.zeros(p.shape)
    neurons.reshape(-1)[order] = np.repeat(lost, len(order) // len(lost))
    return (
        neurons
        if isinstance(p, ReadOut)
        else per_channel(neurons.reshape(p.shape[0], -1).mean(axis=1), p.shape)
    )


MATRIX_LIMITS = (127, 63, 31, 15, 7, 3)  # the largest integer that a resampling may hold


def _with_integer_matrices(
    p: SNM | ReadOut,
    widths: Widths,
    drives_of: Callable[[tuple[Projection, ...], SNM | ReadOut], list[Drive]],
) -> tuple[SNM | ReadOut, list[Drive]]:
    """p with integers in its resamplings, and its projections with what they read.

    A finer matrix takes state from the weights: of MATRIX_LIMITS, the one with the least error of both is
    kept."""
    if all(q.resample is None for q in p.projections):
        return p, drives_of(p.projections, p)

    def made(limit: int) -> tuple[float, tuple[Projection, ...], list[Drive]]:
        rounded = [resampling.integer(q, limit) for q in p.projections]
        projections = tuple(q for q, _ in rounded)
        drives = drives_of(projections, p)
        return units.expected_error(p, drives, [e for _, e in rounded], widths), projections, drives

    errors = {
        limit: made(limit)[0] for limit in MATRIX_LIMITS
    }  # and nothing else of each is kept: weights may be large
    _, projections, drives = made(min(errors, key=lambda limit: errors[limit]))
    return replace(p, projections=projections), drives


def _payloads(p: SNM, payloads: FixedPointFormat, spikes: str) -> tuple[np.ndarray, np.ndarray]:
    """alpha (C,), and payload (*shape): theta = payload * alpha, at least 1 where a neuron lives."""
    largest = channel_max(p.payload)
    alive = p.payload > 0
    if (
        spikes == "binary" or p.two_sided or p.curve is not None
    ):  # a relay, a curve count in levels: payload 1
        if (alive & (p.payload != per_channel(largest, p.shape))).any():
            raise OutOfRange(
                f"{p.name}: binary spikes need one threshold per channel, but thresholds differ within one; "
                "convert (and fit) with granularity='channel' or 'layer', or quantize with spikes='graded'"
            )
        return np.where(largest > 0, largest, 1.0), alive.astype(np.int32)
    if payloads.limit * p.levels >= 1 << (MESSAGE_BITS - 1):
        raise OutOfRange(
            f"{p.name}: {p.levels} levels of {payloads.bits - 1}-bit payloads exceed {MESSAGE_BITS}-bit "
            f"messages; use fewer"
        )
    alpha = np.where(largest > 0, largest, 1.0) / payloads.limit
    codes, _ = payloads.rounded(p.payload / per_channel(alpha, p.shape))
    return alpha, np.where(alive, np.maximum(codes, 1), 0).astype(np.int32)


def _thresholds(
    p: SNM, payload: np.ndarray, alpha: np.ndarray, unit: np.ndarray, state: FixedPointFormat
) -> np.ndarray:
    """vth = payload * alpha / u to the nearest, so that what is subtracted is worth what is sent; >= 1 if
    alive.

    In a normalized graph v and spikes count in the same unit, so one formula serves both branches."""
    theta = (
        payload
        * per_channel(alpha, p.shape)
        * np.where(p.payload > 0, p.vth / np.where(p.payload > 0, p.payload, 1), 0)
    )
    codes = state.rounded_within(theta / per_channel(unit, p.shape), f"{p.name}: thresholds")
    return np.where(payload > 0, np.maximum(codes, 1), 0).astype(np.int32)


def _snapped(p: SNM, payload: np.ndarray, alpha: np.ndarray, vth: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """alpha (C,) so that a spike is worth exactly what is subtracted for it, in channels whose neurons share
    one threshold; of others as it was."""
    sent, lowered = (np.where(vth > 0, a, 0).reshape(p.shape[0], -1) for a in (payload, vth))
    is_shared = ((sent == 0) | (sent == sent.max(axis=1, keepdims=True))).all(axis=1) & sent.any(axis=1)
    worth = channel_max(
        np.where(p.vth > 0, p.payload / np.where(p.vth > 0, p.vth, 1), 0)
    )  # of a unit of v, in what spikes count in
    return np.where(is_shared, lowered.max(axis=1) * unit * worth / np.maximum(sent.max(axis=1), 1), alpha)


def _initial(p: SNM, vth: np.ndarray, unit: np.ndarray, state: FixedPointFormat) -> np.ndarray:
    """v_init: vth / 2 of the snapped threshold, rounded down, and what a correction adds to that; of the
    dead, 0."""
    if (p.two_sided or p.curve is not None) and not p.v_init.any():
        return np.zeros_like(vth)
    shift = state.rounded_within(
        (p.v_init - p.vth / 2) / per_channel(unit, p.shape), f"{p.name}: initial potentials"
    )
    return np.where(vth > 0, (vth >> 1) + shift, 0).astype(np.int32)


def _curve(
    curve: Curve, payload: np.ndarray, worth: np.ndarray, unit: np.ndarray
) -> tuple[Curve, np.ndarray]:
    """The curve in integers, of sums in `unit` (C,), and vth (*shape): its values count in 2**-shift of what
    a level is worth (C,). The shift of a channel gives its steepest line a multiplier of 16 bits."""
    first = np.ceil(curve.knots / unit[:, None])  # the first whole sum at or beyond each
    knots = np.clip(first, -LARGEST_OFFSET, LARGEST_OFFSET).astype(np.int64)
    slopes, offsets = curve.slopes * (unit / worth)[:, None], curve.offsets / worth[:, None]
    scale = 2.0 ** _shifts(slopes, offsets)
    slopes = nearest(slopes * scale[:, None], MULTIPLIER)
    offsets = nearest(offsets * scale[:, None], LARGEST_OFFSET)
    vth = (payload * per_channel(scale, payload.shape)).astype(np.int32)
    return replace(curve, knots=knots, slopes=slopes, offsets=offsets), vth


def _shifts(slopes: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """(C,) the largest shifts with which multipliers and offsets fit, 30 at most: a threshold has 32 bits."""
    with np.errstate(divide="ignore"):
        rooms = [
            np.log2(most / np.abs(a).max(axis=1))
            for a, most in ((slopes, MULTIPLIER), (offsets, LARGEST_OFFSET))
        ]
    return np.clip(np.floor(np.minimum(*rooms)), 0, LARGEST_SHIFT)


def _gate(p: Gate, alpha: Mapping[str, np.ndarray], sent: Mapping[str, int], steps: int) -> Gate:
    """The gate in integers: products of sums count in 2**-shift of a level, `gain` is at most GAIN, and less
    where float64 would not hold the largest product of sums times it."""
    worth = channel_max(p.payload)
    alive = worth > 0
    gain = p.gain * alpha[p.source] * alpha[p.gate] / np.where(alive, worth, 1.0)
    most = min(GAIN, LARGEST_PRODUCT // max(1, steps**2 * sent[p.source] * sent[p.gate]))
    with np.errstate(divide="ignore"):
        shift = np.clip(np.floor(np.log2(most / gain)), 0, LARGEST_SHIFT)
    codes = nearest(gain * 2.0**shift, most)
    payload = np.broadcast_to(per_channel(alive, p.shape), p.shape).astype(np.int32)
    return replace(
        p,
        vth=(payload * per_channel(2.0**shift, p.shape)).astype(np.int32),
        payload=payload,
        gain=codes,
        spike_unit=np.where(alive, worth, 1.0) * p.spike_unit,
    )
