"""Jobs of several processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

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
