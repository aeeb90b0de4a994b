"""Linear expressions: what a tensor of the model is, as a sum of linear maps of populations.

A term reads channels of a population, resamples rows and columns, applies at most one convolution or matrix,
and lands in the tensor by a layout.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from dnisnm_lava.frontend.layout import Layout
from dnisnm_lava.ir import Projection, Shape
from dnisnm_lava.ir.arithmetic import NO_PADDING, Pair
from dnisnm_lava.ir.channels import per_channel


class Refusal(Exception):
    """Why an operation cannot be converted; the caller adds its name and line."""


class TooLarge(Refusal):
    """A layout that only a matrix beyond all bounds would say."""


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
        return (
            self.linear is None
            and self.rows is None
            and self.cols is None
            and self.gain is None
            and bool((self.scale > 0).all())
        )


@dataclass(frozen=True, eq=False)
class Normed:
    """What batch norm says of an expression of these very `terms` and this very `bias`: of the terms, those
    that are `covered`, and the bias, add up to something of this mean and this variance, which broadcast to
    the expression's shape."""

    terms: tuple[Term, ...]
    bias: np.ndarray
    covered: tuple[bool, ...]
    mean: np.ndarray
    variance: np.ndarray


@dataclass(frozen=True, eq=False)
class Expression:
    """Sum of `terms` + `bias`, a tensor of `shape` without its batch axis. bias: broadcasts to `shape`.

    label: the layer that it comes from. nodes: the operations since the last population. merged: torch holds
    it with the batch and the first axis as one, (N * shape[0], ...), as around a linear layer of maps. told:
    by batch norm; read it as `normed`, since it holds only as long as terms and bias are what they were.
    """

    terms: tuple[Term, ...]
    bias: np.ndarray
    shape: Shape
    label: str = ""
    nodes: frozenset[str] = frozenset()
    merged: bool = False
    told: Normed | None = None

    @property
    def normed(self) -> Normed | None:
        """What batch norm says of it; None where it says nothing, or something was done to terms or bias
        since."""
        holds = self.told is not None and self.told.terms is self.terms and self.told.bias is self.bias
        return self.told if holds else None

    def with_moments(self, covered: tuple[bool, ...], mean: np.ndarray, variance: np.ndarray) -> Expression:
        """The same, of whose `covered` terms and bias batch norm tells mean and variance."""
        return replace(self, told=Normed(self.terms, self.bias, covered, mean, variance))

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


def wide(weight: np.ndarray) -> np.ndarray:
    """Weights in float64: terms may hold them as the model does, in float32, until they are computed with."""
    return weight.astype(np.float64, copy=False)


# ---------------------------------------------------------------- a term in the form of a map


def canonical(term: Term, shape: Shape) -> list[Term]:
    """Terms that add up to `term` viewed as `shape`, with natural rows and columns those of the tensor and
    the natural channels in the tensor's order: what remains of each layout is which channels of the tensor it
    fills.

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
            gathered = moved(gathered, places[0], places[1])
        if term.gain is not None:
            gathered = _gained(gathered, term.gain, shape, targets)
        place = np.full(shape[0], -1)
        place[targets] = np.arange(len(targets))
        layout = Layout.identity(gathered.natural).with_channels(place)
        found.append(replace(gathered, layout=layout, gain=None))
    return found


def _gained(term: Term, gain: np.ndarray, shape: Shape, targets: np.ndarray) -> Term:
    """The gain folded in: into the channels, and where it differs between pixels, into rows and columns.
    Blocked where it is no product of the three, or a kernel stands in the way."""
    gain = compact(np.broadcast_to(gain, term.layout.shape).reshape(shape))
    if all(n == 1 for n in gain.shape[1:]):
        return scaled(term, np.broadcast_to(gain.reshape(-1), (shape[0],))[targets])
    peak = np.unravel_index(np.abs(gain).argmax(), gain.shape)
    largest = gain[peak]
    lines = [tuple(slice(None) if i == axis else at for i, at in enumerate(peak)) for axis in range(3)]
    channels, rows, cols = (gain[line] / largest for line in lines)
    product = largest * channels[:, None, None] * rows[:, None] * cols
    pointwise = term.linear is None or is_pointwise(term.linear)
    if not pointwise or np.abs(product - gain).max() > 1e-13 * abs(
        largest
    ):  # three roundings of 2**-53, with room
        raise Blocked
    along = (
        np.diag(np.broadcast_to(a, (n,))) if len(a) > 1 else None
        for a, n in ((rows, shape[1]), (cols, shape[2]))
    )
    return scaled(resampled(term, *along), largest * np.broadcast_to(channels, (shape[0],))[targets])


def scaled(term: Term, factor: np.ndarray) -> Term:
    """factor (natural channels,) times the term."""
    if (factor == 1).all():
        return term
    if term.linear is None:
        return replace(term, scale=term.scale * factor)
    weight = term.linear.weight
    return replace(
        term, linear=replace(term.linear, weight=owned(weight * per_channel(factor, weight.shape)))
    )


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


def moved(term: Term, ys: np.ndarray, xs: np.ndarray) -> Term:
    """Rows `ys` and columns `xs` of the term's map."""
    _, height, width = term.natural
    if term.linear is None or is_pointwise(term.linear):
        return resampled(term, selection(ys, height), selection(xs, width))
    linear, (_, read_height, read_width) = term.linear, term.read
    if selection(ys, height) is None and selection(xs, width) is None:
        return term
    y, x = (
        _strided(
            places,
            linear.stride[i],
            linear.padding[i],
            linear.dilation[i] * (linear.weight.shape[2 + i] - 1) + 1,
            size,
        )
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


def is_pointwise(linear: Projection) -> bool:
    """A 1x1 convolution, whatever its groups."""
    return (
        linear.is_conv
        and linear.weight.shape[2:] == (1, 1)
        and linear.stride == (1, 1)
        and linear.padding == NO_PADDING
    )


def ungrouped(linear: Projection) -> np.ndarray:
    """The weight (O, I, ky, kx) of the same convolution with groups = 1."""
    outputs, inputs, *kernel = linear.weight.shape
    if linear.groups == 1:
        return wide(linear.weight)
    full = np.zeros((linear.groups, outputs // linear.groups, linear.groups, inputs, *kernel))
    for g in range(linear.groups):
        full[g, :, g] = linear.weight.reshape(linear.groups, -1, inputs, *kernel)[g]
    return full.reshape(outputs, inputs * linear.groups, *kernel)


def size_of(shape: Shape) -> Pair:
    return shape[1], shape[2]
