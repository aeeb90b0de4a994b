"""A layer on cores: an estimate, by a rule that explains the published tables of Loihi 2
(docs/resources.md).

A layer is cut over cores of its own. Synapses lie in words of 64 bits. A kernel that all positions share
takes a list of weights for each of its taps and input channels; a synapse that nothing shares takes a weight
and an index, in one list for each input axon, of at most 127:

    shared: taps * channels read * ceil((rows on the core * bits + 21) / 64)        single: axons *
        ceil((synapses * (bits + 11) + 12) / 64)

bits = ceil(log2(max |w|)) + 1. Neurons take words for what differs between them: potential, memory,
threshold, payload, bias; and for the tables of their curves, of each channel on the core its own (a guess: no
published table has one).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import prod

from dnisnm_lava.studies.loihi2.limits import LOIHI2, Limits

Shape = tuple[int, ...]


def ceil_div(a: int, b: int) -> int:
    return -(-a // b)


# ---------------------------------------------------------------- synapses on one core


@dataclass(frozen=True)
class Shared:
    """A kernel of `taps` positions from `read` channels into `rows`, in `groups`, of weights `bits` wide."""

    taps: int
    read: int
    rows: int
    groups: int
    bits: int

    def axons_of(self, limits: Limits) -> int:
        return limits.conv_axons

    def words(self, channels: int, neurons: int, limits: Limits = LOIHI2) -> int:
        """Words of synapse memory, where `channels` of the population lie on the core, whole groups
        together."""
        each = self.rows // self.groups
        read = self.read // self.groups * min(self.groups, ceil_div(min(channels, self.rows), each))
        return self.taps * read * self.list_of(channels, neurons, limits)[1]

    def list_of(self, channels: int, neurons: int, limits: Limits = LOIHI2) -> tuple[int, int]:
        """(synapses, words) of one list, which a spike reads whole."""
        together = min(channels, self.rows // self.groups)
        bits = together * self.bits + limits.kernel_header_bits
        return together, ceil_div(bits, limits.word_bits)


@dataclass(frozen=True)
class Single:
    """`synapses` from `axons` neurons into a population of `targets`, each with a weight `bits` wide of its
    own."""

    axons: int
    synapses: int
    targets: int
    bits: int

    def axons_of(self, limits: Limits) -> int:
        return self.axons

    def most(self, limits: Limits) -> int:
        """Neurons of the population on one core, so that the mean list is no longer than it may be."""
        return max(1, limits.list_synapses * self.axons * self.targets // max(1, self.synapses))

    def words(self, channels: int, neurons: int, limits: Limits = LOIHI2) -> int:
        """Words of synapse memory, where `neurons` of the population lie on the core."""
        lists = min(self.axons, self._here(neurons))  # a resampling of zeros joins nothing, and has none
        return lists * self.list_of(channels, neurons, limits)[1]

    def list_of(self, channels: int, neurons: int, limits: Limits = LOIHI2) -> tuple[int, int]:
        """(synapses, words) of one list, the mean one, which a spike reads whole."""
        here = self._here(neurons)
        each = max(1, ceil_div(here, max(1, min(self.axons, here))))
        bits = each * (self.bits + limits.index_bits) + limits.list_header_bits
        return each, ceil_div(bits, limits.word_bits)

    def _here(self, neurons: int) -> int:
        return ceil_div(self.synapses * min(neurons, self.targets), self.targets)


Synapses = Shared | Single


def weight_bits(largest: int) -> int:
    """ceil(log2(largest)) + 1: of the widest weight of a kernel, with its sign."""
    return max(largest - 1, 0).bit_length() + 1


# ---------------------------------------------------------------- a layer, and its cut


@dataclass(frozen=True)
class Layer:
    """What the rule knows of a population. synapses: of a kernel, all its taps for each neuron, also those
    beyond the border, where `energy` counts none; weights: those that are stored apart. table_words: of one
    table of a curve; tables: 1 for all, or one a channel."""

    name: str
    kind: str
    shape: Shape
    inputs: tuple[Synapses, ...] = ()
    state_words: int = 1
    synapses: int = 0
    weights: int = 0
    table_words: int = 0
    tables: int = 1
    limits: Limits = LOIHI2

    def of_tables(self, channels: int) -> int:
        """Words of neurons' memory that curves take, where so many channels lie on the core."""
        return self.table_words * min(self.tables, channels)

    def kept(self, channels: int, neurons: int) -> int:
        """Words of neurons' memory."""
        return neurons * self.state_words + self.of_tables(channels)

    def words(self, channels: int, neurons: int) -> int:
        return sum(s.words(channels, neurons, self.limits) for s in self.inputs)

    @property
    def most(self) -> int:
        """Neurons of one core: as many as it may hold, and so that no list grows too long."""
        lists = (s.most(self.limits) for s in self.inputs if isinstance(s, Single))
        return min(*lists, self.limits.neurons or prod(self.shape), prod(self.shape))


@dataclass(frozen=True)
class Row:
    """A layer on its cores. tile: the part of `shape` on a core, the last ones may hold less; axons,
    neurons_on_core and words (of synapse memory): of a core; state_words: of one neuron; fits: whether a core
    holds its tile.
    table_words: of a core, in the same memory as its neurons: what curves take."""

    name: str
    kind: str
    shape: Shape
    tile: Shape
    cores: int
    axons: int
    neurons: int
    neurons_on_core: int
    synapses: int
    weights: int
    words: int
    state_words: int
    table_words: int = 0
    fits: bool = True

    @property
    def kept(self) -> int:
        """Words of a core's memory of neurons."""
        return self.neurons_on_core * self.state_words + self.table_words


def placed(layer: Layer) -> Row:
    """The layer, cut: a map into tiles, a vector by repeated division."""
    tile = _tile_of_map(layer) if len(layer.shape) == 3 else _part_of_vector(layer)
    shown = tuple(min(t, s) for t, s in zip(tile, layer.shape, strict=True))
    words, kept = layer.words(shown[0], prod(shown)), layer.kept(shown[0], prod(shown))
    return Row(
        layer.name,
        layer.kind,
        layer.shape,
        shown,
        _cores(layer.shape, tile),
        sum(s.axons_of(layer.limits) for s in layer.inputs),
        prod(layer.shape),
        prod(shown),
        layer.synapses,
        layer.weights,
        words,
        layer.state_words,
        layer.of_tables(shown[0]),
        words <= layer.limits.synapse_words and kept <= layer.limits.state_words,
    )


def _cores(shape: Shape, tile: Shape) -> int:
    return prod(ceil_div(s, t) for s, t in zip(shape, tile, strict=True))


def _tile_of_map(layer: Layer) -> Shape:
    """(channels, rows, columns). As in the published tables, columns are a power of two, even where that is
    more than there are, rows and channels are halved, and channels are parted only where synapses or neurons
    do not fit otherwise; of these the fewest cores. What a tile holds beyond the map takes neurons, and no
    synapses."""

    def fits(t: Shape) -> bool:
        kept = layer.kept(min(t[0], layer.shape[0]), prod(t))
        return kept <= layer.limits.state_words and prod(map(min, t, layer.shape)) <= layer.most

    for limit in (layer.limits.synapse_words_cut, layer.limits.synapse_words):
        fitting = [t for t in _tiles(layer.shape) if fits(t) and layer.words(t[0], prod(t)) <= limit]
        if fitting:
            return min(fitting, key=lambda t: (-t[0], _cores(layer.shape, t), t[1] + t[2]))
    return (1, 1, 1)


def _tiles(shape: Shape) -> Iterator[tuple[int, int, int]]:
    channels, rows = (
        sorted({ceil_div(size, 1 << i) for i in range(size.bit_length() + 1)}) for size in shape[:2]
    )
    columns = [1 << i for i in range((shape[2] - 1).bit_length() + 1)]
    return product(channels, rows, columns)


def _part_of_vector(layer: Layer) -> Shape:
    """(features,). Divided by how many times too large it is, until a part fits: so the compiler is said to
    go about it (the README at limits.WORD_BITS). Then no more than lists can hold, the last core holding the
    rest."""
    (features,) = layer.shape
    for limit in (layer.limits.synapse_words_cut, layer.limits.synapse_words):
        part = features
        while (
            (
                excess := max(
                    ceil_div(layer.words(part, part), limit),
                    ceil_div(layer.kept(part, part), layer.limits.state_words),
                )
            )
            > 1
            < part
        ):
            part = ceil_div(features, ceil_div(features, part) * excess)
        if excess == 1:
            break
    return (min(part, layer.most),)
