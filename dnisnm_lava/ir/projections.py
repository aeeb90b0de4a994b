"""Synapses: what a population hears of a source, as one linear map."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from dnisnm_lava.ir import arithmetic
from dnisnm_lava.ir.arithmetic import NO_PADDING, Padding, Pair, Window
from dnisnm_lava.ir.values import SINCE_0_1, Shape, Value


@dataclass(frozen=True, eq=False)
class Resample(Value):
    """A linear map of rows and columns, the same for all channels: x -> rows @ x @ cols.T.

    rows: (H', H); cols: (W', W). Upsampling, cropping, spreading, and pools whose windows are uneven.
    """

    rows: np.ndarray
    cols: np.ndarray

    def output_size(self, size: Pair) -> Pair:
        return self.rows.shape[0], self.cols.shape[0]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """(N, C, H, W) -> (N, C, H', W'), float64."""
        return np.matmul(np.matmul(self.rows.astype(np.float64), x), self.cols.astype(np.float64).T)

    @property
    def gain(self) -> int | float:
        """The most that one output can be, when no input exceeds 1."""
        rows, cols = (np.abs(a.astype(np.float64)).sum(axis=1).max(initial=0) for a in (self.rows, self.cols))
        return int(rows * cols) if self.rows.dtype.kind == "i" else float(rows * cols)


@dataclass(frozen=True, eq=False)
class Projection(Value):
    """Synapses from `source`: channels, then an optional sum-pool or resampling, then conv2d or dense, then
    `<< exponent`.

    weight: (O, I / groups, ky, kx) for a conv, as torch; (O, I) for a dense, whose source is read flattened
    in C, H, W order. source_channels: (I,) the channels that are read, in this order (default: all).
    target_channels: (O,) the channels of the target's `targets` that the rows drive (default: all).
    target_shape: the map (C, H, W) that the rows of a dense fill, flattened likewise (default: a vector).
    target_order: (elements,) which neuron of a population of `target_shape`, flattened, each element of what
    the weights give drives, where rows and pixels do not stand in the population as they come (default: they
    do).
    """

    source: str
    weight: np.ndarray
    stride: Pair = (1, 1)
    padding: Padding = NO_PADDING
    dilation: Pair = (1, 1)
    groups: int = 1
    sum_pool: Window | None = None
    exponent: int = 0
    resample: Resample | None = None
    source_channels: np.ndarray | None = None
    target_channels: np.ndarray | None = None
    targets: int = 0
    target_shape: Shape = ()
    target_order: np.ndarray | None = field(default=None, metadata=SINCE_0_1)

    @property
    def is_conv(self) -> bool:
        return self.weight.ndim == 4

    @property
    def window(self) -> Window:
        """The conv's kernel as a window over its (pooled) input."""
        return Window((self.weight.shape[2], self.weight.shape[3]), self.stride, self.padding, self.dilation)

    @property
    def spatial(self) -> Window | Resample | None:
        """What happens to rows and columns in front of the weights."""
        return self.sum_pool if self.resample is None else self.resample

    def read_shape(self, source_shape: Shape) -> Shape:
        """What the weights read: the chosen channels, pooled or resampled."""
        channels = source_shape[0] if self.source_channels is None else len(self.source_channels)
        if self.spatial is None:
            return (channels, *source_shape[1:])
        return (channels, *self.spatial.output_size((source_shape[1], source_shape[2])))

    def given_shape(self, source_shape: Shape) -> Shape:
        """What the weights give: rows, and for a convolution the pixels of its map."""
        rows = self.weight.shape[0]
        if not self.is_conv:
            return (rows,)
        _, *size = self.read_shape(source_shape)
        return (rows, *self.window.output_size((size[0], size[1])))

    def output_shape(self, source_shape: Shape) -> Shape:
        if self.target_order is not None:
            return self.target_shape
        rows = self.weight.shape[0] if self.target_channels is None else self.targets
        if not self.is_conv:
            return self.target_shape or (rows,)
        _, *size = self.read_shape(source_shape)
        return (rows, *self.window.output_size((size[0], size[1])))

    def macs(self, source_shape: Shape) -> int:
        """Multiplications of one step: those of the weights; sum-pools and resampling only add up."""
        size = self.given_shape(source_shape)[1:]
        return int(self.weight.size * np.prod(size, dtype=np.int64))

    @property
    def channel_of_row(self) -> np.ndarray:
        """(O,) the target's channel that each row of the weight drives."""
        if self.target_channels is not None:
            return self.target_channels
        if self.target_order is not None:  # the first, where a row drives several
            return self.target_order.reshape(len(self.weight), -1)[:, 0] // int(
                np.prod(self.target_shape[1:])
            )
        rows = np.arange(self.weight.shape[0])
        return rows // int(np.prod(self.target_shape[1:])) if self.target_shape else rows

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Currents (N, *output_shape) of the spikes or activations `x` (N, *source_shape): float64 for
        float weights, int64 for integer weights."""
        exact = x if self.source_channels is None else x[:, self.source_channels]
        exact = exact.astype(np.float64, copy=False)
        if self.sum_pool is not None:
            exact = arithmetic.sum_pool(exact, self.sum_pool)
        if self.resample is not None:
            exact = self.resample(exact)
        weight = self._float_weight
        if self.is_conv:
            z = arithmetic.conv2d(exact, weight, self.stride, self.padding, self.dilation, self.groups)
        else:
            filled = (
                weight.shape[:1] if self.target_order is not None else self.target_shape or weight.shape[:1]
            )
            z = arithmetic.dense(exact, weight).reshape(-1, *filled)
        z = z if self.weight.dtype.kind == "f" else z.astype(np.int64) << self.exponent
        if self.target_order is not None:
            placed = np.zeros((len(z), int(np.prod(self.target_shape))), z.dtype)
            placed[:, self.target_order] = z.reshape(len(z), -1)
            return placed.reshape(-1, *self.target_shape)
        if self.target_channels is None:
            return z
        full = np.zeros((z.shape[0], self.targets, *z.shape[2:]), z.dtype)
        full[:, self.target_channels] = z
        return full

    @cached_property
    def _float_weight(self) -> np.ndarray:
        return self.weight.astype(np.float64, copy=False)

    def bound(self, largest: int) -> int:
        """Static bound on |current| when no spike exceeds `largest`: sum |w| * largest * window << e."""
        fan_in = np.abs(self.weight.astype(np.int64)).reshape(self.weight.shape[0], -1).sum(axis=1)
        pooled = 1 if self.sum_pool is None else self.sum_pool.kernel[0] * self.sum_pool.kernel[1]
        if self.resample is not None:
            pooled = int(self.resample.gain)
        return int(fan_in.max(initial=0)) * pooled * largest << self.exponent
