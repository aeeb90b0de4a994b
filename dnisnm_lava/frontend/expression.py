"""Linear expressions: what a tensor of the model is, as a sum of linear maps of populations.

A term reads channels of a population, resamples rows and columns, applies at most one convolution or matrix,
and lands in the tensor by a layout. Two linear layers in a row are composed where that is exact.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from dnisnm_lava.frontend.layout import Layout
from dnisnm_lava.ir import Projection, Resample, Shape
from dnisnm_lava.synapses import NO_PADDING, Pair, Window

DENSE_LIMIT = 1 << 24  # elements of a matrix that stands for an irregular layout


class Refusal(Exception):
    """Why an operation cannot be converted; the caller adds its name and line."""


class Blocked(Exception):
    """No single projection says this; a relay in front of it would."""


@dataclass(frozen=True, eq=False)
class Term:
    """gain * layout(linear(scale * resampled(source[channels]))).

    shape: of the source. channels: (C,) those read. rows, cols: matrices, or None. scale: (C,), part of
    `linear` where there is one. gain: None, or one factor per tensor element, as far as it broadcasts.
    """

    source: str
    shape: Shape
    layout: Layout
    channels: np.ndarray
    scale: np.ndarray
    rows: np.ndarray | None = None
    cols: np.ndarray | None = None
    linear: Projection | None = None
    gain: np.ndarray | None = None

    @staticmethod
    def of(source: str, shape: Shape) -> Term:
        return Term(source, shape, Layout.identity(shape), np.arange(shape[0]), np.ones(shape[0]))

    @property
    def read(self) -> Shape:
        """What `linear` reads."""
        if len(self.shape) == 1:
            return (len(self.channels),)
        rows = self.shape[1] if self.rows is None else len(self.rows)
        cols = self.shape[2] if self.cols is None else len(self.cols)
        return (len(self.channels), rows, cols)

    @cached_property
    def natural(self) -> Shape:
        """What the layout reads."""
        return self.read if self.linear is None else self.linear.output_shape(self.read)

    @property
    def reads_all(self) -> bool:
        return len(self.channels) == self.shape[0] and bool((self.channels == np.arange(self.shape[0])).all())

    @property
    def cost(self) -> int:
        """Multiplications of an image; 0 where there is no linear layer yet."""
        return 0 if self.linear is None else self.linear.macs(self.read)

    @property
    def is_plain(self) -> bool:
        """Channels of a population, scaled up or not, and nothing else?"""
        return self.linear is None and self.rows is None and self.cols is None and self.gain is None and bool((self.scale > 0).all())


@dataclass(frozen=True, eq=False)
class Expression:
    """Sum of `terms` + `bias`, a tensor of `shape` without its batch axis. bias: broadcasts to `shape`.

    label: the layer that it comes from. nodes: the operations since the last population. merged: torch holds it
    with the batch and the first axis as one, (N * shape[0], ...), as around a linear layer of maps.
    """

    terms: tuple[Term, ...]
    bias: np.ndarray
    shape: Shape
    label: str = ""
    nodes: frozenset[str] = frozenset()
    merged: bool = False

    @staticmethod
    def of(source: str, shape: Shape) -> Expression:
        return Expression((Term.of(source, shape),), np.zeros((1,) * len(shape)), shape, source)

    @property
    def population(self) -> str | None:
        """The population that this is, element by element in its order; None for anything else."""
        if len(self.terms) != 1 or self.bias.any():
            return None
        term = self.terms[0]
        plain = term.is_plain and term.reads_all and bool((term.scale == 1).all())
        return term.source if plain and term.layout.in_order else None

    @property
    def cost(self) -> int:
        return sum(t.cost for t in self.terms)

    @property
    def is_composite(self) -> bool:
        return any(t.linear is not None for t in self.terms)

    def full_bias(self) -> np.ndarray:
        return np.broadcast_to(self.bias, self.shape)


def compact(a: np.ndarray) -> np.ndarray:
    """The same values with length 1 along every axis on which they do not change."""
    for axis in range(a.ndim):
        first = a.take([0], axis=axis)
        if a.shape[axis] > 1 and bool((a == first).all()):
            a = first
    return np.array(a)


def owned(a: np.ndarray) -> np.ndarray:
    """A new array, frozen on the spot: a graph takes it without another copy."""
    a.setflags(write=False)
    return a


def per_channel(a: np.ndarray, rank: int) -> np.ndarray:
    return np.asarray(a).reshape(-1, *(1,) * (rank - 1))


# ---------------------------------------------------------------- a term in the form of a map


def canonical(term: Term, shape: Shape) -> list[Term]:
    """Terms that add up to `term` viewed as `shape`, with natural rows and columns those of the tensor and the
    natural channels in the tensor's order: what remains of each layout is which channels of the tensor it fills.

    Blocked where a layout does not fall into channels, rows and columns, or a kernel stands in the way.
    """
    blocks = term.layout.blocks(shape)
    if blocks is None:
        raise Blocked
    found = []
    for block in blocks:
        assert block.axes is not None
        channels, *places = block.axes
        targets = np.flatnonzero(channels >= 0)
        gathered = gather(term, channels[targets])
        if places:
            gathered = _move(gathered, places[0], places[1])
        if term.gain is not None:
            gathered = _gained(gathered, term.gain, shape, targets)
        place = np.full(shape[0], -1)
        place[targets] = np.arange(len(targets))
        layout = Layout.identity(gathered.natural).with_channels(place)
        found.append(replace(gathered, layout=layout, gain=None))
    return found


def _gained(term: Term, gain: np.ndarray, shape: Shape, targets: np.ndarray) -> Term:
    gain = compact(np.broadcast_to(gain, term.layout.shape).reshape(shape))
    if any(n != 1 for n in gain.shape[1:]):
        raise Refusal("it multiplies maps by a constant that differs between pixels; only one factor per channel is supported")
    return scaled(term, np.broadcast_to(gain.reshape(-1), (shape[0],))[targets])


def scaled(term: Term, factor: np.ndarray) -> Term:
    """factor (natural channels,) times the term."""
    if (factor == 1).all():
        return term
    if term.linear is None:
        return replace(term, scale=term.scale * factor)
    weight = term.linear.weight
    return replace(term, linear=replace(term.linear, weight=owned(weight * per_channel(factor, weight.ndim))))


def gather(term: Term, channels: np.ndarray) -> Term:
    """The natural `channels` of the term, in this order; the layout is left for the caller to replace."""
    if len(channels) == term.natural[0] and bool((channels == np.arange(len(channels))).all()):
        return term
    if term.linear is None:
        return replace(term, channels=term.channels[channels], scale=term.scale[channels])
    linear = term.linear
    if linear.groups == 1:
        return replace(term, linear=replace(linear, weight=owned(linear.weight[channels])))
    outputs, inputs = linear.weight.shape[0] // linear.groups, linear.weight.shape[1]
    if inputs == 1:  # each row has an input channel of its own: read it once more
        rows = replace(linear, weight=linear.weight[channels], groups=len(channels))
        read = channels // outputs
        return replace(term, linear=rows, channels=term.channels[read], scale=term.scale[read])
    groups, counts = np.unique(channels // outputs, return_counts=True)
    if len(set(counts)) == 1 and bool((channels // outputs == np.repeat(groups, counts[0])).all()):
        read = (groups[:, None] * inputs + np.arange(inputs)).reshape(-1)
        rows = replace(linear, weight=linear.weight[channels], groups=len(groups))
        return replace(term, linear=rows, channels=term.channels[read], scale=term.scale[read])
    return replace(term, linear=replace(linear, weight=ungrouped(linear)[channels], groups=1))


def selection(places: np.ndarray, size: int) -> np.ndarray | None:
    """(n, size) 0/1 matrix that takes elements `places`, or nothing; None where it takes all in order."""
    if len(places) == size and bool((places == np.arange(size)).all()):
        return None
    matrix = np.zeros((len(places), size))
    valid = np.flatnonzero(places >= 0)
    matrix[valid, places[valid]] = 1
    return matrix


def _move(term: Term, ys: np.ndarray, xs: np.ndarray) -> Term:
    """Rows `ys` and columns `xs` of the term's map."""
    _, height, width = term.natural
    if term.linear is None or _is_pointwise(term.linear):
        return resampled(term, selection(ys, height), selection(xs, width))
    linear, (_, read_height, read_width) = term.linear, term.read
    if selection(ys, height) is None and selection(xs, width) is None:
        return term
    y, x = (
        _strided(places, linear.stride[i], linear.padding[i], linear.dilation[i] * (linear.weight.shape[2 + i] - 1) + 1, size)
        for i, (places, size) in enumerate(((ys, read_height), (xs, read_width)))
    )
    return replace(term, linear=replace(linear, stride=(y[0], x[0]), padding=(y[1], x[1])))


def _strided(places: np.ndarray, stride: int, padding: Pair, reach: int, size: int) -> tuple[int, Pair]:
    """The stride and padding with which a kernel of `reach` gives just its outputs `places`."""
    steps = set(np.diff(places))
    if (places < 0).any() or len(steps) > 1 or any(s < 1 for s in steps):
        raise Blocked
    stride_out = stride * int(steps.pop() if steps else 1)
    before = padding[0] - int(places[0]) * stride
    after = (len(places) - 1) * stride_out + reach - size - before
    if before < 0 or after < 1 - stride_out:
        raise Blocked
    return stride_out, (before, max(after, 0))


def resampled(term: Term, rows: np.ndarray | None, cols: np.ndarray | None) -> Term:
    """rows @ map @ cols.T in front of a pointwise layer, or of none."""
    a = rows if term.rows is None else term.rows if rows is None else rows @ term.rows
    b = cols if term.cols is None else term.cols if cols is None else cols @ term.cols
    return replace(term, rows=a, cols=b)


# ---------------------------------------------------------------- one linear layer after another


def _is_pointwise(linear: Projection) -> bool:
    """A 1x1 convolution, whatever its groups."""
    return linear.is_conv and linear.weight.shape[2:] == (1, 1) and linear.stride == (1, 1) and linear.padding == NO_PADDING


def ungrouped(linear: Projection) -> np.ndarray:
    """The weight (O, I, ky, kx) of the same convolution with groups = 1."""
    outputs, inputs, *kernel = linear.weight.shape
    if linear.groups == 1:
        return linear.weight
    full = np.zeros((linear.groups, outputs // linear.groups, linear.groups, inputs, *kernel))
    for g in range(linear.groups):
        full[g, :, g] = linear.weight.reshape(linear.groups, -1, inputs, *kernel)[g]
    return full.reshape(outputs, inputs * linear.groups, *kernel)


def after(term: Term, linear: Projection) -> Term:
    """`linear`, which reads just the natural channels of a canonical `term`, after it. Blocked where no single
    convolution says both. A pointwise layer's stride and padding move into the resampling."""
    if term.linear is not None:
        return replace(term, linear=_composed(term.linear, linear))
    if linear.is_conv and linear.weight.shape[2:] == (1, 1):
        ys, xs = (np.arange(-linear.padding[i][0], n + linear.padding[i][1], linear.stride[i]) for i, n in enumerate(term.natural[1:]))
        inside = [np.where((a >= 0) & (a < n), a, -1) for a, n in zip((ys, xs), term.natural[1:], strict=True)]
        term = _move(term, inside[0], inside[1])
        linear = replace(linear, stride=(1, 1), padding=NO_PADDING, dilation=(1, 1))
    if (term.scale != 1).any():
        inputs = linear.weight.shape[1]
        rows = np.repeat(term.scale.reshape(linear.groups, inputs), linear.weight.shape[0] // linear.groups, axis=0)
        linear = replace(linear, weight=owned(linear.weight * rows[:, :, None, None]))
    return replace(term, linear=linear, scale=np.ones(len(term.channels)))


def composed_cost(first: Projection, second: Projection, read: Shape) -> float:
    """Multiplications of `second` after `first` as one convolution, before anything is multiplied."""
    if not first.is_conv or not (_is_pointwise(first) or _is_pointwise(second) or second.padding == NO_PADDING):
        return np.inf
    if _is_pointwise(first) or _is_pointwise(second):
        kernel = np.prod(first.weight.shape[2:]) * np.prod(second.weight.shape[2:])
    else:
        kernel = np.prod([_reach(first, i) + (_reach(second, i) - 1) * first.stride[i] for i in range(2)])
    inputs = first.weight.shape[1] * first.groups
    size = second.window.output_size(_size(first.output_shape(read)))
    return float(second.weight.shape[0] * inputs * kernel * np.prod(size))


def _size(shape: Shape) -> Pair:
    return shape[1], shape[2]


def _reach(linear: Projection, axis: int) -> int:
    return linear.dilation[axis] * (linear.weight.shape[2 + axis] - 1) + 1


def _composed(first: Projection, second: Projection) -> Projection:
    a, b = ungrouped(first), ungrouped(second)
    if _is_pointwise(first):
        return replace(second, weight=np.einsum("om...,mi->oi...", b, a[:, :, 0, 0]), groups=1)
    if _is_pointwise(second):
        return replace(first, weight=np.einsum("om,mi...->oi...", b[:, :, 0, 0], a), groups=1)
    if second.padding != NO_PADDING:
        raise Blocked
    return _convolved(first, a, second, lambda tap: np.einsum("om,mi...->oi...", b[:, :, tap[0], tap[1]], a))


def _convolved(first: Projection, weight: np.ndarray, second: Projection, part: Callable[[Pair], np.ndarray]) -> Projection:
    """The kernel of `second` over `first`: part(tap) is the first kernel as one tap of the second sees it."""
    kernel = [_reach(first, i) + (_reach(second, i) - 1) * first.stride[i] for i in range(2)]
    full: np.ndarray | None = None
    for tap in np.ndindex(*second.weight.shape[2:]):
        w = part((tap[0], tap[1]))
        full = np.zeros((*w.shape[:2], *kernel)) if full is None else full
        y, x = (tap[i] * second.dilation[i] * first.stride[i] for i in range(2))
        full[:, :, y : y + _reach(first, 0) : first.dilation[0], x : x + _reach(first, 1) : first.dilation[1]] += w
    assert full is not None
    stride = (first.stride[0] * second.stride[0], first.stride[1] * second.stride[1])
    groups = first.groups if len(full) == len(weight) and full.shape[1] == first.weight.shape[1] else 1
    return Projection("", full, stride, first.padding, groups=groups)


def pooled(term: Term, rows: np.ndarray | None, cols: np.ndarray | None) -> Term:
    """Rows and columns resampled behind a canonical term's linear layer; Blocked unless it is pointwise, or the
    resampling is a window that never leaves the map."""
    if term.linear is None or _is_pointwise(term.linear):
        return resampled(term, rows, cols)
    found = window_of(rows, cols, _size(term.natural))
    if found is None or found[0].padding != NO_PADDING:
        raise Blocked
    window, value = found
    channels = term.natural[0]
    pool = Projection("", np.ones((channels, 1, *window.kernel)), window.stride, groups=channels)
    linear = _convolved(term.linear, term.linear.weight, pool, lambda tap: term.linear.weight * value)  # type: ignore[union-attr]
    return replace(term, linear=linear)


def matrix_after(term: Term, weight: np.ndarray) -> tuple[Term, np.ndarray]:
    """`weight` (O, *tensor) after a term of any layout: the term bare of its linear layer, and the matrix over
    what that layer read."""
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
        bare, weight = replace(term, linear=None), weight @ term.linear.weight
    return replace(bare, layout=Layout.identity(bare.read), gain=None), weight


def _transposed(linear: Projection, weight: np.ndarray, natural: Shape, read: Shape) -> np.ndarray:
    """weight (O, outputs of the convolution) over its inputs: the transposed convolution of each row."""
    maps = torch.from_numpy(weight.reshape(-1, *natural))
    full = torch.nn.functional.conv_transpose2d(
        maps, torch.from_numpy(np.array(linear.weight)), None, linear.stride, groups=linear.groups, dilation=linear.dilation
    ).numpy()
    (top, _), (left, _) = linear.padding
    room = np.zeros((len(weight), read[0], max(full.shape[2], top + read[1]), max(full.shape[3], left + read[2])))
    room[:, :, : full.shape[2], : full.shape[3]] = full
    return room[:, :, top : top + read[1], left : left + read[2]].reshape(len(weight), -1)


# ---------------------------------------------------------------- a term as a projection


def window_of(rows: np.ndarray | None, cols: np.ndarray | None, size: Pair) -> tuple[Window, float] | None:
    """The window whose sums, times a number, are rows @ x @ cols.T; None where there is none."""
    found = [_axis_window(a, n) for a, n in ((rows, size[0]), (cols, size[1]))]
    if found[0] is None or found[1] is None:
        return None
    (ky, sy, py, vy), (kx, sx, px, vx) = found[0], found[1]
    return Window((ky, kx), (sy, sx), (py, px)), vy * vx


def _axis_window(matrix: np.ndarray | None, size: int) -> tuple[int, int, Pair, float] | None:
    """(kernel, stride, padding, value) of a matrix whose rows are one sliding window of equal values."""
    if matrix is None:
        return 1, 1, (0, 0), 1.0
    values = matrix[matrix != 0]
    if values.size == 0 or (values != values[0]).any():
        return None
    filled = matrix != 0
    starts = np.where(filled.any(axis=1), filled.argmax(axis=1), -1)
    ends = np.where(filled.any(axis=1), size - filled[:, ::-1].argmax(axis=1), -1)
    kernel = int((ends - starts).max())
    for stride, before in _guesses(starts, ends, kernel, size):
        first = np.arange(len(matrix)) * stride - before
        place = np.arange(size)
        if (((place >= first[:, None]) & (place < first[:, None] + kernel)) == filled).all():
            behind = max(0, int(first[-1]) + kernel - size)
            if (size + before + behind - kernel) // stride + 1 == len(matrix):
                return kernel, stride, (before, behind), float(values[0])
    return None


def _guesses(starts: np.ndarray, ends: np.ndarray, kernel: int, size: int) -> list[Pair]:
    """(stride, padding in front) that the whole windows of a matrix suggest."""
    whole = np.flatnonzero((starts >= 0) & (ends - starts == kernel))
    if len(whole) < 2:
        before = int(-starts[whole[0]]) if whole[0] == 0 else 0
        return [(max(1, size), max(0, before))] if len(starts) == 1 else [
            (s, s * int(whole[0]) - int(starts[whole[0]])) for s in range(1, size + kernel + 1)
            if s * int(whole[0]) - int(starts[whole[0]]) >= 0
        ]  # fmt: skip
    stride = int(starts[whole[1]] - starts[whole[0]])
    before = stride * int(whole[0]) - int(starts[whole[0]])
    return [(stride, before)] if stride >= 1 and before >= 0 else []


def as_matrix(term: Term, shape: Shape) -> Term:
    """The term as a matrix whose rows fill `shape`: any layout, but no convolution. Refusal where it is too large."""
    flat = term.layout.flat().reshape(-1)
    valid = np.flatnonzero(flat >= 0)
    features = int(np.prod(term.read))
    if len(flat) * features > DENSE_LIMIT:
        raise Refusal(
            f"it needs {shape} of elements of {term.read} in an order that no channels, rows and columns say, and a matrix of "
            f"{len(flat) * features:,} weights would be needed; keep maps as maps (C, H, W) until the linear layer"
        )
    weight = np.zeros((len(flat), features))
    if term.linear is None:
        weight[valid, flat[valid]] = np.repeat(term.scale, features // len(term.scale))[flat[valid]]
    else:
        weight[valid] = term.linear.weight[flat[valid]]
    if term.gain is not None:
        weight *= np.broadcast_to(term.gain, term.layout.shape).reshape(-1, 1)
    linear = Projection("", weight, target_shape=shape if len(shape) > 1 else ())
    return replace(term, linear=linear, scale=np.ones(len(term.channels)), layout=Layout.identity(shape), gain=None)


def projection(term: Term, targets: int) -> Projection:
    """A canonical term as a projection into a population of `targets` channels; an identity is a 1x1 depthwise
    convolution, or a diagonal matrix."""
    place = term.layout.axes[0] if term.layout.axes is not None else np.arange(targets)
    driven = np.flatnonzero(place >= 0)
    linear = term.linear
    if linear is None and len(term.shape) == 1:
        linear = Projection("", np.diag(term.scale))
    elif linear is None:
        linear = Projection("", term.scale.reshape(-1, 1, 1, 1), groups=len(term.channels))
    linear = replace(
        linear, source=term.source,
        source_channels=None if term.reads_all else term.channels.astype(np.int32),
        target_channels=None if len(driven) == targets else driven.astype(np.int32),
        targets=0 if len(driven) == targets else targets,
    )  # fmt: skip
    if term.rows is None and term.cols is None:
        return linear
    return _with_spatial(linear, term)


def _with_spatial(linear: Projection, term: Term) -> Projection:
    """The resampling as a stride, as padding, as a sum-pool, or as itself."""
    found = window_of(term.rows, term.cols, _size(term.shape))
    if found is None:
        rows = np.eye(term.shape[1]) if term.rows is None else term.rows
        cols = np.eye(term.shape[2]) if term.cols is None else term.cols
        return replace(linear, resample=Resample(rows, cols))
    window, value = found
    if value != 1:
        linear = replace(linear, weight=owned(linear.weight * value))
    if window.kernel == (1, 1) and linear.is_conv:
        if _is_pointwise(linear):
            return replace(linear, stride=window.stride, padding=window.padding)
        if window.stride == (1, 1):
            y, x = ((a + b, c + d) for (a, c), (b, d) in zip(linear.padding, window.padding, strict=True))
            return replace(linear, padding=(y, x))
    return replace(linear, sum_pool=window)
