"""The graph as Lava processes on the CPU simulator, always in a child process with a deadline.

Lava forks one process per Lava process, and hangs for good when one of them raises. So the child leads a
process group of its own, and the whole group is ended, whatever happens: by its parent, or by the child
itself when the parent is gone and the pipe that it holds closes.
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
from collections.abc import Collection, Iterator
from pathlib import Path
from queue import Empty, Queue

import numpy as np

from dnisnm_lava.backends.lava_python import chosen, environment, hand_over
from dnisnm_lava.errors import BackendFailed, BackendMissing, OutOfRange
from dnisnm_lava.inputs import Images
from dnisnm_lava.ir import SNM, MaxPool, ReadOut, SpikingGraph, checked_steps, lead
from dnisnm_lava.quantization import encode_images, largest_spikes
from dnisnm_lava.simulation import Progress, Run, count_spikes

DEADLINE = 600.0  # seconds
PATIENCE = 10  # fifths of a second that an ended child's last line may take
INT32 = 1 << 31


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
    lava_python: another Python to run Lava in (`lava_python.chosen`).
    BackendMissing where Lava is not installed; BackendFailed where the child dies or outlives `deadline`.
    """
    steps = checked_steps(graph.steps if steps is None else steps)
    x, clipped = encode_images(graph, images)
    check_int32(graph)
    names = [p.name for p in graph if isinstance(p, SNM | MaxPool) and (record is True or (record is not False and p.name in record))]
    shortest = steps + max((lead(p) for p in graph), default=0)
    period = shortest if period is None else period
    if period < shortest:
        raise OutOfRange(f"period: {period} steps given; windows of {shortest} steps would overlap, give {shortest} or more")
    other = chosen(lava_python)
    if other is None:
        require_lava()
    with tempfile.TemporaryDirectory(prefix="dnisnm-lava-") as folder:
        job = {"graph": graph, "images": x, "steps": steps, "period": period, "names": names}
        if other is None:
            (Path(folder) / "job.pickle").write_bytes(pickle.dumps(job))
        else:
            hand_over(Path(folder), job)
        found = _own_environment() if other is None else environment(Path(folder))
        python = sys.executable if other is None else other.path
        place = None if other is None else folder  # `-m` looks for modules there first
        _run_child([python, "-m", "dnisnm_lava.backends.lava_child", folder], folder, deadline, progress, found, place)
        with np.load(Path(folder) / "result.npz") as result:
            arrays = {key: result[key] for key in result.files}
    saturations = {p.name: int(arrays[f"saturations:{p.name}"]) for p in graph if isinstance(p, SNM | ReadOut)}
    spikes = {name: arrays[f"spikes:{name}"] for name in names}
    counts = {name: count_spikes(trace) for name, trace in spikes.items()}
    logits, further = graph.outputs({p.name: arrays[f"output:{p.name}"] for p in graph.readouts})
    return Run(logits, spikes, counts, saturations, clipped, further)


def require_lava(lava_python: str | Path | None = None) -> None:
    """BackendMissing, with the remedy, where lava-nc is not installed, or `lava_python` will not do."""
    if chosen(lava_python) is not None:
        return
    if importlib.util.find_spec("lava") is None or importlib.util.find_spec("lava.magma") is None:
        raise BackendMissing(
            "lava-nc is not installed in this Python; pip install 'dnisnm-lava[lava]' (Python 3.10) brings it, or name a Python that "
            "has it with --lava-python or DNISNM_LAVA_PYTHON, which `dnisnm lava-env` makes"
        )


def check_int32(graph: SpikingGraph) -> None:
    """Lava's channels carry int32: OutOfRange, never a wrapped current, where a sum may not fit."""
    if not graph.is_integer:
        return
    sent = largest_spikes(graph)
    for p in graph:
        if isinstance(p, SNM | ReadOut):
            bound = sum(q.bound(sent[q.source]) for q in p.projections)
            if bound >= INT32:
                raise OutOfRange(f"{p.name}: currents may reach {bound}, beyond Lava's int32 channels; use fewer bits or levels")


# ---------------------------------------------------------------- the child, and its end


def _own_environment() -> dict[str, str]:
    """In which this Python finds this package."""
    root = str(Path(__file__).resolve().parents[2])
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))}


def _run_child(
    command: list[str], folder: str, deadline: float, progress: Progress | None, found: dict[str, str], place: str | None
) -> None:
    alone = {**found, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    with open(Path(folder) / "stderr.txt", "wb") as stderr:
        child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, env=alone, cwd=place, start_new_session=True
        )  # fmt: skip
        try:
            _wait(child, deadline, folder, progress)
        finally:
            end_process_group(child)


def _wait(child: subprocess.Popen[bytes], deadline: float, folder: str, progress: Progress | None) -> None:
    """Relay progress lines until the child says `done`; BackendFailed if it says or does anything else."""
    end = time.monotonic() + deadline
    for line in _lines(child, end):
        if line == "done":
            return
        if line == "failed":
            break
        if progress and line.startswith("step "):
            done, of = line.split()[1:]
            progress(int(done), int(of))
    if time.monotonic() >= end:
        raise BackendFailed(
            f"Lava: no result after the deadline of {deadline:g} s, its processes were ended; "
            f"give fewer images or steps, or a longer deadline. Its last words: {_last_words(folder)}"
        )
    raise BackendFailed(f"Lava: the simulator's process failed ({_status(child)}), nothing was kept. Its last words: {_last_words(folder)}")


def _lines(child: subprocess.Popen[bytes], end: float) -> Iterator[str]:
    """Lines of the child's standard output until it closes, the child ends, or time is up."""
    queue: Queue[str | None] = Queue()
    stream = child.stdout
    assert stream is not None

    def read() -> None:
        with contextlib.suppress(ValueError):  # closed by the parent
            for raw in stream:
                queue.put(raw.decode(errors="replace").strip())
        queue.put(None)

    threading.Thread(target=read, daemon=True).start()
    silent = 0
    while time.monotonic() < end:
        try:
            line = queue.get(timeout=min(0.2, max(0.01, end - time.monotonic())))
        except Empty:
            silent += child.poll() is not None
            if silent > PATIENCE:  # what it said last may still be on its way, on a busy machine
                return
            continue
        if line is None:
            return
        yield line


def _status(child: subprocess.Popen[bytes]) -> str:
    with contextlib.suppress(subprocess.TimeoutExpired):
        code = child.wait(timeout=1)
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return "still running"


def _last_words(folder: str) -> str:
    """The first error in the child's standard error (later ones follow from it), else its last line."""
    text = (Path(folder) / "stderr.txt").read_text(errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.split(":")[0].endswith(("Error", "Exception", "Failed", "Missing", "OutOfRange"))]
    return errors[0] if errors else (lines or ["(none)"])[-1]


def end_process_group(child: subprocess.Popen[bytes], grace: float = 2.0) -> None:
    """End every process of the child's group. SIGTERM first: multiprocessing's resource tracker outlives
    it, and unlinks the shared memory of the processes that did not; SIGKILL for what is left."""
    for sign in (signal.SIGTERM, signal.SIGCONT, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, sign)
        if sign is signal.SIGCONT:  # a stopped process meets its SIGTERM now
            _wait_for_group(child, grace)
    child.wait()
    for stream in (child.stdin, child.stdout):
        if stream:
            stream.close()


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
