"""`convert` by several processes, killed, interrupted and gone on with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from graphs import IMAGES_AND_NETWORK
from processes import ranks

from dnisnm_lava import cli
from dnisnm_lava.cli import networks
from dnisnm_lava.stages.fitting import corrections
from exporters import netx

RELU = "torch.nn.ReLU(), "
DYING = """
import os, signal, sys, time
from pathlib import Path
from dnisnm_lava import cli
from dnisnm_lava.stages.fitting import corrections

with_bias, calls = corrections.with_bias, []

def dies(*arguments):
    calls.append(1)
    if len(calls) == 2 and os.environ["RANK"] == os.environ["KILL"]:
        while not list(Path(".").glob("*.parts/*.npz")):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGKILL)
    return with_bias(*arguments)

if "KILL" in os.environ:
    corrections.with_bias = dies
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a network and images."""
    monkeypatch.chdir(tmp_path)
    deeper = IMAGES_AND_NETWORK.replace(RELU, f"{RELU}torch.nn.Conv2d(4, 4, 3, padding=1), {RELU}")
    Path("images.py").write_text(deeper)
    Path("dying.py").write_text(DYING)
    return tmp_path


def arguments(out: str, *more: str) -> list[str]:
    """250 images: five chunks to fit on, three batches to calibrate on. The network is untrained."""
    data = ["--model", "images.py:net", "--data", "images.py:data", "--calibration-images", "250", "--anyway"]
    return ["convert", *data, "--steps", "4", "--levels", "3", "--fit-images", "250", "-o", out, *more]


def test_ranks_write_the_file_of_one_process(place: Path) -> None:
    assert cli.main(arguments("one.net")) == 0
    done = ranks(2, arguments("two.net"))
    assert done.returncode == 0, done.stderr
    assert Path("two.net").read_bytes() == Path("one.net").read_bytes()
    assert done.stdout.count("written to") == 1  # the first rank alone prints
    assert not list(place.glob("*.parts"))


def test_a_rank_that_dies_ends_the_job_and_what_is_done_is_kept(place: Path) -> None:
    assert cli.main(arguments("one.net")) == 0
    done = ranks(2, arguments("two.net"), "dying.py", KILL="1")  # within a deadline: a rank waits for days
    assert done.returncode != 0
    assert "another rank was lost" in done.stderr
    assert "finished parts are kept: go on with --resume" in done.stderr
    assert not list(place.glob("two.net*[!s]"))
    assert [path.suffix for path in (place / "two.net.parts").iterdir()] == [".npz"]
    done = ranks(3, arguments("two.net", "--resume"))
    assert done.returncode == 0, done.stderr
    assert Path("two.net").read_bytes() == Path("one.net").read_bytes()
    assert not list(place.glob("*.parts"))


@pytest.fixture
def fitted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The populations whose biases are moved. Behind STOP, the second of them is interrupted."""
    names: list[str] = []
    with_bias = corrections.with_bias

    def watched(p: Any, *arguments: Any) -> Any:
        names.append(p.name)
        if names[0] == "STOP" and len(names) == 3:
            raise KeyboardInterrupt
        return with_bias(p, *arguments)

    monkeypatch.setattr(corrections, "with_bias", watched)
    return names


def test_an_interrupted_fit_goes_on(
    place: Path, fitted: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments("one.net")) == 0
    whole = list(fitted)
    assert len(whole) > 2
    fitted[:] = ["STOP"]
    assert cli.main(arguments("two.net")) == 130
    assert "go on with --resume" in capsys.readouterr().err
    assert len(list(place.glob("two.net.parts/*"))) == 1
    assert not Path("two.net").exists()
    assert cli.main(arguments("two.net")) == 1
    assert (
        "parts of an unfinished run; go on with --resume, or begin again with --overwrite"
        in capsys.readouterr().err
    )
    fitted.clear()
    assert cli.main(arguments("two.net", "--resume")) == 0
    assert fitted == whole[1:]
    assert Path("two.net").read_bytes() == Path("one.net").read_bytes()
    assert not list(place.glob("*.parts"))


def test_what_was_kept_of_another_job_is_refused(
    place: Path, fitted: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted[:] = ["STOP"]
    assert cli.main(arguments("two.net")) == 130
    fitted.clear()
    for other in (["--fit-images", "249"], ["--levels", "4"], ["--share", "layer"], ["--correct", "bias"]):
        assert cli.main(arguments("two.net", "--resume", *other)) == 1
        assert (
            "of another network, other images, steps or options; give the same command"
            in capsys.readouterr().err
        )
    from dnisnm_lava.evaluation import origin

    monkeypatch.setattr(origin, "versions", lambda *_: {"torch": "another"})
    assert cli.main(arguments("two.net", "--resume")) == 1
    assert "of another network" in capsys.readouterr().err
    (part,) = place.glob("two.net.parts/*")
    part.write_bytes(b"PK")
    assert cli.main(arguments("two.net", "--resume")) == 1
    assert "not a part that this program wrote" in capsys.readouterr().err
    assert cli.main(arguments("two.net", "--overwrite")) == 0
    assert netx.read("two.net").steps == 4


def test_fit_says_how_far_it_is_where_it_takes_long(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(networks, "WORTH_TELLING", 3600.0)
    assert cli.main(arguments("one.net")) == 0
    assert "passes of the ANN" not in capsys.readouterr().err
    monkeypatch.setattr(networks, "WORTH_TELLING", 0.0)
    assert cli.main(arguments("two.net")) == 0
    lines = capsys.readouterr().err.splitlines()
    assert any(line.startswith("1 of 5 passes of the ANN, ") and "done in" in line for line in lines), lines
