"""The convolution of the Conv models: im2col and one matrix product, exact, in buffers that are made once."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from dnisnm_lava.ir.arithmetic import EXACT_FLOAT64, Padding, Pair, Window

EXACT_FLOAT32 = 1 << 24


@dataclass
class _Buffers:
    """The buffers of one dtype. image: (I, H, W) inside a border of zeros; seen: (I, ky, kx, H', W') the view
    of what each kernel element sees; columns: its copy, or itself where it is contiguous; kernels: (groups, O
    / groups, I / groups * ky * kx); result: (O, H', W')."""

    image: np.ndarray
    seen: np.ndarray
    columns: np.ndarray
    kernels: np.ndarray
    result: np.ndarray


@dataclass
class BufferedConv2d:
    """Cross-correlation of one image (I, H, W) of integers, as `synapses.conv2d`, exactly.

    weight: (O, I / groups, ky, kx), integers; stride, dilation: (y, x); padding: ((top, bottom), (left,
    right)); size: (H, W). The product is taken in float32 where no sum of the image at hand can reach
    2**24, in float64 below 2**53, and else in int64, which wraps at 64 bits.
    """

    weight: np.ndarray
    size: Pair
    stride: Pair
    padding: Padding
    dilation: Pair
    groups: int
    _buffers: dict[type, _Buffers] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rows = np.abs(self.weight.astype(np.int64)).reshape(self.weight.shape[0], -1).sum(axis=1)
        self._fan_in = int(rows.max(initial=0))

    def bound(self, x: np.ndarray) -> int:
        """The most that |a sum| over the image `x` can be."""
        return max(int(x.max()), -int(x.min())) * self._fan_in

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """(O, H', W') of the image `x` (I, H, W), integers or bool: a buffer, overwritten by the next
        call."""
        bound = self.bound(x)
        dtype = np.float32 if bound < EXACT_FLOAT32 else np.float64 if bound < EXACT_FLOAT64 else np.int64
        if dtype not in self._buffers:
            self._buffers[dtype] = self._make(dtype)
        buffers = self._buffers[dtype]
        np.copyto(buffers.image, x, casting="unsafe")
        if buffers.columns is not buffers.seen:
            np.copyto(buffers.columns, buffers.seen)
        groups, rows, fan_in = buffers.kernels.shape
        np.matmul(
            buffers.kernels,
            buffers.columns.reshape(groups, fan_in, -1),
            out=buffers.result.reshape(groups, rows, -1),
        )
        return buffers.result

    def _make(self, dtype: type) -> _Buffers:
        outputs, _, *kernel = self.weight.shape
        window = Window((kernel[0], kernel[1]), self.stride, self.padding, self.dilation)
        (top, bottom), (left, right) = self.padding
        height, width = self.size
        padded: np.ndarray = np.zeros(
            (self.weight.shape[1] * self.groups, height + top + bottom, width + left + right), dtype
        )
        seen = _seen(padded, window, window.output_size(self.size))
        whole = seen.flags.c_contiguous  # one kernel element that sees all
        return _Buffers(
            image=padded[:, top : top + height, left : left + width],
            seen=seen,
            columns=seen if whole else np.empty(seen.shape, dtype),
            kernels=np.ascontiguousarray(self.weight.reshape(self.groups, outputs // self.groups, -1), dtype),
            result=np.empty((outputs, *seen.shape[3:]), dtype),
        )


def _seen(padded: np.ndarray, window: Window, size: Pair) -> np.ndarray:
    """What each kernel element sees of `padded` (I, H, W): a view (I, ky, kx, H', W')."""
    channel, row, col = padded.strides
    shape = (padded.shape[0], *window.kernel, *size)
    strides = (
        channel,
        row * window.dilation[0],
        col * window.dilation[1],
        row * window.stride[0],
        col * window.stride[1],
    )
    return np.lib.stride_tricks.as_strided(padded, shape, strides, writeable=False)
