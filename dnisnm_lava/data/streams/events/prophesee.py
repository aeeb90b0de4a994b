"""Prophesee's files: .dat, and .raw as EVT 2.0 or EVT 3.0, as their maker specifies them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dnisnm_lava.data.streams.events.recording import REPAIR, Clock, Events, Recording, filled, words
from dnisnm_lava.errors import BadFile

DAT = np.dtype([("t", "<u4"), ("address", "<u4")])
CHANGES = (0x00, 0x0C)  # kinds of events in a .dat that are changes of brightness
OFF, ON, HIGH2 = 0x0, 0x1, 0x8  # kinds of words in EVT 2.0
ROW, COLUMN, BASE, TWELVE, EIGHT, LOW, HIGH = 0x0, 0x2, 0x3, 0x4, 0x5, 0x6, 0x8  # in EVT 3.0


def dat(path: Path) -> Recording:
    """8 bytes an event: a time of 32 bits; x of 14, y of 14 and a polarity of 4."""
    text, start = _header(path)
    with open(path, "rb") as file:
        file.seek(start)
        kind = file.read(2)
    if len(kind) < 2 or kind[0] not in CHANGES or kind[1] != DAT.itemsize:
        raise BadFile(
            f"{path}: no .dat of changes in 8 bytes each (it says {kind.hex() or 'nothing'}); {REPAIR}"
        )
    return Recording(str(path), _shape(text), lambda: _dat(path, start + 2))


def raw(path: Path) -> Recording:
    """EVT 2.0 or EVT 3.0, as the header says."""
    text, start = _header(path)
    found = re.search(r"format EVT(\d)|evt (\d)\.\d", text)
    version = next(filter(None, found.groups()), "") if found else ""
    if version not in ("2", "3") or "EVT21" in text or "evt 2.1" in text:
        said = found[0] if found else "no version"
        raise BadFile(
            f"{path}: its header says {said}, and EVT 2.0 and 3.0 are read; export it as one of them"
        )
    read = _evt2 if version == "2" else _evt3
    return Recording(str(path), _shape(text), lambda: read(path, start))


def _header(path: Path) -> tuple[str, int]:
    """Lines that start with %, and the byte behind them."""
    text = b""
    with open(path, "rb") as file:
        while (line := file.readline()).startswith(b"%") and line.endswith(b"\n"):
            text += line
            if line.strip() == b"% end":
                break
    return text.decode("ascii", "replace"), len(text)


def _shape(text: str) -> tuple[int, int] | None:
    height, width = (re.search(rf"{side}[ =](\d+)", text, re.IGNORECASE) for side in ("height", "width"))
    if height and width:
        return int(height[1]), int(width[1])
    geometry = re.search(r"geometry (\d+)x(\d+)", text)
    return (int(geometry[2]), int(geometry[1])) if geometry else None


def _dat(path: Path, start: int) -> Iterator[Events]:
    clock = Clock(32)
    for part in words(path, start, DAT):
        address = part["address"].astype(np.int64)
        yield Events(clock(part["t"]), address & 0x3FFF, address >> 14 & 0x3FFF, address >> 28 > 0)


def _evt2(path: Path, start: int) -> Iterator[Events]:
    """32 bits a word: its kind in 4; of an event, the low 6 of its time, x in 11, y in 11."""
    clock, high = Clock(28), -1
    for part in words(path, start, np.dtype("<u4")):
        word = part.astype(np.int64)
        kind = word >> 28
        highs = np.full(len(word), high)
        highs[kind == HIGH2] = clock(word[kind == HIGH2] & 0xFFFFFFF)
        highs = filled(highs, kind == HIGH2, high)
        changes = ((kind == OFF) | (kind == ON)) & (highs >= 0)
        high, word = int(highs[-1]), word[changes]
        t = highs[changes] << 6 | word >> 22 & 0x3F
        yield Events(t, word >> 11 & 0x7FF, word & 0x7FF, kind[changes] == ON)


def _evt3(path: Path, start: int) -> Iterator[Events]:
    state = _Evt3()
    for part in words(path, start, np.dtype("<u2")):
        yield state.events(part.astype(np.int64))


class _Evt3:
    """What EVT 3.0 tells once and means until it tells it anew: the time, the row, and of several events in a
    row their polarity and how far they are."""

    def __init__(self) -> None:
        self.clock, self.high, self.low, self.y, self.x, self.on = Clock(12), -1, 0, 0, 0, 0

    def events(self, word: np.ndarray) -> Events:
        """The events of words (N,): a kind in 4 bits, what it tells in 12. Events before the first time are
        left out."""
        kind, told = word >> 12, word & 0xFFF
        t, y = self._times(kind, told), self._rows(kind, told)
        x, on = self._bases(kind, told)
        one = np.flatnonzero(kind == COLUMN)
        many, bit = _bits(kind, told)
        index = np.concatenate((one, many))
        xs = np.concatenate((told[one] & 0x7FF, x[many] + bit))
        ons = np.concatenate((told[one] >> 11, on[many]))
        order = np.argsort(index, kind="stable")
        order = order[t[index[order]] >= 0]
        index = index[order]
        return Events(t[index], xs[order], y[index], ons[order] > 0)

    def _times(self, kind: np.ndarray, told: np.ndarray) -> np.ndarray:
        """high << 12 | low; a new high part starts at low 0, until it is told. -1 before the first."""
        is_high = kind == HIGH
        highs = np.full(len(kind), self.high)
        highs[is_high] = self.clock(told[is_high])
        highs = filled(highs, is_high, self.high)
        is_new = np.diff(highs, prepend=self.high) != 0
        lows = filled(np.where(kind == LOW, told, 0), (kind == LOW) | is_new, self.low)
        self.high, self.low = int(highs[-1]), int(lows[-1])
        return np.where(highs >= 0, highs << 12 | lows, -1)

    def _rows(self, kind: np.ndarray, told: np.ndarray) -> np.ndarray:
        y = filled(told & 0x7FF, kind == ROW, self.y)
        self.y = int(y[-1])
        return y

    def _bases(self, kind: np.ndarray, told: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where each row of 12 or 8 events begins: behind the last, or at the base that was told."""
        is_base = kind == BASE
        steps = np.where(kind == TWELVE, 12, np.where(kind == EIGHT, 8, 0))
        gone = np.cumsum(steps) - steps
        x = filled((told & 0x7FF) - gone, is_base, self.x) + gone
        on = filled(told >> 11, is_base, self.on)
        self.x, self.on = int(x[-1] + steps[-1]), int(on[-1])
        return x, on


def _bits(kind: np.ndarray, told: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(index of the word, bit) of each event in a row of 12 or 8."""
    rows = np.flatnonzero((kind == TWELVE) | (kind == EIGHT))
    valid = np.where(kind[rows] == EIGHT, told[rows] & 0xFF, told[rows])
    at, bit = np.nonzero(valid[:, None] >> np.arange(12) & 1)
    return rows[at], bit
