"""How long a network takes on a chip, at least: a table for people, a dictionary for JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from dnisnm_lava.studies.loihi2.runtime import Relief, Runtime, Term

TOLD = {
    "neuron_update": "updates of neurons",
    "synaptic_operation": "synaptic operations",
    "synapse_read": "words of synapse memory",
    "link_bit": "bits on links",
    "barrier": "steps",
}
MODEL = (
    "a lower bound, by the runtime model of Timcheck, Pierro and Shrestha (arXiv 2601.10035) on this "
    "estimate of cores; never measured"
)


def runtime_json(found: Runtime) -> dict[str, Any]:
    """Every field; seconds."""
    return {
        **asdict(found),
        "frames_a_second": found.frames_a_second,
        "unknown": list(found.rates.unknown),
        "model": MODEL,
    }


def runtime_table(found: Runtime, of: str = "image") -> RenderableType:
    """A row for each term, then what they come to. of: what the spikes are of, image or frame."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(f"time, {_a(of)}")
    for heading in ("all", "the fullest", "rate", "alone"):
        table.add_column(heading, justify="right")
    table.add_column("where", overflow="fold")
    for term in found.terms:
        table.add_row(*map(Text, cells(term, found)))
    return Group(table, Text("\n".join(lines(found, of))))


def cells(term: Term, found: Runtime) -> tuple[str, ...]:
    """What it is; of all cores or links for an image; of the fullest in its fullest step; seconds for one; of
    this term alone; which core or link that is."""
    rate = found.rates.of[term.name]
    each = "unknown" if rate.value is None else f"{seconds(rate.value)} ({rate.status})"
    alone = "" if term.seconds is None else seconds(term.seconds)
    fullest = "" if term.name == "barrier" else f"{term.most:,.0f}"
    return TOLD[term.name], f"{term.total:,.0f}", fullest, each, alone, place_of(term)


def lines(found: Runtime, of: str = "image") -> list[str]:
    """In sentences, on spikes of so many images, or frames behind the first."""
    unknown = [TOLD[name] for name in found.rates.unknown]
    many = _count(found.images, of) + (" behind the first" if of == "frame" else "")
    return [
        f"{found.rates.name}: an answer after {found.steps} steps, {seconds(found.latency)} at least; {of}s "
        f"one behind the other, {_count(found.period, 'step')} apart, {seconds(found.seconds)} each: "
        f"{found.frames_a_second:,.0f} frames a second at most (spikes of {many})",
        f"{TOLD[found.limiting]} decide{relief(found.relief, of)}",
        *(
            [f"rates of {' and '.join(unknown)} are unknown: they are counted, and left out"]
            if unknown
            else []
        ),
        MODEL,
    ]


def relief(found: Relief | None, of: str = "image") -> str:
    """What would help; nothing to say where no core decides."""
    if found is None:
        return ""
    return (
        f"; with {found.population} on {found.cores} cores, twice as many, {seconds(found.seconds)} {_a(of)}"
    )


def place_of(term: Term) -> str:
    """Which core or link is the fullest, and whose."""
    return f"{term.where}, {term.population}" if term.population else term.where


def summary(found: Runtime) -> tuple[str, ...]:
    """For a row of a report: steps, latency, of an image, frames a second; what decides, where, how much all
    and the fullest have of it; an image on twice the cores."""
    fullest = next(t for t in found.terms if t.name == found.limiting)
    return (
        f"{found.steps:,}",
        seconds(found.latency),
        seconds(found.seconds),
        f"{found.frames_a_second:,.0f}",
        TOLD[found.limiting],
        place_of(fullest),
        f"{fullest.total:,.0f}",
        f"{fullest.most:,.0f}",
        "" if found.relief is None else seconds(found.relief.seconds),
    )


def seconds(value: float) -> str:
    """Three digits: 12.3 us."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value / 1e-9:.3g} ns"


def _a(of: str) -> str:
    return f"an {of}" if of == "image" else f"a {of}"


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"
