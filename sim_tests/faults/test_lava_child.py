"""The Lava child dies, stops, raises, starves, floods or does not listen: told in one sentence, in time, and
nothing is left."""

from __future__ import annotations

import importlib.util
import os
import pickle
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dnisnm_lava.backends import batched, lava_cpu
from dnisnm_lava.backends.lava_cpu import interpreter, parent
from dnisnm_lava.backends.results import difference
from dnisnm_lava.errors import BackendFailed
from faults.left import MARK, processes, wait_until
from faults.networks import AtStart, InStep, infected

ROOT = Path(__file__).resolve().parents[2]
LATE = 8.0  # seconds: a deadline that is met by what does not hang
pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("lava") is None, reason="lava-nc is not installed"),
    pytest.mark.usefixtures("nothing_left"),
]
FAILED = r"the simulator's process failed \(%s\), nothing was kept"
RAISED = FAILED % "exit code 1" + r"\. Its last words: RuntimeError: on purpose$"


def endured(graph: Any, x: np.ndarray, deadline: float) -> tuple[str, float]:
    """What the user is told, and after how many seconds."""
    start = time.monotonic()
    with pytest.raises(BackendFailed) as caught:
        lava_cpu.run(graph, x[:1], deadline=deadline)
    told = str(caught.value)
    assert "\n" not in told
    assert len(told) < 700
    return told, time.monotonic() - start


@pytest.mark.parametrize(
    ("where", "fault", "match"),
    [
        (
            InStep,
            "is sent SIGKILL",
            r"Its last words: ChildFailed: one of Lava's processes was ended by SIGKILL$",
        ),
        (
            InStep,
            "is sent SIGSEGV",
            r"Its last words: ChildFailed: one of Lava's processes was ended by SIGSEGV$",
        ),
        (InStep, "leader is sent SIGKILL", FAILED % "signal SIGKILL"),
        pytest.param(InStep, "leader is sent SIGSEGV", FAILED % "signal SIGSEGV", marks=pytest.mark.campaign),
        (AtStart, "is sent SIGKILL", FAILED % "signal SIGKILL" + r"\. Its last words: \(none\)$"),
        (AtStart, "raises", RAISED),
        pytest.param(
            AtStart,
            "raises_in_init",
            r"Its last words: RuntimeError: __init__ fails on purpose$",
            marks=pytest.mark.campaign,
        ),
        (InStep, "raises", RAISED),
        (InStep, "runs_out_of_memory", r"Its last words: .*MemoryError: Unable to allocate 2.00 GiB"),
        # Mostly MemoryError; Python may lack the memory to print its traceback to the end, and a library to
        # say why it ends.
        (AtStart, "starves at 8 MB", FAILED % "(exit code 1|signal SIG[A-Z]+)" + r"\. Its last words: \S.*$"),
        (InStep, "chatters_and_raises", r"Its last words: RuntimeError: on purpose$"),
        pytest.param(
            InStep,
            "raises_after_a_line_without_end",
            r"Its last words: RuntimeError: on purpose$",
            marks=pytest.mark.campaign,
        ),
        (
            AtStart,
            "cannot_write_its_result",
            r"Its last words: OSError: \[Errno 28\] No space left on device$",
        ),
    ],
)
def test_a_fault_is_told_at_once(
    network: tuple[Any, np.ndarray], where: type[InStep], fault: str, match: str
) -> None:
    graph, x = network
    told, seconds = endured(infected(graph, where, fault), x, deadline=120)
    assert re.search(match, told), told
    assert seconds < 60  # most of it is Lava's start


@pytest.mark.parametrize(
    ("where", "fault"),
    [
        (InStep, "sleeps"),
        (InStep, "is_deaf"),
        (InStep, "is sent SIGSTOP"),
        (InStep, "leader is sent SIGSTOP"),
    ],
)
def test_what_hangs_is_ended_at_the_deadline(
    network: tuple[Any, np.ndarray], where: type[InStep], fault: str
) -> None:
    graph, x = network
    told, seconds = endured(infected(graph, where, fault), x, deadline=LATE)
    assert told.startswith(
        "Lava: no result after the deadline of 8 s, its processes were ended; give fewer images or "
        "steps, or a longer"
    )
    assert LATE <= seconds < LATE + 10


@pytest.mark.parametrize("fault", ["starves at 48 MB", "starves at 200 MB"])
def test_a_lack_of_memory_that_no_exception_tells_is_ended_too(
    network: tuple[Any, np.ndarray], fault: str
) -> None:
    """Libraries, and Lava where it can start no thread, may wait for good, or fail: that is for them to
    choose."""
    graph, x = network
    told, seconds = endured(infected(graph, AtStart, fault), x, deadline=LATE)
    assert "no result after the deadline of 8 s" in told or "failed" in told
    assert seconds < LATE + 10


def test_noise_does_not_matter(network: tuple[Any, np.ndarray]) -> None:
    """Megabytes in each step."""
    graph, x = network
    run = lava_cpu.run(infected(graph, InStep, "chatters"), x[:1], steps=2, deadline=120)
    assert difference("batched", batched.run(graph, x[:1], steps=2, record=True), "Lava", run).different == 0


def test_all_that_a_run_keeps_has_its_name(network: tuple[Any, np.ndarray], nothing_left: Path) -> None:
    """So that it can be removed, whatever was killed."""
    graph, x = network
    seen: list[list[str]] = []

    def look(_: int, __: int) -> None:
        folder = next(nothing_left.iterdir())  # the only one
        seen.append(
            [
                *(f.name for f in folder.iterdir()),
                *(s for s in os.listdir("/dev/shm") if s.startswith(f"{folder.name}-")),
            ]
        )

    lava_cpu.run(graph, x[:1], deadline=120, progress=look)
    assert any(name.startswith("listener-") for name in seen[0])
    assert sum(name.startswith("dnisnm-lava-") for name in seen[0]) > 10


def test_a_full_dev_shm_is_told(network: tuple[Any, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    private = [
        "unshare",
        "--mount",
        "sh",
        "-c",
        'mount -t tmpfs -o size=16k tmpfs /dev/shm && exec "$@"',
        "sh",
    ]
    if subprocess.run([*private, "true"], capture_output=True).returncode:
        pytest.skip("a private /dev/shm needs root")
    run_child = parent.run_child
    monkeypatch.setattr(parent, "run_child", lambda command, *rest: run_child([*private, *command], *rest))
    graph, x = network
    told, seconds = endured(graph, x, deadline=120)
    assert "SIGBUS" in told or "No space left" in told, told
    assert seconds < 60


def test_a_full_folder_for_temporary_files_is_told(
    network: tuple[Any, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    graph, x = network
    told, _ = endured(graph, x, deadline=120)
    assert told.startswith(
        "Lava: its process could not be started, or the folder for temporary files not be used (No space "
        "left on device)"
    )


@pytest.mark.parametrize("other", [None, sys.executable])
def test_no_folder_for_temporary_files_at_all_is_told(
    network: tuple[Any, np.ndarray], other: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each that Python knows of is full, or may not be written."""

    def none_found() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found in ['/full']")

    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_get_default_tempdir", none_found)
    monkeypatch.setenv("TMPDIR", "/full")
    interpreter._checked.cache_clear()
    graph, x = network
    told = (
        r"not be used \(No usable temporary directory found in \['/full'\]\); free space in /full, or "
        r"set TMPDIR to another$"
    )
    with pytest.raises(BackendFailed, match=told):
        lava_cpu.run(graph, x[:1], lava_python=other)


PARENT = """
import pickle, signal, sys
from dnisnm_lava.backends import lava_cpu
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored by what a shell runs in the background
graph, x = pickle.loads(sys.stdin.buffer.read())
lava_cpu.run(graph, x, deadline=300)
"""


@pytest.mark.parametrize(
    ("sign", "fault"),
    [
        (signal.SIGKILL, "sleeps"),
        (signal.SIGTERM, "sleeps"),
        (signal.SIGINT, "sleeps"),
        (signal.SIGKILL, "is_deaf"),
        (signal.SIGKILL, "is sent SIGSTOP"),
    ],
)
def test_the_simulation_ends_with_its_parent(
    network: tuple[Any, np.ndarray], sign: signal.Signals, fault: str
) -> None:
    graph, x = network
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], cwd=ROOT, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as parent:
        assert parent.stdin is not None
        parent.stdin.write(pickle.dumps((infected(graph, InStep, fault), x[:1])))
        parent.stdin.close()
        wait_until(lambda: len(list(processes(os.environ[MARK]))) > 12)  # Lava's own processes run
        time.sleep(0.3)
        parent.send_signal(sign)
        parent.wait(timeout=30)
    wait_until(lambda: not list(processes(os.environ[MARK])), seconds=15)
