"""Asks SANA-FE in a child process with a deadline, whose whole process group is ended whatever happens."""

from __future__ import annotations

import importlib.util
import pickle
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from dnisnm_lava.backends.lava_cpu.parent import DEADLINE, run_child
from dnisnm_lava.errors import BackendFailed, BackendMissing
from dnisnm_lava.system.extras import missing
from dnisnm_lava.system.progress import Progress

Arrays = dict[str, np.ndarray]


def require_sanafe() -> None:
    """BackendMissing, with the remedy, where sanafe is not installed."""
    if importlib.util.find_spec("sanafe") is None:
        raise BackendMissing(missing("sanafe", "sanafe"))


def in_child(job: dict[str, Any], *, deadline: float = DEADLINE, progress: Progress | None = None) -> Arrays:
    """The arrays that the child made of `job`, {"ask": a function of `child.ASKED`, its arguments}.
    progress(done, of): in time steps of the chip. BackendMissing where sanafe is not installed; BackendFailed
    where the child fails or outlives `deadline`, in seconds."""
    require_sanafe()
    try:
        with tempfile.TemporaryDirectory(prefix="dnisnm-sanafe-") as folder:
            (Path(folder) / "job.pickle").write_bytes(pickle.dumps(job))
            command = [sys.executable, "-m", "dnisnm_lava.backends.sanafe.child", folder]
            run_child(command, folder, deadline, progress, who="SANA-FE")
            with np.load(Path(folder) / "result.npz") as result:
                return {key: result[key] for key in result.files}
    except OSError as error:
        raise BackendFailed(f"SANA-FE: its process could not be run ({error}); nothing was kept") from error
