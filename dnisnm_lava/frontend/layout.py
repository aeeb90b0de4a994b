"""Where the elements of a tensor come from: views, slices, concatenations and shuffles, on indices.

A layout maps each element of a tensor to an element of a *natural* array, (C, H, W) or (features,), or to
nothing (a zero). It is kept axis by axis where it can be, and element by element where it cannot.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import permutations

import numpy as np

from dnisnm_lava.ir import Shape

NOTHING = -1
BLOCKS = 64  # pieces that a layout may fall into: a pixel shuffle by 8


@dataclass(frozen=True, eq=False)
class Layout:
    """shape: of the tensor. Either `axes`, one index vector per natural axis, or `index`, flat, of
    `shape`."""

    natural: Shape
    shape: Shape
    axes: tuple[np.ndarray, ...] | None
    index: np.ndarray | None = None

    @staticmethod
    def identity(natural: Shape) -> Layout:
        return Layout(natural, natural, tuple(np.arange(n) for n in natural))

    @staticmethod
    def of(natural: Shape, index: np.ndarray) -> Layout:
        """The layout of flat indices `index`, axis by axis if it falls into axes."""
        axes = _axes(index, natural) if index.ndim == len(natural) else None
        return Layout(natural, index.shape, axes, None if axes else index.astype(np.int32))

    @cached_property
    def is_identity(self) -> bool:
        if self.axes is None or self.shape != self.natural:
            return False
        return all(
            len(a) == n and bool((a == np.arange(n)).all())
            for a, n in zip(self.axes, self.natural, strict=True)
        )

    def flat(self) -> np.ndarray:
        """Flat indices into the natural array, of `shape`; NOTHING for a zero."""
        if self.index is not None:
            return self.index
        assert self.axes is not None
        return _outer(self.axes, self.natural)

    @property
    def in_order(self) -> bool:
        """Does the tensor hold the natural array's elements in their order, whatever its shape?"""
        if self.is_identity:
            return True
        flat = self.flat().ravel()
        return flat.size == np.prod(self.natural) and bool((flat == np.arange(flat.size)).all())

    @property
    def is_permutation(self) -> bool:
        """Does each natural element stand in the tensor exactly once, and nothing else?"""
        flat = self.flat().ravel()
        return flat.size == np.prod(self.natural) and bool((np.sort(flat) == np.arange(flat.size)).all())

    @property
    def orders(self) -> list[tuple[int, ...]]:
        """Orders of the tensor's axes in which it falls into those of the natural array, as maps do whose
        channels stand last; its own first where it does."""
        index = self.flat()
        if index.ndim != len(self.natural):
            return []
        return [
            order
            for order in permutations(range(index.ndim))
            if _axes(index.transpose(order), self.natural) is not None
        ]

    @property
    def share(self) -> float:
        """How much of the tensor comes from the natural array."""
        parts = self.axes if self.axes is not None else (self.flat(),)
        return float(np.prod([np.count_nonzero(a >= 0) / max(1, a.size) for a in parts]))

    def same(self, other: Layout) -> bool:
        if self.natural != other.natural or self.shape != other.shape:
            return False
        return bool((self.flat() == other.flat()).all())

    def with_channels(self, channels: np.ndarray) -> Layout:
        """The same rows and columns, other channels."""
        assert self.axes is not None
        return replace(self, shape=(len(channels), *self.shape[1:]), axes=(channels, *self.axes[1:]))

    def blocks(self, shape: Shape) -> list[Layout] | None:
        """Layouts of `shape` that fall into axes and add up to this one, viewed as `shape`; None if there are
        none, or more than BLOCKS."""
        if self.axes is not None and shape == self.shape:
            return [self]
        if len(shape) != len(self.natural):
            return None
        index = self.flat().reshape(shape)
        whole = _axes(index, self.natural)
        parts = [index] if whole is not None else _parts(index, self.natural)
        if parts is None:
            return None
        axes = [_axes(part, self.natural) for part in parts]
        return None if any(a is None for a in axes) else [Layout(self.natural, shape, a) for a in axes]


def _outer(axes: tuple[np.ndarray, ...], natural: Shape) -> np.ndarray:
    index = np.zeros((), np.int32)
    valid = np.ones((), bool)
    for i, a in enumerate(axes):
        a = a.reshape(-1, *(1,) * (len(axes) - 1 - i))
        index = index * natural[i] + np.maximum(a, 0).astype(np.int32)
        valid = valid & (a >= 0)
    return np.where(valid, index, np.int32(NOTHING))


def _axes(index: np.ndarray, natural: Shape) -> tuple[np.ndarray, ...] | None:
    """Index vectors whose outer combination is `index`; None where there are none."""
    valid = index >= 0
    coordinates = np.unravel_index(np.maximum(index, 0), natural) if index.size else [index] * len(natural)
    axes = []
    for i, coordinate in enumerate(coordinates):
        others = tuple(j for j in range(index.ndim) if j != i)
        axes.append(np.where(valid, coordinate, NOTHING).max(axis=others, initial=NOTHING))
    return tuple(axes) if bool((_outer(tuple(axes), natural) == index).all()) else None


def _parts(index: np.ndarray, natural: Shape) -> list[np.ndarray] | None:
    """`index` cut into pieces that may fall into axes: channels that read the same pixels, then pixels that
    read the same channels."""
    pixels = int(np.prod(natural[1:]))
    flat = index.reshape(len(index), -1)
    _, kind = np.unique(np.where(flat >= 0, flat % pixels, NOTHING), axis=0, return_inverse=True)
    parts = []
    for k in range(kind.max() + 1):
        chosen = np.where((kind.reshape(-1) == k)[:, None], flat, NOTHING)
        _, place = np.unique(np.where(chosen >= 0, chosen // pixels, NOTHING), axis=1, return_inverse=True)
        for j in range(place.max() + 1):
            part = np.where((place.reshape(-1) == j)[None], chosen, NOTHING)
            if (part >= 0).any():
                parts.append(part.reshape(index.shape))
        if len(parts) > BLOCKS:
            return None
    return parts
