"""Averages, means and upsampling: matrices over rows and columns, which each operation gives by running
itself on unit vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from dnisnm_lava.data import sampling
from dnisnm_lava.frontend import tensors
from dnisnm_lava.frontend.call import Call, as_map, back, padding_of, pair_of, pixels_of, shape_of
from dnisnm_lava.frontend.expression import Expression, Refusal
from dnisnm_lava.frontend.layout import BLOCKS
from dnisnm_lava.frontend.moves import expanded
from dnisnm_lava.frontend.table import operation
from dnisnm_lava.ir import Projection


def _matrix(n: int, resample: Callable[[torch.Tensor], torch.Tensor]) -> np.ndarray:
    """(n', n) matrix of a linear map along the rows of (1, n, n, 1) maps, each a unit vector."""
    return resample(torch.eye(n, dtype=torch.float64)[None, :, :, None])[0, :, :, 0].T.numpy()


def _resampled(
    call: Call, rows: Callable[[torch.Tensor], torch.Tensor], cols: Callable[[torch.Tensor], torch.Tensor]
) -> Expression:
    e = call.expression()
    m = as_map(e)
    matrices = [_matrix(n, f) for n, f in ((m.shape[1], rows), (m.shape[2], cols))]
    a, b = (None if np.array_equal(x, np.eye(len(x))) else x for x in matrices)
    return back(call.build.resample(m, a, b), e)


@operation("avg_pool1d", "avg_pool2d")
def average_pool(call: Call) -> Expression:
    """aten.avg_pool1d, 2d(x, kernel, stride, padding, ceil_mode, count_include_pad, divisor_override)."""
    rank = len(call.expression().shape) - 1
    kernel = pair_of(call.get(1, "kernel_size"), rank)
    stride = pair_of(call.get(2, "stride") or call.get(1, "kernel_size"), rank)
    padding, divisor = padding_of(call.get(3, "padding", 0), rank), call.get(6, "divisor_override")
    ceil, counted = call.get(4, "ceil_mode", False), call.get(5, "count_include_pad", True)

    def along(i: int) -> Callable[[torch.Tensor], torch.Tensor]:
        override = None if divisor is None else 1
        return lambda x: torch.nn.functional.avg_pool2d(
            x, (kernel[i], 1), (stride[i], 1), (padding[i], 0), ceil, counted, override
        )

    pooled = _resampled(call, along(0), along(1))
    return pooled if divisor is None else tensors.multiplied(pooled, np.array(1 / divisor))


@operation("adaptive_avg_pool1d", "adaptive_avg_pool2d")
@operation("_adaptive_avg_pool2d", shown="adaptive_avg_pool2d")
def adaptive_average(call: Call) -> Expression:
    """aten.adaptive_avg_pool1d, 2d(x, size)."""
    rank = len(call.expression().shape) - 1
    m = as_map(call.expression())
    wanted = call.get(1, "output_size")
    size = [
        n if w is None else w
        for n, w in zip(m.shape[1:], [1, *wanted] if rank == 1 else list(wanted), strict=True)
    ]

    def along(i: int) -> Callable[[torch.Tensor], torch.Tensor]:
        return lambda x: torch.nn.functional.adaptive_avg_pool2d(x, (size[i], 1))

    return _resampled(call, along(0), along(1))


@operation("upsample_nearest1d", "upsample_nearest2d")
def nearest(call: Call) -> Expression:
    return _upsampled(call, "nearest")


@operation("_upsample_nearest_exact1d", "_upsample_nearest_exact2d")
def nearest_exact(call: Call) -> Expression:
    return _upsampled(call, "nearest-exact")


@operation("upsample_linear1d", "upsample_bilinear2d")
def bilinear(call: Call) -> Expression:
    return _upsampled(call, "bilinear")


@operation("upsample_bicubic2d")
def bicubic(call: Call) -> Expression:
    return _upsampled(call, "bicubic")


@operation("_upsample_bilinear2d_aa")
def bilinear_antialiased(call: Call) -> Expression:
    return _upsampled(call, "bilinear", antialias=True)


@operation("_upsample_bicubic2d_aa")
def bicubic_antialiased(call: Call) -> Expression:
    return _upsampled(call, "bicubic", antialias=True)


def _upsampled(call: Call, mode: str, antialias: bool = False) -> Expression:
    """aten.upsample_*, one axis after the other. mode, antialias: as torch.nn.functional.interpolate calls
    them."""
    size = (1, *shape_of(call)[1:])[-2:]
    align = bool(call.get(2, "align_corners", False)) if "linear" in mode or "cubic" in mode else None
    factors = _factors(call)

    def resized(x: torch.Tensor, **to: Any) -> torch.Tensor:
        x = x.repeat(1, 1, 1, 2)  # torch antialiases maps of one column wrongly
        to = {key: (value, 2 if key == "size" else 1.0) for key, value in to.items()}
        found = torch.nn.functional.interpolate(x, mode=mode, align_corners=align, antialias=antialias, **to)
        return found[..., :1]

    def along(i: int) -> Callable[[torch.Tensor], torch.Tensor]:
        factor = factors[i - 2] if len(factors) >= 2 - i else None
        if (
            factor is not None
            and not align
            and int(factor * as_map(call.expression()).shape[1 + i]) == size[i]
        ):
            return lambda x: resized(x, scale_factor=float(factor))
        return lambda x: resized(x, size=size[i])

    return _resampled(call, along(0), along(1))


@operation("dnisnm_lava.sampled")
def sampled(call: Call) -> Expression:
    """sampling.sampled(x, rows, cols, coefficient, inside)."""
    rows, cols, coefficient, inside = (
        call.get(i, key) for i, key in enumerate(("rows", "cols", "coefficient", "inside"), 1)
    )
    m = as_map(call.expression())
    a, b = (
        sampling.matrix(places, n, coefficient, inside)
        for places, n in zip((rows or [0.0], cols), m.shape[1:], strict=True)
    )
    return back(call.build.resample(m, a, b), call.expression())


def _factors(call: Call) -> list[float]:
    """Scale factors that the model gave, which torch prefers to the ratio of sizes."""
    values = [*call.args[1:], *call.kwargs.values()]
    lists = [v for v in values if isinstance(v, list | tuple) and v and all(isinstance(f, float) for f in v)]
    return list(lists[0]) if lists else [float(v) for v in values if isinstance(v, float)]


@operation("mean")
def mean(call: Call) -> Expression:
    return _reduced(call, average=True)


@operation("sum")
def total(call: Call) -> Expression:
    return _reduced(call, average=False)


def _reduced(call: Call, average: bool) -> Expression:
    """aten.mean, sum(x, axes, keepdim): pixels by resampling, channels by a 1x1 convolution."""
    e = call.expression()
    axes, keep = call.get(1, "dim"), call.get(2, "keepdim", False)
    axes = sorted(
        a % (len(e.shape) + 1)
        for a in (range(len(e.shape) + 1) if axes is None else [axes] if isinstance(axes, int) else axes)
    )
    if 0 in axes:
        raise Refusal("it mixes the images of a batch; reduce over the axes of one image alone")
    kept = tuple(1 if i + 1 in axes else n for i, n in enumerate(e.shape))
    left = tuple(n for i, n in enumerate(e.shape) if i + 1 not in axes)
    if len(e.shape) == 2:
        e, axes = as_map(e), [1 if a == 1 else 3 for a in axes]
    order = _order(e)
    e = _permuted(e, order)
    for axis in sorted(order.index(a - 1) for a in axes):
        e = _reduced_axis(call, e, axis, 1 / e.shape[axis] if average else 1.0)
    return tensors.view(_permuted(e, [order.index(i) for i in range(len(order))]), kept if keep else left)


def _order(e: Expression) -> list[int]:
    """The order of the axes in which e is maps (C, H, W): its own where it is, or where none is."""
    own = tuple(range(len(e.shape)))
    if len(e.shape) != 3 or all(t.layout.axes is not None for t in e.terms):
        return list(own)
    first, *others = (t.layout.orders for t in e.terms)
    return list(next((o for o in first if all(o in found for found in others)), own))


def _permuted(e: Expression, order: list[int]) -> Expression:
    if order == sorted(order):
        return e
    return expanded(e, lambda x: x.permute(0, *(1 + i for i in order)))


def _reduced_axis(call: Call, e: Expression, axis: int, factor: float) -> Expression:
    """The sum over one axis, which stays with length 1, times `factor`."""
    n, shape = e.shape[axis], e.shape
    kept = (*shape[:axis], 1, *shape[axis + 1 :])
    if len(shape) == 1:
        return call.build.matrix(e, np.full((1, n), factor), None, e.label)
    if axis == 0 and len(shape) <= 3:
        m = as_map(e)
        return tensors.view(
            call.build.conv(m, Projection("", np.full((1, n, 1, 1), factor)), None, e.label), kept
        )
    if len(shape) == 3:
        rows, cols = (np.full((1, n), factor) if axis == i else None for i in (1, 2))
        return call.build.resample(e, rows, cols)
    if axis == len(shape) - 1:
        m = tensors.view(e, (int(np.prod(shape[:-1])), *pixels_of(e, n)))
        return tensors.view(
            call.build.resample(m, np.ones((1, m.shape[1])), np.full((1, m.shape[2]), factor)), kept
        )
    if n > BLOCKS:
        raise Refusal(
            f"a mean or sum over axis {axis + 1} of {('N', *shape)} is not supported; reduce maps (N, C, "
            f"H, W)"
        )
    slices = [expanded(e, lambda x, i=i: x.narrow(axis + 1, i, 1)) for i in range(n)]  # type: ignore[misc]
    return tensors.multiplied(tensors.summed(slices), np.array(factor))
