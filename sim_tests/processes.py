"""Jobs of several processes, and of threads that stand for them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dnisnm_lava.system.ranks import Group

ROOT = Path(__file__).resolve().parents[1]


def ranks(
    count: int, argv: list[str], script: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """The command line in so many processes, or a script that stands for it."""
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        str(count),
        *([script] if script else ["-m", "dnisnm_lava"]),
        *argv,
    ]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment}
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, start_new_session=True
    )
    try:
        out, err = child.communicate(timeout=240)
    finally:
        if (
            child.poll() is None
        ):  # torchrun's ranks lead sessions of their own: it ends them itself when it is told to end
            child.terminate()
            child.wait(60)
    return subprocess.CompletedProcess(command, child.returncode, out, err)


class Threads(Group):
    """A group whose ranks are threads of this process."""

    def gather(self, value: Any) -> list[Any]:
        PLACE[self.rank] = value
        BARRIER[0].wait(60)
        found = list(PLACE[: self.size])
        BARRIER[0].wait(60)
        return found

    def broadcast(self, value: Any, source: int = 0) -> Any:
        return self.gather(value)[source]


PLACE: list[Any] = [None] * 16
BARRIER = [threading.Barrier(1)]


def in_ranks(size: int, work: Callable[[Group], Any]) -> list[Any]:
    """What each rank finds."""
    BARRIER[0] = threading.Barrier(size)
    found: list[Any] = [None] * size

    def run(rank: int) -> None:
        try:
            found[rank] = work(Threads(rank, size))
        except BaseException as error:
            found[rank] = error
            BARRIER[0].abort()

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for error in found:
        if isinstance(error, BaseException):
            raise error
    return found
