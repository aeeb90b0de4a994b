"""What one step of a network asks of each core and each link of a chip: synaptic operations, words of synapse
memory, messages and their bits.

Cores are those of the estimate (`cores`), numbered in the order of its rows. Router i of a mesh of 8 x 4 has
the cores 4 i to 4 i + 3; the next chip stands to the right. A message goes along its row of routers first,
then along its column, as on Loihi 2 (Timcheck, Pierro, Shrestha, arXiv 2601.10035); a spike sends one to each
core that holds a neuron which reads it. No core holds neurons of two populations, so none stays within its
own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Protocol

import numpy as np

from dnisnm_lava.ir import (
    SNM,
    Gate,
    MaxPool,
    Projection,
    ReadOut,
    Resample,
    Shape,
    SpikingGraph,
    fanout,
    sources,
)
from dnisnm_lava.ir.arithmetic import Window
from dnisnm_lava.ir.integers import largest_spikes
from dnisnm_lava.studies.loihi2.cores import Row, Synapses, ceil_div
from dnisnm_lava.studies.loihi2.layers import layer_of
from dnisnm_lava.studies.loihi2.limits import LOIHI2

CORES_PER_ROUTER, COLUMNS, ROWS = 4, 8, 4  # Loihi 2: 32 routers of 4 cores (arXiv 2601.10035)
ADDRESS = (LOIHI2.cores * (LOIHI2.input_axons or 1) - 1).bit_length()  # an input axon of a chip


@dataclass(frozen=True)
class Placed:
    """A population on its cores, numbered from `first`; a vector counts as a map of one pixel."""

    first: int
    row: Row

    @property
    def shape(self) -> Shape:
        return (*self.row.shape, 1, 1)[:3]

    @property
    def tile(self) -> Shape:
        return (*self.row.tile, 1, 1)[:3]

    @property
    def grid(self) -> Shape:
        return tuple(ceil_div(n, t) for n, t in zip(self.shape, self.tile, strict=True))

    @property
    def cores(self) -> slice:
        """Its cores, among all."""
        return slice(self.first, self.first + prod(self.grid))

    def holds(self, axis: int) -> np.ndarray:
        """(tiles, size) 1 where a tile holds an index of the axis."""
        at = np.arange(self.shape[axis]) // self.tile[axis]
        return (np.arange(self.grid[axis])[:, None] == at).astype(np.float64)

    @cached_property
    def core_of_neuron(self) -> np.ndarray:
        """(neurons,) which of its cores holds each, from 0."""
        return core_of_each(self.shape, self.tile)

    @property
    def neurons(self) -> np.ndarray:
        """(cores,) how many each holds."""
        return np.bincount(self.core_of_neuron, minlength=prod(self.grid))


def core_of_each(shape: Shape, tile: Shape) -> np.ndarray:
    """(neurons,) which tile each lies in, counted in C, H, W order."""
    at = [np.arange(n) // t for n, t in zip(shape, tile, strict=True)]
    tiles = tuple(ceil_div(n, t) for n, t in zip(shape, tile, strict=True))
    return np.ravel_multi_index(np.ix_(*at), tiles).reshape(-1)


def placed(rows: tuple[Row, ...]) -> dict[str, Placed]:
    """{population: where it lies}, one after the other."""
    found, first = {}, 0
    for row in rows:
        found[row.name] = Placed(first, row)
        first += prod(found[row.name].grid)
    return found


# ---------------------------------------------------------------- from spikes to what they ask for


class Way(Protocol):
    """From one population into another. Spikes are (n, *shape of the source), 1 where a neuron sends."""

    def operations(self, spikes: np.ndarray) -> np.ndarray:
        """(n, cores of the reader) synaptic operations: one for each synapse of a spike; weights of 0 are
        none."""

    def messages(self, spikes: np.ndarray, source: Placed) -> np.ndarray:
        """(n, cores of the source, cores of the reader)."""


@dataclass(frozen=True)
class Windows:
    """The way into windows that slide over a map: a convolution, a max-pool, the elements of a gate.

    taps: (channels of tiles, C, ky, kx) synapses of a channel into a tile; rows: (ky, rows of tiles, H),
    cols: (kx, columns of tiles, W) how often a tap of a tile's neurons falls there. in_front: what the
    windows read is this map of the source. channels: (channels of tiles, C) which a tile's kernels read: a
    message comes wherever a kernel falls on a neuron, weights of 0 in it or not, since a core stores them."""

    taps: np.ndarray
    channels: np.ndarray
    rows: np.ndarray
    cols: np.ndarray
    in_front: Front

    def operations(self, spikes: np.ndarray) -> np.ndarray:
        read, parts = self.in_front.ways(spikes), []
        for a, b in np.ndindex(self.taps.shape[2:]):
            if self.taps[:, :, a, b].any():
                z = np.tensordot(read, self.taps[:, :, a, b], (1, 1))  # (n, H, W, channels of tiles)
                z = np.tensordot(z, self.rows[a], (1, 1))  # (n, W, channels, rows)
                parts.append(np.tensordot(z, self.cols[b], (1, 1)))
        cores = len(self.taps) * self.rows.shape[1] * self.cols.shape[1]
        return np.sum(parts, axis=0).reshape(len(spikes), cores) if parts else np.zeros((len(spikes), cores))

    def messages(self, spikes: np.ndarray, source: Placed) -> np.ndarray:
        channels, rows, cols = self.in_front.reached(
            self.channels, (self.rows > 0).any(0), (self.cols > 0).any(0)
        )
        return between(spikes, source, channels, rows, cols)


@dataclass(frozen=True)
class Rows:
    """The way into weights that nothing shares. synapses: (cores of the reader, C, H, W) of each value that
    is read."""

    synapses: np.ndarray
    in_front: Front

    def operations(self, spikes: np.ndarray) -> np.ndarray:
        read = self.in_front.ways(spikes)
        return read.reshape(len(read), -1) @ self.synapses.reshape(len(self.synapses), -1).T

    def messages(self, spikes: np.ndarray, source: Placed) -> np.ndarray:
        reached = self.in_front.back((self.synapses > 0).astype(np.float64)) > 0  # (cores, *source)
        reached = reached.reshape(len(reached), -1)
        flat, sent = spikes.reshape(len(spikes), -1), []
        for core in range(prod(source.grid)):
            here = source.core_of_neuron == core
            sent.append(flat[:, here] @ reached[:, here].T)
        return np.stack(sent, axis=1)


@dataclass(frozen=True)
class Front:
    """What lies between a source and weights: chosen channels (None: all), and how many ways lead from its
    rows and columns to those that are read, (H', H) and (W', W)."""

    channels: np.ndarray | None
    count: int
    rows: np.ndarray
    cols: np.ndarray

    def ways(self, spikes: np.ndarray) -> np.ndarray:
        """(n, C', H', W') how many ways spikes come in."""
        x = spikes if self.channels is None else spikes[:, self.channels]
        return np.matmul(np.matmul(self.rows, x), self.cols.T)

    def back(self, read: np.ndarray) -> np.ndarray:
        """(n, C', H', W') of what is read, summed over the ways that lead there: (n, C, H, W)."""
        x = np.matmul(np.matmul(self.rows.T, read), self.cols)
        if self.channels is None:
            return x
        full = np.zeros((self.count, len(x), *x.shape[2:]))
        np.add.at(full, self.channels, x.swapaxes(0, 1))
        return full.swapaxes(0, 1)

    def reached(self, channels: np.ndarray, rows: np.ndarray, cols: np.ndarray) -> tuple[np.ndarray, ...]:
        """(tiles, C'), (tiles, H') and (tiles, W') of what is read, as those of the source."""
        full = channels
        if self.channels is not None:
            full = np.zeros((len(channels), self.count), bool)
            for i, at in enumerate(self.channels):
                full[:, at] |= channels[:, i]
        return full, rows @ (self.rows > 0), cols @ (self.cols > 0)


def between(
    spikes: np.ndarray, source: Placed, channels: np.ndarray, rows: np.ndarray, cols: np.ndarray
) -> np.ndarray:
    """(n, cores of the source, cores of the reader) messages, where a tile of the reader is reached from
    channels, rows and columns apart: (tiles, C), (tiles, H), (tiles, W)."""
    found, sizes = spikes, []
    for axis, to in enumerate((channels, rows, cols)):
        of = source.holds(axis)
        pairs = of[:, None] * to[None]  # (tiles of the source, tiles of the reader, size)
        sizes.append(pairs.shape[:2])
        found = np.tensordot(found, pairs.reshape(-1, pairs.shape[2]), (1, 1))
    found = found.reshape(len(spikes), *(n for pair in sizes for n in pair)).transpose(0, 1, 3, 5, 2, 4, 6)
    return found.reshape(len(spikes), prod(s for s, _ in sizes), prod(r for _, r in sizes))


def ways(graph: SpikingGraph, where: dict[str, Placed]) -> Iterator[tuple[str, str, Way, Synapses]]:
    """(source, reader, the way, its synapses on a core), in the order of the graph."""
    for p in graph:
        inputs = layer_of(p, graph).inputs
        if isinstance(p, SNM | ReadOut):
            for q, synapses in zip(p.projections, inputs, strict=True):
                yield q.source, p.name, _of_projection(q, graph[q.source].shape, where[p.name]), synapses
        elif isinstance(p, MaxPool | Gate):
            for name, synapses in zip(sources(p), inputs, strict=True):
                yield name, p.name, _of_elements(p, _map(graph[name].shape), where[p.name]), synapses


def message_bits(graph: SpikingGraph) -> dict[str, int]:
    """{population: bits that each of its messages has at least}: those of the input axon that it goes to, and
    of the largest value that it may carry, with a sign. How many more a packet has, no public source
    states."""
    return {name: ADDRESS + largest.bit_length() + 1 for name, largest in largest_spikes(graph).items()}


def _map(shape: Shape) -> Shape:
    return (*shape, 1, 1)[:3]


def _of_projection(q: Projection, source: Shape, reader: Placed) -> Way:
    read, front = _map(q.read_shape(source)), _front(q, _map(source))
    present = (q.weight != 0).astype(np.float64)
    if q.is_conv and q.target_order is None:
        into = reader.holds(0)[:, q.channel_of_row]  # (tiles, O)
        outputs, inputs, *kernel = present.shape
        grouped = present.reshape(q.groups, outputs // q.groups, inputs, *kernel)
        of_groups = into.reshape(len(into), q.groups, -1)
        taps = np.einsum("tgo,goiab->tgiab", of_groups, grouped).reshape(len(into), -1, *kernel)
        rows, cols = _sliding(q.window, read, reader)
        read_by = of_groups.any(2)[:, :, None].repeat(inputs, 2).reshape(len(into), -1)
        return Windows(taps, read_by, rows, cols, front)
    if not q.is_conv:
        of_row = reader.core_of_neuron[np.arange(len(present)) if q.target_order is None else q.target_order]
        synapses = np.zeros((prod(reader.grid), present.shape[1]))
        np.add.at(synapses, of_row, present)
        return Rows(synapses.reshape(-1, *read), front)
    # A convolution whose elements are spread over neurons in another order: its synapses, evenly.
    fan = fanout.of_weights(q, q.read_shape(source)).reshape(read)
    share = reader.neurons / reader.neurons.sum()
    return Rows(share[:, None, None, None] * fan, front)


def _front(q: Projection, source: Shape) -> Front:
    size = source[1], source[2]
    rows, cols = np.eye(size[0]), np.eye(size[1])
    if isinstance(q.spatial, Window):
        rows, cols = (a.astype(np.float64) for a in fanout.windows(q.spatial, size))
    elif isinstance(q.spatial, Resample):
        rows, cols = ((a != 0).astype(np.float64) for a in (q.spatial.rows, q.spatial.cols))
    return Front(q.source_channels, source[0], rows, cols)


def _of_elements(p: MaxPool | Gate, source: Shape, reader: Placed) -> Windows:
    """Windows of a max-pool; an element of a gate, or its one neuron for many."""
    front = Front(None, source[0], np.eye(source[1]), np.eye(source[2]))
    channels = _of_axis(reader.holds(0), source[0])
    if isinstance(p, Gate):
        rows, cols = (_of_axis(reader.holds(1 + axis), source[1 + axis])[None] for axis in range(2))
        return Windows(channels[:, :, None, None], channels > 0, rows, cols, front)
    rows, cols = _sliding(p.window, source, reader)
    taps = np.broadcast_to(channels[:, :, None, None], (*channels.shape, *p.window.kernel))
    return Windows(taps, channels > 0, rows, cols, front)


def _sliding(window: Window, read: Shape, reader: Placed) -> list[np.ndarray]:
    """(k, tiles, size) along rows, and along columns: how often a tap of a tile's neurons falls where."""
    return [
        np.einsum("kos,to->kts", fanout.reach(window, axis, read[1 + axis]), reader.holds(1 + axis))
        for axis in range(2)
    ]


def _of_axis(holds: np.ndarray, size: int) -> np.ndarray:
    """(tiles, size) of the source: its own elements, or its one for all."""
    return holds if holds.shape[1] == size else holds.sum(axis=1, keepdims=True)


# ---------------------------------------------------------------- the mesh


def loads(sent: np.ndarray, senders: slice, readers: slice, cores: int) -> dict[str, np.ndarray]:
    """{direction: (n, y, x) messages on each link of that direction between routers, or of all cores with
    theirs, (n, 1, cores)}, of messages (n, senders, readers). A link east of (y, x) leads to (y, x + 1),
    south to (y + 1, x)."""
    columns = COLUMNS * ceil_div(ceil_div(cores, CORES_PER_ROUTER), COLUMNS * ROWS)
    y, x = router_of(np.arange(cores))
    at = np.eye(ROWS * columns)[y * columns + x]  # (cores, routers)
    between_routers = np.matmul(np.matmul(at[senders].T, sent), at[readers])
    between_routers = between_routers.reshape(-1, ROWS, columns, ROWS, columns)
    east, west = _passing(between_routers.sum(axis=3))  # (n, y, x from, x to): all of it goes along row y
    south, north = _passing(between_routers.sum(axis=2).transpose(0, 3, 1, 2))  # then along column x
    out, into = np.zeros((2, len(sent), 1, cores))
    out[:, 0, senders], into[:, 0, readers] = sent.sum(axis=2), sent.sum(axis=1)
    return {
        "east": east,
        "west": west,
        "south": south.swapaxes(1, 2),
        "north": north.swapaxes(1, 2),
        "out of a core": out,
        "into a core": into,
    }


def router_of(core: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(y, x) of each core's router: chips stand side by side."""
    router = core // CORES_PER_ROUTER
    chip, on_chip = np.divmod(router, COLUMNS * ROWS)
    y, x = np.divmod(on_chip, COLUMNS)
    return y, chip * COLUMNS + x


def _passing(sent: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n, lines, m - 1) messages over each link of a line upwards, and downwards: sent is (n, lines, m from,
    m to)."""
    ends = range(1, sent.shape[2])
    up = np.stack([sent[:, :, :i, i:].sum((2, 3)) for i in ends], axis=2)
    down = np.stack([sent[:, :, i:, :i].sum((2, 3)) for i in ends], axis=2)
    return up, down
