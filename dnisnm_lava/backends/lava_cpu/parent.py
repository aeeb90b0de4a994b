"""The graph as Lava processes on the CPU simulator, always in a child process with a deadline.

Lava forks one process per Lava process, and hangs for good when one of them raises or dies. So the child
leads a process group of its own, and the whole group is ended, whatever happens: by its parent, or by the
child itself when the parent is gone and the pipe that it holds closes. All that the child keeps is called by
the name of its temporary folder, and removed with it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from typing import IO, Any

import numpy as np

from dnisnm_lava.backends.lava_cpu.interpreter import (
    VARIABLE,
    Interpreter,
    chosen,
    environment,
    hand_over,
    not_started,
)
from dnisnm_lava.backends.results import Run, count_spikes
from dnisnm_lava.data.inputs import Images
from dnisnm_lava.errors import BackendFailed, BackendMissing, OutOfRange
from dnisnm_lava.ir import SNM, Gate, MaxPool, ReadOut, SpikingGraph
from dnisnm_lava.ir.integers import check_int32, check_state, encode_images, steps_of
from dnisnm_lava.ir.timing import shortest_period
from dnisnm_lava.system.extras import missing
from dnisnm_lava.system.interrupts import undisturbed
from dnisnm_lava.system.progress import Progress

DEADLINE = 600.0  # seconds
PATIENCE = 10  # fifths of a second that an ended child's last line may take
LONGEST = 400  # bytes of a line that the child says: more is no sentence


@dataclass(frozen=True)
class Lava:
    """How Lava is asked: on how many images (0: not at all), with how many seconds for each run, in which
    other Python (`interpreter`)."""

    images: int = 4
    deadline: float = DEADLINE
    python: str | Path | None = None


LAVA = Lava()


def run(
    graph: SpikingGraph,
    images: Images,
    *,
    steps: int | None = None,
    record: bool | Collection[str] = True,
    period: int | None = None,
    deadline: float = DEADLINE,
    progress: Progress | None = None,
    lava_python: str | Path | None = None,
) -> Run:
    """Simulate `images` (N, *input shape) on Lava: `fixed_pt` for an integer graph, else `floating_pt`.

    All images stream through one runtime, one every `period` steps (default steps + the largest lead).
    record: every spike (True), or those of the named populations. progress(done, of): in time steps.
    lava_python: another Python to run Lava in (`interpreter.chosen`).
    BackendMissing where Lava is not installed; BackendFailed where the child dies or outlives `deadline`.
    """
    steps = steps_of(graph, steps)
    check_state(graph, "Lava")
    x, clipped = encode_images(graph, images)
    check_int32(graph)
    names = [
        p.name
        for p in graph
        if isinstance(p, SNM | Gate | MaxPool)
        and (record is True or (record is not False and p.name in record))
    ]
    shortest = shortest_period(graph, steps)
    period = shortest if period is None else period
    if period < shortest:
        raise OutOfRange(
            f"period: {period} steps given; windows of {shortest} steps would overlap, give {shortest} "
            f"or more"
        )
    other = chosen(lava_python)
    if other is None:
        require_lava()
    job = {"graph": graph, "images": x, "steps": steps, "period": period, "names": names}
    arrays = _in_child(job, other, deadline, progress)
    saturations = {
        p.name: int(arrays[f"saturations:{p.name}"]) for p in graph if isinstance(p, SNM | ReadOut)
    }
    spikes = {name: arrays[f"spikes:{name}"] for name in names}
    counts = {name: count_spikes(trace) for name, trace in spikes.items()}
    logits, further = graph.outputs({p.name: arrays[f"output:{p.name}"] for p in graph.readouts})
    return Run(logits, spikes, counts, saturations, clipped, further, graph.units, graph.functions)


def require_lava(lava_python: str | Path | None = None) -> None:
    """BackendMissing, with the remedy, where lava-nc is not installed, or `lava_python` will not do."""
    if chosen(lava_python) is not None:
        return
    if importlib.util.find_spec("lava") is None or importlib.util.find_spec("lava.magma") is None:
        raise BackendMissing(
            f"{missing('lava-nc', 'lava')}; or name a Python that has it with --lava-python or {VARIABLE}"
        )


# ---------------------------------------------------------------- the child, and its end


def _in_child(
    job: dict[str, Any], other: Interpreter | None, deadline: float, progress: Progress | None
) -> dict[str, np.ndarray]:
    """The arrays that the child, of this Python or another, made of `job`."""
    try:
        with tempfile.TemporaryDirectory(prefix="dnisnm-lava-") as folder:
            if other is None:
                (Path(folder) / "job.pickle").write_bytes(pickle.dumps(job))
            else:
                hand_over(Path(folder), job)
            found = None if other is None else environment(Path(folder))
            python = sys.executable if other is None else other.path
            place = None if other is None else folder  # `-m` looks for modules there first
            run_child(
                [python, "-m", "dnisnm_lava.backends.lava_cpu.child", folder],
                folder,
                deadline,
                progress,
                found,
                place,
            )
            with np.load(Path(folder) / "result.npz") as result:
                return {key: result[key] for key in result.files}
    except OSError as error:
        raise not_started(error) from error


def _own_environment() -> dict[str, str]:
    """In which this Python finds this package."""
    root = str(Path(__file__).resolve().parents[3])
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")])),
    }


def run_child(
    command: list[str],
    folder: str,
    deadline: float,
    progress: Progress | None,
    found: Mapping[str, str] | None = None,
    place: str | None = None,
    who: str = "Lava",
) -> None:
    """Run `command` to its `done`, and end its process group and all that it kept; BackendFailed where it
    fails. found: its environment (default: one in which this Python finds this package). place: where it
    starts. who: whose simulator it runs, for the error."""
    alone = {
        **(found or _own_environment()),
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "PYTHONUNBUFFERED": "1",
    }
    pipe = subprocess.PIPE
    child = subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=pipe, env=alone, cwd=place, start_new_session=True, bufsize=0
    )
    said: Queue[str | None] = Queue()
    words = _Words()
    readers = [_reading(child.stdout, said.put), _reading(child.stderr, words.hear)]
    try:
        failure = _failure(child, said, deadline, progress)
    finally:
        with undisturbed():
            end_process_group(child)
            for reader in readers:
                reader.join(timeout=1)  # its pipe is closed, but for a process that left the group
            remove_shared_memory(folder)
    if failure:
        raise BackendFailed(f"{who}: {failure}. Its last words: {words.last}")


def _failure(
    child: subprocess.Popen[bytes], said: Queue[str | None], deadline: float, progress: Progress | None
) -> str:
    """Relay progress until the child says `done`: nothing; or what it did instead."""
    end = time.monotonic() + deadline
    for line in _heard(child, said, end):
        if line == "done":
            return ""
        if line == "failed":
            break
        if progress and line.startswith("step "):
            done, of = line.split()[1:]
            progress(int(done), int(of))
    if time.monotonic() >= end:
        return (
            f"no result after the deadline of {deadline:g} s, its processes were ended; give fewer "
            f"images or steps, or a longer deadline"
        )
    return f"the simulator's process failed ({_status(child)}), nothing was kept"


def _heard(child: subprocess.Popen[bytes], said: Queue[str | None], end: float) -> Iterator[str]:
    """What the child says until it falls silent for good, ends, or time is up."""
    silent = 0
    while time.monotonic() < end:
        try:
            line = said.get(timeout=min(0.2, max(0.01, end - time.monotonic())))
        except Empty:
            silent += child.poll() is not None
            if silent > PATIENCE:  # what it said last may still be on its way, on a busy machine
                return
            continue
        if line is None:
            return
        yield line


def _reading(stream: IO[bytes] | None, hear: Callable[[str | None], None]) -> threading.Thread:
    """A thread that passes on the lines of `stream`, in pieces where they are longer than LONGEST, and None
    at its end."""
    assert stream is not None

    def read() -> None:
        rest = b""
        with stream:
            while block := os.read(stream.fileno(), 1 << 16):
                *lines, rest = (rest + block).split(b"\n")
                for line in (*lines, rest) if len(rest) > LONGEST else lines:
                    hear(line[:LONGEST].decode(errors="replace").strip())
                rest = b"" if len(rest) > LONGEST else rest
        hear(rest.decode(errors="replace").strip())
        hear(None)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread


class _Words:
    """The line to tell of what the child says on its standard error, however much it is: the first error
    (later ones follow from it), else the last line."""

    def __init__(self) -> None:
        self.last = "(none)"
        self._is_error = False

    def hear(self, line: str | None) -> None:
        if line and not self._is_error:
            self.last = line
            self._is_error = line.split(":")[0].endswith(
                ("Error", "Exception", "Failed", "Missing", "OutOfRange")
            )


def _status(child: subprocess.Popen[bytes]) -> str:
    with contextlib.suppress(subprocess.TimeoutExpired):
        code = child.wait(timeout=1)
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return "still running"


def remove_shared_memory(folder: str) -> None:
    """Remove the shared memory of the run that `folder` was made for: what is left where multiprocessing's
    resource tracker was killed too."""
    for segment in Path("/dev/shm").glob(f"{Path(folder).name}-*"):
        segment.unlink(missing_ok=True)


def end_process_group(child: subprocess.Popen[bytes], grace: float = 2.0) -> None:
    """End every process of the child's group. SIGTERM first: multiprocessing's resource tracker outlives
    it, and unlinks the shared memory of the processes that did not; SIGKILL for what is left."""
    for sign in (signal.SIGTERM, signal.SIGCONT, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, sign)
        if sign is signal.SIGCONT:  # a stopped process meets its SIGTERM now
            _wait_for_group(child, grace)
    child.wait()
    if child.stdin:
        child.stdin.close()


def _wait_for_group(child: subprocess.Popen[bytes], grace: float) -> None:
    end = time.monotonic() + grace
    while time.monotonic() < end:
        child.poll()
        if not _group_lives(child.pid):
            return
        time.sleep(0.02)


def _group_lives(group: int) -> bool:
    """Does a process of the group still run? Zombies, which wait for init to collect them, do not."""
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    states = [_group_and_state(entry) for entry in Path("/proc").glob("[0-9]*/stat")]
    return not states or any(g == group and state not in "ZX" for g, state in states)


def _group_and_state(stat: Path) -> tuple[int, str]:
    """Process group and state of a /proc/PID/stat; (0, "X") where the process is gone."""
    with contextlib.suppress(OSError):
        state, _, group, *_ = stat.read_text().rpartition(")")[2].split()
        return int(group), state
    return 0, "X"
