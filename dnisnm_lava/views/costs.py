"""What a network costs: tables for people, a dictionary for JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from dnisnm_lava.studies.costs.energy import Costs
from dnisnm_lava.studies.loihi2.runtime import Runtime
from dnisnm_lava.views.runtime import runtime_table

ESTIMATED = "Energies are estimated by the rules of dnisnm_lava/studies/costs/prices.py, never measured."


def costs_json(found: Costs, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Every field, and the totals; energies in pJ an image."""
    result: dict[str, Any] = {**asdict(found), "energies": ESTIMATED, "provenance": dict(provenance)}
    result["quantized"]["snn"] = found.quantized.snn
    result["chip"]["total"] = found.chip.total
    return result


def costs_table(found: Costs, title: str, time: Runtime | None = None) -> RenderableType:
    """The views, one below the other, then one row a population, then the bound on time."""
    views = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    views.add_column("an image")
    views.add_column("", justify="right")
    for name, value in _views(found):
        views.add_row(name, value)
    parts: list[RenderableType] = [views, _populations(found), Text(ESTIMATED)]
    if time is not None:
        parts.append(runtime_table(time))
    return Panel(Group(*parts), title=Text(title), box=box.ROUNDED, expand=False)


def _views(found: Costs) -> Iterator[tuple[str, str]]:
    paper, quantized, chip, bench = found.paper, found.quantized, found.chip, found.neurobench
    yield "the paper: ANN, float operations at 4.6 pJ", joules(paper.energy_ann)
    for reading, energy in paper.energy_snn.items():
        yield f"the paper: SNN, spikes {reading}", f"{joules(energy)}, {100 * paper.drop[reading]:+.1f} %"
    bits = sorted(set(quantized.activation_bits.values()))
    shown = f"{quantized.weight_bits}-bit weights, {'/'.join(map(str, bits))}-bit activations"
    yield f"arithmetic: ANN, {shown}", joules(quantized.ann)
    yield "arithmetic: the same, zeros skipped", joules(quantized.ann_skipping)
    yield "arithmetic: SNN, and the image's part", f"{joules(quantized.snn)}, {joules(quantized.snn_image)}"
    yield "spikes a neuron and step", f"{quantized.spike_rate:.4f}"
    yield "... at which the SNN costs what the ANN does", _rate(quantized.break_even)
    yield "... with zeros skipped", _rate(quantized.break_even_skipping)
    yield "a chip like Loihi: all", joules(chip.total)
    yield "  synaptic operations", joules(chip.synaptic_operations + chip.multiplications)
    yield "  updates of neurons", joules(chip.updates_active + chip.updates_inactive)
    if chip.functions:
        yield "  curves and gates", joules(chip.functions)
    yield "  messages", joules(chip.messages)
    yield "NeuroBench: footprint, bytes", f"{bench.footprint:,}"
    yield "NeuroBench: connection_sparsity", f"{bench.connection_sparsity:.4f}"
    yield "NeuroBench: activation_sparsity", f"{bench.activation_sparsity:.4f}"
    for name, operations in asdict(bench.synaptic_operations).items():
        yield f"NeuroBench: synaptic_operations, {name}", f"{operations:,.0f}"
    yield "NeuroBench: membrane_updates", f"{bench.membrane_updates:,.0f}"
    yield "in the fewest bits, with the state, bytes", f"{sum(found.packed_bytes.values()):,.0f}"


def _populations(found: Costs) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("population", overflow="fold")
    for heading in ("neurons", "spikes", "ACs", "MACs", "arithmetic", "chip"):
        table.add_column(heading, justify="right", no_wrap=True, min_width=len(heading))
    for p in found.populations:
        counts = (f"{value:,.0f}" for value in (p.neurons, p.spikes, p.ACs, p.MACs))
        table.add_row(p.name, *counts, joules(p.quantized), joules(p.chip))
    return table


def _rate(rate: float) -> str:
    return f"{rate:.4f}" if rate >= 0 else "none: the image alone costs more"


def joules(picojoules: float) -> str:
    """Three digits: 12.3 nJ."""
    for unit, size in (("mJ", 1e9), ("uJ", 1e6), ("nJ", 1e3)):
        if picojoules >= size:
            return f"{picojoules / size:.3g} {unit}"
    return f"{picojoules:.3g} pJ"
