"""The search over the dials of a stream: its front, its choice, its oracle `dn.watch`, the command."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import DATA, NET, place, refused, refused_last, run
from graphs import ResidualPoolNet, images, randomized

import dnisnm_lava as dn
from dnisnm_lava import cli
from dnisnm_lava.cli.verbs import _parser
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir import AnalogGraph
from dnisnm_lava.stages import recipes
from dnisnm_lava.studies.streams import rows as kept
from dnisnm_lava.studies.streams.dials import dials
from dnisnm_lava.studies.streams.summary import Summary, summary
from dnisnm_lava.studies.tuning import streams
from dnisnm_lava.studies.tuning.streams import StreamTrial, StreamTuning
from exporters import netx

__all__ = ["place"]
BASE = replace(dn.BEST, correct=(), threshold="max", rounding="nearest")
SPACE = dn.StreamSpace(BASE, levels=(3, 15), hysteresis=(0.0, 1.0, 2.0), at_once=(None, 2, 15))
DROP = dn.Target("drop", 20.0)


def walk(shape: tuple[int, ...], seed: int = 3) -> np.ndarray:
    """Six frames, each the one before and a little noise."""
    return np.cumsum(images(6, shape, seed), axis=0) / 2


@pytest.fixture(scope="module")
def analog() -> AnalogGraph:
    return dn.from_torch(randomized(ResidualPoolNet(), 11), images(1, (2, 6, 6), 0)[0])


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    return images(24, (2, 6, 6), 0)


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return walk((2, 6, 6))


@pytest.fixture(scope="module")
def found(analog: AnalogGraph, x: np.ndarray, frames: np.ndarray) -> StreamTuning:
    return dn.tune_stream(analog, x, frames, DROP, space=SPACE)


def watched(trial: StreamTrial, analog: AnalogGraph, x: np.ndarray, frames: np.ndarray) -> Summary:
    """The same by the study that `dnisnm stream` runs, of networks that `dn.build` makes."""
    watching = dn.watch(
        dn.build(analog, x, trial.recipe),
        frames,
        steps=trial.steps,
        hysteresis=trial.hysteresis,
        levels=trial.at_once,
    )
    done = [kept.row(frame, None) for frame in watching]
    return summary(done, dials(watching.graph), watching.measure, watching.bill.multiplications)


def test_every_combination_is_tried_once(found: StreamTuning) -> None:
    """K of 2 in a step is less than every R, K of 15 less than 30 alone."""
    tried = {(t.resolution, t.steps, t.hysteresis, t.at_once) for t in found.trials}
    assert len(tried) == len(found.trials) == 3 * (2 * 3 + 3)
    assert {t.resolution for t in found.trials} == {3, 6, 15, 30}
    assert {t.resolution for t in found.trials if t.at_once == 15} == {30}


def test_nothing_beats_what_is_on_the_front(found: StreamTuning) -> None:
    for mine in found.front:
        for other in found.trials:
            as_good = other.score >= mine.score and other.operations <= mine.operations
            assert not as_good or (other.score, other.operations) == (mine.score, mine.operations)
    for other in found.trials:
        assert any(t.score >= other.score and t.operations <= other.operations for t in found.front)
    assert [t.operations for t in found.front] == sorted({t.operations for t in found.front})


def test_a_row_of_the_front_is_what_watch_counts(
    found: StreamTuning, analog: AnalogGraph, x: np.ndarray, frames: np.ndarray
) -> None:
    for trial in found.front:
        same = watched(trial, analog, x, frames)
        score = same.agreement["ann"]
        assert score is not None
        assert (trial.score, trial.interval) == (score.value, score.interval)
        assert trial.operations == same.operations["stream"]
        assert trial.spikes == same.spikes["stream"]
        assert trial.ratio == pytest.approx(same.ratio("ann"))
        assert trial.resolution == same.dials.resolution[1]
        assert found.multiplications == same.operations["ann"]


def test_the_cheapest_within_the_points_is_chosen(found: StreamTuning) -> None:
    good = max(t.score for t in found.trials)
    allowed = [t.operations for t in found.trials if 100 * (good - t.score) <= 20]
    assert found.met
    assert found.best.operations == min(allowed)
    exact = streams.chosen(dn.Target("drop", 0.0), found.trials)
    assert exact == found.front[-1]
    assert found.networks.recipe == found.best.recipe
    told = dials(found.graph)
    assert (told.steps, told.hysteresis) == (found.best.steps, found.best.hysteresis)


def test_values_have_an_error(analog: AnalogGraph, x: np.ndarray, frames: np.ndarray) -> None:
    space = replace(SPACE, levels=(15,), steps=(1,), at_once=(None,))
    with pytest.raises(OutOfRange, match="give max_error instead"):
        dn.tune_stream(analog, x, frames, DROP, space=space, measure="values")
    target = dn.Target("error", 1e-6)
    found = dn.tune_stream(analog, x, frames, target, space=space, measure="values")
    assert not found.met
    assert found.best.score == max(t.score for t in found.trials)
    done = dn.watch(dn.build(analog, x, found.best.recipe), frames, beside=dn.References(measure="values"))
    rows = [kept.row(frame, None) for frame in done]
    score = summary(rows, dials(done.graph), done.measure, 1).agreement["ann"]
    assert score is not None
    assert found.trials[0].hysteresis == 0
    assert found.trials[0].score == score.value


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"space": replace(SPACE, frames=0)}, "limit: 0 given; give 1 frame or more"),
        ({"space": replace(SPACE, levels=())}, "levels: none given"),
        ({"space": replace(SPACE, hysteresis=(3.0,))}, "hysteresis: 3.0 given; give 0 to 2"),
        ({"space": replace(SPACE, at_once=(0,))}, "levels: 0 given; give 1 or more"),
        ({"target": dn.Target("spikes", 3)}, "spikes is of images; give a stream max_drop"),
        ({"frames": []}, "frames: 0 given"),
        ({"frames": [np.zeros((2, 5, 5))]}, r"frame 0: shape \(2, 5, 5\) given, and \(2, 6, 6\) needed"),
    ],
)
def test_what_cannot_be_searched_is_one_sentence(
    analog: AnalogGraph, x: np.ndarray, frames: np.ndarray, options: dict[str, Any], said: str
) -> None:
    given = {"frames": frames, "target": DROP, "space": SPACE, **options}
    with pytest.raises(OutOfRange, match=said):
        dn.tune_stream(analog, x, **given)


def test_a_clip_of_one_class_is_told(analog: AnalogGraph, x: np.ndarray, frames: np.ndarray) -> None:
    still = np.repeat(frames[:1], 3, axis=0)
    space = replace(SPACE, levels=(3,), steps=(1,), hysteresis=(0.0,), at_once=(None,))
    with pytest.warns(UserWarning, match="the ANN says the same of all 3 frames"):
        dn.tune_stream(analog, x, still, DROP, space=space)
    with pytest.raises(OutOfRange, match="values are the same in all 3 frames"):
        dn.tune_stream(analog, x, still, dn.Target("error", 0.1), space=space, measure="values")


# ---------------------------------------------------------------- the command

FEW = ["--try-levels", "3,15", "--try-frame-steps", "1", "--try-hysteresis", "0,1", "--try-at-once", "all,2"]
TUNE = ["tune", *NET, *DATA, "--calibration-images", "20", "--fit-images", "8", "--anyway"]
STREAM = ["--stream", "clip.npy", "--max-drop", "20", *FEW]


@pytest.fixture
def clip(place: Path) -> Path:
    frames = np.random.default_rng(1).integers(0, 256, (7, 6, 6, 3)).astype(np.uint8)
    np.save("clip.npy", frames)
    return place


def test_the_command_finds_what_python_finds_and_writes_it(
    clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run(*TUNE, *STREAM, "--limit", "6", "--out", "tuned", capsys=capsys)
    assert found["frames"] == 6
    assert len(found["trials"]) == 8
    assert sorted(p.name for p in Path("tuned").iterdir()) == ["stream.net", "tuned-stream.json"]
    assert json.loads(Path("tuned/tuned-stream.json").read_text()) == found
    assert recipes.named("tuned/tuned-stream.json") == recipes.parsed(found["recipe"])
    graph = netx.read("tuned/stream.net")
    best = found["best"]
    assert dials(graph).hysteresis == found["dials"]["hysteresis"] == best["hysteresis"]
    assert dials(graph).at_once[1] == (found["dials"]["at_once"] or best["resolution"])
    # the next command follows the whole clip; on the same frames it finds what the search found
    words = shlex.split(found["next"])
    assert words[1:3] == ["stream", "tuned/stream.net"]
    again = run(*words[1:], "--limit", "6", capsys=capsys)
    assert again["agreement"]["ann"]["value"] == best["score"]
    assert again["operations"]["stream"] == best["operations"]
    assert again["ratios"]["ann"] == pytest.approx(best["ratio"])


def test_without_a_folder_the_next_command_says_the_dials(
    clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run(*TUNE, *STREAM, "--limit", "6", "--every", "1", capsys=capsys)
    words = shlex.split(found["next"])
    assert words[-4:] == ["--frames", "clip.npy", "--every", "1"]
    assert _parser().parse_args(words[1:]).verb == "stream"
    again = run(*words[1:], "--limit", "6", "--anyway", capsys=capsys)
    assert again["operations"]["stream"] == found["best"]["operations"]
    assert again["agreement"]["ann"]["value"] == found["best"]["score"]


def test_a_table_shows_the_front_and_the_choice(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = ["tune", *NET, "--fit-images", "8", "--anyway"]
    assert cli.main([*model, *STREAM, "--levels", "7", "--steps", "1", *("--measure", "classes")]) == 1
    assert "--levels: fixes what --try-levels varies; leave one of them out" in capsys.readouterr().err
    tried = ["--levels", "7", "--steps", "1", "--try-hysteresis", "0,1", "--try-at-once", "all"]
    assert cli.main([*model, "--stream", "clip.npy", "--max-drop", "50", *tried]) == 0
    out, err = capsys.readouterr()
    assert "no --data: the network is calibrated and fitted on 7 frames of clip.npy itself" in err
    assert "Pareto front" in out
    assert "of the ANN's" in out
    assert "->" in out
    assert "dnisnm stream --model net.py:net" in out


def test_a_search_goes_on_where_it_stopped(
    clip: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(*TUNE, *STREAM, "--out", "whole", capsys=capsys)
    measured, done = streams._measured, []

    def interrupted(*args: Any) -> StreamTrial:
        if len(done) == 5:
            raise KeyboardInterrupt
        done.append(args)
        return measured(*args)

    monkeypatch.setattr(streams, "_measured", interrupted)
    assert cli.main([*TUNE, *STREAM, "--out", "out"]) == 130
    assert "go on with --resume" in capsys.readouterr().err
    monkeypatch.setattr(streams, "_measured", lambda *args: done.append(args) or measured(*args))
    found = run(*TUNE, *STREAM, "--out", "out", "--resume", capsys=capsys)
    assert len(done) == 8
    assert found["trials"] == whole["trials"]
    assert Path("out/stream.net").read_bytes() == Path("whole/stream.net").read_bytes()


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--stream", "clip.npy", "--max-latency", "9"], "--max-latency: is of images; give --max-drop"),
        ([*STREAM, "--labels"], "--labels: is of images, and --stream measures against the ANN's"),
        ([*STREAM, "--try-hysteresis", "3"], "hysteresis: 3.0 given; give 0 to 2"),
        ([*STREAM, "--limit", "0"], "limit: 0 given; frames are counted from 1"),
        ([*STREAM, "--sensor", "6,6"], "--sensor: belongs to --events; leave it out"),
        (["--max-drop", "1", "--limit", "3"], "--limit: belongs to --stream CLIP; give that, too"),
        (["--stream", "none.npy", "--max-drop", "1"], "none.npy"),
    ],
)
def test_an_option_out_of_place_is_one_sentence(
    clip: Path, capsys: pytest.CaptureFixture[str], argv: list[str], said: str
) -> None:
    assert said in refused(*TUNE, *argv, capsys=capsys)


def test_images_are_still_needed_without_a_stream(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "tune: give images as --data" in refused_last("tune", *NET, "--max-drop", "1", capsys=capsys)
