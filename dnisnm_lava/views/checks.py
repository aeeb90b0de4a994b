"""What `check` found: a table for people, a dictionary for JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from dnisnm_lava.ir.weight_use import sentence
from dnisnm_lava.studies.loihi2.cores import Row
from dnisnm_lava.studies.loihi2.limits import CORES_PER_CHIP, WORD_BITS
from dnisnm_lava.studies.loihi2.rules import RULES, Checked, Violation
from dnisnm_lava.studies.loihi2.runtime import Runtime
from dnisnm_lava.views.dials import dials_told
from dnisnm_lava.views.runtime import runtime_table

BASIS = (
    "estimated by a rule that explains published compiler tables (docs/resources.md); not verified on Loihi 2"
)
LIMITS = "rules on widths, time and shapes: by published limits (dnisnm_lava/studies/loihi2/limits.py)"
GUESS = "the price of a max-pool is a guess: no published table has one"
GUESS_OF_CURVES = "curves, whose tables a core keeps beside its neurons, and gates are guesses: none has them"
HEADINGS = ("AxonIn", "Neurons", "state words", "Synapses", "stored", "words", "Cores")


def check_json(found: Checked) -> dict[str, Any]:
    """Every row, delay and violation."""
    rows = [{**asdict(row), "fits": row.fits} for row in found.rows]
    facts = asdict(found)
    dials = facts.pop("stream")
    kept = {} if dials is None else {"stream": {**dials, "state_words": found.state_words}}
    return {
        **facts,
        **kept,
        "rows": rows,
        "chips_needed": found.chips_needed,
        "rules": len(RULES),
        "basis": basis(found),
        "limits": LIMITS,
    }


def check_table(found: Checked, title: str, time: Runtime | None = None, missing: str = "") -> RenderableType:
    """A row for each population, in the compiler's columns; then steps, then the bound on `time`, or why it
    is missing, then what does not hold."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("population", "shape", "on a core"):
        table.add_column(heading, overflow="fold")
    for heading in HEADINGS:
        table.add_column(heading, justify="right")
    for row in found.rows:
        table.add_row(*map(Text, cells(row)))  # names may hold [brackets], which are markup in a plain string
    parts: list[RenderableType] = [table, Text("\n".join([*_lines(found), *filter(None, [missing])]))]
    if time is not None:
        parts.append(runtime_table(time))
    if found.violations:
        parts.append(_violations(found.violations))
    return Panel(Group(*parts), title=Text(title), box=box.ROUNDED, expand=False)


def cells(row: Row) -> tuple[str, ...]:
    """AxonIn, Neurons and words: of a core. state words: of a neuron. Synapses: see cores.Layer; stored:
    weights kept apart."""
    counts = (row.axons, row.neurons_on_core, row.state_words, row.synapses, row.weights, row.words)
    cores = f"{row.cores:,}" if row.fits else "no fit"
    return (row.name, sizes(row.shape), sizes(row.tile), *(f"{count:,}" for count in counts), cores)


def basis(found: Checked) -> str:
    """What the cores rest on."""
    guesses = (
        (GUESS, any(row.kind == "MaxPool" for row in found.rows)),
        (GUESS_OF_CURVES, any(row.table_words for row in found.rows)),
    )
    return "; ".join([BASIS, *(guess for guess, is_there in guesses if is_there)])


def sizes(shape: Iterable[int]) -> str:
    """16x8x8."""
    return "x".join(map(str, shape))


def _lines(found: Checked) -> list[str]:
    unfit = [row.name for row in found.rows if not row.fits]
    without = f" without {', '.join(unfit)}" if unfit else ""
    return [
        f"{found.cores:,} cores{without}, {found.chips_needed} chip(s) of {CORES_PER_CHIP}: {basis(found)}",
        f"period {found.period} steps (windows of {found.shortest_period})"
        + "".join(f"\ndelay of {d.steps} from {d.source} into {d.target}" for d in found.delays),
        *_stream(found),
        _spikes(found),
        LIMITS,
        *filter(None, [sentence(found.few_bits)]),
    ]


def _stream(found: Checked) -> list[str]:
    """What a stream's network keeps."""
    if found.stream is None:
        return []
    return [
        f"a stream's network ({dials_told(found.stream)}): {found.state_words:,} words of state, of "
        f"{WORD_BITS} bits, are kept from frame to frame"
    ]


def _spikes(found: Checked) -> str:
    """Whether a target without graded spikes could run it."""
    images = {row.name for row in found.rows if row.kind == "Input"}
    sent = {name: largest for name, largest in found.largest_spikes.items() if name not in images}
    graded = [name for name, largest in sent.items() if largest > 1]
    if not graded:
        return "spikes are 1 and -1 alone, but for the image"
    return (
        f"graded spikes of up to {max(sent.values()):,}, from {len(graded)} of {len(sent)} "
        f"populations, and the image"
    )


def _violations(violations: Iterable[Violation]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("does not hold", "population"):
        table.add_column(heading, overflow="fold")
    for heading in ("value", "limit"):
        table.add_column(heading, justify="right")
    table.add_column("what now", overflow="fold")
    for v in violations:
        table.add_row(*map(Text, (v.rule, v.population or "all", f"{v.value:,}", f"{v.limit:,}", v.remedy)))
    return table


def broken(found: Checked) -> str:
    """One sentence, or nothing where all rules hold."""
    rules = list(dict.fromkeys(v.rule for v in found.violations))
    return (
        f"{len(rules)} of {len(RULES)} rules do not hold ({'; '.join(rules)}): the table tells where, "
        f"and what now"
        if rules
        else ""
    )
