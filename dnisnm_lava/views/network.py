"""What a netx file holds, for people and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from dnisnm_lava.ir import SNM, Gate, Input, ReadOut, SpikingGraph, sources
from dnisnm_lava.ir.fixedpoint import STATE
from dnisnm_lava.ir.integers import signed_bits, state_ranges
from dnisnm_lava.ir.timing import latency
from dnisnm_lava.ir.weight_use import used

if TYPE_CHECKING:
    pass
from dnisnm_lava.studies.streams.dials import dials
from dnisnm_lava.views import curves
from dnisnm_lava.views.comparison import short
from dnisnm_lava.views.dials import dials_told


def network_json(graph: SpikingGraph) -> dict[str, Any]:
    """An integer graph in figures: one entry a population, with its thresholds, payloads, ranges and bits.
    depth: steps in Lava before its window begins. weight_bits, exponents, weight_rms (of codes), weight_zeros
    (share of codes), effective_bits: by projection. weight_bits, state_bits and the input's `bits` have a
    sign, payload_bits none."""
    ranges = {r.name: r for r in state_ranges(graph)}
    offsets = graph.window_starts()
    populations = []
    for p in graph:
        entry: dict[str, Any] = {
            "name": p.name,
            "kind": type(p).__name__,
            "shape": list(p.shape),
            "inputs": list(sources(p)),
        }
        entry["neurons"], entry["depth"] = int(np.prod(p.shape)), offsets[p.name]
        if isinstance(p, Input):
            entry["bits"], entry["image_shape"] = p.bits, list(p.image_shape)
        if isinstance(p, SNM | ReadOut):
            entry["weights"] = sum(q.weight.size for q in p.projections)
            entry["weight_bits"] = [signed_bits(q.weight) for q in p.projections]
            uses = [used(p.name, q) for q in p.projections]
            entry["exponents"] = [use.exponent for use in uses]
            entry["weight_rms"], entry["weight_zeros"] = (
                [use.rms for use in uses],
                [use.zeros for use in uses],
            )
            entry["effective_bits"] = [use.bits for use in uses]
            entry["largest_current"], entry["expected_state"] = (
                ranges[p.name].current,
                ranges[p.name].expected,
            )
            entry["state_bits"] = signed_bits(np.array(entry["expected_state"]))
        if isinstance(p, SNM | Gate):
            alive = p.vth[p.vth > 0]
            entry["payload_bits"] = int(p.payload.max(initial=0)).bit_length()
            entry["vth"] = [int(alive.min()), int(alive.max())] if alive.size else [0, 0]
            entry["payload"] = (
                [int(p.payload[p.vth > 0].min()), int(p.payload.max())] if alive.size else [0, 0]
            )
            entry.update(
                levels=p.levels,
                lead=p.lead,
                two_sided=p.two_sided,
                dead_neurons=p.vth.size - alive.size,
            )
        if isinstance(p, SNM):
            entry["down"] = p.down
            if p.curve is not None:
                entry["curve"] = {**curves.facts(p.curve), "told": curves.told(p.curve)}
        populations.append(entry)
    return {
        "steps": graph.steps,
        **({"stream": asdict(dials(graph))} if graph.carry else {}),
        "latency": max(latency(graph, p.name, graph.steps) for p in graph.readouts),
        "neurons": sum(p.vth.size for p in graph if isinstance(p, SNM | Gate)),
        "dead_neurons": sum(graph.dead_neurons.values()),
        "weights": sum(entry.get("weights", 0) for entry in populations),
        "state_limit": next(iter(ranges.values())).limit,
        "digest": graph.digest(),
        "populations": populations,
    }


def network_table(graph: SpikingGraph, title: str) -> RenderableType:
    """`network_json` for people. Readable from 100 columns on."""
    facts = network_json(graph)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("population", overflow="fold")
    table.add_column("kind", min_width=len(ReadOut.__name__))
    table.add_column("shape", no_wrap=True)
    for heading in ("depth", "K", "lead", "weights", "bits", "used", "vth", "dead"):
        table.add_column(heading, justify="right", no_wrap=True)
    for entry in facts["populations"]:
        table.add_row(*(Text(cell) for cell in _network_row(entry)))
    lines = Text(
        f"{facts['neurons']:,} spiking neurons, {facts['dead_neurons']:,} of them dead; "
        f"{facts['weights']:,} weights\n"
        f"{stream_told(graph)}"
        f"T = {facts['steps']:,} steps; the read-outs are done {facts['latency']:,} steps after an image "
        f"arrives\n"
        "depth: steps before a window begins; K: levels of a spike; lead: steps before a neuron may fire\n"
        f"{_lower_thresholds(facts['populations'])}"
        f"{_curves(facts['populations'])}"
        f"bits: of weights / payloads / potentials, these of {STATE.bits}, as calibration saw them\n"
        "used: bits that the weights of each projection really use, log2(1 + sqrt(12) rms)\n"
        "vth: thresholds, least and largest, in integer units; dead: neurons with threshold 0, never "
        "active in calibration\n"
        f"digest {facts['digest']}"
    )
    return Panel(Group(table, lines), title=Text(title), box=box.ROUNDED, expand=False)


def stream_told(graph: SpikingGraph) -> str:
    """A line where the network is a stream's."""
    if not graph.carry:
        return ""
    told = dials_told(dials(graph))
    return f"a stream's network, whose state is kept from frame to frame (dnisnm stream): {told}\n"


def _lower_thresholds(populations: Sequence[Mapping[str, Any]]) -> str:
    """A line where a level is taken back elsewhere than at the threshold below 0."""
    shares = Counter(
        entry["down"] for entry in populations if entry.get("down", 1) != 1 and "curve" not in entry
    )
    told = ", ".join(
        f"{share:g} of the threshold in {count:,} populations" for share, count in sorted(shares.items())
    )
    return f"lower threshold, where a level is taken back: {told}\n" if told else ""


def _curves(populations: Sequence[Mapping[str, Any]]) -> str:
    """A line where neurons send a curve of their running sum, with all that have the same."""
    told: dict[str, list[str]] = {}
    for entry in populations:
        if "curve" in entry:
            told.setdefault(entry["curve"]["told"], []).append(entry["name"])
    return "".join(f"curve of {', '.join(names)}: {curve}\n" for curve, names in told.items())


def _network_row(entry: Mapping[str, Any]) -> list[str]:
    kind = f"{entry['kind']}, two-sided" if entry.get("two_sided") else entry["kind"]
    if "curve" in entry:
        kind = f"{entry['kind']}, {entry['curve']['name']}"
    row = [entry["name"], kind, "x".join(map(str, entry["shape"])), str(entry["depth"])]
    weights = [
        short(entry.get("weights", 0)),
        _bits(entry),
        ",".join(f"{b:.1f}" for b in entry.get("effective_bits", ())),
    ]
    if "vth" not in entry:
        return [*row, "", "", *weights, "", ""]
    span = "-".join(map(short, entry["vth"]))
    if entry["kind"] == Gate.__name__ or "curve" in entry:  # of a level, not of a potential
        span = f"2**{'-'.join(str(max(0, n.bit_length() - 1)) for n in dict.fromkeys(entry['vth']))}"
    return [*row, str(entry["levels"]), str(entry["lead"]), *weights, span, short(entry["dead_neurons"])]


def _bits(entry: Mapping[str, Any]) -> str:
    """8/5/22 for neurons, 8/-/19 for a read-out, -/8/- for the image; 8,4/5/22 where projections differ;
    nothing for a max-pool."""
    weights = ",".join(map(str, dict.fromkeys(entry.get("weight_bits", ()))))
    bits = [weights, str(entry.get("payload_bits", entry.get("bits", ""))), str(entry.get("state_bits", ""))]
    return "/".join(b or "-" for b in bits) if any(bits) else ""
