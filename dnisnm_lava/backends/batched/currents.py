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
from dnisnm_lava.backends.batched.onednn import WEIGHT, byte_sums, fits_bytes, int8_is_exact, whole_rows
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
    """Of spikes up to +-largest, stored in `code`; OutOfRange where the way that is asked for would not be
    exact."""
    way = way_of(projection, code, largest, asked, device)
    if way == "triton":
        from dnisnm_lava.backends.batched import triton_currents

        projection = whole_rows(projection)
        summed = triton_currents.sums(projection, source, device)
        apply = between(chosen_channels(projection, device), summed, projection, device)
        return Synapses(apply, 0.0, projection.bound(largest), way)
    if way != "int8":
        dtype = torch.float64 if way == "float64" else torch.float32
        plain = linear(projection, dtype, device)
        return Synapses(lambda x: plain(code.decode(x, dtype)), 0.0, projection.bound(largest), way)
    projection = whole_rows(projection)
    apply = between(
        chosen_channels(projection, device), byte_sums(projection, code.offset, source), projection, device
    )
    nobody = torch.full((1, *source), code.offset, dtype=torch.uint8)
    silence = apply(channels_last(nobody))[0].numpy()
    return Synapses(apply, silence, projection.bound(2 * code.offset), way)


def way_of(projection: Projection, code: Code, largest: int, asked: str, device: str) -> str:
    """How a projection is computed; OutOfRange where float32 is asked for and would not be exact."""
    exact = projection.bound(largest) < EXACT_FLOAT32
    # spikes have a sign where Triton is to read them
    if (
        code.dtype is torch.int8
        and projection.bound(largest) < EXACT_INT32
        and fits_int8(projection, largest)
    ):
        return "triton"
    if asked in ("auto", "int8", "triton"):
        suits = (
            code.dtype is torch.uint8
            and projection.bound(2 * code.offset) < EXACT_FLOAT32
            and fits_bytes(projection, code.offset)
        )
        return "int8" if suits and device == "cpu" and int8_is_exact() else "float32" if exact else "float64"
    if asked == "float32" and not exact:
        reach = projection.bound(largest)
        raise OutOfRange(
            f"synapses: sums from {projection.source} may reach {reach}, beyond float32's 2**24; use "
            f"float64 or auto"
        )
    return asked


def fits_int8(projection: Projection, largest: int) -> bool:
    """Do its weights, and the sums of a pool in front of them, fit 8 bits with a sign?"""
    taps = 1 if projection.sum_pool is None else projection.sum_pool.kernel[0] * projection.sum_pool.kernel[1]
    weights = projection.weight.astype(np.int64)
    small = weights.min(initial=0) >= -WEIGHT - 1 and weights.max(initial=0) <= WEIGHT
    return bool(small) and taps * largest <= WEIGHT and projection.resample is None


def shortcut_weight(projection: Projection, code: Code, shape: Shape) -> np.ndarray | None:
    """(C,) weights of a projection that gives each neuron its own byte of the source times its channel's
    weight; else None."""
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
    return w.reshape(-1).astype(np.int64) << projection.exponent
