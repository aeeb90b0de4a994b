"""Weights as events read them: all that leaves one neuron lies together in memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dnisnm_lava.backends.events import kernels
from dnisnm_lava.ir import Projection, Shape
from dnisnm_lava.ir.arithmetic import Window
from dnisnm_lava.ir.pools import composed

NOWHERE = np.zeros(0, np.int32)


@dataclass(frozen=True)
class Events:
    """Spikes of one step: pixel, channel (n,) int32, and value, float64."""

    pixel: np.ndarray
    channel: np.ndarray
    value: np.ndarray

    @property
    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.pixel, self.channel, self.value

    def __len__(self) -> int:
        return len(self.pixel)


def pixels_first(a: np.ndarray, shape: Shape) -> np.ndarray:
    """(*shape) -> (pixels, C), contiguous; a vector is one pixel."""
    a = (
        np.broadcast_to(a, shape).reshape(shape[0], -1)
        if len(shape) == 3
        else np.broadcast_to(a, shape)[:, None]
    )
    return np.ascontiguousarray(a.T)


def channels_first(a: np.ndarray, shape: Shape) -> np.ndarray:
    """Back: (pixels, C) -> (*shape)."""
    return a.T.reshape(shape)


def events_of(a: np.ndarray) -> Events:
    """The nonzero elements of (pixels, C), pixel by pixel."""
    pixel, channel = np.nonzero(a)
    return Events(pixel.astype(np.int32), channel.astype(np.int32), a[pixel, channel].astype(np.float64))


@dataclass(frozen=True)
class Convolution:
    """A projection's convolution; fan: synapses of one event, about."""

    first: np.ndarray
    where: np.ndarray
    weight: np.ndarray
    rows: np.ndarray
    scale: float
    geometry: tuple[int, ...]
    base: int
    target: np.ndarray
    fan: int

    def add(self, events: Events, acc: np.ndarray, touched: np.ndarray) -> None:
        kernels.convolve(
            events.pixel,
            events.channel,
            events.value,
            self.first,
            self.where,
            self.weight,
            self.rows,
            self.scale,
            self.geometry,
            self.base,
            self.target,
            acc,
            touched,
        )


@dataclass(frozen=True)
class Matrix:
    """A projection's matrix; weight: (I, O), O in the order of the target's pixels, then channels."""

    first: np.ndarray
    where: np.ndarray
    pixels: int
    weight: np.ndarray
    scale: float
    fan: int

    def add(self, events: Events, acc: np.ndarray, touched: np.ndarray) -> None:
        if len(events):
            touched[:] = 1
        kernels.multiply(
            events.pixel,
            events.channel,
            events.value,
            self.first,
            self.where,
            self.pixels,
            self.weight,
            self.scale,
            acc.reshape(-1),
        )


def table(q: Projection, source: Shape, target: Shape) -> Convolution | Matrix | None:
    """The projection for events; None where it is neither one convolution nor one matrix, behind a resampling
    or some pools."""
    q = composed(q, source)
    if q.spatial is not None or (q.is_conv and q.target_order is not None):
        return None
    return _convolution(q, source, target) if q.is_conv else _matrix(q, source, target)


def _places(q: Projection, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Where each channel of the source stands among those that the weights read: first (C + 1,), where
    (I,)."""
    read = np.arange(channels) if q.source_channels is None else q.source_channels
    where = np.argsort(read, kind="stable")
    return np.searchsorted(read[where], np.arange(channels + 1)).astype(np.int32), where.astype(np.int32)


def _narrow(weight: np.ndarray) -> np.ndarray:
    """Contiguous, in 8 bits where they hold it."""
    fits = int(np.abs(weight).max(initial=0)) <= 127
    return np.ascontiguousarray(weight.astype(np.int8 if fits else np.float32))


def _convolution(q: Projection, source: Shape, target: Shape) -> Convolution:
    outputs, inputs, *kernel = q.weight.shape
    each = outputs // q.groups
    grouped = q.weight.reshape(q.groups, each, inputs, *kernel)
    weight = np.moveaxis(grouped, 1, -1).reshape(q.groups * inputs, *kernel, each)  # (I, ky, kx, O / groups)
    window = Window((kernel[0], kernel[1]), q.stride, q.padding, q.dilation)
    height, width = window.output_size((source[1], source[2]))
    base, placed = 0, NOWHERE
    if q.target_channels is not None:
        base, placed = int(q.target_channels[0]), q.target_channels.astype(np.int32)
        placed = NOWHERE if np.array_equal(placed, np.arange(base, base + outputs)) else placed
    geometry = source[2], height, width, *q.stride, q.padding[0][0], q.padding[1][0], *q.dilation
    rows = np.arange(q.groups, dtype=np.int64) * each
    first, where = _places(q, source[0])
    fan = max(1, each * kernel[0] * kernel[1] // (q.stride[0] * q.stride[1]))
    return Convolution(
        first,
        where,
        _narrow(weight),
        rows,
        2.0**q.exponent,
        geometry,
        base if not placed.size else 0,
        placed,
        fan,
    )


def _matrix(q: Projection, source: Shape, target: Shape) -> Matrix:
    neurons = int(np.prod(target))
    order = np.arange(q.weight.shape[0])  # of the population's neurons, flattened, that each row drives
    if q.target_channels is not None:
        order = q.target_channels
    if q.target_order is not None:
        order = q.target_order
    weight = np.zeros((q.weight.shape[1], neurons), q.weight.dtype)
    weight[:, order] = q.weight.T
    if len(target) == 3:
        weight = np.moveaxis(weight.reshape(-1, *target), 1, -1).reshape(len(weight), -1)
    pixels = int(np.prod(source[1:]))
    return Matrix(*_places(q, source[0]), pixels, _narrow(weight), 2.0**q.exponent, weight.shape[1])
