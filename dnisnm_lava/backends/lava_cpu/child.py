"""The process that runs Lava: `python -m dnisnm_lava.backends.lava_cpu.child FOLDER`, for lava_cpu alone.

Reads FOLDER/job.pickle, which its parent wrote, or the files of `interpreter.hand_over` where that is another
Python; writes FOLDER/result.npz; prints `step N of`, then `done` or `failed`. The parent ends the process
group: Lava's own processes may never end by themselves.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import secrets
import shutil
import signal
import sys
import threading
import time
import traceback
from multiprocessing import connection, shared_memory
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np


def build(graph: Any, images: np.ndarray, steps: int, period: int) -> dict[str, Any]:
    """{population: Lava process}, wired, behind a source of the images."""
    from dnisnm_lava.procs.source.process import Source
    from dnisnm_lava.procs.wiring import wired

    source = Source(images=images, steps=steps, period=period, carry=graph.carry)
    return {
        graph.input.name: source,
        **wired(graph, source.s_out, steps=steps, period=period).populations,
    }


def simulate(
    graph: Any, images: np.ndarray, steps: int, period: int, names: list[str]
) -> dict[str, np.ndarray]:
    """Arrays by key: `output:NAME`, `spikes:NAME`, `saturations:NAME`."""
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg
    from lava.proc.io.extractor import Extractor, PyLoihiExtractorModel

    from dnisnm_lava.ir import SNM, ReadOut, lead
    from dnisnm_lava.ir.timing import longest_way

    process = build(graph, images, steps, period)
    offset = graph.window_starts()
    recorded = [*names, *(p.name for p in graph.readouts)]
    extractors = {name: Extractor(shape=graph[name].shape, buffer_size=period + 1) for name in recorded}
    for name, extractor in extractors.items():
        process[name].s_out.connect(extractor.in_port)
    first = {name: offset[name] + lead(graph[name]) for name in recorded}
    last = (len(images) - 1) * period + steps + longest_way(graph)
    dtype = np.int32 if graph.is_integer else np.float64
    traces = {name: np.zeros((len(images), steps, *graph[name].shape), dtype) for name in recorded}

    config = Loihi2SimCfg(
        select_tag="fixed_pt" if graph.is_integer else "floating_pt",
        exception_proc_model_map={Extractor: PyLoihiExtractorModel},
    )
    top, done = process[graph.readout.name], 0
    while done < last:
        count = min(period, last - done)
        if done == 0:  # channels of 2 slots instead of 64: shared memory of a tenth, no slower
            top.create_runtime(run_cfg=config, compile_config={"pypy_channel_size": 2})
        top.run(condition=RunSteps(num_steps=count), run_cfg=config)
        for name, extractor in extractors.items():
            for step in range(done, done + count):
                values = extractor.receive()
                sample, local = divmod(step - first[name], period)
                if 0 <= sample < len(images) and local < steps:
                    traces[name][sample, local] = values
        done += count
        print("step", done, last)
    result = {f"spikes:{name}": traces[name] for name in names}
    for p in graph.readouts:
        result[f"output:{p.name}"] = traces[p.name].astype(np.int64 if graph.is_integer else np.float64)
    for p in graph:
        if isinstance(p, SNM | ReadOut):
            result[f"saturations:{p.name}"] = np.array(process[p.name].saturations.get()[0], np.int64)
    return result


def tell_of_exceptions() -> None:
    """Print the traceback of every Lava process that fails: Lava keeps it to itself, and may hang."""
    run = multiprocessing.Process.run

    def telling(self: multiprocessing.Process) -> None:
        try:
            run(self)
        except Exception:
            traceback.print_exc()
            raise

    multiprocessing.Process.run = telling  # type: ignore[assignment, method-assign]


def keep_all_in(folder: Path) -> None:
    """multiprocessing's sockets in `folder`, and its shared memory under that name: the parent removes
    them."""
    multiprocessing.current_process()._config["tempdir"] = str(folder)  # type: ignore[attr-defined]
    shared_memory._make_filename = lambda: f"/{folder.name}-{secrets.token_hex(4)}"  # type: ignore[attr-defined]


def look_once_for_models() -> None:
    """Lava looks for the models of each process anew, and executes every file beside it each time; processes
    of one class have the same."""
    from lava.magma.compiler.compiler_graphs import ProcGroupDiGraphs

    find = ProcGroupDiGraphs._find_proc_models
    found: dict[type, list[Any]] = {}

    def once(proc: Any) -> list[Any]:
        if type(proc) not in found:
            found[type(proc)] = find(proc)
        return list(found[type(proc)])

    ProcGroupDiGraphs._find_proc_models = staticmethod(once)


Started = list[tuple[int, int]]  # process, and a descriptor that can be read once it has ended


def list_processes() -> Started:
    """Those that Lava starts from now on."""
    started: Started = []
    start = BaseProcess.start

    def listing(self: BaseProcess) -> None:
        start(self)
        assert self.pid is not None
        started.append((self.pid, os.dup(self.sentinel)))

    BaseProcess.start = listing  # type: ignore[method-assign]
    return started


PATIENCE = 1.0  # seconds: where one of Lava's processes raises, others may end before it has said why


def fail_with(started: Started) -> None:
    """Fail as soon as one of Lava's processes ends: none does before the run is over, and Lava would wait for
    it for good."""
    while True:
        ended = connection.wait([sentinel for _, sentinel in started], timeout=0.1)
        words = [_last_words(process) for process, sentinel in started if sentinel in ended]
        if words:
            time.sleep(0 if any(words) else PATIENCE)
            print(
                f"ChildFailed: one of Lava's processes {max(words) or 'has ended before the run was over'}",
                file=sys.stderr,
                flush=True,
            )
            print("failed", flush=True)
            os._exit(1)


def _last_words(process: int) -> str:
    """The words for a process that a signal has ended; none for another, or where Lava has collected it."""
    with contextlib.suppress(ChildProcessError):  # Lava has collected it
        state = os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)
        if state is not None and state.si_code != os.CLD_EXITED:
            return f"was ended by {signal.Signals(state.si_status).name}"
    return ""


def end_with_parent(folder: Path, started: Started) -> None:
    """Wait for the end of standard input, whose other end the parent alone holds; then end the group. SIGKILL
    for Lava's processes, whatever they ignore; SIGTERM spares multiprocessing's resource tracker alone, which
    then unlinks the shared memory."""
    os.read(0, 1)
    shutil.rmtree(folder, ignore_errors=True)
    lava = [process for process, _ in started]
    started.clear()  # they end on purpose now
    for process in lava:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    os.killpg(0, signal.SIGTERM)


def job(folder: Path) -> dict[str, Any]:
    """The arguments of `simulate`."""
    if (folder / "job.pickle").exists():
        return dict(pickle.loads((folder / "job.pickle").read_bytes()))
    from dnisnm_lava.backends.lava_cpu import interpreter

    return interpreter.received(folder)


def main(folder: Path) -> None:
    tell_of_exceptions()
    keep_all_in(folder)
    started = list_processes()
    for watch in (lambda: end_with_parent(folder, started), lambda: fail_with(started)):
        threading.Thread(target=watch, daemon=True).start()
    said, code = "failed", 1
    try:
        wanted = job(folder)
        look_once_for_models()
        np.savez(folder / "result.npz", **simulate(**wanted))
        said, code = "done", 0
    except BaseException:
        traceback.print_exc()
    print(said, flush=True)
    os._exit(code)  # Lava's threads and children may keep an interpreter from ending; the parent ends them


if __name__ == "__main__":
    main(Path(sys.argv[1]))
