"""Files of events: which reader each takes, by its suffix."""

from __future__ import annotations

from pathlib import Path

from dnisnm_lava.data.streams.events.arrays import arrays, nmnist
from dnisnm_lava.data.streams.events.hdf5 import hdf5
from dnisnm_lava.data.streams.events.inivation import aedat
from dnisnm_lava.data.streams.events.prophesee import dat, raw
from dnisnm_lava.data.streams.events.recording import Recording
from dnisnm_lava.errors import BadFile

READERS = {
    ".aedat": aedat,
    ".aedat4": aedat,
    ".raw": raw,
    ".dat": dat,
    ".bin": nmnist,
    ".npy": arrays,
    ".npz": arrays,
    ".h5": hdf5,
    ".hdf5": hdf5,
}
SUFFIXES = frozenset(READERS) - {".npy", ".npz"}  # of which nothing else is


def recording(path: Path) -> Recording:
    """The events of `path`, of which the header is read here. BadFile for no such file, and another kind."""
    if not path.is_file():
        raise BadFile(f"{path}: no such file; check the path of the events")
    if path.suffix.lower() not in READERS:
        raise BadFile(f"{path}: no kind of events that is read here; give {', '.join(READERS)}")
    return READERS[path.suffix.lower()](path)
