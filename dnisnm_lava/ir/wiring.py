"""Which synapses leave which neurons, one by one: what a chip that knows neither kernels nor pools holds.

`fanout` counts the same synapses without listing them. Lists grow with spikes times synapses a neuron, so ask
for few neurons at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dnisnm_lava.ir import fanout
from dnisnm_lava.ir.arithmetic import Window
from dnisnm_lava.ir.graphs import Graph
from dnisnm_lava.ir.populations import SNM, Gate, MaxPool, Population, ReadOut
from dnisnm_lava.ir.projections import Projection, Resample
from dnisnm_lava.ir.values import Shape


class Synapses(NamedTuple):
    """(n,) int64 each. source: which of the neurons that were asked for; target: the neuron that it reaches,
    flattened; weight: as in the projection, its exponent and matrices within."""

    source: np.ndarray
    target: np.ndarray
    weight: np.ndarray


@dataclass(frozen=True)
class _Lists:
    """A list of (what, weight) for each key; that of key k is first[k] to first[k + 1]."""

    first: np.ndarray
    what: np.ndarray
    weight: np.ndarray

    def of(self, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(which of the keys, what, weight), list behind list."""
        counts = self.first[keys + 1] - self.first[keys]
        which = np.repeat(np.arange(len(keys)), counts)
        behind = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
        at = self.first[keys][which] + behind
        return which, self.what[at], self.weight[at]


@dataclass(frozen=True)
class Wiring:
    """One projection as lists: the channels that are read, the pixels that a row or a column reaches in front
    of the weights, the taps of the kernel, the rows of the weights, and the neuron of what they give."""

    source: Shape
    channels: _Lists
    space: tuple[_Lists, ...]
    read: Shape
    taps: tuple[_Lists, ...]
    kernel: tuple[int, int]
    given: tuple[int, ...]
    rows: _Lists
    placed: np.ndarray

    def of(self, neurons: np.ndarray) -> Synapses:
        """The synapses of `neurons` (n,), indices into the source, flattened in C, H, W order."""
        channel, *pixel = np.unravel_index(neurons, self.source)
        which, channel, weight = self.channels.of(channel)
        pixel = [a[which] for a in pixel]
        for axis, lists in enumerate(self.space):
            more, pixel[axis], ways = lists.of(pixel[axis])
            which, channel, weight = which[more], channel[more], weight[more] * ways
            pixel = [a if i == axis else a[more] for i, a in enumerate(pixel)]
        if not self.taps:
            key = np.ravel_multi_index((channel, *pixel), self.read)
            more, row, ways = self.rows.of(key)
            return Synapses(which[more], self.placed[row], weight[more] * ways)
        more, down, _ = self.taps[0].of(pixel[0])
        which, channel, weight, across = which[more], channel[more], weight[more], pixel[1][more]
        more, right, _ = self.taps[1].of(across)
        which, channel, weight, down = which[more], channel[more], weight[more], down[more]
        (ky, oy), (kx, ox) = np.divmod(down, self.given[1]), np.divmod(right, self.given[2])
        key = (channel * self.kernel[0] + ky) * self.kernel[1] + kx
        more, row, ways = self.rows.of(key)
        target = (row * self.given[1] + oy[more]) * self.given[2] + ox[more]
        return Synapses(which[more], self.placed[target], weight[more] * ways)


def wired(q: Projection, source: Shape) -> Wiring:
    """The lists of an integer projection from a population of shape `source`."""
    read, given = q.read_shape(source), q.given_shape(source)
    chosen = np.arange(source[0]) if q.source_channels is None else q.source_channels
    size = (read[1], read[2]) if q.is_conv else ()
    return Wiring(
        source,
        _lists(chosen, np.arange(len(chosen)), np.ones(len(chosen), np.int64), source[0]),
        tuple(_of_matrix(a) for a in _matrices(q, source)),
        read,
        tuple(_of_taps(q.window, axis, n) for axis, n in enumerate(size)),
        (q.weight.shape[2], q.weight.shape[3]) if q.is_conv else (1, 1),
        given,
        _of_weights(q),
        _placed(q, given),
    )


def heard(p: Population, graph: Graph) -> tuple[Projection, ...]:
    """What a population hears, as projections: its own; of a max-pool and a gate, synapses of weight 1 from
    each value that it looks at."""
    if isinstance(p, SNM | ReadOut):
        return p.projections
    if isinstance(p, MaxPool):
        channels, window = p.shape[0], p.window
        ones = np.ones((channels, 1, *window.kernel), np.int8)
        return (Projection(p.source, ones, window.stride, window.padding, window.dilation, groups=channels),)
    if isinstance(p, Gate):
        return tuple(_broadcast(name, graph[name].shape, p.shape) for name in (p.source, p.gate))
    return ()


def _broadcast(name: str, source: Shape, shape: Shape) -> Projection:
    """A synapse to each product that a neuron of `source` is in."""
    channels = shape[0]
    chosen = None if source[0] == channels else np.zeros(channels, np.int32)
    if len(shape) == 1:
        return Projection(name, np.eye(channels, dtype=np.int8), source_channels=chosen)
    rows, cols = (
        np.eye(n, dtype=np.int8) if m == n else np.ones((n, m), np.int8)
        for n, m in zip(shape[1:], source[1:], strict=True)
    )
    ones = np.ones((channels, 1, 1, 1), np.int8)
    return Projection(name, ones, groups=channels, resample=Resample(rows, cols), source_channels=chosen)


def _lists(keys: np.ndarray, what: np.ndarray, weight: np.ndarray, count: int) -> _Lists:
    order = np.argsort(keys, kind="stable")
    first = np.concatenate([[0], np.cumsum(np.bincount(keys, minlength=count))])
    return _Lists(first, what[order].astype(np.int64), weight[order].astype(np.int64))


def _matrices(q: Projection, source: Shape) -> tuple[np.ndarray, ...]:
    """What a sum-pool or a resampling does to rows and to columns: (read, source)."""
    if q.spatial is None:
        return ()
    if isinstance(q.spatial, Window):
        return fanout.windows(q.spatial, (source[1], source[2]))
    return q.spatial.rows, q.spatial.cols


def _of_matrix(a: np.ndarray) -> _Lists:
    """For each element of the source, those that read it."""
    to, of = np.nonzero(a)
    return _lists(of, to, a[to, of], a.shape[1])


def _of_taps(window: Window, axis: int, size: int) -> _Lists:
    """For each row (or column), tap * outputs + output of the windows that it lies in."""
    reach = fanout.reach(window, axis, size)
    tap, out, at = np.nonzero(reach)
    return _lists(at, tap * reach.shape[1] + out, np.ones(len(at), np.int64), size)


def _of_weights(q: Projection) -> _Lists:
    """For each channel that is read and each tap (of a matrix: each value), the rows of other weights than
    0."""
    weight = q.weight.astype(np.int64) << q.exponent
    if not q.is_conv:
        row, key = np.nonzero(weight)
        return _lists(key, row, weight[row, key], weight.shape[1])
    rows, inputs, *kernel = weight.shape
    taps = kernel[0] * kernel[1]
    flat = weight.reshape(rows, inputs, taps)
    row, within, tap = np.nonzero(flat)
    channel = row // (rows // q.groups) * inputs + within
    return _lists(channel * taps + tap, row, flat[row, within, tap], inputs * q.groups * taps)


def _placed(q: Projection, given: Shape) -> np.ndarray:
    """The neuron that each of the values given drives."""
    if q.target_order is not None:
        return q.target_order.astype(np.int64)
    values = np.arange(int(np.prod(given)))
    if q.target_channels is None:
        return values
    each = int(np.prod(given[1:]))
    return q.target_channels.astype(np.int64)[values // each] * each + values % each
