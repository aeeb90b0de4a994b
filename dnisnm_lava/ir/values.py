"""What graphs are made of: dataclasses that are compared array by array, and arrays that nobody can write
to."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from dnisnm_lava.ir.arithmetic import Window

Shape = tuple[int, ...]

NEURON_CONSTANTS = ("vth", "payload", "v_init")
OF_NEURONS = (*NEURON_CONSTANTS, "bias")  # fields in which a channel's neurons may be the same
SINCE_0_1 = {
    "since": "0.1"
}  # of a field that graphs of the first release lacked: at its default, it is no part of a digest


def frozen(array: np.ndarray) -> np.ndarray:
    """A contiguous array that nobody can write to; a copy where it must be."""
    if array.flags.c_contiguous and not array.flags.writeable:
        return array
    array = np.array(array, order="C")
    array.setflags(write=False)
    return array


def narrowed(array: np.ndarray) -> np.ndarray:
    """A view of `array` (C, ...), of size 1 along the axes behind the channels along which all values are the
    same, bit by bit."""
    for axis in range(1, array.ndim):
        first = array[(slice(None),) * axis + (slice(1),)]
        if array.shape[axis] > 1 and (array.strides[axis] == 0 or _repeats(array, first, axis)):
            array = first
    return array


def _repeats(array: np.ndarray, first: np.ndarray, axis: int) -> bool:
    bits = f"u{array.itemsize}"  # -0.0 is another number than 0.0
    last = array[(slice(None),) * axis + (slice(-1, None),)]  # most that differ differ here, and cost little
    return bool((last.view(bits) == first.view(bits)).all() and (array.view(bits) == first.view(bits)).all())


def stored_once(array: np.ndarray) -> np.ndarray:
    """The same array (C, ...), which nobody can write to, and in which values that a channel's neurons share
    take memory once."""
    narrow = narrowed(array)
    return frozen(array) if narrow.shape == array.shape else np.broadcast_to(narrow.copy(), array.shape)


@dataclass(frozen=True, eq=False)
class Value:
    """A dataclass that is compared array by array, dtype and shape included, and whose arrays are frozen."""

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, np.ndarray):
                object.__setattr__(
                    self, f.name, stored_once(value) if f.name in OF_NEURONS else frozen(value)
                )

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return all(_same(getattr(self, f.name), getattr(other, f.name)) for f in fields(self) if f.compare)

    __hash__ = None  # type: ignore[assignment]


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and bool(np.array_equal(*_without_repetition(a, b)))
    return type(a) is type(b) and bool(a == b)


def _without_repetition(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two arrays of one shape, with one element along the axes along which both are stored once."""
    once = tuple(slice(1 if i == j == 0 else None) for i, j in zip(a.strides, b.strides, strict=True))
    return a[once], b[once]


def feed(state: Any, value: Any) -> None:
    """Every field and array of `value` into the hash `state`."""
    if isinstance(value, np.ndarray):
        state.update(f"{value.dtype.str}{value.shape}".encode())
        for part in (
            value if value.ndim > 1 else [value]
        ):  # in slices: what is stored once need not be written out whole
            state.update(np.ascontiguousarray(part).tobytes())
    elif isinstance(value, tuple):
        state.update(f"({len(value)}".encode())
        for item in value:
            feed(state, item)
    elif isinstance(value, Value | Window):
        state.update(type(value).__name__.encode())
        for f in fields(value):
            if not f.compare or ("since" in f.metadata and _same(getattr(value, f.name), f.default)):
                continue
            state.update(f.name.encode())
            feed(state, getattr(value, f.name))
    else:
        state.update(repr(value).encode() + b";")
