"""Projections on many images and steps at once, in torch: (B, *source shape) -> (B, *target shape).

Four exact ways, the fastest that a static bound allows: on CPUs bytes times 8-bit weights through oneDNN with
float32 sums (below 2**24), on CUDA the same of bytes with a sign through Triton with integer sums (below
2**31); float32 (below 2**24), float64 (below 2**53).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from dnisnm_lava.backends.batched.linear import Map, between, chosen_channels, linear
from dnisnm_lava.backends.batched.onednn import (
    WEIGHT,
    byte_sums,
    digits,
    fits_bytes,
    int8_is_exact,
    whole_rows,
)
from dnisnm_lava.backends.batched.storage import EXACT_FLOAT32, EXACT_INT32, Code, channels_last
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir import Projection, Shape
from dnisnm_lava.ir.arithmetic import NO_PADDING

WAYS = ("auto", "int8", "float32", "float64", "triton")


@dataclass(frozen=True)
class Synapses:
    """A projection, ready: `apply` takes stored spikes to currents, displaced by `silence`, (*target shape):
    what comes out where nobody spikes. reach: the most that a displaced current can be."""

    apply: Map
    silence: np.ndarray | float
    reach: int
    way: str


def synapses(
    projection: Projection, code: Code, largest: int, source: Shape, asked: str, device: str
) -> Synapses:
    """The synapses of a projection for spikes up to +-largest, stored in `code`. OutOfRange where the way
    that is asked for would not be exact."""
    way = way_of(projection, code, largest, source, asked, device)
    if way == "triton":
        from dnisnm_lava.backends.batched import triton_currents

        projection = whole_rows(projection)
        parts = [triton_currents.sums(q, source, device) for q in digits(projection, code, source)]
        apply = between(chosen_channels(projection, device), _added(parts, torch.int32), projection, device)
        return Synapses(apply, 0.0, projection.bound(largest), way)
    if way != "int8":
        dtype = torch.float64 if way == "float64" else torch.float32
        plain = linear(projection, dtype, device)
        return Synapses(lambda x: plain(code.decode(x, dtype)), 0.0, projection.bound(largest), way)
    projection = whole_rows(projection)
    parts = [byte_sums(q, code.offset, source) for q in digits(projection, code, source)]
    reach = projection.bound(2 * code.offset if code.offset else largest)
    wide = torch.float32 if reach < EXACT_FLOAT32 else torch.float64
    apply = between(chosen_channels(projection, device), _added(parts, wide), projection, device)
    nobody = torch.full((1, *source), code.offset, dtype=torch.uint8)
    silence = apply(channels_last(nobody))[0].numpy()
    return Synapses(apply, silence, reach, way)


def _added(parts: list[Map], dtype: torch.dtype) -> Map:
    """The sum of what the parts give, in a dtype that holds it."""
    if len(parts) == 1:
        return parts[0]
    low, high = parts
    return lambda x: low(x).to(dtype).add_(high(x))


def way_of(projection: Projection, code: Code, largest: int, source: Shape, asked: str, device: str) -> str:
    """How a projection is computed; OutOfRange where float32 is asked for and would not be exact."""
    exact = projection.bound(largest) < EXACT_FLOAT32
    if code.dtype is torch.int8:  # spikes have a sign where Triton is to read them
        parts = digits(projection, code, source)
        fits = all(fits_int8(part, code.top) for part in parts)
        if fits and sum(part.bound(code.top) for part in parts) < EXACT_INT32:
            return "triton"
    if asked in ("auto", "int8", "triton"):
        suits = code.dtype is torch.uint8 and all(
            part.bound(code.top) < EXACT_FLOAT32 << part.exponent and fits_bytes(part, code.top)
            for part in digits(projection, code, source)
        )
        return "int8" if suits and device == "cpu" and int8_is_exact() else "float32" if exact else "float64"
    if asked == "float32" and not exact:
        reach = projection.bound(largest)
        raise OutOfRange(
            f"synapses: sums from {projection.source} may reach {reach}, beyond float32's 2**24; use "
            f"float64 or auto"
        )
    return asked


def fits_int8(projection: Projection, top: int) -> bool:
    """Do its weights, and the sums of a pool of spikes up to +-top in front of them, fit signed bytes?"""
    taps = 1 if projection.sum_pool is None else projection.sum_pool.kernel[0] * projection.sum_pool.kernel[1]
    weights = projection.weight.astype(np.int64)
    small = weights.min(initial=0) >= -WEIGHT - 1 and weights.max(initial=0) <= WEIGHT
    return bool(small) and taps * top <= WEIGHT and projection.resample is None


def shortcut_weight(projection: Projection, code: Code, shape: Shape) -> np.ndarray | None:
    """(C,) weights of a projection that gives each neuron its own byte of the source times its channel's
    weight, and unit; else None."""
    w = projection.weight
    own = (
        projection.is_conv
        and w.shape[1:] == (1, 1, 1)
        and projection.groups == w.shape[0] == shape[0]
        and projection.stride == (1, 1)
    )
    moved = (
        projection.spatial,
        projection.source_channels,
        projection.target_channels,
        projection.target_order,
    )
    if (
        not own
        or any(part is not None for part in moved)
        or projection.padding != NO_PADDING
        or code.dtype not in (torch.uint8, torch.int8)
    ):
        return None
    units = 1 if code.units is None else code.units.reshape(-1)
    return (w.reshape(-1).astype(np.int64) << projection.exponent) * units
