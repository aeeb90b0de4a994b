"""8-bit weights times 8-bit spikes into 32-bit sums, by Triton: which projections fit, and how they are
launched."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from dnisnm_lava.backends.batched import triton_kernels
from dnisnm_lava.backends.batched.linear import Map
from dnisnm_lava.backends.batched.onednn import pooled_bytes
from dnisnm_lava.backends.batched.storage import tensor
from dnisnm_lava.ir import Projection, Shape
from dnisnm_lava.ir.arithmetic import Padding, Pair, Window

ADDRESSABLE = 1 << 30  # elements of one launch, whose offsets have 32 bits
FEW = 8  # channels of a group up to which tensor cores would multiply mostly by zeros
BLOCK = 256  # neurons of a program that sums tap by tap
BM, BN, BK = 128, 64, 64  # a program's tile of a product: pixels, rows, channels and taps


def sums(projection: Projection, source: Shape, device: str) -> Map:
    """Sum-pool, then conv or dense, of spikes (B, *source) in int8, to int32. A dense layer is a convolution
    of one pixel."""
    shape = projection.read_shape(source)
    window, weight = projection.window if projection.is_conv else Window((1, 1), (1, 1)), projection.weight
    if not projection.is_conv:  # its source is flattened as it lies in memory
        weight = np.moveaxis(weight.reshape(-1, *shape), 1, -1).reshape(len(weight), -1, 1, 1)
    convolve = convolution(
        weight,
        window.stride,
        window.padding,
        window.dilation,
        projection.groups,
        projection.exponent,
        device,
    )

    def apply(x: Tensor) -> Tensor:
        if projection.sum_pool is not None:
            x = pooled_bytes(x, projection.sum_pool, 0)
        if projection.is_conv:
            return convolve(x)
        z = convolve(x.movedim(1, -1).reshape(len(x), -1, 1, 1)).reshape(len(x), -1)
        filled = projection.target_shape if projection.target_order is None else ()
        return z.reshape(-1, *filled) if filled else z

    return apply


def convolution(
    weight: np.ndarray,
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
    exponent: int,
    device: str,
) -> Map:
    """The convolution of spikes (B, I, y, x), int8, with weights (O, I / groups, ky, kx) of 8 bits: (B, O,
    y', x') int32, channels innermost in memory."""
    outputs, _, *kernel = weight.shape
    window = Window((kernel[0], kernel[1]), stride, padding, dilation)
    packed = tensor(np.ascontiguousarray(np.moveaxis(weight, 1, -1)), torch.int8, device)  # (O, ky, kx, I)

    def apply(x: Tensor) -> Tensor:
        size = window.output_size((x.shape[2], x.shape[3]))
        x = x.movedim(1, -1).contiguous()
        out = torch.empty(len(x), *size, outputs, dtype=torch.int32, device=x.device)
        at_once = max(1, ADDRESSABLE // max(1, x[:1].numel(), out[:1].numel()))
        for part, into in zip(torch.split(x, at_once), torch.split(out, at_once), strict=True):
            _launch(part, packed, into, window, groups, exponent)
        return out.movedim(-1, 1)

    return apply


def _launch(x: Tensor, weight: Tensor, out: Tensor, window: Window, groups: int, exponent: int) -> None:
    """Spikes (B, y, x, I) into sums (B, y', x', O)."""
    outputs, *kernel, inputs = weight.shape
    rows, pixels = outputs // groups, out.numel() // outputs
    maps = (*x.shape[1:], *out.shape[1:3], groups, rows, inputs)
    (top, _), (left, _) = window.padding
    moves = (*window.stride, top, left, *window.dilation, exponent)
    if groups > 1 and inputs <= FEW:
        grid = (-(-out.numel() // BLOCK),)
        triton_kernels.taps[grid](x, weight, out, out.numel(), *maps, *kernel, *moves, BLOCK=BLOCK)
        return
    tile = min(BN, max(16, 1 << (rows - 1).bit_length()))
    columns = -(-rows // tile)
    grid = (-(-pixels // BM) * columns * groups,)
    depth = math.prod(kernel) * inputs
    triton_kernels.products[grid](
        x, weight, out, pixels, *maps, depth, kernel[1], *moves, columns, BM=BM, BN=tile, BK=BK
    )
