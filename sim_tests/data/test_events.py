"""Event files, read chunk by chunk, and binned into counts: against files written byte by byte."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

import event_files as made
import h5py
import numpy as np
import pytest
from traced import below

from dnisnm_lava.data.streams.events import recording as recordings
from dnisnm_lava.data.streams.events.binning import events
from dnisnm_lava.data.streams.events.files import recording
from dnisnm_lava.data.streams.sources import frames
from dnisnm_lava.errors import BackendMissing, BadFile, OutOfRange

HEIGHT, WIDTH = 6, 8
NEEDS_AEDAT = pytest.mark.skipif(
    importlib.util.find_spec("aedat") is None, reason="aedat is not installed, which reads AEDAT 4"
)
WRITERS: list = [
    ("a.npz", made.npz),
    ("a.npy", made.npy),
    ("a.h5", made.hdf5),
    ("a.hdf5", made.hdf5_records),
    ("a.bin", made.nmnist),
    ("a.dat", made.dat),
    ("2.raw", made.evt2),
    ("3.raw", made.evt3),
    ("3.aedat", made.aedat3),
    pytest.param("4.aedat4", made.aedat4, marks=NEEDS_AEDAT),
    pytest.param("4.aedat", made.aedat4, marks=NEEDS_AEDAT),
]
Writer = Callable[[Path, np.ndarray], None]


def read(path: Path) -> np.ndarray:
    """All of it, as records."""
    chunks = list(recording(path).read())
    found = np.zeros(sum(len(chunk.t) for chunk in chunks), made.RECORD)
    for name, values in zip("txyp", zip(*chunks, strict=True), strict=True):
        found[name] = np.concatenate(values)
    return found


def counted(found: np.ndarray, channels: int) -> np.ndarray:
    """One frame, event by event."""
    frame = np.zeros((channels, HEIGHT, WIDTH), np.int64)
    for _, x, y, p in found.tolist():
        frame[int(p) if channels == 2 else 0, y, x] += 1 if p or channels == 2 else -1
    return frame


@pytest.mark.parametrize(("name", "write"), WRITERS)
@pytest.mark.parametrize("words", [recordings.EVENTS, 7])
def test_every_file_gives_the_events_that_were_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, write: Writer, words: int
) -> None:
    """Whole, and in chunks of 7 words: what a chunk tells the next is kept."""
    for module in ("recording", "arrays"):
        monkeypatch.setattr(f"dnisnm_lava.data.streams.events.{module}.EVENTS", words)
    wanted = made.drawn(1000)
    write(tmp_path / name, wanted)
    np.testing.assert_array_equal(read(tmp_path / name), wanted)


@pytest.mark.parametrize(
    ("name", "write", "bits"), [("a.dat", made.dat, 32), ("2.raw", made.evt2, 34), ("3.raw", made.evt3, 24)]
)
def test_times_go_on_where_their_counter_starts_anew(
    tmp_path: Path, name: str, write: Writer, bits: int
) -> None:
    wanted = made.drawn(500, step=2000)
    wanted["t"] += 2**bits - int(wanted["t"][250])
    write(tmp_path / name, wanted)
    np.testing.assert_array_equal(read(tmp_path / name), wanted)


@pytest.mark.parametrize("words", [recordings.EVENTS, 5])
def test_rows_of_12_and_8_events_are_those_of_a_slow_decoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: int
) -> None:
    """EVT 3.0 as a state machine, word by word, on words drawn at random."""
    monkeypatch.setattr(recordings, "EVENTS", words)
    rng = np.random.default_rng(3)
    kinds = rng.choice([0x0, 0x2, 0x3, 0x4, 0x4, 0x5, 0x6, 0x7, 0xA, 0xE, 0xF], 3000)
    told = np.where(kinds == 0x3, rng.integers(0, 1000, 3000), rng.integers(0, 2**12, 3000))
    drawn = (kinds << 12 | told).tolist()
    for high, at in enumerate(range(100, 3000, 700)):  # events in front of the first time are left out
        drawn[at] = 0x8 << 12 | high
    made.write_evt3(tmp_path / "a.raw", drawn, 2048, 4096)
    wanted, high, low, row, base, on = [], None, 0, 0, 0, 0
    for word in drawn:
        kind, value = word >> 12, word & 0xFFF
        if kind == 0x8:
            low, high = (low if value == high else 0), value
        elif kind == 0x6:
            low = value
        elif kind == 0x0:
            row = value & 0x7FF
        elif kind == 0x3:
            base, on = value & 0x7FF, value >> 11
        bits = 12 if kind == 0x4 else 8 if kind == 0x5 else 0
        many = [(base + bit, on) for bit in range(bits) if value >> bit & 1]
        base += bits
        for x, p in [(value & 0x7FF, value >> 11)] if kind == 0x2 else many:
            if high is not None:
                wanted.append((high << 12 | low, x, row, bool(p)))
    assert read(tmp_path / "a.raw").tolist() == wanted
    assert len(wanted) > 4000


@pytest.mark.parametrize(
    ("name", "write", "shape"),
    [
        ("a.dat", made.dat, (6, 8)),
        ("2.raw", made.evt2, (6, 8)),
        ("3.raw", made.evt3, (6, 8)),
        ("3.aedat", made.aedat3, (128, 128)),
        ("a.bin", made.nmnist, (34, 34)),
        ("a.npy", made.npy, None),
        pytest.param("4.aedat4", made.aedat4, (6, 8), marks=NEEDS_AEDAT),
    ],
)
def test_the_sensor_is_the_one_that_the_file_tells(
    tmp_path: Path, name: str, write: Writer, shape: tuple[int, int] | None
) -> None:
    write(tmp_path / name, made.drawn(10))
    assert recording(tmp_path / name).shape == shape


# ---------------------------------------------------------------- frames of counts


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("words", [recordings.EVENTS, 7])
def test_a_frame_holds_a_window_of_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, channels: int, words: int
) -> None:
    """Windows without events among them: a still scene is a frame of zeros."""
    monkeypatch.setattr(recordings, "EVENTS", words)
    drawn = made.drawn(300)
    drawn["t"][150:] += 5000
    made.dat(tmp_path / "a.dat", drawn)
    stream = events(tmp_path / "a.dat", microseconds=1000, channels=channels)
    found = list(stream)
    window = (drawn["t"] - drawn["t"][0]) // 1000
    assert len(found) == window[-1] + 1
    assert (stream.rate, stream.axes, found[0].dtype) == (1000.0, "chw", np.int32)
    for number, frame in enumerate(found):
        np.testing.assert_array_equal(frame, counted(drawn[window == number], channels))
    assert any(not frame.any() for frame in found)


def test_a_frame_holds_a_number_of_events_and_the_last_what_is_left(tmp_path: Path) -> None:
    drawn = made.drawn(250)
    made.npz(tmp_path / "a.npz", drawn)
    found = list(frames(tmp_path / "a.npz", count=100, shape=(HEIGHT, WIDTH)))
    assert len(found) == 3
    for number, frame in enumerate(found):
        np.testing.assert_array_equal(frame, counted(drawn[100 * number : 100 * number + 100], 1))


def test_memory_does_not_grow_with_the_recording(tmp_path: Path) -> None:
    """3 million events are 75 MB as arrays; a chunk is 3 MB, and some times that while it is looked at."""
    made.dat(tmp_path / "a.dat", made.drawn(3_000_000, step=3))
    with below(40e6):
        assert sum(1 for _ in events(tmp_path / "a.dat", microseconds=10_000)) > 250


# ---------------------------------------------------------------- what is no recording


@pytest.mark.parametrize(("name", "write"), WRITERS)
def test_a_truncated_file_is_refused(tmp_path: Path, name: str, write: Writer) -> None:
    path = tmp_path / name
    write(path, made.drawn(1000))
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(BadFile, match=r"truncated"):
        list(events(path, count=100, shape=(HEIGHT, WIDTH)))


@pytest.mark.parametrize("at", [3, 128, 300])
def test_times_that_run_backwards_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """Within a chunk, and from one to the next."""
    monkeypatch.setattr(recordings, "EVENTS", 128)
    drawn = made.drawn(400)
    drawn["t"][at:] -= 700
    made.dat(tmp_path / "a.dat", drawn)
    back = drawn["t"][at - 1] - drawn["t"][at]
    with pytest.raises(BadFile, match=rf"backwards at event {at + 1}, by {back} microseconds; sort"):
        list(events(tmp_path / "a.dat", count=10))


def test_an_event_outside_the_sensor_is_refused(tmp_path: Path) -> None:
    drawn = made.drawn(20)
    drawn["x"][7], drawn["y"][7] = 8, 2
    made.dat(tmp_path / "a.dat", drawn)
    with pytest.raises(BadFile, match=r"event 8 is at x = 8, y = 2, outside the sensor of 8x6; give shape"):
        list(events(tmp_path / "a.dat", count=10))
    assert len(list(events(tmp_path / "a.dat", count=10, shape=(6, 9)))) == 2


@pytest.mark.parametrize(("name", "write"), [case for case in WRITERS if not hasattr(case, "marks")])
def test_a_recording_without_events_is_refused(tmp_path: Path, name: str, write: Writer) -> None:
    write(tmp_path / name, made.drawn(0))
    with pytest.raises(BadFile, match=r"holds 0 events; give at least 1"):
        list(events(tmp_path / name, count=10, shape=(HEIGHT, WIDTH)))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "neither of microseconds and count given"),
        ({"count": 1, "microseconds": 1}, "both of microseconds and count given"),
        ({"count": 0}, "count: 0 given; give 1 or more"),
        ({"microseconds": -5}, "microseconds: -5 given; give 1 or more"),
        ({"count": 1, "channels": 3}, "channels: 3 given"),
        ({"count": 1}, r"does not tell the sensor's size; give shape=\(H, W\)"),
        ({"count": 1, "shape": (0, 5)}, r"shape: \(0, 5\) given"),
    ],
)
def test_what_cannot_be_asked_for_is_said(tmp_path: Path, asked: dict, said: str) -> None:
    made.npz(tmp_path / "a.npz", made.drawn(10))
    with pytest.raises(OutOfRange, match=said):
        events(tmp_path / "a.npz", **asked)


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.aedat", b"#!AER-DAT2.0\r\n", r"says AEDAT 2.0, and 3.1 and 4 are read"),
        ("a.aedat", b"nonsense", "no version of AEDAT"),
        ("a.aedat", b"#!AER-DAT3.1\r\n# more\r\n", "truncated: its header does not end"),
        ("a.raw", b"% evt 2.1\n% end\n", r"its header says evt 2.1, and EVT 2.0 and 3.0 are read"),
        ("a.raw", b"nonsense", "its header says no version"),
        ("a.dat", b"% Height 6\n", "it says nothing"),
        ("a.dat", b"% Height 6\n\x0e\x08", "it says 0e08"),
        ("a.txt", b"0 1 2 3", "no kind of events that is read here; give .aedat, "),
    ],
)
def test_another_kind_of_file_is_named(tmp_path: Path, name: str, data: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(BadFile, match=said):
        events(tmp_path / name, count=1)


@NEEDS_AEDAT
def test_no_aedat_4_and_one_without_events_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.aedat4").write_bytes(b"#!AER-DAT4.0\r\nnonsense")
    with pytest.raises(BadFile, match=r"truncated, or no AEDAT 4 \("):
        events(tmp_path / "a.aedat4", count=1)
    made.aedat4(tmp_path / "b.aedat4", made.drawn(5), kind="IMUS")
    with pytest.raises(BadFile, match="holds imus, and no stream of events"):
        events(tmp_path / "b.aedat4", count=1)


def test_hdf5_of_two_cameras_and_of_no_events_is_told(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "two.h5", "w") as file:
        for side in ("left", "right"):
            file[f"{side}/events"] = made.drawn(5)
    with pytest.raises(BadFile, match="holds events in left/, right/; keep one of them in a file of its own"):
        events(tmp_path / "two.h5", count=1)
    with h5py.File(tmp_path / "none.h5", "w") as file:
        file["images/left"] = np.zeros(3)
    with pytest.raises(BadFile, match="holds images/left, and no events; give x, y, t in whole microseconds"):
        events(tmp_path / "none.h5", count=1)
    (tmp_path / "text.h5").write_text("no HDF5")
    with pytest.raises(BadFile, match="no HDF5 that is read here, truncated, or packed by a filter"):
        events(tmp_path / "text.h5", count=1)


@pytest.mark.parametrize(
    "arrays",
    [
        {"x": np.zeros(3)},
        {"x": np.zeros(3, int), "y": np.zeros(3, int), "p": np.zeros(3, int), "t": np.zeros(3)},
        {"x": np.zeros(3, int), "y": np.zeros(3, int), "p": np.zeros(3, int), "t": np.zeros(4, int)},
    ],
)
def test_arrays_that_are_no_events_are_refused(tmp_path: Path, arrays: dict) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(BadFile, match=r"a\.npz: holds .*; give x, y, t in whole microseconds and p"):
        events(tmp_path / "a.npz", count=1, shape=(1, 1))


def test_aedat_4_without_its_package_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made.aedat4(tmp_path / "a.aedat4", made.drawn(5))
    monkeypatch.setitem(sys.modules, "aedat", None)
    with pytest.raises(BackendMissing, match=r"aedat is not installed .*`pip install '\.\[events\]'` in a c"):
        events(tmp_path / "a.aedat4", count=1)
