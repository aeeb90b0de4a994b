"""A projection in torch, in floats: channels, pool or resampling, then conv or dense."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dnisnm_lava.backends.batched.storage import channels_last, tensor
from dnisnm_lava.ir import Projection, Resample, Shape
from dnisnm_lava.ir.arithmetic import NO_PADDING, Pair, Window

Map = Callable[[Tensor], Tensor]


def linear(projection: Projection, dtype: torch.dtype, device: str) -> Map:
    """The projection as a function of spikes (B, *source shape) of `dtype`, channels last in memory for
    maps."""
    return between(
        in_front(projection, dtype, device), _weights(projection, dtype, device), projection, device
    )


def between(chosen: Map, weights: Map, projection: Projection, device: str) -> Map:
    """`weights` between what is in front of them and the target's channels."""
    if projection.target_order is not None:
        return _placed(chosen, weights, projection.target_order, projection.target_shape, device)
    if projection.target_channels is None:
        return lambda x: weights(chosen(x))
    targets = torch.tensor(projection.target_channels, dtype=torch.long, device=device)

    def apply(x: Tensor) -> Tensor:
        z = weights(chosen(x))
        full = z.new_zeros(z.shape[0], *z.shape[2:], projection.targets).movedim(-1, 1)
        return full.index_copy_(1, targets, z)

    return apply


def _placed(chosen: Map, weights: Map, order: np.ndarray, shape: Shape, device: str) -> Map:
    """What the weights give, (B, elements), each to its neuron of a population of `shape`."""
    places = torch.tensor(order, dtype=torch.long, device=device)

    def apply(x: Tensor) -> Tensor:
        z = weights(chosen(x)).flatten(1)
        return channels_last(
            z.new_zeros(len(z), math.prod(shape)).index_copy_(1, places, z).reshape(-1, *shape)
        )

    return apply


def chosen_channels(projection: Projection, device: str) -> Map:
    """The channels that the projection reads."""
    if projection.source_channels is None:
        return lambda x: x
    sources = torch.tensor(projection.source_channels, dtype=torch.long, device=device)
    return lambda x: x.movedim(1, -1)[..., sources].movedim(-1, 1)


def in_front(projection: Projection, dtype: torch.dtype, device: str) -> Map:
    """What happens to spikes (B, *source shape) before they meet the weights: choice of channels, pool,
    resampling."""
    chosen = chosen_channels(projection, device)
    if projection.resample is not None:
        resample = _resampling(projection.resample, dtype, device)
        return lambda x: resample(chosen(x))
    window = projection.sum_pool
    return chosen if window is None else lambda x: sum_pool(chosen(x), window)


def border(window: Window) -> list[int]:
    (top, bottom), (left, right) = window.padding
    return [left, right, top, bottom]


def sum_pool(x: Tensor, window: Window) -> Tensor:
    """Sums of windows, exact for integers that fit the dtype."""
    if window.padding != NO_PADDING:
        x = F.pad(x, border(window))
    return F.avg_pool2d(x, window.kernel, window.stride, divisor_override=1)


def max_pool(x: Tensor, window: Window) -> Tensor:
    if window.padding != NO_PADDING:
        x = F.pad(x, border(window), value=-torch.inf)
    return F.max_pool2d(x, window.kernel, window.stride, dilation=window.dilation)


def pool_changes(spikes: Tensor, window: Window) -> Tensor:
    """The change of the windows' maxima of the running sums of spikes (N, T, *source shape): (N, T,
    *shape)."""
    sums = spikes.cumsum(1)
    best = max_pool(sums.flatten(0, 1), window)
    best = best.reshape(*sums.shape[:2], *best.shape[1:])
    return torch.cat([best[:, :1], best[:, 1:] - best[:, :-1]], dim=1)


def _resampling(resample: Resample, dtype: torch.dtype, device: str) -> Map:
    rows, cols = tensor(resample.rows, dtype, device), tensor(resample.cols.T, dtype, device)
    return lambda x: rows @ x @ cols


def _weights(projection: Projection, dtype: torch.dtype, device: str) -> Map:
    """Conv or dense."""
    weight = tensor(projection.weight, dtype, device) * 2.0**projection.exponent
    padding, ahead = own_padding(projection)
    if projection.is_conv:
        weight = weight.contiguous(memory_format=torch.channels_last)

    def apply(x: Tensor) -> Tensor:
        if not projection.is_conv:
            z = x.flatten(1) @ weight.T
            return (
                z.reshape(-1, *projection.target_shape)
                if projection.target_shape and projection.target_order is None
                else z
            )
        if ahead:
            x = F.pad(x, ahead)
        return F.conv2d(x, weight, None, projection.stride, padding, projection.dilation, projection.groups)

    return apply


def own_padding(projection: Projection) -> tuple[Pair, list[int]]:
    """What a convolution pads itself, and what is padded ahead of it: one of them is nothing."""
    (top, bottom), (left, right) = projection.padding
    return ((top, left), []) if top == bottom and left == right else ((0, 0), [left, right, top, bottom])
