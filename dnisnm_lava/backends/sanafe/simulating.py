"""Neurons that fire by themselves on SANA-FE's chip, and what is set between steps. For the child alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from dnisnm_lava.backends.sanafe import preset
from dnisnm_lava.backends.sanafe.preset import Preset

Groups = Mapping[str, tuple[int, bool]]  # {name: (neurons, whether their potentials are traced, not spikes)}
Edge = tuple[str, str, np.ndarray, np.ndarray, np.ndarray]  # source, target, their neurons, weights
Event = tuple[str, str, np.ndarray]  # group, attribute, a value for each neuron


def simulate(
    folder: Path,
    say: Callable[[str], None],
    *,
    groups: Groups,
    edges: list[Edge],
    events: Mapping[int, list[Event]],
    steps: int,
) -> dict[str, np.ndarray]:
    """events: {step: what is set before it}, steps counted from 1. Arrays: `spikes:NAME` (steps, neurons)
    bool, and `potential:NAME` (steps, neurons) float64, behind each step."""
    chips, total = preset.installed(), sum(count for count, _ in groups.values())
    architecture, chip = preset.chip_of(chips, -(-total // chips.neurons_of_core), 1, folder)
    chip.load(_network(groups, edges, architecture.cores(), chips))
    found = {name: np.zeros((steps, count), bool) for name, (count, traced) in groups.items() if not traced}
    traces: list[list[float]] = []
    for end in sorted({*events, steps + 1}):
        done = len(traces)
        if end - 1 > done:
            run = chip.sim(end - 1 - done, spike_trace=True, potential_trace=True, processing_threads=1)
            for behind, spikes in enumerate(run["spike_trace"]):
                for spike in spikes:
                    found[spike.group_name][done + behind, spike.neuron_offset] = True
            traces.extend(run["potential_trace"])
            say(f"step {end - 1} {steps}")
        for name, attribute, values in events.get(end, ()):
            for neuron, value in zip(chip.mapped_neuron_groups[name], values.tolist(), strict=True):
                neuron.set_attributes(model_attributes={attribute: value})
    spikes_of = {f"spikes:{name}": spikes for name, spikes in found.items()}
    return {**spikes_of, **_potentials(groups, np.array(traces, np.float64).reshape(steps, -1))}


def _network(groups: Groups, edges: list[Edge], cores: list[Any], chips: Preset) -> Any:
    """Cores are filled one after another: where a neuron lies changes no spike."""
    net, placed = import_module("sanafe").Network(), 0
    for name, (count, traced) in groups.items():
        kept = {"log_potential": traced, "log_spikes": not traced}
        for neuron in net.create_neuron_group(name, count, soma_hw_name="loihi_lif", **kept):
            neuron.map_to_core(cores[placed // chips.neurons_of_core])
            placed += 1
    for source, target, of, to, weight in edges:
        pairs = list(zip(of.tolist(), to.tolist(), strict=True))
        net[source].connect_neurons_sparse(net[target], {"w": weight.tolist()}, pairs)
    return net


def _potentials(groups: Groups, traces: np.ndarray) -> dict[str, np.ndarray]:
    """The potentials (steps, neurons) of the groups that are traced, which SANA-FE sorts by their names."""
    found, at = {}, 0
    for name in sorted(name for name, (_, traced) in groups.items() if traced):
        found[f"potential:{name}"] = traces[:, at : at + groups[name][0]]
        at += groups[name][0]
    return found
