"""AEDAT, of iniVation's cameras: 3.1 by its specification, 4 by the package `aedat` (extra `events`)."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from dnisnm_lava.data.streams.events.recording import REPAIR, Events, Recording
from dnisnm_lava.errors import BackendMissing, BadFile
from dnisnm_lava.system.extras import missing

SENSORS = {"DVS128": (128, 128), "DAVIS240": (180, 240), "DAVIS346": (260, 346), "DAVIS640": (480, 640)}
END = b"#!END-HEADER"
# kind, source, bytes an event, where its time is, turns of the time, room, how many events, how many valid
PACKET = struct.Struct("<hhiiiiii")
POLARITY = 1
CHANGE = np.dtype([("address", "<u4"), ("t", "<i4")])


def aedat(path: Path) -> Recording:
    """AEDAT 3.1 or 4, as the first line says. BackendMissing for 4 without its package."""
    with open(path, "rb") as file:
        first = file.readline(64)
    version = first[len(b"#!AER-DAT") :].strip().decode("ascii", "replace")
    if first.startswith(b"#!AER-DAT") and version.startswith("4"):
        return aedat4(path)
    if first.startswith(b"#!AER-DAT") and version == "3.1":
        return aedat3(path)
    said = f"AEDAT {version}" if first.startswith(b"#!AER-DAT") else "no version of AEDAT"
    raise BadFile(f"{path}: says {said}, and 3.1 and 4 are read; export it as AEDAT 4, or x, y, t, p as .npz")


def aedat3(path: Path) -> Recording:
    """Packets of polarity events, 8 bytes each; other packets are left out."""
    with open(path, "rb") as file:
        text = _header(path, file)
        start = file.tell()
    source = re.search(r"Source \d+: *(\w+)", text)
    shapes = [size for name, size in SENSORS.items() if source and source[1].upper().startswith(name)]
    return Recording(str(path), shapes[0] if shapes else None, lambda: _packets3(path, start))


def aedat4(path: Path) -> Recording:
    """The first stream of events; frames, IMU and triggers are left out."""
    decoder = _decoder(path)
    streams = decoder.id_to_stream()
    numbers = [number for number, stream in sorted(streams.items()) if stream["type"] == "events"]
    if not numbers:
        held = ", ".join(stream["type"] for stream in streams.values()) or "nothing"
        raise BadFile(f"{path}: holds {held}, and no stream of events; record the camera's events")
    stream = streams[numbers[0]]
    return Recording(str(path), (stream["height"], stream["width"]), lambda: _packets4(path, numbers[0]))


def _header(path: Path, file: IO[bytes]) -> str:
    lines = []
    for line in iter(file.readline, b""):
        lines.append(line)
        if line.startswith(END):
            return b"".join(lines).decode("ascii", "replace")
        if not line.startswith(b"#"):
            break
    raise BadFile(f"{path}: truncated: its header does not end; {REPAIR}")


def _packets3(path: Path, start: int) -> Iterator[Events]:
    left = path.stat().st_size - start
    with open(path, "rb") as file:
        file.seek(start)
        while left:
            head = file.read(PACKET.size)
            kind, _, size, _, turns, room, count, _ = PACKET.unpack(head.ljust(PACKET.size, b"\0"))
            left -= PACKET.size + size * room
            if len(head) < PACKET.size or left < 0 or min(size, room, count) < 0 or count > room:
                raise BadFile(f"{path}: truncated: its last packet is not whole; {REPAIR}")
            data = file.read(size * room)
            if kind == POLARITY and size == CHANGE.itemsize:
                yield _changes(np.frombuffer(data, CHANGE, count), turns)


def _changes(found: np.ndarray, turns: int) -> Events:
    """Valid in bit 0, polarity in bit 1, y in 15, x in 15; a time of 31 bits, and its turns in the packet."""
    found = found[found["address"] & 1 > 0]
    address = found["address"].astype(np.int64)
    t = found["t"].astype(np.int64) + (turns << 31)
    return Events(t, address >> 17 & 0x7FFF, address >> 2 & 0x7FFF, address >> 1 & 1 > 0)


def _decoder(path: Path) -> Any:
    try:
        import aedat
    except ModuleNotFoundError as error:
        raise BackendMissing(f"{path}: {missing('aedat', 'events')}") from error
    try:
        return aedat.Decoder(str(path))
    except Exception as error:  # the package raises Exception itself
        raise _unreadable(path, error) from error


def _packets4(path: Path, number: int) -> Iterator[Events]:
    packets = _decoder(path)
    while True:
        try:
            packet = next(packets, None)
        except Exception as error:
            raise _unreadable(path, error) from error
        if packet is None:
            return
        if packet["stream_id"] == number:
            found = packet["events"]
            on = found["on" if "on" in found.dtype.names else "p"]
            t, x, y = (found[name].astype(np.int64) for name in "txy")
            yield Events(t, x, y, on.astype(bool))


def _unreadable(path: Path, error: Exception) -> BadFile:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return BadFile(f"{path}: truncated, or no AEDAT 4 ({reason}); {REPAIR}")
