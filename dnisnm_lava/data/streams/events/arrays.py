"""Events in arrays: an .npy or .npz of records, an .npz of x, y, t and p, and the 5 bytes of N-MNIST."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np

from dnisnm_lava.data.streams.events.recording import EVENTS, Events, Recording, words
from dnisnm_lava.data.streams.rows import members
from dnisnm_lava.errors import BadFile


class Held(Protocol):
    """An array of a file: its shape (N, ...) and type, and its rows, at most so many at a time."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype: ...

    def chunks(self, count: int) -> Iterator[np.ndarray]: ...


NAMES = {
    "t": ("t", "ts", "time", "times", "timestamp", "timestamps"),
    "x": ("x", "xs"),
    "y": ("y", "ys"),
    "p": ("p", "ps", "pol", "polarity", "polarities", "on"),
}
WANTED = "give x, y, t in whole microseconds and p (0 and 1, or -1 and 1), as fields or as arrays of an .npz"
NMNIST = (34, 34)
LATER = 240  # y of what is no event: from here on, times are later by TURN
TURN = 1 << 13


def arrays(path: Path) -> Recording:
    """The recording in an .npy of records with fields x, y, t, p, or in an .npz of such, or of four arrays of
    these names.

    The sensor's size is not told. BadFile for other names, types and lengths.
    """
    return of_arrays(path, members(path))


def of_arrays(path: Path, found: Mapping[str, Held]) -> Recording:
    """The same of a file's arrays by their names."""
    columns = _columns(found)
    if not columns:
        held = (
            ", ".join(str(row.dtype.names or name or row.dtype) for name, row in found.items()) or "nothing"
        )
        raise BadFile(f"{path}: holds {held}, and no events; {WANTED}")
    kinds = {name: row.dtype[field] if field else row.dtype for name, (row, field) in columns.items()}
    shapes = {row.shape for row, _ in columns.values()}
    are_whole = all(kind.kind in ("biu" if name == "p" else "iu") for name, kind in kinds.items())
    if not are_whole or len(shapes) > 1 or len(next(iter(shapes))) != 1:
        told = ", ".join(f"{name} {kinds[name]} {row.shape}" for name, (row, _) in columns.items())
        raise BadFile(f"{path}: holds {told}; {WANTED}")
    return Recording(str(path), None, lambda: _chunks(columns))


def are_events(found: Mapping[str, Held]) -> bool:
    """Are x, y, t and p among them?"""
    return bool(_columns(found))


def _columns(found: Mapping[str, Held]) -> dict[str, tuple[Held, str]]:
    """{t, x, y, p: (array, field in it)}; field "": the array itself. Nothing where one is missing."""
    for row in found.values():
        fields = _understood(row.dtype.names or ())
        if fields:
            return {name: (row, field) for name, field in fields.items()}
    names = _understood(tuple(found))
    return {name: (found[key], "") for name, key in names.items()}


def _understood(names: tuple[str, ...]) -> dict[str, str]:
    """{t, x, y, p: its name here}, or nothing where one of them is missing."""
    lower = {name.lower(): name for name in names}
    found = {key: next((lower[n] for n in known if n in lower), "") for key, known in NAMES.items()}
    return found if all(found.values()) else {}


def _chunks(columns: dict[str, tuple[Held, str]]) -> Iterator[Events]:
    rows = {id(row): row for row, _ in columns.values()}
    for parts in zip(*(row.chunks(EVENTS) for row in rows.values()), strict=True):
        of = dict(zip(rows, parts, strict=True))
        values = {
            name: np.asarray(of[id(row)][field] if field else of[id(row)])
            for name, (row, field) in columns.items()
        }
        t, x, y = (values[name].astype(np.int64) for name in "txy")
        yield Events(t, x, y, values["p"] > 0)


def nmnist(path: Path) -> Recording:
    """N-MNIST and N-Caltech101: x, y, a bit of polarity and 23 of time, 34x34 where nobody says otherwise."""
    return Recording(str(path), NMNIST, lambda: _nmnist(path))


def _nmnist(path: Path) -> Iterator[Events]:
    turns = 0
    for part in words(path, 0, np.dtype((np.uint8, 5))):
        byte = part.reshape(-1, 5).astype(np.int64)
        later = byte[:, 1] == LATER
        t = ((byte[:, 2] & 0x7F) << 16 | byte[:, 3] << 8 | byte[:, 4]) + TURN * (turns + np.cumsum(later))
        turns += int(later.sum())
        byte, t = byte[~later], t[~later]
        yield Events(t, byte[:, 0], byte[:, 1], byte[:, 2] >> 7 > 0)
