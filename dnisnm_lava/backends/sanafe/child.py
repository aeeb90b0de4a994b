"""The process that runs SANA-FE: `python -m dnisnm_lava.backends.sanafe.child FOLDER`, for `parent` alone.

Reads FOLDER/job.pickle, which its parent wrote; writes FOLDER/result.npz; says `step N of`, then `done` or
`failed`. What SANA-FE prints is not read.
"""

from __future__ import annotations

import os
import pickle
import sys
import threading
import traceback
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from dnisnm_lava.backends.lava_cpu.child import end_with_parent
from dnisnm_lava.backends.sanafe import preset, replaying, simulating

Say = Callable[[str], None]


def read(folder: Path, say: Say) -> dict[str, np.ndarray]:
    """The preset's numbers and prices."""
    chips = preset.installed()
    architecture, _ = preset.chip_of(chips, 1, 1, folder)
    return {**_numbers(chips), **_prices(architecture)}


def _numbers(chips: preset.Preset) -> dict[str, np.ndarray]:
    return {
        "cores": np.array(chips.cores),
        "tiles": np.array(chips.tiles),
        "neurons_of_core": np.array(chips.neurons_of_core),
        "version": np.array(version("sanafe")),
    }


def _prices(architecture: Any) -> dict[str, np.ndarray]:
    return {f"price:{key}": np.array(value) for key, value in preset.prices(architecture).items()}


def replay(folder: Path, say: Say, *, cores: int, inputs: int, **wanted: Any) -> dict[str, np.ndarray]:
    """Neurons that fire as they are told: `replaying.replay`, on a chip of `cores` cores of `inputs` input
    units."""
    chips = preset.installed()
    architecture, chip = preset.chip_of(chips, cores, inputs, folder)
    costs = replaying.replay(architecture, chip, chips, folder, say, **wanted)
    return {**costs, **_numbers(chips), **_prices(architecture)}


ASKED: dict[str, Callable[..., dict[str, np.ndarray]]] = {
    "simulate": simulating.simulate,
    "read": read,
    "replay": replay,
}


def own_line() -> Say:
    """Where the parent hears us: standard output, which is closed to all others."""
    line = os.fdopen(os.dup(1), "w", buffering=1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    return lambda said: print(said, file=line, flush=True)


def main(folder: Path) -> None:
    say = own_line()
    threading.Thread(target=lambda: end_with_parent(folder, []), daemon=True).start()
    said, code = "failed", 1
    try:
        job = pickle.loads((folder / "job.pickle").read_bytes())
        np.savez(folder / "result.npz", **ASKED[job.pop("ask")](folder, say, **job))
        said, code = "done", 0
    except BaseException:
        traceback.print_exc()
    say(said)
    os._exit(code)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
