"""Events in HDF5: x, y, t and p as arrays of one group, or as fields of one array (DSEC, M3ED and others)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dnisnm_lava.data.streams.events.arrays import are_events, of_arrays
from dnisnm_lava.data.streams.events.recording import REPAIR, Recording
from dnisnm_lava.errors import BadFile


@dataclass(frozen=True)
class Dataset:
    """An array of a file by its place there, its shape and type."""

    path: Path
    place: str
    shape: tuple[int, ...]
    dtype: np.dtype

    def chunks(self, count: int) -> Iterator[np.ndarray]:
        """At most `count` rows at a time. BadFile where the file is damaged, or packed by a filter that h5py
        has not."""
        with _opened(self.path) as file:
            for start in range(0, self.shape[0], count):
                yield file[self.place][start : start + count]


def hdf5(path: Path) -> Recording:
    """The events of the one group that has some; the sensor's size is not told. BadFile for none, for
    several, and as of `of_arrays`."""
    with _opened(path) as file:
        groups = _groups(path, file)
    found = {place: held for place, held in groups.items() if are_events(held)}
    if len(found) > 1:
        raise BadFile(f"{path}: holds events in {', '.join(found)}; keep one of them in a file of its own")
    flat = {f"{place}{name}": held for place, part in groups.items() for name, held in part.items()}
    return of_arrays(path, next(iter(found.values()), flat))


def _groups(path: Path, file: Any) -> dict[str, dict[str, Dataset]]:
    """{group, with a slash behind it: {name: its array}}."""
    import h5py

    found: dict[str, dict[str, Dataset]] = {}

    def visit(place: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            group, _, name = place.rpartition("/")
            held = found.setdefault(f"{group}/" if group else "", {})
            held[name] = Dataset(path, place, item.shape or (), item.dtype)

    file.visititems(visit)
    return found


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The file; what h5py raises of a bad one, as one sentence."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        if isinstance(error, BadFile):
            raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise BadFile(
            f"{path}: no HDF5 that is read here, truncated, or packed by a filter that h5py has not "
            f"({reason}); {REPAIR}"
        ) from error
