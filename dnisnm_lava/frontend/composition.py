"""One linear layer behind another as one, where that is exact."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from dnisnm_lava.frontend.expression import (
    Blocked,
    Term,
    is_pointwise,
    moved,
    owned,
    resampled,
    size_of,
    ungrouped,
    wide,
)
from dnisnm_lava.frontend.layout import Layout
from dnisnm_lava.frontend.windows import window_of
from dnisnm_lava.ir import Projection, Shape
from dnisnm_lava.ir.arithmetic import NO_PADDING, Pair


def after(term: Term, linear: Projection) -> Term:
    """`linear`, which reads just the natural channels of a canonical `term`, after it. Blocked where no
    single convolution says both. A pointwise layer's stride and padding move into the resampling."""
    if term.linear is not None:
        return replace(term, linear=_composed(term.linear, linear))
    if linear.is_conv and linear.weight.shape[2:] == (1, 1):
        ys, xs = (
            np.arange(-linear.padding[i][0], n + linear.padding[i][1], linear.stride[i])
            for i, n in enumerate(term.natural[1:])
        )
        inside = [
            np.where((a >= 0) & (a < n), a, -1) for a, n in zip((ys, xs), term.natural[1:], strict=True)
        ]
        term = moved(term, inside[0], inside[1])
        linear = replace(linear, stride=(1, 1), padding=NO_PADDING, dilation=(1, 1))
    if (term.scale != 1).any():
        inputs = linear.weight.shape[1]
        rows = np.repeat(
            term.scale.reshape(linear.groups, inputs), linear.weight.shape[0] // linear.groups, axis=0
        )
        linear = replace(linear, weight=owned(linear.weight * rows[:, :, None, None]))
    return replace(term, linear=linear, scale=np.ones(len(term.channels)))


def composed_cost(first: Projection, second: Projection, read: Shape) -> float:
    """Multiplications of `second` after `first` as one convolution, before anything is multiplied."""
    if not first.is_conv or not (is_pointwise(first) or is_pointwise(second) or second.padding == NO_PADDING):
        return np.inf
    if is_pointwise(first) or is_pointwise(second):
        kernel = np.prod(first.weight.shape[2:]) * np.prod(second.weight.shape[2:])
    else:
        kernel = np.prod([_reach(first, i) + (_reach(second, i) - 1) * first.stride[i] for i in range(2)])
    inputs = first.weight.shape[1] * first.groups
    size = second.window.output_size(size_of(first.output_shape(read)))
    return float(second.weight.shape[0] * inputs * kernel * np.prod(size))


def _reach(linear: Projection, axis: int) -> int:
    return linear.dilation[axis] * (linear.weight.shape[2 + axis] - 1) + 1


def _composed(first: Projection, second: Projection) -> Projection:
    a, b = ungrouped(first), ungrouped(second)
    if is_pointwise(first):
        return replace(second, weight=np.einsum("om...,mi->oi...", b, a[:, :, 0, 0]), groups=1)
    if is_pointwise(second):
        return replace(first, weight=np.einsum("om,mi...->oi...", b[:, :, 0, 0], a), groups=1)
    if second.padding != NO_PADDING:
        raise Blocked
    return _convolved(first, a, second, lambda tap: np.einsum("om,mi...->oi...", b[:, :, tap[0], tap[1]], a))


def _convolved(
    first: Projection, weight: np.ndarray, second: Projection, part: Callable[[Pair], np.ndarray]
) -> Projection:
    """The kernel of `second` over `first`: part(tap) is the first kernel as one tap of the second sees it."""
    kernel = [_reach(first, i) + (_reach(second, i) - 1) * first.stride[i] for i in range(2)]
    full: np.ndarray | None = None
    for tap in np.ndindex(*second.weight.shape[2:]):
        w = part((tap[0], tap[1]))
        full = np.zeros((*w.shape[:2], *kernel)) if full is None else full
        y, x = (tap[i] * second.dilation[i] * first.stride[i] for i in range(2))
        full[
            :, :, y : y + _reach(first, 0) : first.dilation[0], x : x + _reach(first, 1) : first.dilation[1]
        ] += w
    assert full is not None
    stride = (first.stride[0] * second.stride[0], first.stride[1] * second.stride[1])
    groups = first.groups if len(full) == len(weight) and full.shape[1] == first.weight.shape[1] else 1
    return Projection("", full, stride, first.padding, groups=groups)


def pooled(term: Term, rows: np.ndarray | None, cols: np.ndarray | None) -> Term:
    """Rows and columns resampled behind a canonical term's linear layer; Blocked unless it is pointwise, or
    the resampling is a window that never leaves the map."""
    if term.linear is None or is_pointwise(term.linear):
        return resampled(term, rows, cols)
    found = window_of(rows, cols, size_of(term.natural))
    if found is None or found[0].padding != NO_PADDING:
        raise Blocked
    window, value = found
    channels = term.natural[0]
    pool = Projection("", np.ones((channels, 1, *window.kernel)), window.stride, groups=channels)
    linear = _convolved(term.linear, term.linear.weight, pool, lambda tap: wide(term.linear.weight) * value)  # type: ignore[union-attr]
    return replace(term, linear=linear)


def matrix_after(term: Term, weight: np.ndarray) -> tuple[Term, np.ndarray]:
    """`weight` (O, *tensor) after a term of any layout: the term bare of its linear layer, and the matrix
    over what that layer read."""
    flat = term.layout.flat().reshape(-1)
    if term.gain is not None:
        weight = weight * np.broadcast_to(term.gain, term.layout.shape).reshape(1, -1)
    valid = np.flatnonzero(flat >= 0)
    size = int(np.prod(term.natural))
    if len(valid) < len(flat) or size != len(flat) or not bool((flat == np.arange(size)).all()):
        moved = np.zeros((len(weight), size))
        np.add.at(moved.T, flat[valid], weight[:, valid].T)  # an element may stand in the tensor twice
        weight = moved
    if term.linear is None:
        scale = np.repeat(term.scale, size // len(term.scale))
        bare = replace(term, scale=np.ones(len(term.channels)))
        weight = weight if (scale == 1).all() else weight * scale
    elif term.linear.is_conv:
        bare, weight = replace(term, linear=None), _transposed(term.linear, weight, term.natural, term.read)
    else:
        bare, weight = replace(term, linear=None), wide(weight) @ wide(term.linear.weight)
    return replace(bare, layout=Layout.identity(bare.read), gain=None), weight


def _transposed(linear: Projection, weight: np.ndarray, natural: Shape, read: Shape) -> np.ndarray:
    """weight (O, outputs of the convolution) over its inputs: the transposed convolution of each row."""
    maps = torch.from_numpy(wide(weight).reshape(-1, *natural))
    full = torch.nn.functional.conv_transpose2d(
        maps,
        torch.from_numpy(np.array(linear.weight, np.float64)),
        None,
        linear.stride,
        groups=linear.groups,
        dilation=linear.dilation,
    ).numpy()
    (top, _), (left, _) = linear.padding
    room = np.zeros(
        (len(weight), read[0], max(full.shape[2], top + read[1]), max(full.shape[3], left + read[2]))
    )
    room[:, :, : full.shape[2], : full.shape[3]] = full
    return room[:, :, top : top + read[1], left : left + read[2]].reshape(len(weight), -1)
