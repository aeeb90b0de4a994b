"""Linear maps and windows in NumPy, on batches, for integers and floats alike.

Images are (N, C, H, W), vectors (N, features). `padding` is ((top, bottom), (left, right)).
Integers go through float64 matrix products, which are exact below 2**53; `apply` refuses more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dnisnm_lava.errors import OutOfRange

Pair = tuple[int, int]
Padding = tuple[Pair, Pair]
NO_PADDING: Padding = ((0, 0), (0, 0))
EXACT_FLOAT64 = 1 << 53


@dataclass(frozen=True)
class Window:
    """A pooling window: kernel and stride as (y, x), padding as ((top, bottom), (left, right))."""

    kernel: Pair
    stride: Pair
    padding: Padding = NO_PADDING
    dilation: Pair = (1, 1)

    def output_size(self, size: Pair) -> Pair:
        y, x = (
            (size[i] + sum(self.padding[i]) - self.dilation[i] * (self.kernel[i] - 1) - 1) // self.stride[i]
            + 1
            for i in range(2)
        )
        return y, x

    def is_blind(self, size: Pair) -> bool:
        """Does any output see nothing but padding?"""
        return any(
            self._sees_only_padding(axis, size[axis], out) for axis, out in enumerate(self.output_size(size))
        )

    def _sees_only_padding(self, axis: int, size: int, outputs: int) -> bool:
        start = np.arange(outputs) * self.stride[axis] - self.padding[axis][0]
        skipped = np.maximum(-(start // self.dilation[axis]), 0)  # kernel elements that lie before the map
        return bool(((skipped >= self.kernel[axis]) | (start + skipped * self.dilation[axis] >= size)).any())


def pad(x: np.ndarray, padding: Padding, value: float | int = 0) -> np.ndarray:
    """(N, C, H, W) with a border of `value`; the same array where there is no border."""
    if padding == NO_PADDING:
        return x
    return np.pad(x, ((0, 0), (0, 0), *padding), constant_values=value)


def taps(x: np.ndarray, window: Window, value: float | int = 0) -> Iterator[np.ndarray]:
    """For each kernel element, row by row, the view of padded `x` that it sees: (N, C, H', W')."""
    rows, cols = window.output_size((x.shape[2], x.shape[3]))
    padded = pad(x, window.padding, value)
    for ky in range(window.kernel[0]):
        for kx in range(window.kernel[1]):
            y0, x0 = ky * window.dilation[0], kx * window.dilation[1]
            yield padded[
                :,
                :,
                y0 : y0 + (rows - 1) * window.stride[0] + 1 : window.stride[0],
                x0 : x0 + (cols - 1) * window.stride[1] + 1 : window.stride[1],
            ]


def sum_pool(x: np.ndarray, window: Window) -> np.ndarray:
    """Sum over each window; the border counts as 0."""
    views = taps(x, window)
    total = next(views).copy()
    for view in views:
        total += view
    return total


def max_pool(x: np.ndarray, window: Window) -> np.ndarray:
    """Maximum over each window; the border never wins."""
    least = np.iinfo(x.dtype).min if x.dtype.kind == "i" else -np.inf
    views = taps(x, window, least)
    best = next(views).copy()
    for view in views:
        np.maximum(best, view, out=best)
    return best


def conv2d(
    x: np.ndarray, weight: np.ndarray, stride: Pair, padding: Padding, dilation: Pair, groups: int
) -> np.ndarray:
    """Cross-correlation, as torch.nn.functional.conv2d: weight (O, I / groups, ky, kx)."""
    outputs, inputs, *kernel = weight.shape
    window = Window((kernel[0], kernel[1]), stride, padding, dilation)
    columns = np.stack(list(taps(x, window)), axis=2)  # (N, I, taps, H', W')
    n, rows, cols = x.shape[0], columns.shape[3], columns.shape[4]
    columns = columns.reshape(n, groups, inputs * kernel[0] * kernel[1], rows * cols)
    kernels = weight.reshape(groups, outputs // groups, -1)
    return np.matmul(kernels, columns).reshape(n, outputs, rows, cols)


def dense(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """weight (O, features) times each flattened sample; one matrix product a sample, so that a
    sample's float result never depends on the batch that it comes in."""
    return np.matmul(weight, x.reshape(x.shape[0], -1, 1))[:, :, 0]


def require_exact(bound: int, who: str) -> None:
    """OutOfRange where a sum may reach 2**53, beyond which float64 no longer holds every integer."""
    if bound >= EXACT_FLOAT64:
        raise OutOfRange(
            f"{who}: sums may reach {bound}, beyond 2**53, where float64 products stop being exact; "
            "use fewer weight_bits, payload_bits or levels"
        )
