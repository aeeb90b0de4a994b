"""Frames in place of images: `verify`, `check` and `costs` of a stream's network."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from command_line import DATA, LITTLE, NET, place, refused, refused_last, run
from graphs import images, small

import dnisnm_lava as dn
from dnisnm_lava import cli
from dnisnm_lava.data.datasets import load_data
from exporters import netx

__all__ = ["place"]
FRAMES = ["--frames", "frames.npy"]
DIALS = ["--hysteresis", "0.5"]
needs_sanafe = pytest.mark.skipif(
    importlib.util.find_spec("sanafe") is None, reason="sanafe is not installed"
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """network.net of images (2, 6, 6), stream.net made of it, and 4 frames."""
    monkeypatch.chdir(tmp_path)
    graph = small(levels=15, down=0.0, steps=1)[0]
    netx.write(tmp_path / "network.net", graph)
    netx.write(tmp_path / "stream.net", dn.streaming(graph, hysteresis=0.5))
    frames = np.repeat(images(1, (2, 6, 6), 3), 4, axis=0)
    for i, frame in enumerate(frames):
        frame[..., i % 6] *= -1
    np.save("frames.npy", frames)
    return tmp_path


def test_every_spike_of_every_frame_is_compared(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Integers in four executors, floats in two; on the networks of the default recipe."""
    frames = np.stack([np.asarray(load_data(DATA[1]).train[i][0]) for i in (0, 1, 1)])
    np.save("frames.npy", frames)
    capsys.readouterr()
    made = [*NET, *DATA, *LITTLE, "--anyway"]
    found = run("verify", *made, *FRAMES, *DIALS, "--frame-steps", "2", capsys=capsys)
    rows = {(row["a"], row["b"]): row for row in found["equality"]}
    assert list(rows) == [
        ("integer reference", "integer batched"),
        ("integer batched", "Lava fixed_pt"),
        ("Lava fixed_pt", "torch module"),
        ("float reference", "Lava floating_pt"),
    ]
    for row in rows.values():
        assert (row["images"], row["steps"], row["different"]) == (3, 2, 0)
        assert row["spikes_compared"] > 0


def test_a_file_is_verified_on_frames(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["verify", "stream.net", *FRAMES, "--limit", "3"]) == 0
    told = "✓ spikes equal, 3 frames, 1 step: integer reference = batched = Lava fixed_pt = torch module"
    assert told in capsys.readouterr().out


def test_check_tells_the_time_of_a_frame(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = run("check", "stream.net", *FRAMES, capsys=capsys)
    frames = np.load("frames.npy")
    assert found["runtime"]["seconds"] == dn.runtime(netx.read("stream.net"), frames).seconds
    assert found == {
        **run("check", "network.net", *FRAMES, *DIALS, capsys=capsys),
        "made_of": found["made_of"],
    }
    assert cli.main(["check", "stream.net"]) == 0
    assert "no time: it rests on spikes of frames; give --video, --frames" in capsys.readouterr().out


def test_costs_tells_what_a_frame_takes(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = run("costs", "stream.net", *FRAMES, "-o", "costs.json", capsys=capsys)
    assert json.loads(Path("costs.json").read_text())["operations"] == found["operations"]
    frames = list(dn.stream(netx.read("stream.net"), np.load("frames.npy")))
    assert found["operations"]["stream"] == sum(frame.operations for frame in frames) / 4
    assert found["runtime"]["images"] == 3
    capsys.readouterr()
    assert cli.main(["costs", "network.net", *FRAMES, *DIALS]) == 0
    told = capsys.readouterr().out
    assert "each frame alone" in told
    assert "spikes of 3 frames behind the first" in " ".join(told.split())


@needs_sanafe
def test_frames_are_replayed_and_those_behind_the_first_told_apart(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    replay = run("costs", "stream.net", *FRAMES, "--replay", "sanafe", capsys=capsys)["replay"]
    frames = list(dn.stream(netx.read("stream.net"), np.load("frames.npy")[:3]))
    assert replay["first"]["total"]["operations"] == frames[0].operations
    assert replay["behind"]["operations"] == (frames[1].operations + frames[2].operations) / 2
    assert 0 < replay["behind"]["joules"] < replay["first"]["total"]["joules"]
    assert sum(replay["behind"]["of_cores"]["operations"]) == replay["behind"]["operations"]
    assert sum(replay["behind"]["by"].values()) == pytest.approx(2 * replay["behind"]["joules"])
    said = refused_last(
        "costs", "stream.net", *FRAMES, "--replay", "sanafe", "--replay-frames", "9", capsys=capsys
    )
    assert "--replay-frames: 9 given, and 4 frames are there" in said


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (
            ["verify", "stream.net"],
            "the network is a stream's, which keeps its state from frame to frame; give",
        ),
        (["costs", "stream.net"], "stream.net: costs: the network is a stream's"),
        (["verify", "network.net", *DIALS], "--hysteresis: belongs to frames; give --video, --frames or"),
        (["costs", "network.net", "--measure", "values"], "--measure: belongs to frames"),
        (["check", "stream.net", "--limit", "3"], "--limit: belongs to frames"),
        (["check", "stream.net", *FRAMES, *DIALS], "its own --frame-steps, --hysteresis and --at-once hold"),
        (["verify", "stream.net", *FRAMES, *DIALS], "its own --frame-steps, --hysteresis and --at-once hold"),
        (["costs", "stream.net", *FRAMES, "--images", "3"], "--images: is of images, and frames are given"),
        (["verify", "stream.net", *FRAMES, "--steps", "2"], "--steps: is of images, and frames are given"),
        (["check", "stream.net", *FRAMES, "--limit", "1"], "1 frame given of a stream; give 2 or more"),
        (["verify", "stream.net", *FRAMES, "--target", "sanafe"], "dnisnm costs --replay sanafe"),
        (["verify", *FRAMES], "verify: give a .net file, or a model as --model"),
        (["stream", "stream.net"], "stream: give frames as --video, --frames or --events"),
        (["check", "network.net", "--frames", "wide.npy"], "frame 0: shape (2, 6, 7) given, and (2, 6, 6)"),
    ],
)
def test_what_is_out_of_place_is_one_sentence(
    here: Path, capsys: pytest.CaptureFixture[str], argv: list[str], said: str
) -> None:
    np.save("wide.npy", np.zeros((3, 2, 6, 7), np.float32))
    assert said in refused(*argv, capsys=capsys)
