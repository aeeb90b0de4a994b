"""`dnisnm stream`: what it tells and writes, how it goes on, and what it refuses with nothing lost."""

from __future__ import annotations

import csv
import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import DATA, LITTLE, NET, place, refused, refused_last, run
from graphs import images, small
from PIL import Image

import dnisnm_lava as dn
from dnisnm_lava import cli
from dnisnm_lava.backends import state as states
from dnisnm_lava.cli import stream_parts
from dnisnm_lava.cli.names import STREAM_FILES
from exporters import netx

__all__ = ["place"]
FRAMES = 8
needs_av = pytest.mark.skipif(importlib.util.find_spec("av") is None, reason="av is not installed")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder: network.net of images (2, 6, 6), and frames.npy, of which a column changes each time."""
    folder = tmp_path_factory.mktemp("made")
    netx.write(folder / "network.net", small(levels=15, down=0.0, steps=1)[0])
    frames = np.repeat(images(1, (2, 6, 6), 3), FRAMES, axis=0)
    for i, frame in enumerate(frames):
        frame[..., i % 6] *= -1
    np.save(folder / "frames.npy", frames)
    return folder


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, anew, as the working folder."""
    shutil.copytree(made, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


STREAM = ["stream", "network.net", "--frames", "frames.npy"]
QUICK = [*STREAM, "--no-compare"]


def frames_of(out: Path) -> list[dict[str, str]]:
    """frames.csv, without what a clock told."""
    with open(out / "frames.csv", newline="") as file:
        return [{k: v for k, v in row.items() if not k.startswith("seconds")} for row in csv.DictReader(file)]


def told(out: Path) -> dict[str, Any]:
    """summary.json, without what a clock told."""
    found = json.loads((out / "summary.json").read_text())
    del found["seconds"], found["frames_per_second"], found["provenance"]
    return found


# ---------------------------------------------------------------- what it tells and writes


def test_a_model_is_followed_and_set_beside_its_ann(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (4, 6, 6, 3)).astype(np.uint8)
    pixels[3] = pixels[2]
    np.save("frames.npy", pixels)
    argv = ["stream", *NET, *DATA, *LITTLE, "--frames", "frames.npy", "--out", "out", "--anyway"]
    found = run(*argv, capsys=capsys)
    assert found["frames"] == 4
    assert set(found["agreement"]) == {"alone", "ann"}
    assert found["dials"]["steps"] == 1
    assert 0 < found["ratios"]["alone"] < 1
    assert found["operations"]["ann"] > found["operations"]["alone"]
    assert sorted(p.name for p in Path("out").iterdir()) == sorted(STREAM_FILES)
    rows = frames_of(Path("out"))
    assert rows[0]["operations_stream"] == rows[0]["operations_alone"]
    assert rows[3]["operations_stream"] == rows[3]["spikes_stream"] == "0"
    assert rows[3]["answer_stream"] == rows[3]["answer_alone"] == rows[2]["answer_alone"]
    # the file remembers the model: the ANN is there again, and the state goes on
    again = ["stream", "out/stream.net", "--frames", "frames.npy", "--state", "out/state.npz", "--limit", "1"]
    assert set(run(*again, capsys=capsys)["agreement"]) == {"alone", "ann"}


def test_a_stream_of_its_own_frames_needs_no_data(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["stream", *NET, *LITTLE, "--frames", "images/test/class0", "--no-compare", "--anyway"]
    assert cli.main(argv) == 0
    out, err = capsys.readouterr()
    assert "calibrated and fitted on 2 frames of images/test/class0 itself" in err
    assert "2 frames" in out


def test_a_file_without_its_model_goes_without_the_ann(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*STREAM, "--out", "out"]) == 0
    out, err = capsys.readouterr()
    assert "the stream goes without the ANN: network.net: does not remember its --model" in err
    assert "as each frame alone in 100.0 %" in out
    assert cli.main(["stream", str((here / "network.net").resolve()), *STREAM[2:], "--out", "whole"]) == 0
    assert str(here) not in (here / "whole/stream.html").read_text().partition("</h1>")[0]  # names alone
    assert set(told(here / "out")["agreement"]) == {"alone"}
    graph = netx.read("out/stream.net")
    assert graph == dn.streaming(netx.read("network.net"))
    frames = list(dn.stream(graph, np.load("frames.npy")))
    rows = frames_of(here / "out")
    assert [int(row["spikes_stream"]) for row in rows] == [f.spikes for f in frames]
    assert [int(row["answer_stream"]) for row in rows] == [int(f.prediction) for f in frames]
    assert states.load("out/state.npz", graph).frames == FRAMES


def test_a_stream_tells_its_populations_and_goes_without_its_page_where_jinja2_is_not(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "jinja2" else find(name, *more)
    )
    assert cli.main([*QUICK, "--out", "out"]) == 0
    assert "the stream goes without its page: jinja2 is not installed" in capsys.readouterr().err
    assert sorted(p.name for p in Path("out").iterdir()) == sorted(set(STREAM_FILES) - {"stream.html"})
    found, rows = told(here / "out"), frames_of(here / "out")
    operations = sum(of["operations"] for of in found["populations"].values())
    assert operations == sum(int(row["operations_stream"]) for row in rows)


def test_dials_reach_the_stream(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dials = ["--frame-steps", "2", "--hysteresis", "0.5", "--at-once", "3", "--refresh", "3", "--every", "2"]
    found = run(*QUICK, *dials, "--out", "out", capsys=capsys)
    assert found["frames"] == FRAMES // 2
    assert found["dials"] == {
        "steps": 2,
        "hysteresis": 0.5,
        "resolution": [30, 30],
        "at_once": [3, 3],
        "refresh": 3,
    }
    assert [row["fresh"] for row in frames_of(here / "out")] == ["1", "0", "0", "1"]
    graph = dn.streaming(netx.read("network.net"), steps=2, hysteresis=0.5, levels=3)
    assert netx.read("out/stream.net").digest() == graph.digest()


def test_events_are_followed_as_frames_of_counts(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 6, (2, 50))
    np.savez("events.npz", x=x, y=y, t=np.arange(50) * 10, p=rng.integers(0, 2, 50))
    argv = ["stream", "network.net", "--events", "events.npz", "--sensor", "6,6", "--event-channels", "2"]
    found = run(*argv, "--microseconds", "100", "--no-compare", capsys=capsys)
    assert found["frames"] == 5
    assert run(*argv, "--count", "25", "--no-compare", capsys=capsys)["frames"] == 2


@needs_av
def test_a_clip_is_read_and_written_back(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from dnisnm_lava.data.streams.video import video, write_video

    pictures = np.random.default_rng(0).integers(0, 256, (5, 6, 6, 3)).astype(np.uint8)
    write_video(here / "clip.mkv", pictures, 10.0)
    np.save("two.npy", np.load("frames.npy")[:5])
    assert cli.main([*QUICK[:2], "--frames", "two.npy", "--no-compare", "--write", "seen.mkv"]) == 0
    assert "written to seen.mkv" in capsys.readouterr().out
    seen = list(video(here / "seen.mkv"))
    assert len(seen) == 5
    assert seen[0].shape == (180, 180 + 240, 3)
    assert refused("stream", "network.net", "--video", "clip.mkv", "--no-compare", capsys=capsys).startswith(
        "dnisnm: frame 0: shape (3, 6, 6) given, and (2, 6, 6) needed"
    )


# ---------------------------------------------------------------- going on


def test_an_interrupted_stream_goes_on_to_the_same_result(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli.main([*STREAM, "--out", "whole"]) == 0
    follow = stream_parts.Parts.follow

    def interrupted(self: stream_parts.Parts, *frame: Any) -> None:
        if len(self.rows) == 5:
            raise KeyboardInterrupt
        follow(self, *frame)

    monkeypatch.setattr(stream_parts, "PERIOD", 0.0)
    monkeypatch.setattr(stream_parts.Parts, "follow", interrupted)
    assert cli.main([*STREAM, "--out", "out"]) == 130
    assert "finished parts are kept: go on with --resume" in capsys.readouterr().err
    assert not Path("out").exists()
    monkeypatch.setattr(stream_parts.Parts, "follow", follow)
    assert "go on with --resume" in refused_last(*STREAM, "--out", "out", capsys=capsys)
    assert "of another network, other images, steps or options" in refused_last(
        *STREAM, "--out", "out", "--refresh", "2", "--resume", capsys=capsys
    )
    assert cli.main([*STREAM, "--out", "out", "--resume"]) == 0
    assert frames_of(here / "out") == frames_of(here / "whole")
    assert told(here / "out") == told(here / "whole")
    assert (here / "out/stream.net").read_bytes() == (here / "whole/stream.net").read_bytes()
    assert not Path("out.parts").exists()


def test_frames_before_a_bad_one_are_kept(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frames = np.load("frames.npy")
    bad = frames.copy()
    bad[4, 0, 0, 0] = np.nan
    np.save("frames.npy", bad)
    said = refused_last(*QUICK, "--out", "out", capsys=capsys)
    assert "frames.npy: frame 5 holds 1 values that are NaN or infinite" in said
    assert "4 frames before it are kept: --resume --limit 4 makes the result of them" in said
    assert cli.main([*QUICK, "--out", "four", "--limit", "4"]) == 0
    shutil.copytree("out.parts", "kept.parts")
    assert cli.main([*QUICK, "--out", "out", "--resume", "--limit", "4"]) == 0
    assert frames_of(here / "out") == frames_of(here / "four")
    capsys.readouterr()
    assert "--limit: 3 given, and 4 frames are done already" in refused_last(
        *QUICK, "--out", "kept", "--resume", "--limit", "3", capsys=capsys
    )
    np.save("frames.npy", frames)
    assert cli.main([*QUICK, "--out", "kept", "--resume"]) == 0
    assert cli.main([*QUICK, "--out", "whole"]) == 0
    assert frames_of(here / "kept") == frames_of(here / "whole")


def test_kept_parts_that_are_damaged_are_told(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = np.load("frames.npy")
    bad[4] = np.inf
    np.save("frames.npy", bad)
    refused_last(*QUICK, "--out", "out", capsys=capsys)
    for part in Path("out.parts").glob("rows-*.json"):
        part.write_text(json.dumps({**json.loads(part.read_text()), "rows": []}))
    assert "remove it, and begin again" in refused_last(*QUICK, "--out", "out", "--resume", capsys=capsys)


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--limit", "0"], "limit: 0 given; frames are counted from 1, so give 1 or more"),
        (["--every", "0"], "every: 0 given; frames are counted from 1"),
        (["--frame-steps", "0"], "steps: 0 given"),
        (["--hysteresis", "3"], "hysteresis: 3.0 given; give 0 to 2"),
        (["--at-once", "0"], "levels: 0 given"),
        (["--refresh", "-1"], "refresh: -1 given"),
        (["--count", "5"], "--count: belongs to --events"),
        (["--levels", "3"], "is made already, and --levels belongs to a --model"),
        (["--write", "seen.gif"], "seen.gif: no kind of clip that is written here"),
        (["--write", "nowhere/seen.mp4"], "nowhere/seen.mp4: could not be written"),
        (["--state", "none.npz"], "none.npz: no such file"),
        (["--state", "frames.npy"], "frames.npy: cannot be read as the state of a stream"),
        (["--resume"], "--resume: no result is written"),
        (["--out", "network.net"], "network.net: is a file, and a folder is to be written"),
    ],
)
def test_a_dial_out_of_place_is_one_sentence(
    here: Path, capsys: pytest.CaptureFixture[str], more: list[str], said: str
) -> None:
    assert said in refused(*QUICK, *more, capsys=capsys)


def test_frames_that_do_not_suit_are_one_sentence(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = here / "pictures"
    folder.mkdir()
    for i, size in enumerate(((6, 6), (6, 6), (7, 6))):
        Image.new("RGB", size).save(folder / f"{i}.png")
    (here / "text.mp4").write_text("no clip")
    np.save("wide.npy", np.zeros((3, 2, 6, 7), np.float32))
    np.savez("two.npz", a=np.zeros(3), b=np.zeros(3))
    follow = ["stream", "network.net", "--no-compare"]
    for source, said in (
        (["--frames", "wide.npy"], "frame 0: shape (2, 6, 7) given, and (2, 6, 6) needed"),
        (["--frames", "pictures"], "frame 0: shape (3, 6, 6) given, and (2, 6, 6) needed"),
        (["--frames", "two.npz"], "its arrays are a, b, and one of frames is needed"),
        (["--frames", "nowhere"], "nowhere: "),
        (["--events", "two.npz"], "--events: say what a frame holds, by --microseconds or --count"),
    ):
        assert said in refused(*follow, *source, capsys=capsys)
    if importlib.util.find_spec("av") is not None:
        assert "text.mp4: does not open as a clip" in refused(*follow, "--video", "text.mp4", capsys=capsys)


def test_a_picture_of_another_size_keeps_those_before_it(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["convert", *NET, *DATA, *LITTLE, "--anyway", "-o", "network.net"]) == 0
    folder = place / "pictures"
    folder.mkdir()
    for i, size in enumerate(((6, 6), (6, 6), (7, 6))):
        Image.new("RGB", size, (40 * i, 0, 0)).save(folder / f"{i}.png")
    argv = ["stream", "network.net", "--no-compare", "--frames", "pictures", "--out", "out"]
    capsys.readouterr()
    said = refused_last(*argv, capsys=capsys)
    assert "2.png: is 7x6, and the first picture is 6x6" in said
    assert "2 frames before it are kept" in said
    assert not Path("out").exists()


def test_a_state_of_another_network_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*QUICK, "--out", "out"]) == 0
    capsys.readouterr()
    state = ["--state", "out/state.npz"]
    assert run(*QUICK, *state, capsys=capsys)["first"] == FRAMES
    said = refused(*QUICK, *state, "--hysteresis", "0.5", capsys=capsys)
    assert "out/state.npz: the state of another network" in said


@pytest.mark.parametrize("verb", ["compare", "explain", "predict", "simulate", "report"])
def test_a_streams_network_belongs_to_streams(
    here: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    netx.write(here / "stream.net", dn.streaming(netx.read("network.net"), hysteresis=0.5))
    said = refused(verb, "stream.net", "--data", "frames.npy", capsys=capsys)
    assert f"stream.net: {verb}: the network is a stream's" in said
    assert "dnisnm stream" in said


def test_a_streams_network_is_looked_at(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    netx.write(here / "stream.net", dn.streaming(netx.read("network.net"), hysteresis=0.5))
    dials = {"steps": 1, "hysteresis": 0.5, "resolution": [15, 15], "at_once": [15, 15], "refresh": 0}
    assert run("inspect", "stream.net", capsys=capsys)["stream"] == dials
    words = run("check", "stream.net", capsys=capsys)["stream"].pop("state_words")
    assert words > 0
    for verb, more in (("inspect", "whose state is kept"), ("check", f"{words:,} words of state")):
        assert cli.main([verb, "stream.net"]) == 0
        out = " ".join(capsys.readouterr().out.split())
        assert "a stream's network" in out
        assert more in out
    assert "stream" not in run("inspect", "network.net", capsys=capsys)
    assert "stream" not in run("check", "network.net", capsys=capsys)
    said = refused("stream", "stream.net", "--frames", "frames.npy", "--hysteresis", "1", capsys=capsys)
    assert "its own --frame-steps, --hysteresis and --at-once hold" in said
