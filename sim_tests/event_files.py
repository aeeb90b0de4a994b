"""Files of event cameras, written byte by byte as their makers specify them."""

from __future__ import annotations

import struct
from pathlib import Path

import h5py
import numpy as np

RECORD = np.dtype([("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "?")])
CHANGE4 = np.dtype({"names": list("txyp"), "formats": ["<i8", "<i2", "<i2", "?"], "itemsize": 16})


def drawn(count: int, height: int = 6, width: int = 8, seed: int = 0, step: int = 50) -> np.ndarray:
    """Records (N,) within a sensor, in the order of their times."""
    rng = np.random.default_rng(seed)
    found = np.zeros(count, RECORD)
    found["t"] = np.cumsum(rng.integers(0, step, count)) + 1000
    found["x"], found["y"] = rng.integers(0, width, count), rng.integers(0, height, count)
    found["p"] = rng.random(count) < 0.5
    return found


def npz(path: Path, events: np.ndarray) -> None:
    np.savez_compressed(path, **{name: events[name] for name in "txyp"})


def npy(path: Path, events: np.ndarray) -> None:
    np.save(path, events)


def hdf5(path: Path, events: np.ndarray) -> None:
    """As DSEC has it, with an array beside the events."""
    with h5py.File(path, "w") as file:
        for name in "txyp":
            file.create_dataset(
                f"events/{name}", data=events[name], chunks=True, maxshape=(None,), compression="gzip"
            )
        file["ms_to_idx"] = np.arange(3)


def hdf5_records(path: Path, events: np.ndarray) -> None:
    with h5py.File(path, "w") as file:
        file["camera/left/events"] = events


def nmnist(path: Path, events: np.ndarray) -> None:
    """5 bytes an event; where 13 bits of time would run over, an event that is none comes first."""
    turns, data = 0, bytearray()
    for t, x, y, p in events.tolist():
        while t - turns * 2**13 >= 2**13:
            turns += 1
            data += bytes((0, 240, 0, 0, 0))
        low = t - turns * 2**13
        data += bytes((x, y, p << 7 | low >> 16, low >> 8 & 0xFF, low & 0xFF))
    path.write_bytes(data)


def dat(path: Path, events: np.ndarray, height: int = 6, width: int = 8) -> None:
    data = np.zeros((len(events), 2), "<u4")
    data[:, 0] = events["t"] & 0xFFFFFFFF
    address = events["x"].astype(np.int64) | events["y"].astype(np.int64) << 14
    data[:, 1] = address | events["p"].astype(np.int64) << 28
    header = f"% Data file containing CD events.\n% Version 2\n% Height {height}\n% Width {width}\n"
    path.write_bytes(header.encode() + bytes((0x0C, 8)) + data.tobytes())


def evt2(path: Path, events: np.ndarray, height: int = 6, width: int = 8) -> None:
    found, high = [], -1
    for t, x, y, p in events.tolist():
        if t >> 6 != high:
            high = t >> 6
            found.append(0x8 << 28 | high & 0xFFFFFFF)
        found.append(p << 28 | (t & 0x3F) << 22 | x << 11 | y)
    header = f"% evt 2.0\n% geometry {width}x{height}\n% end\n"
    path.write_bytes(header.encode() + np.array(found, "<u4").tobytes())


def evt3(path: Path, events: np.ndarray, height: int = 6, width: int = 8) -> None:
    """One word an event, and those before it that changed."""
    found, before = [], (-1, -1, -1)
    for t, x, y, p in events.tolist():
        now = t >> 12, t & 0xFFF, y
        if now[0] != before[0]:
            found.append(0x8 << 12 | now[0] & 0xFFF)
        if now[:2] != before[:2]:
            found.append(0x6 << 12 | now[1])
        if now[2] != before[2]:
            found.append(y)
        found.append(0x2 << 12 | p << 11 | x)
        before = now
    write_evt3(path, found, height, width)


def write_evt3(path: Path, words: list[int], height: int = 6, width: int = 8) -> None:
    header = f"% camera_integrator_name Prophesee\n% format EVT3;height={height};width={width}\n% end\n"
    path.write_bytes(header.encode() + np.array(words, "<u2").tobytes())


def aedat3(path: Path, events: np.ndarray, source: str = "DVS128", at_once: int = 100) -> None:
    """Packets of polarity events, a packet of another kind between them."""
    data = bytearray(f"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: {source}\r\n#!END-HEADER\r\n".encode())
    for start in range(0, len(events), at_once):
        part = events[start : start + at_once]
        turns = int(part["t"][0]) >> 31
        data += struct.pack("<hhiiiiii", 0, 1, 8, 4, 0, 1, 1, 1) + bytes(8)
        data += struct.pack("<hhiiiiii", 1, 1, 8, 4, turns, len(part), len(part), len(part))
        for t, x, y, p in part.tolist():
            data += struct.pack("<Ii", x << 17 | y << 2 | p << 1 | 1, t - (turns << 31))
    path.write_bytes(data)


INFO = """<dv version="2.0"><node name="outInfo" path="/mainloop/Recorder/outInfo/">
<node name="0" path="/mainloop/Recorder/outInfo/0/"><attr key="compression" type="string">NONE</attr>
<attr key="originalModuleName" type="string">capture</attr>
<attr key="originalOutputName" type="string">events</attr>
<attr key="typeIdentifier" type="string">{kind}</attr>
<node name="info" path="/mainloop/Recorder/outInfo/0/info/"><attr key="sizeX" type="int">{width}</attr>
<attr key="sizeY" type="int">{height}</attr></node></node></node></dv>"""


def aedat4(
    path: Path, events: np.ndarray, height: int = 6, width: int = 8, at_once: int = 100, kind: str = "EVTS"
) -> None:
    """Two tables of FlatBuffers: a header with a string, and packets with a vector of structs."""
    info = INFO.format(height=height, width=width, kind=kind).encode()
    header = struct.pack("<I4s5Hxx2i", 20, b"IOHE", 10, 8, 0, 0, 4, 12, 4)
    data = b"#!AER-DAT4.0\r\n" + _sized(header + struct.pack("<I", len(info)) + info + b"\0")
    for start in range(0, len(events), at_once):
        part = events[start : start + at_once].astype(CHANGE4)
        packet = struct.pack("<I4s3Hxx2iI", 16, b"EVTS", 6, 8, 4, 8, 4, len(part)) + part.tobytes()
        data += struct.pack("<ii", 0, len(packet) + 4) + _sized(packet)
    path.write_bytes(data)


def _sized(table: bytes) -> bytes:
    return struct.pack("<I", len(table)) + table
