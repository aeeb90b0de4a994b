"""The disk fills while a file is written: told in one sentence; the old file stays, nothing else does, and no
space is lost."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from graphs import IMAGES_AND_NETWORK, small

from dnisnm_lava import cli
from dnisnm_lava.errors import BadFile, OutOfRange
from dnisnm_lava.stages.fitting.spool import Spool, Store
from dnisnm_lava.system.files import whole_folder, write_whole
from exporters import netx

SIZE = 1 << 20  # bytes of the disk
FULL = (
    r"could not be written \(No space left on device\), and nothing was left behind; free space or "
    r"choose another folder$"
)


@pytest.fixture
def disk() -> Iterator[Path]:
    """A file system of SIZE bytes."""
    folder = tempfile.mkdtemp(prefix="d-", dir="/tmp")
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", folder], capture_output=True
    ).returncode:
        os.rmdir(folder)
        pytest.skip("mounting a small file system needs root")
    yield Path(folder)
    subprocess.run(["umount", folder], check=True)
    os.rmdir(folder)


def free(disk: Path) -> int:
    return shutil.disk_usage(disk).free


def leave(disk: Path, count: int) -> None:
    """Fill the disk but for `count` bytes, of whole pages."""
    filler = disk / "filler"
    filler.unlink(missing_ok=True)
    filler.write_bytes(bytes(free(disk) - count))


def contents(disk: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(disk)): p.read_bytes()
        for p in sorted(disk.rglob("*"))
        if p.is_file() and p.name != "filler"
    }


def assert_intact(disk: Path, write: Callable[[], object], match: str) -> None:
    """`write` fails with that sentence, and the disk is as before."""
    before, space = contents(disk), free(disk)
    with pytest.raises(BadFile, match=match):
        write()
    assert contents(disk) == before
    assert not [p for p in disk.rglob("*") if p.is_dir() and not any(p.iterdir())]
    assert free(disk) == space


@pytest.mark.parametrize("pages", [0, 1, 2])
def test_the_old_network_stays(disk: Path, pages: int) -> None:
    graph, _ = small(seed=1)
    path = disk / "a.net"
    netx.write(path, graph)
    leave(disk, pages * 4096)
    other, _ = small(seed=2)
    assert_intact(disk, lambda: netx.write(path, other, overwrite=True), r"a\.net: " + FULL)
    assert netx.read(path) == graph


def write_folder(folder: Path, blobs: dict[str, bytes]) -> None:
    with whole_folder(folder, overwrite=True) as temporary:
        for name, data in blobs.items():
            write_whole(temporary / name, data)


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_of_a_folder_all_files_appear_or_none(disk: Path, failing: int) -> None:
    """As compare, tune, precision and demo write theirs; the first, the second or the third does not fit."""
    blobs = {"network.net": bytes(20_000), "result.json": b"{}" * 8_000, "accuracy.png": bytes(30_000)}
    (disk / "old").mkdir()
    for name in blobs:
        (disk / "old" / name).write_bytes(b"old")
    leave(disk, sum(len(b) for b in list(blobs.values())[:failing]) + 8_192)

    name = list(blobs)[failing]
    for folder in ("new", "below/new", "old"):
        assert_intact(disk, lambda folder=folder: write_folder(disk / folder, blobs), name + ": " + FULL)  # type: ignore[misc]
    (disk / "filler").unlink()
    write_folder(disk / "old", blobs)
    assert (disk / "old" / name).read_bytes() == blobs[name]


def test_on_the_command_line(
    disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A part of an evaluation, its result, a picture: each the last that fits no more. What was finished is
    gone on with."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images.py").write_text(IMAGES_AND_NETWORK)
    graph, _ = small()
    netx.write(tmp_path / "a.net", graph)
    argv = [
        "simulate",
        "a.net",
        "--data",
        "images.py:data",
        "--images",
        "250",
        "--anyway",
        "-o",
        str(disk / "a.json"),
    ]
    assert cli.main(argv) == 0
    whole = contents(disk)
    (disk / "a.json").unlink()
    for pages, kept in ((0, 0), (1, 1), (2, 2), (3, 3)):
        shutil.rmtree(disk / "a.json.parts", ignore_errors=True)
        leave(disk, pages * 4096)
        assert cli.main(argv) == 1
        told = capsys.readouterr().err.splitlines()[-1]
        assert told.startswith(f"dnisnm: {disk}/a.json")
        assert re.search(FULL, told)
        assert len(contents(disk)) == kept
    (disk / "filler").unlink()
    assert cli.main([*argv, "--resume"]) == 0
    assert contents(disk) == whole
    leave(disk, 4096)
    assert cli.main(["inspect", "a.net", "--svg", str(disk / "a.svg")]) == 1
    assert "a.svg: could not be written (No space left on device)" in capsys.readouterr().err
    assert contents(disk) == whole


def test_the_spool_of_fit_tells(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(disk))
    spool = Spool(Store(0), 1)
    spool.append(torch.ones(10, 10))
    with pytest.raises(
        OutOfRange,
        match=r"do not fit the folder for temporary files, .* \(No space left on device\); set TMPDIR",
    ):
        spool.append(torch.ones(SIZE // 4, 2))
    assert torch.equal(spool[0], torch.ones(10, 10))
    spool.close()
    assert free(disk) == SIZE


def test_the_spool_of_fit_tells_where_no_folder_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_found() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found in ['/full']")

    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_get_default_tempdir", none_found)
    monkeypatch.setenv("TMPDIR", "/full")
    with pytest.raises(
        OutOfRange,
        match=r"for temporary files, /full \(No usable temporary directory found in \['/full'\]\); set "
        r"TMPDIR",
    ):
        Spool(Store(0), 1).append(torch.ones(10, 10))


@pytest.mark.parametrize("what", ["fsync", "link", "mkdir", "rename"])
def test_a_full_disk_at_any_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """A call that fails, on machines where no file system can be mounted."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "old").write_bytes(b"old")
    monkeypatch.setattr(Path if what == "mkdir" else os, what, full)
    if what == "link":  # a file system without links: renamed instead
        write_whole(tmp_path / "new", b"new")
        assert contents(tmp_path) == {"new": b"new", "old": b"old"}
        return
    with pytest.raises(BadFile, match=FULL):
        write_whole(tmp_path / "old", b"new", overwrite=True) if what == "fsync" else write_folder(
            tmp_path / "new", {"a": b"new"}
        )
    monkeypatch.undo()
    assert contents(tmp_path) == {"old": b"old"}
    assert os.listdir(tmp_path) == ["old"]
