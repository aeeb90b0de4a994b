"""Ctrl-C at every stage (some of them in the suite), and the end at any point: one sentence, nothing left,
and --resume gives the same result."""

from __future__ import annotations

import importlib.util
import os
import random
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from graphs import IMAGES_AND_NETWORK, small

from dnisnm_lava import cli
from exporters import netx
from faults.attempts import Attempt, Attempts
from faults.left import MARK, processes, wait_until

EVERYTHING = "FAULTS_ALL" in os.environ  # python -m sim_tests.faults
KEPT = "dnisnm: interrupted; finished parts are kept: go on with --resume"


@pytest.fixture
def attempts(tmp_path: Path, nothing_left: Path) -> Iterator[Attempts]:
    (tmp_path / "images.py").write_text(IMAGES_AND_NETWORK)
    with Attempts(tmp_path) as server:
        yield server


def said(attempt: Attempt) -> list[str]:
    """All but the stages, how long they take, and the alarm that an untrained network is at chance."""
    lines = [line for line in attempt.err.splitlines() if not line.startswith("alarm: ")]
    return [line for line in lines if not line.endswith((" ...", ", at this pace"))]


def results(out: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in (out.iterdir() if out.is_dir() else [out])}


@pytest.mark.campaign
@pytest.mark.skipif(importlib.util.find_spec("lava") is None, reason="lava-nc is not installed")
def test_a_comparison_is_interrupted_at_its_stages(
    attempts: Attempts, tmp_path: Path, nothing_left: Path
) -> None:
    argv = [
        "compare",
        "--model",
        "images.py:net",
        "--data",
        "images.py:data",
        "--images",
        "150",
        "--steps",
        "2",
        "--lava-images",
        "1",
    ]
    argv += ["--calibration-images", "50", "--fit-images", "50", "-o", "out", "--anyway"]
    whole = attempts(argv)
    assert whole.code == 0, whole.err
    expected = results(tmp_path / "out")
    shutil.rmtree(tmp_path / "out")
    assert {
        "trace",
        "calibrate",
        "fit",
        "ANN, float SNN, integer SNN",
        "Lava fixed_pt",
        "Lava floating_pt",
    } <= set(whole.stages)
    for stage in (
        dict.fromkeys(whole.stages) if EVERYTHING else ("fit", "ANN, float SNN, integer SNN", "Lava fixed_pt")
    ):
        for after in (0, 0.5) if stage.startswith("Lava") else (0,):
            found = attempts([*argv, "--resume"], stage=stage, after=after)
            assert (found.code, said(found)) == (130, [KEPT]), (stage, found.err)
            assert found.seconds < 30  # 3 where nobody else computes
            wait_until(lambda: len(list(processes(os.environ[MARK]))) == 1)  # the server's
            assert list(nothing_left.iterdir()) == []
            assert {p.name for p in tmp_path.iterdir() if "out" in p.name} <= {"out.parts"}
    assert attempts([*argv, "--resume"]).code == 0
    assert results(tmp_path / "out") == expected
    assert not (tmp_path / "out.parts").exists()


@pytest.mark.parametrize(
    "sign", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL] if EVERYTHING else [signal.SIGINT, signal.SIGKILL]
)
def test_a_run_that_is_ended_anywhere_goes_on(
    attempts: Attempts, tmp_path: Path, sign: signal.Signals
) -> None:
    """At random calls of functions, by the package or of it: the last few are those that publish the
    result."""
    graph, _ = small()
    netx.write(tmp_path / "a.net", graph)
    argv = ["simulate", "a.net", "--data", "images.py:data", "--images", "250", "--anyway", "-o", "a.json"]
    whole = attempts(argv)
    assert whole.code == 0, whole.err
    expected = results(tmp_path / "a.json")
    (tmp_path / "a.json").unlink()
    rng = random.Random(sign)
    many = 12 if EVERYTHING else 2
    points = [rng.randrange(1, whole.calls) for _ in range(many)] + [
        whole.calls - rng.randrange(120) for _ in range(many)
    ]
    codes = []
    for call in points:
        ended = attempts([*argv, "--resume"], sign, call=call)
        codes.append(ended.code)
        if ended.code == 0:  # gone on with, it has fewer calls
            assert results(tmp_path / "a.json") == expected
            assert not (tmp_path / "a.json.parts").exists()
            (tmp_path / "a.json").unlink()
        elif sign != signal.SIGKILL:
            assert len(said(ended)) <= 1, ended.err  # it guesses, as untrained ones do
            assert not [p.name for p in tmp_path.iterdir() if p.name.endswith(".part")]
    assert -sign in codes or 128 + sign in codes
    end = attempts([*argv, "--resume", "--overwrite"])
    assert end.code == 0, end.err
    assert results(tmp_path / "a.json") == {
        "a.json": expected["a.json"].replace(b"a.json", b"a.json --overwrite")
    }


@pytest.mark.parametrize(
    ("out", "kept"),
    [(["-o", "a.json"], "finished parts are kept: go on with --resume"), ([], "no file is half-written")],
)
def test_sigterm_is_told(
    out: list[str], kept: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kind, _ = cli.VERBS["simulate"]
    killed = kind, lambda *_: os.kill(os.getpid(), signal.SIGTERM)
    monkeypatch.setitem(cli.VERBS, "simulate", killed)
    handler = signal.getsignal(signal.SIGTERM)
    try:
        assert cli.main(["simulate", "a.net", "--data", "d.npz", *out]) == 143
    finally:
        signal.signal(signal.SIGTERM, handler)
    assert capsys.readouterr().err == f"dnisnm: ended by SIGTERM; {kept}\n"
