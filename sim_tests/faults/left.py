"""What a run leaves behind: processes, shared memory, semaphores, files, and of this process descriptors and
threads."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

MARK = "DNISNM_FAULTS"  # a variable of the environment that all descendants inherit


@dataclass(frozen=True)
class Left:
    """processes: marked ones. segments, semaphores: that nobody alive maps. files: in the folder for
    temporary files."""

    processes: tuple[str, ...]
    segments: tuple[str, ...]
    semaphores: tuple[str, ...]
    files: tuple[str, ...]
    descriptors: int
    threads: int


def left(mark: str, folder: Path) -> Left:
    return Left(
        tuple(processes(mark)),
        tuple(orphans("dnisnm-lava-")),
        tuple(orphans("sem.")),
        tuple(sorted(p.name for p in folder.iterdir())),
        len(os.listdir("/proc/self/fd")),
        threading.active_count(),
    )


def processes(mark: str) -> Iterator[str]:
    """Command lines of the living processes that inherited `mark`."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            alive = (entry / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
            if alive and f"{MARK}={mark}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                yield (entry / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue  # it has ended meanwhile


def orphans(prefix: str) -> list[str]:
    """Shared memory of that name that no living process maps: other runs on this machine keep theirs."""
    found = {name for name in os.listdir("/dev/shm") if name.startswith(prefix)}
    for entry in Path("/proc").glob("[0-9]*/maps") if found else ():
        try:
            maps = entry.read_text()
        except OSError:
            continue
        found -= {name for name in found if f"/dev/shm/{name}" in maps}
    return sorted(found)


def wait_until(true: Callable[[], object], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def beyond(before: Left, now: Left) -> Left:
    """What is there now and was not before: other runs on this machine may have left something that is gone
    meanwhile."""
    names = ("processes", "segments", "semaphores", "files")
    more = {name: tuple(n for n in getattr(now, name) if n not in getattr(before, name)) for name in names}
    return Left(
        **more, descriptors=now.descriptors - before.descriptors, threads=now.threads - before.threads
    )


def assert_nothing_new(before: Left, mark: str, folder: Path, seconds: float = 10) -> None:
    """Within some seconds, in which what was told to end does."""
    nothing = beyond(before, before)
    end = time.monotonic() + seconds
    while (more := beyond(before, left(mark, folder))) != nothing and time.monotonic() < end:
        time.sleep(0.1)
    assert more == nothing
