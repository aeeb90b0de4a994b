"""How many synapses leave each neuron: only those that exist, so fewer at borders and none for weights of
zero."""

from __future__ import annotations

import numpy as np

from dnisnm_lava.ir import Gate, MaxPool, Projection, Shape
from dnisnm_lava.ir.arithmetic import Pair, Window


def of_projection(q: Projection, source: Shape) -> np.ndarray:
    """(*source) synapses of each neuron of the source, of weights that are not zero. Behind a sum-pool or a
    resampling these are the ways from a neuron to the targets, as on a chip that has no place for the sums in
    between."""
    fan = of_weights(q, q.read_shape(source))
    if q.sum_pool is not None:
        fan = through(fan, *windows(q.sum_pool, (source[1], source[2])))
    if q.resample is not None:
        fan = through(fan, q.resample.rows != 0, q.resample.cols != 0)
    if q.source_channels is None:
        return fan
    full = np.zeros(source, np.int64)
    np.add.at(full, q.source_channels, fan)  # a channel may be read more than once
    return full


def of_weights(q: Projection, read: Shape, *, zeros: bool = False) -> np.ndarray:
    """(*read) synapses of each value that the weights read; with `zeros`, weights of zero count too."""
    present = np.ones(q.weight.shape, np.int64) if zeros else (q.weight != 0).astype(np.int64)
    if not q.is_conv:
        return present.sum(axis=0).reshape(read)
    _, inputs, *kernel = present.shape
    taps = present.reshape(q.groups, -1, inputs, *kernel).sum(axis=1).reshape(-1, *kernel)  # (I, ky, kx)
    rows, cols = (
        reach(q.window, axis, size).sum(axis=1) for axis, size in enumerate(read[1:])
    )  # (ky, H), (kx, W)
    return np.einsum("cab,ay,bx->cyx", taps, rows, cols)


def of_max_pool(p: MaxPool, source: Shape) -> np.ndarray:
    """(*source) windows that look at each neuron of the source."""
    return through(np.ones(p.shape, np.int64), *windows(p.window, (source[1], source[2])))


def of_gate(p: Gate, source: Shape) -> np.ndarray:
    """(*source) products of the gate that each neuron of one of its sources is in."""
    each = int(np.prod(p.shape)) // int(np.prod(source))
    return np.full(source, each, np.int64)


def through(fan: np.ndarray, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    """(C, H', W') spread over what each row and column came from: rows (H', H), cols (W', W) -> (C, H, W)."""
    return np.einsum("cyx,yh,xw->chw", fan, rows.astype(np.int64), cols.astype(np.int64))


def windows(window: Window, size: Pair) -> tuple[np.ndarray, np.ndarray]:
    """(H', H) and (W', W): does the window at an output look at an input?"""
    rows, cols = (reach(window, axis, size[axis]).sum(axis=0) for axis in range(2))
    return rows, cols


def reach(window: Window, axis: int, size: int) -> np.ndarray:
    """(kernel, outputs, size) 1 where a kernel element at an output falls on an input, not on the border."""
    kernel, stride, dilation = window.kernel[axis], window.stride[axis], window.dilation[axis]
    before, after = window.padding[axis]
    outputs = (size + before + after - dilation * (kernel - 1) - 1) // stride + 1
    k, out, at = np.ogrid[:kernel, :outputs, :size]
    return (out * stride + k * dilation - before == at).astype(np.int64)
