"""Two runs write the same file or folder: one is refused or one is last, and what is there is whole."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from graphs import IMAGES_AND_NETWORK, small

from dnisnm_lava import cli
from dnisnm_lava.errors import BadFile
from dnisnm_lava.evaluation import blocks
from dnisnm_lava.system.files import SETTLED, held, whole_folder, write_whole
from dnisnm_lava.system.ranks import Group
from exporters import netx
from faults.left import wait_until

ROOT = Path(__file__).resolve().parents[2]


def outcome(write: Callable[[], object]) -> str:
    try:
        write()
    except BadFile as error:
        return str(error)
    return "written"


def blob(writer: int) -> bytes:
    return bytes([writer]) * 300_000


@pytest.mark.parametrize("overwrite", [False, True])
def test_of_many_writers_one_wins_and_the_others_know(tmp_path: Path, overwrite: bool) -> None:
    path = tmp_path / "a"
    with ThreadPoolExecutor(8) as pool:
        told = list(
            pool.map(lambda i: outcome(lambda: write_whole(path, blob(i), overwrite=overwrite)), range(24))
        )
    assert path.read_bytes() in [blob(i) for i in range(24)]
    assert os.listdir(tmp_path) == ["a"]
    assert told.count("written") == (24 if overwrite else 1)
    assert set(told) <= {
        "written",
        f"{path}: exists already; choose another name, or allow it with overwrite=True (--overwrite)",
    }


def test_a_folder_that_another_has_written_meanwhile_stays(tmp_path: Path) -> None:
    def write(second: bool) -> None:
        with whole_folder(tmp_path / "out") as folder:
            write_whole(folder / "a", b"second" if second else b"first")
            if second:
                write(False)

    with pytest.raises(BadFile, match="out: exists already"):
        write(True)
    assert (tmp_path / "out/a").read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["out"]


def test_a_second_run_into_the_same_result_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whether it is to go on, to begin again, or neither; the first goes on undisturbed. When it is killed,
    its parts are nobody's."""
    monkeypatch.chdir(tmp_path)
    waiting = (
        "import glob, os, time\n"  # behind the first part: labels are looked at before
        "        while os.environ.get('WAITS') and glob.glob('a.json.parts/0*'): time.sleep(0.05)\n"
        "        return torch.randn"
    )
    (tmp_path / "images.py").write_text(IMAGES_AND_NETWORK.replace("return torch.randn", waiting))
    netx.write(tmp_path / "a.net", small()[0])
    argv = ["simulate", "a.net", "--data", "images.py:data", "--images", "250", "--anyway", "-o", "a.json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "WAITS": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", "dnisnm_lava", *argv], env=environment, stderr=subprocess.DEVNULL
    ) as first:
        try:
            wait_until(
                lambda: list(tmp_path.glob("a.json.parts/0*")), seconds=120
            )  # most of it is Python's start
            for option in ([], ["--resume"], ["--overwrite"]):
                assert cli.main([*argv, *option]) == 1
                assert (
                    "a.json: another run is writing it, with its parts in a.json.parts; wait for its end, or"
                    in capsys.readouterr().err
                )
            assert first.poll() is None
        finally:
            first.kill()
    assert cli.main([*argv, "--resume"]) == 0
    assert [p.name for p in tmp_path.glob("a.json*")] == ["a.json"]


def test_what_a_killed_writer_left_is_removed_and_what_a_living_one_makes_is_not(tmp_path: Path) -> None:
    dead, alive, other = (
        tmp_path / name for name in (".a.00000000.part", ".a.11111111.part", ".ab.00000000.part")
    )
    for part in (dead, alive, other):
        part.mkdir()
        (part / "network.net").write_bytes(b"half")
        os.utime(part, (time.time() - 2 * SETTLED,) * 2)
    young = tmp_path / ".a.22222222.part"  # about to be held
    young.write_bytes(b"")
    with held(alive) as ours:
        assert ours
        write_whole(tmp_path / "a", b"whole")
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([alive.name, other.name, young.name, "a"])


def test_one_run_keeps_parts_at_a_time(tmp_path: Path) -> None:
    out, alone = tmp_path / "a.json", Group()
    with blocks.keeping(out, "job", alone, resume=False, overwrite=False):
        with (
            pytest.raises(BadFile, match="another run is writing it"),
            blocks.keeping(out, "job", alone, resume=True, overwrite=False),
        ):
            raise AssertionError
        with blocks.keeping(out, "job", Group(1, 1), resume=False, overwrite=False):  # a rank of the same run
            pass
        assert blocks.is_unfinished(out)
    assert list(tmp_path.iterdir()) == []
