"""Spikes that are known, sent over SANA-FE's chip one time step at a time, and what they cost there. For the
child alone.

A step on the chip knows nothing of another one but through its neurons, and these fire as they are told. So
each step is a network of its own, with all neurons, and with the synapses of those alone that fire in it: a
network of 40 million synapses never lies in memory at once, and nothing is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from dnisnm_lava.backends.sanafe.preset import Preset
from dnisnm_lava.errors import BackendFailed
from dnisnm_lava.ir import Population, SpikingGraph
from dnisnm_lava.ir.wiring import Wiring, heard, wired

ENERGIES = ("total", "synapse", "dendrite", "soma", "network")


@dataclass(frozen=True)
class _Group:
    """Neurons of a population: their cores and units on the chip. inputs: (neurons,) the input unit of each;
    None for neurons proper. fires: {step of the chip: the neurons that fire in it}."""

    name: str
    cores: np.ndarray
    inputs: np.ndarray | None
    synapse: str
    fires: Mapping[int, np.ndarray]


@dataclass
class _Seen:
    """By step; and over all steps, of cores and of links."""

    steps: dict[str, list[float]] = field(default_factory=dict)
    joules: dict[str, list[float]] = field(default_factory=dict)
    cores: dict[str, np.ndarray] = field(default_factory=dict)
    links: dict[tuple[int, int], int] = field(default_factory=dict)

    def note(self, **values: float) -> None:
        for key, value in values.items():
            self.steps.setdefault(key, []).append(value)

    def add(self, **of_cores: np.ndarray) -> None:
        for key, values in of_cores.items():
            self.cores[key] = self.cores.get(key, 0) + values


def replay(
    architecture: Any,
    chip: Any,
    preset: Preset,
    folder: Path,
    say: Callable[[str], None],
    *,
    graph: SpikingGraph,
    spikes: Mapping[str, np.ndarray],
    placed: Mapping[str, np.ndarray],
    sent: Mapping[str, int],
    period: int,
    steps: int,
) -> dict[str, np.ndarray]:
    """spikes: {population: (N, T, neurons) bool}. placed: {population: (neurons,) core}. sent: {population:
    steps from an image to its first spike}. period: steps from one image to the next; steps: of the chip, in
    all. Arrays by key: of each step; of each core, over all steps, seconds of sending and of receiving,
    messages that come and synapses that they read; of each link (from tile, to tile, messages)."""
    names = {p.name: f"{i:06d}" for i, p in enumerate(graph)}
    groups = {
        p.name: _Group(
            names[p.name],
            placed[p.name],
            _units(placed[p.name]) if i == 0 else None,
            _synapse(p, graph),
            _fires(spikes[p.name], sent[p.name], period) if p.name in spikes else {},
        )
        for i, p in enumerate(graph)
    }
    wires = [(q.source, p.name, wired(q, graph[q.source].shape)) for p in graph for q in heard(p, graph)]
    each = architecture.cores()
    seen = _Seen()
    for step in range(1, steps + 1):
        net, operations = _network(groups, wires, each, step)
        seen.add(operations=operations)
        chip.load(net)
        del net
        trace = folder / "messages.csv"
        run = chip.sim(1, perf_trace=True, message_trace=str(trace), processing_threads=1)
        units = len(groups[graph.input.name].fires.get(step, ()))
        _note(seen, run, units, *_messages(trace), preset, len(each))
        say(f"step {step} {steps}")
    links = np.array([(*pair, n) for pair, n in sorted(seen.links.items())], np.int64).reshape(-1, 3)
    return {
        **{f"step:{key}": np.array(values) for key, values in seen.steps.items()},
        **{f"joules:{kind}": np.array(values) for kind, values in seen.joules.items()},
        **{f"core:{key}": values for key, values in seen.cores.items()},
        "links": links,
        "height": np.array(preset.height),
    }


def _units(cores: np.ndarray) -> np.ndarray:
    """The input unit of each neuron: its rank on its core."""
    units = np.zeros(len(cores), np.int64)
    for core in np.unique(cores):
        here = cores == core
        units[here] = np.arange(here.sum())
    return units


def _synapse(p: Population, graph: SpikingGraph) -> str:
    """The preset's unit that reads the synapses of a population: those of a kernel where it has one."""
    return "loihi_conv_synapse" if any(q.is_conv for q in heard(p, graph)) else "loihi_dense_synapse"


def _fires(spikes: np.ndarray, sent: int, period: int) -> dict[int, np.ndarray]:
    found: dict[int, np.ndarray] = {}
    for image, t in np.argwhere(spikes.any(axis=2)):
        found[int(sent + image * period + t + 1)] = np.flatnonzero(spikes[image, t])
    return found


def _network(
    groups: Mapping[str, _Group], wires: list[tuple[str, str, Wiring]], cores: list[Any], step: int
) -> tuple[Any, np.ndarray]:
    """All neurons, and what leaves those that fire in this step; and on each core the synapses that these
    are read by."""
    net, operations = import_module("sanafe").Network(), np.zeros(len(cores), np.int64)
    for g in groups.values():
        fires = g.fires.get(step, np.zeros(0, np.int64)).tolist()
        if g.inputs is not None:
            group = net.create_neuron_group(g.name, len(g.cores))
            for neuron, unit in zip(group, g.inputs.tolist(), strict=True):
                neuron.set_attributes(soma_hw_name=f"loihi_inputs[{unit}]")
            for i in fires:
                group[i].set_attributes(model_attributes={"spikes": [1]})
        else:
            still = {"threshold": 0, "bias": 0, "force_update": 1}
            hardware = {"soma_hw_name": "loihi_lif", "default_synapse_hw_name": g.synapse}
            group = net.create_neuron_group(g.name, len(g.cores), model_attributes=still, **hardware)
            for i in fires:
                group[i].set_attributes(model_attributes={"bias": 1})
        for neuron, core in zip(group, g.cores.tolist(), strict=True):
            neuron.map_to_core(cores[core])
    for source, target, wiring in wires:
        fires = groups[source].fires.get(step)
        if fires is None:
            continue
        synapses = wiring.of(fires)
        pairs = list(zip(fires[synapses.source].tolist(), synapses.target.tolist(), strict=True))
        to = net[groups[target].name]
        net[groups[source].name].connect_neurons_sparse(to, {"w": [0] * len(pairs)}, pairs)
        operations += np.bincount(groups[target].cores[synapses.target], minlength=len(cores))
    return net, operations


# ---------------------------------------------------------------- what the chip says of a step

Messages = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _messages(trace: Path) -> Messages:
    """The messages of a trace, one after the other: sending core and tile, receiving core and tile, as (tile,
    core of the tile), -1 where none is received; seconds until it is sent, and until it is taken in."""
    source, target, sending, receiving = [], [], [], []
    with trace.open() as lines:
        columns = {name: i for i, name in enumerate(next(lines).strip().split(","))}
        of, to = columns["src_hw"], columns["dest_hw"]
        sends, takes = columns["generation_delay"], columns["processing_delay"]
        for line in lines:
            said = line.split(",")
            source.append(said[of].split("."))
            target.append(said[to].replace("x", "-1").split("."))
            sending.append(float(said[sends]))
            receiving.append(float(said[takes]))
    of_tiles, to_tiles = (np.array(a, np.int64).reshape(-1, 2) for a in (source, target))
    return of_tiles, to_tiles, np.array(sending), np.array(receiving)


def _note(
    seen: _Seen,
    run: Mapping[str, Any],
    units: int,
    source: np.ndarray,
    target: np.ndarray,
    sending: np.ndarray,
    receiving: np.ndarray,
    preset: Preset,
    cores: int,
) -> None:
    """Keep what a step cost. units: input units that fired, which SANA-FE counts as neurons that were
    updated."""
    each = preset.cores_of_tile
    real = target[:, 0] >= 0
    from_core, to_core = source @ (each, 1), target[real] @ (each, 1)
    sends = np.bincount(from_core, sending, cores)
    takes = np.bincount(to_core, receiving[real], cores)
    seen.add(sending=sends, receiving=takes, messages=np.bincount(to_core, minlength=cores))
    links, hops = _links(source[real, 0], target[real, 0], preset.height)
    if hops != run["perf_trace"]["hops"][0] or real.sum() != run["packets_sent"]:
        raise BackendFailed(
            f"SANA-FE: counts {run['packets_sent']} messages of {run['perf_trace']['hops'][0]} hops where "
            f"its trace has {real.sum()} of {hops}; its routes are not those of 2.2, install sanafe 2.2"
        )
    busy = np.maximum(sends, takes)
    pair = max(links, key=lambda at: links[at], default=(0, 0))
    seen.note(
        seconds=run["sim_time"],
        spikes=run["neurons_fired"],
        operations=run["spikes"],
        messages=run["packets_sent"],
        updates=run["neurons_updated"] - units,
        hops=hops,
        core=int(busy.argmax()),
        core_seconds=float(busy.max()),
        link_from=pair[0],
        link_to=pair[1],
        link_messages=links.get(pair, 0),
    )
    for kind in ENERGIES:
        seen.joules.setdefault(kind, []).append(run["energy"][kind])
    for at, n in links.items():
        seen.links[at] = seen.links.get(at, 0) + n


def _links(source: np.ndarray, target: np.ndarray, height: int) -> tuple[dict[tuple[int, int], int], int]:
    """{(tile, next tile): messages}, each going along its row of tiles first, then along its column, as
    SANA-FE routes them; and hops in all. Tiles are numbered down the columns."""
    links: dict[tuple[int, int], int] = {}
    hops = 0
    pairs, counts = np.unique(np.stack([source, target], axis=1), axis=0, return_counts=True)
    for (at, end), n in zip(pairs.tolist(), counts.tolist(), strict=True):
        while at != end:
            (x, y), (to_x, to_y) = divmod(at, height), divmod(end, height)
            after = at + height * (1 if to_x > x else -1) if x != to_x else at + (1 if to_y > y else -1)
            links[at, after] = links.get((at, after), 0) + n
            hops += n
            at = after
    return links, hops
