"""8-bit weights times bytes through oneDNN, into float32 sums; and its proof on this CPU."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dnisnm_lava.backends.batched.linear import Map, border, own_padding
from dnisnm_lava.backends.batched.storage import BYTE, Code, tensor
from dnisnm_lava.ir import Projection, Shape
from dnisnm_lava.ir.arithmetic import NO_PADDING, Pair, Window

WEIGHT = 127
THIN = 64  # multiplications
DIGIT = 7  # bits
# weights (O, I / groups, ky, kx), pixels, stride, dilation, groups: each kind of kernel, sums up to 2**24
PROOFS = (
    ((16, 56, 3, 3), 4, 1, 1, 1),
    ((16, 518, 1, 1), 4, 1, 1, 1),
    ((10, 518, 1, 1), 1, 1, 1, 1),
    ((16, 56, 3, 3), 5, 2, 2, 2),
    ((32, 1, 3, 3), 5, 1, 1, 32),
)


def fits_bytes(projection: Projection, top: int) -> bool:
    """Do its weights, and the sums of a pool of bytes up to `top` in front of them, fit 8 bits?"""
    taps = 1 if projection.sum_pool is None else projection.sum_pool.kernel[0] * projection.sum_pool.kernel[1]
    small = int(np.abs(projection.weight).max(initial=0)) <= WEIGHT and taps * top <= BYTE
    return small and projection.resample is None


def digits(projection: Projection, code: Code, source: Shape) -> list[Projection]:
    """Projections of the bytes of `code` whose sum is this one of what they stand for: itself, or, where a
    byte is a multiple of its channel's unit, one of weights times units, in two digits where 8 bits do not
    hold it. The second counts 2**DIGIT."""
    if code.units is None:
        return [projection]
    weight = projection.weight.astype(np.int64)
    units = np.broadcast_to(code.units, source)
    if projection.source_channels is not None:
        units = units[projection.source_channels]
    if projection.is_conv:
        rows, inputs = weight.shape[:2]
        group = np.arange(rows) // (rows // projection.groups)
        read = group[:, None] * inputs + np.arange(inputs)  # (O, I / groups) -> channels
        weight = weight * units[:, 0, 0][read][:, :, None, None]
    else:
        wide = (len(units), *(1,) * (units.ndim - 1))
        first = units.reshape(len(units), -1)[:, 0].reshape(wide)
        weight = weight * np.broadcast_to(first, projection.read_shape(source)).ravel()
    if int(np.abs(weight).max(initial=0)) <= WEIGHT:
        return [replace(projection, weight=weight)]
    high = (weight + (1 << DIGIT - 1)) >> DIGIT
    low = weight - (high << DIGIT)
    return [
        replace(projection, weight=low),
        replace(projection, weight=high, exponent=projection.exponent + DIGIT),
    ]


def whole_rows(projection: Projection) -> Projection:
    """The same with a row for each of the target's channels, where its rows are thin: multiplying by a few
    zeros costs less than moving what comes out to its channels."""
    fan_in = projection.weight[0].size * projection.groups
    if projection.target_channels is None or not projection.is_conv or fan_in > THIN:
        return projection
    rows, inputs = projection.weight.shape[:2]
    weight = np.zeros(
        (projection.targets, inputs * projection.groups, *projection.weight.shape[2:]),
        projection.weight.dtype,
    )
    for row, (kernel, target) in enumerate(zip(projection.weight, projection.target_channels, strict=True)):
        first = row // (rows // projection.groups) * inputs
        weight[target, first : first + inputs] += kernel
    return replace(projection, weight=weight, groups=1, target_channels=None, targets=0)


def byte_sums(projection: Projection, offset: int, source: Shape) -> Map:
    """Sum-pool, then conv or dense, of bytes. A dense layer is a convolution of one pixel."""
    padding, ahead = own_padding(projection)
    weight = projection.weight if projection.is_conv else _channels_innermost(projection, source)
    convolve = quantized(
        tensor(weight, torch.int8, "cpu"),
        2.0**projection.exponent,
        projection.stride,
        padding,
        projection.dilation,
        projection.groups,
    )

    def apply(x: Tensor) -> Tensor:
        if projection.sum_pool is not None:
            x = pooled_bytes(x, projection.sum_pool, offset)
        if not projection.is_conv:
            z = convolve(x.movedim(1, -1).reshape(len(x), -1, 1, 1)).reshape(len(x), -1)
            return (
                z.reshape(-1, *projection.target_shape)
                if projection.target_shape and projection.target_order is None
                else z
            )
        return convolve(F.pad(x, ahead) if ahead else x)

    return apply


def _channels_innermost(projection: Projection, source: Shape) -> np.ndarray:
    """(O, I, 1, 1) weights of a dense layer, for a source that is flattened as it lies in memory."""
    weight = projection.weight.reshape(-1, *projection.read_shape(source))
    return np.ascontiguousarray(np.moveaxis(weight, 1, -1)).reshape(len(weight), -1, 1, 1)


def pooled_bytes(x: Tensor, window: Window, offset: int) -> Tensor:
    """Sums of bytes over each window, which fit bytes; the border holds spikes of 0."""
    if window.padding != NO_PADDING:
        x = F.pad(x, border(window), value=offset)
    rows, cols = replace(window, padding=NO_PADDING).output_size((x.shape[2], x.shape[3]))
    total: Tensor | None = None
    for y in range(0, window.kernel[0] * window.dilation[0], window.dilation[0]):
        for z in range(0, window.kernel[1] * window.dilation[1], window.dilation[1]):
            (sy, sx) = window.stride
            tap = x[:, :, y : y + (rows - 1) * sy + 1 : sy, z : z + (cols - 1) * sx + 1 : sx]
            total = tap.clone(memory_format=torch.channels_last) if total is None else total.add_(tap)
    assert total is not None
    return total


def quantized(weight: Tensor, scale: float, stride: Pair, padding: Pair, dilation: Pair, groups: int) -> Map:
    """`scale` times oneDNN's convolution of (B, I, y, x) bytes with 8-bit weights, into float32 sums; borders
    are bytes of 0."""
    scales, zeros = torch.full((len(weight),), scale), torch.zeros(len(weight), dtype=torch.int)
    geometry = (list(stride), list(padding), list(dilation), groups)
    onednn = torch.ops.onednn  # type: ignore[attr-defined]
    convolve = onednn.qconv2d_pointwise.default

    @cache
    def packed(shape: tuple[int, ...]) -> Tensor:
        return onednn.qconv_prepack(weight, scales, 1.0, 0, *geometry, list(shape))

    def apply(x: Tensor) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        return convolve(
            x,
            1.0,
            0,
            packed(tuple(x.shape)),
            scales,
            zeros,
            None,
            *geometry,
            1.0,
            0,
            torch.float32,
            "none",
            [],
            "",
        )

    return apply


@cache
def int8_is_exact() -> bool:
    """Is oneDNN's 8-bit convolution there, and exact on the worst operands that a float32 sum can hold? CPUs
    without VNNI may saturate sums of two products at 16 bits. Tried once per process, and no version is asked
    for."""
    if not hasattr(torch.ops.onednn, "qconv2d_pointwise"):  # type: ignore[attr-defined]
        return False
    try:
        return all(_is_exact(*case) for case in PROOFS)
    except (RuntimeError, TypeError, AttributeError):  # another torch, with another signature
        return False


def _is_exact(shape: tuple[int, int, int, int], pixels: int, stride: int, dilation: int, groups: int) -> bool:
    """On the largest bytes and on all of them, times the largest weights of either sign, beside float64's
    sums."""
    weight = torch.full(shape, WEIGHT, dtype=torch.int8)
    weight[len(weight) // 2 :] = -WEIGHT
    padding, size = shape[2] // 2 * dilation, (1, shape[1] * groups, pixels, pixels)
    mixed = torch.arange(math.prod(size)).remainder(BYTE + 1).to(torch.uint8).reshape(size)
    convolve = quantized(weight, 1.0, (stride, stride), (padding, padding), (dilation, dilation), groups)
    images = torch.full(size, BYTE, dtype=torch.uint8), mixed
    wide = weight.double()
    return all(
        torch.equal(convolve(x).double(), F.conv2d(x.double(), wide, None, stride, padding, dilation, groups))
        for x in images
    )
