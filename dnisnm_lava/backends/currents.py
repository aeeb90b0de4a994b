"""Projections on many images and steps at once, in torch: (B, *source shape) -> (B, *target shape).

Three exact ways, the fastest that a static bound allows: 8-bit spikes times 8-bit weights through oneDNN with float32
sums (below 2**24), float32 (below 2**24), float64 (below 2**53).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir import Projection, Resample
from dnisnm_lava.synapses import NO_PADDING, Window

EXACT_FLOAT32 = 1 << 24
OFFSET = 128  # oneDNN's 8-bit convolution reads unsigned integers: a spike s goes in as s + 128
WAYS = ("auto", "int8", "float32", "float64")
Map = Callable[[Tensor], Tensor]


def tensor(a: np.ndarray, dtype: torch.dtype, device: str) -> Tensor:
    return torch.tensor(a, dtype=dtype, device=device)


def way_of(projection: Projection, spikes: int, asked: str, device: str) -> str:
    """How a projection from spikes of at most `spikes` is computed; OutOfRange where `asked` would not be exact."""
    exact = projection.bound(spikes) < EXACT_FLOAT32
    small = spikes < OFFSET and int(np.abs(projection.weight).max(initial=0)) < OFFSET
    suits = exact and small and projection.is_conv and projection.spatial is None and projection.exponent == 0
    if asked == "auto":
        return "int8" if suits and device == "cpu" and int8_is_exact() else "float32" if exact else "float64"
    if asked == "int8" and not (suits and device == "cpu" and int8_is_exact()):
        return "float32" if exact else "float64"  # dense layers and sum-pools have no 8-bit way
    if asked == "float32" and not exact:
        reach = projection.bound(spikes)
        raise OutOfRange(f"synapses: sums from {projection.source} may reach {reach}, beyond float32's 2**24; use float64 or auto")
    return asked


def linear(projection: Projection, way: str, device: str) -> Map:
    """The projection as a function of spikes (B, *source shape), channels last in memory for maps."""
    dtype = torch.float64 if way == "float64" else torch.float32
    weights = _int8(projection) if way == "int8" else _weights(projection, dtype, device)
    sources, targets = (
        None if a is None else torch.tensor(a, dtype=torch.long, device=device)
        for a in (projection.source_channels, projection.target_channels)
    )
    resample = None if projection.resample is None else _resampling(projection.resample, dtype, device)

    def apply(x: Tensor) -> Tensor:
        if sources is not None:
            x = x.movedim(1, -1)[..., sources].movedim(-1, 1)
        if way != "int8":
            x = x.to(dtype)
        if resample is not None:
            x = resample(x)
        z = weights(x)
        if targets is None:
            return z
        full = z.new_zeros(z.shape[0], *z.shape[2:], projection.targets).movedim(-1, 1)
        return full.index_copy_(1, targets, z)

    return apply


def border(window: Window) -> list[int]:
    (top, bottom), (left, right) = window.padding
    return [left, right, top, bottom]


def sum_pool(x: Tensor, window: Window) -> Tensor:
    """Sums of windows, exact for integers that fit the dtype."""
    if window.padding != NO_PADDING:
        x = F.pad(x, border(window))
    return F.avg_pool2d(x, window.kernel, window.stride, divisor_override=1)


def _resampling(resample: Resample, dtype: torch.dtype, device: str) -> Map:
    rows, cols = tensor(resample.rows, dtype, device), tensor(resample.cols.T, dtype, device)
    return lambda x: rows @ x @ cols


def _weights(projection: Projection, dtype: torch.dtype, device: str) -> Map:
    """Sum-pool, then conv or dense."""
    weight = tensor(projection.weight, dtype, device) * 2.0**projection.exponent
    (top, bottom), (left, right) = projection.padding
    symmetric = top == bottom and left == right
    if projection.is_conv:
        weight = weight.contiguous(memory_format=torch.channels_last)

    def apply(x: Tensor) -> Tensor:
        if projection.sum_pool is not None:
            x = sum_pool(x, projection.sum_pool)
        if not projection.is_conv:
            z = x.flatten(1) @ weight.T
            return z.reshape(-1, *projection.target_shape) if projection.target_shape else z
        if not symmetric:
            x = F.pad(x, [left, right, top, bottom])
        padding = (top, left) if symmetric else (0, 0)
        return F.conv2d(x, weight, None, projection.stride, padding, projection.dilation, projection.groups)

    return apply


# ---------------------------------------------------------------- 8 bits through oneDNN


def _int8(projection: Projection) -> Map:
    (top, bottom), (left, right) = projection.padding
    symmetric = top == bottom and left == right
    padding = (top, left) if symmetric else (0, 0)
    convolve = _quantized(tensor(projection.weight, torch.int8, "cpu"), projection.stride, padding, projection.dilation, projection.groups)

    def apply(x: Tensor) -> Tensor:
        x = x.view(torch.uint8) ^ OFFSET  # two's complement s as s + 128
        if not symmetric:
            x = F.pad(x, [left, right, top, bottom], value=OFFSET)
        return convolve(x.contiguous(memory_format=torch.channels_last))

    return apply


def _quantized(
    weight: Tensor, stride: tuple[int, int], padding: tuple[int, int], dilation: tuple[int, int], groups: int
) -> Map:  # fmt: skip
    """oneDNN's convolution of (B, I, y, x) unsigned 8-bit integers, less OFFSET, into float32 sums."""
    ones, zeros = torch.ones(len(weight)), torch.zeros(len(weight), dtype=torch.int)
    geometry = (list(stride), list(padding), list(dilation), groups)
    onednn = torch.ops.onednn  # type: ignore[attr-defined]

    @cache
    def packed(shape: tuple[int, ...]) -> Tensor:
        return onednn.qconv_prepack(weight, ones, 1.0, OFFSET, *geometry, list(shape))

    def apply(x: Tensor) -> Tensor:
        return onednn.qconv2d_pointwise(
            x, 1.0, OFFSET, packed(tuple(x.shape)), ones, zeros, None, *geometry, 1.0, 0, torch.float32, "none", [], ""
        )

    return apply


@cache
def int8_is_exact() -> bool:
    """Is oneDNN's 8-bit convolution there, and exact on the worst operands that a float32 sum can hold? CPUs without
    VNNI may saturate sums of two products at 16 bits. Tried once per process."""
    if not hasattr(torch.ops.onednn, "qconv2d_pointwise"):  # type: ignore[attr-defined]
        return False
    worst = torch.full((1, 64, 4, 4), 127, dtype=torch.int8)
    mixed = torch.arange(64 * 16, dtype=torch.int64).remainder(255).sub(127).to(torch.int8).reshape(1, 64, 4, 4)
    weight = torch.full((16, 64, 3, 3), 127, dtype=torch.int8)
    weight[8:] = -127
    try:
        convolve = _quantized(weight, (1, 1), (1, 1), (1, 1), 1)
        found = [convolve((x.view(torch.uint8) ^ OFFSET).contiguous(memory_format=torch.channels_last)) for x in (worst, mixed, -worst)]
    except (RuntimeError, TypeError):  # another torch, with another signature
        return False
    expected = [F.conv2d(x.double(), weight.double(), padding=1) for x in (worst, mixed, -worst)]
    return all(bool((a.double() == b).all()) for a, b in zip(found, expected, strict=True))
