"""A term as a projection of the graph."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dnisnm_lava.frontend.expression import Term, TooLarge, gather, is_pointwise, owned, scaled, size_of
from dnisnm_lava.frontend.layout import NOTHING, Layout
from dnisnm_lava.frontend.windows import window_of
from dnisnm_lava.ir import Projection, Resample, Shape

NEGLIGIBLE = 1e-30
DENSE_LIMIT = 1 << 24  # elements of a matrix that stands for an irregular layout


def ordered(term: Term, shape: Shape, one_unit: bool) -> Term | None:
    """The term of a map as a convolution whose elements go to neurons of a population of `shape` one by one:
    any layout that shows each element once. None where it does not, or a row would drive several channels and
    they do not count in one unit."""
    if len(term.natural) != 3:
        return None
    flat = term.layout.flat().reshape(-1)
    filled = np.flatnonzero(flat >= 0)
    rows = np.unique(flat[filled] // int(np.prod(term.natural[1:])))
    order = np.full(int(np.prod(term.natural)), NOTHING)
    order[flat[filled]] = filled
    order = order.reshape(term.natural[0], -1)[rows]
    gain = (
        np.ones(order.shape)
        if term.gain is None
        else np.broadcast_to(term.gain, term.layout.shape).reshape(-1)[order]
    )
    channels = order // int(np.prod(shape[1:]))
    if order.size != len(filled) or (order < 0).any() or (gain != gain[:, :1]).any():
        return None
    if not one_unit and (channels != channels[:, :1]).any():
        return None
    term = scaled(gather(replace(term, gain=None), rows), gain[:, 0])
    linear = term.linear or Projection("", term.scale.reshape(-1, 1, 1, 1), groups=len(term.channels))
    linear = replace(linear, target_shape=shape, target_order=order.reshape(-1).astype(np.int32))
    return replace(term, linear=linear, scale=np.ones(len(term.channels)), layout=Layout.identity(shape))


def as_matrix(term: Term, shape: Shape) -> Term:
    """The term as a matrix whose rows fill `shape`: any layout, but no convolution. TooLarge where it is."""
    flat = term.layout.flat().reshape(-1)
    valid = np.flatnonzero(flat >= 0)
    features = int(np.prod(term.read))
    if len(flat) * features > DENSE_LIMIT:
        raise TooLarge(
            f"it needs {shape} of elements of {term.read} in an order, or with factors, that no "
            f"channels, rows and columns say, "
            f"and a matrix of {len(flat) * features:,} weights would be needed; keep maps as maps (C, H, "
            f"W) until the linear layer"
        )
    weight = np.zeros((len(flat), features))
    if term.linear is None:
        weight[valid, flat[valid]] = np.repeat(term.scale, features // len(term.scale))[flat[valid]]
    else:
        weight[valid] = term.linear.weight[flat[valid]]
    if term.gain is not None:
        weight *= np.broadcast_to(term.gain, term.layout.shape).reshape(-1, 1)
    linear = Projection("", weight, target_shape=shape if len(shape) > 1 else ())
    return replace(
        term, linear=linear, scale=np.ones(len(term.channels)), layout=Layout.identity(shape), gain=None
    )


def projection(term: Term, targets: int) -> Projection:
    """A canonical term as a projection into a population of `targets` channels; an identity is a 1x1
    depthwise convolution, or a diagonal matrix."""
    place = term.layout.axes[0] if term.layout.axes is not None else np.arange(targets)
    driven = np.flatnonzero(place >= 0)
    linear = term.linear
    if linear is None and len(term.shape) == 1:
        linear = Projection("", np.diag(term.scale))
    elif linear is None:
        linear = Projection("", term.scale.reshape(-1, 1, 1, 1), groups=len(term.channels))
    linear = replace(
        linear,
        source=term.source,
        source_channels=None if term.reads_all else term.channels.astype(np.int32),
        target_channels=None if len(driven) == targets else driven.astype(np.int32),
        targets=0 if len(driven) == targets else targets,
    )
    if term.rows is not None or term.cols is not None:
        linear = _with_spatial(linear, term)
    return replace(linear, weight=_normal(linear.weight))


def _normal(weight: np.ndarray) -> np.ndarray:
    """In float64, with 0 for what changes no sum, and is slow in all of them: below NEGLIGIBLE of its row's
    largest, or of float32's denormal numbers (batch norms of channels that training gave up leave them)."""
    size = np.abs(weight)
    largest = size.reshape(len(size), -1).max(axis=1, initial=0).reshape(-1, *(1,) * (size.ndim - 1))
    lost = (size < np.maximum(NEGLIGIBLE * largest, float(np.finfo(np.float32).tiny))) & (size > 0)
    if weight.dtype == np.float64 and not lost.any():
        return weight
    return owned(np.where(lost, 0.0, weight).astype(np.float64, copy=False))


def _with_spatial(linear: Projection, term: Term) -> Projection:
    """The resampling as a stride, as padding, as a sum-pool, or as itself."""
    found = window_of(term.rows, term.cols, size_of(term.shape))
    if found is None:
        rows = np.eye(term.shape[1]) if term.rows is None else term.rows
        cols = np.eye(term.shape[2]) if term.cols is None else term.cols
        return replace(linear, resample=Resample(rows, cols))
    window, value = found
    if value != 1:
        linear = replace(linear, weight=owned(np.multiply(linear.weight, value, dtype=np.float64)))
    if window.kernel == (1, 1) and linear.is_conv:
        if is_pointwise(linear):
            return replace(linear, stride=window.stride, padding=window.padding)
        if window.stride == (1, 1):
            y, x = ((a + b, c + d) for (a, c), (b, d) in zip(linear.padding, window.padding, strict=True))
            return replace(linear, padding=(y, x))
    return replace(linear, sum_pool=window)
