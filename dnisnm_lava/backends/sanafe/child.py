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
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from dnisnm_lava.backends.lava_cpu.child import end_with_parent
from dnisnm_lava.backends.sanafe import preset

Say = Callable[[str], None]


def simulate(
    folder: Path,
    say: Say,
    *,
    groups: dict[str, tuple[int, bool]],
    edges: list[tuple[str, str, np.ndarray, np.ndarray, np.ndarray]],
    events: dict[int, list[tuple[str, str, np.ndarray]]],
    steps: int,
) -> dict[str, np.ndarray]:
    """Neurons that fire by themselves. groups: {name: (neurons, whether their potentials are traced rather
    than their spikes)}. edges: (source, target, its neurons, the target's, weights). events: {step: (group,
    attribute, a value for each neuron)}, set before that step, counted from 1. Arrays: `spikes:NAME` (steps,
    neurons) bool, and `potential:NAME` (steps, neurons) float64, behind each step."""
    sanafe, chips = import_module("sanafe"), preset.installed()
    total = sum(count for count, _ in groups.values())
    architecture, chip = preset.chip_of(chips, -(-total // chips.neurons_of_core), 1, folder)
    net, cores, placed = sanafe.Network(), architecture.cores(), 0
    for name, (count, traced) in groups.items():
        kept = {"log_potential": traced, "log_spikes": not traced}
        group = net.create_neuron_group(name, count, soma_hw_name="loihi_lif", **kept)
        for neuron in group:
            neuron.map_to_core(cores[placed // chips.neurons_of_core])
            placed += 1
    for source, target, of, to, weight in edges:
        pairs = list(zip(of.tolist(), to.tolist(), strict=True))
        net[source].connect_neurons_sparse(net[target], {"w": weight.tolist()}, pairs)
    chip.load(net)
    found = {name: np.zeros((steps, count), bool) for name, (count, traced) in groups.items() if not traced}
    traces, ends = [], sorted({*events, steps + 1})
    done = 0
    for end in ends:
        if end - 1 > done:
            run = chip.sim(end - 1 - done, spike_trace=True, potential_trace=True, processing_threads=1)
            for behind, spikes in enumerate(run["spike_trace"]):
                for spike in spikes:
                    found[spike.group_name][done + behind, spike.neuron_offset] = True
            traces.extend(run["potential_trace"])
            done = end - 1
            say(f"step {done} {steps}")
        for name, attribute, values in events.get(end, ()):
            for neuron, value in zip(chip.mapped_neuron_groups[name], values.tolist(), strict=True):
                neuron.set_attributes(model_attributes={attribute: value})
    result = {f"spikes:{name}": spikes for name, spikes in found.items()}
    potentials, at = np.array(traces, np.float64).reshape(steps, -1), 0
    for name in sorted(name for name, (_, traced) in groups.items() if traced):  # as SANA-FE sorts them
        result[f"potential:{name}"] = potentials[:, at : at + groups[name][0]]
        at += groups[name][0]
    return result


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


def replay(folder: Path, say: Say, **wanted: Any) -> dict[str, np.ndarray]:
    """Neurons that fire as they are told: `replaying.replay`."""
    from dnisnm_lava.backends.sanafe import replaying

    chips = preset.installed()
    architecture, chip = preset.chip_of(chips, wanted["cores"], wanted["inputs"], folder)
    costs = replaying.replay(architecture, chip, chips, folder, say, **wanted)
    return {**costs, **_numbers(chips), **_prices(architecture)}


ASKED: dict[str, Callable[..., dict[str, np.ndarray]]] = {
    "simulate": simulate,
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
