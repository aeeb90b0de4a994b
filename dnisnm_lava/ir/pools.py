"""Sum-pools as part of the weights behind them, for those who know no pools."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np

from dnisnm_lava.ir import SNM, Population, Projection, ReadOut, Shape, SpikingGraph
from dnisnm_lava.ir.arithmetic import Window


def without_pools(graph: SpikingGraph) -> SpikingGraph:
    """The graph, its sum-pools composed into the weights behind them, where one convolution or matrix is the
    same."""
    return replace(graph, populations=tuple(_without_pools(p, graph) for p in graph))


def _without_pools(p: Population, graph: SpikingGraph) -> Population:
    if not isinstance(p, SNM | ReadOut):
        return p
    return replace(p, projections=tuple(composed(q, graph[q.source].shape) for q in p.projections))


def composed(q: Projection, source: Shape) -> Projection:
    """`q` without its sum-pool; `q` itself where it has none, or where no single convolution is the same, on
    some borders."""
    if q.sum_pool is None:
        return q
    return _conv_of_sums(q, q.sum_pool, source) if q.is_conv else _dense_of_sums(q, q.sum_pool, source)


def _dense_of_sums(q: Projection, pool: Window, source: Shape) -> Projection:
    """Each pixel takes the weights of all windows that it is in."""
    channels, height, width = q.read_shape(source)
    summed = q.weight.reshape(-1, channels, height, width).astype(np.int32)
    (top, bottom), (left, right) = pool.padding
    weight = np.zeros((len(summed), channels, top + source[1] + bottom, left + source[2] + right), np.int32)
    for ky, kx in np.ndindex(*pool.kernel):
        y, x = (
            k * d + s * np.arange(n)
            for k, d, s, n in zip((ky, kx), pool.dilation, pool.stride, (height, width), strict=True)
        )
        weight[:, :, y[:, None], x] += summed
    inside = weight[:, :, top : top + source[1], left : left + source[2]]
    return replace(q, weight=inside.reshape(len(summed), -1), sum_pool=None)


def _conv_of_sums(q: Projection, pool: Window, source: Shape) -> Projection:
    """Taps of windows. Not the same where a window that padding stands for would see pixels of the image."""
    axes = [_axis(q, pool, i, source[1 + i]) for i in range(2)]
    if any(axis is None for axis in axes):
        return q
    (ys, stride_y, pad_y), (xs, stride_x, pad_x) = (axis for axis in axes if axis is not None)
    weight = np.zeros((*q.weight.shape[:2], int(ys.max()) + 1, int(xs.max()) + 1), np.int32)
    for (ty, ky), (tx, kx) in product(np.ndindex(*ys.shape), np.ndindex(*xs.shape)):
        weight[:, :, ys[ty, ky], xs[tx, kx]] += q.weight[:, :, ty, tx]
    return replace(
        q, weight=weight, stride=(stride_y, stride_x), padding=(pad_y, pad_x), dilation=(1, 1), sum_pool=None
    )


def _axis(q: Projection, pool: Window, i: int, size: int) -> tuple[np.ndarray, int, tuple[int, int]] | None:
    """(taps of the kernel, taps of the pool): positions in the composed kernel; its stride and padding on
    this axis."""
    sums = pool.output_size((size, size))[i]
    outputs = q.window.output_size((sums, sums))[i]
    before, stride = q.padding[i][0] * pool.stride[i] + pool.padding[i][0], q.stride[i] * pool.stride[i]
    taps = q.dilation[i] * np.arange(q.weight.shape[2 + i]), pool.dilation[i] * np.arange(pool.kernel[i])
    positions = taps[0][:, None] * pool.stride[i] + taps[1]
    window = np.add.outer(
        np.arange(outputs) * q.stride[i] - q.padding[i][0], taps[0]
    )  # which sum each output's tap reads
    padded = window[(window < 0) | (window >= sums)]
    pixels = np.add.outer(padded * pool.stride[i] - pool.padding[i][0], taps[1])
    least = (outputs - 1) * stride + int(positions.max()) + 1 - size - before
    after = (
        before if least <= before < least + stride else max(least, 0)
    )  # the same at both ends, where that changes nothing
    if after >= least + stride or ((pixels >= 0) & (pixels < size)).any():
        return None
    return positions, stride, (before, after)
