"""Functions of a test file, each in a process group of its own with a deadline: Lava hangs for good where one
of its processes fails."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dnisnm_lava.backends.lava_cpu.parent import end_process_group

ROOT = Path(__file__).resolve().parents[1]


def in_child(file: str, what: str, folder: Path, seconds: float) -> Any:
    """What the function `what` of `file`, which calls `main` at its end, returns as JSON. It is called in
    `folder`."""
    environment = {
        **os.environ,
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "sim_tests")]),
    }
    out = folder / f"{what}.json"
    with open(folder / f"{what}.txt", "wb") as log:
        child = subprocess.Popen(
            [sys.executable, file, what, str(out)],
            env=environment,
            cwd=folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(timeout=seconds)
        finally:
            end_process_group(child)
    assert out.exists(), (folder / f"{what}.txt").read_text()[-3000:]
    return json.loads(out.read_text())


def main(*functions: Callable[[], Any]) -> None:
    """In the child: call one of the functions by its name, and leave what it returns for the parent."""
    what, out = sys.argv[1], Path(sys.argv[2])
    result = {f.__name__: f for f in functions}[what]()
    temporary = out.with_suffix(".part")
    temporary.write_text(json.dumps(result))
    os.replace(temporary, out)
    sys.stdout.flush()
    os._exit(0)  # Lava's threads and children may keep an interpreter from ending
