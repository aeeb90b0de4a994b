"""What `check` found: a table for people, a dictionary for JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from dnisnm_lava.ir.weight_use import sentence
from dnisnm_lava.studies.loihi2.cores import Row
from dnisnm_lava.studies.loihi2.limits import LARGEST, LOIHI2, Limits
from dnisnm_lava.studies.loihi2.rules import Checked, Use, Violation
from dnisnm_lava.studies.loihi2.runtime import Runtime
from dnisnm_lava.views.dials import dials_told
from dnisnm_lava.views.runtime import runtime_table

if TYPE_CHECKING:
    from dnisnm_lava.studies.loihi2.suggestions import Suggestion

BASIS = (
    "estimated by a rule that explains published compiler tables (docs/resources.md); not verified on Loihi 2"
)
ELSEWHERE = (
    "estimated by the rule that explains tables of Loihi 2's compiler (docs/resources.md), with the limits "
    "of {name}; not verified on it"
)
LIMITS = "rules on widths, time and shapes: by published limits (dnisnm_lava/studies/loihi2/loihi2.toml)"
GUESS = "the price of a max-pool is a guess: no published table has one"
GUESS_OF_CURVES = "curves, whose tables a core keeps beside its neurons, and gates are guesses: none has them"
HEADINGS = ("AxonIn", "Neurons", "state words", "Synapses", "stored", "words", "full", "Cores")
LEGEND = (
    "on a core: the part of the shape that a core holds; AxonIn, Neurons, words: input axons, neurons and "
    "words of synapse memory of the fullest core; state words: of one neuron; Synapses: of the population; "
    "stored: weights kept apart; full: how much of a core is taken of what it has least left of (S: memory "
    "of synapses, N: of neurons, A: input axons)"
)


def check_json(found: Checked) -> dict[str, Any]:
    """Every row, delay, use of a limit and violation."""
    facts = asdict(found)
    dials = facts.pop("stream")
    kept = {} if dials is None else {"stream": {**dials, "state_words": found.state_words}}
    return {
        **facts,
        **kept,
        "uses": [{**asdict(use), "share": use.share} for use in found.uses],
        "chips_needed": found.chips_needed,
        "rules": len(found.uses),
        "fits": found.fits,
        "verdict": verdict(found),
        "memory_bytes": found.memory,
        "basis": basis(found),
        "limits": limits_told(found.target),
    }


def verdict(found: Checked) -> str:
    """`FITS Loihi 2: 17 of 128 cores (13 %), 14 of 14 rules; 196 kB of weights and state`."""
    cores = found.chips * found.target.cores
    unfit = sum(not row.fits for row in found.rows)
    told = [
        f"{found.cores:,} of {cores:,} cores ({found.cores / cores:.0%})".replace("%", " %"),
        *([f"{unfit} of {len(found.rows)} populations fit no core"] if unfit else []),
        f"{found.rules_held} of {len(found.uses)} rules",
    ]
    memory = f"{found.memory / 1e3:,.0f} kB of weights and state{' beside them' if unfit else ''}"
    return f"{'FITS' if found.fits else 'DOES NOT FIT'} {found.target.name}: {', '.join(told)}; {memory}"


def check_table(
    found: Checked,
    title: str,
    time: Runtime | None = None,
    missing: str = "",
    tried: Sequence[Suggestion] = (),
) -> RenderableType:
    """The verdict; a row for each population, in the compiler's columns; how much of each limit is taken;
    then steps, then the bound on `time`, or why it is missing, then what does not hold, and what was tried
    instead."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in ("population", "shape", "on a core"):
        table.add_column(heading, overflow="fold")
    for heading in HEADINGS:
        table.add_column(heading, justify="right")
    for row in found.rows:
        # names may hold [brackets], which are markup in a plain string
        table.add_row(*map(Text, cells(row, found.target)))
    parts: list[RenderableType] = [
        Text(verdict(found), style="bold green" if found.fits else "bold red"),
        table,
        Text(LEGEND, style="dim"),
        _uses(found.uses),
        Text("\n".join([*_lines(found), *filter(None, [missing])])),
    ]
    if time is not None:
        parts.append(runtime_table(time, "image" if found.stream is None else "frame"))
    if found.violations:
        parts.append(_violations(found.violations))
    if tried:
        parts.append(_suggestions(tried))
    return Panel(Group(*parts), title=Text(title), box=box.ROUNDED, expand=False)


def cells(row: Row, target: Limits = LOIHI2) -> tuple[str, ...]:
    """AxonIn, Neurons and words: of a core. state words: of a neuron. Synapses: see cores.Layer; stored:
    weights kept apart. full: of a core, what it has least left of."""
    counts = (row.axons, row.neurons_on_core, row.state_words, row.synapses, row.weights, row.words)
    cores = f"{row.cores:,}" if row.fits else "no fit"
    told = (f"{count:,}" for count in counts)
    return (row.name, sizes(row.shape), sizes(row.tile), *told, _fullest(row, target), cores)


def _fullest(row: Row, target: Limits) -> str:
    """`87 % N`: words of neurons' memory, or neurons where a core may hold only so many."""
    shares = {
        "S": row.words / target.synapse_words,
        "N": max(row.kept / target.state_words, row.neurons_on_core / (target.neurons or LARGEST)),
        "A": row.axons / (target.input_axons or LARGEST),
    }
    what = max(shares, key=lambda name: shares[name])
    return f"{100 * shares[what]:,.0f} % {what}"


def _uses(uses: Iterable[Use]) -> Table:
    """How much of each limit is taken, where most of it is."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("rule")
    for heading in ("most", "limit", "taken"):
        table.add_column(heading, justify="right")
    table.add_column("where", overflow="fold")
    for use in uses:
        cells = (f"{use.value:,}", f"{use.limit:,}", f"{100 * use.share:,.0f} %")
        style = "red" if use.value > use.limit else ""
        table.add_row(*map(Text, (use.rule, *cells, use.population or "all")), style=style)
    return table


def suggestion_told(s: Suggestion) -> str:
    """`--granularity channel --weight-bits 6: 12 cores, -0.1 points (95 %, paired: -0.4 to +0.2)`."""
    low, high = s.interval
    unit, digits, scale = ("points", 1, 100) if s.is_share else ("of R2", 4, 1)
    change, low, high = (scale * value for value in (s.change, low, high))
    rules = "" if s.broken == 0 else f", {s.broken} rule{'s' * (s.broken > 1)} broken"
    return (
        f"{s.options}: {s.cores:,} cores{rules}, {change:+.{digits}f} {unit} "
        f"(95 %, paired: {low:+.{digits}f} to {high:+.{digits}f})"
    )


def _suggestions(tried: Sequence[Suggestion]) -> RenderableType:
    first = tried[0]
    against = "labels" if first.labels else "the ANN's answers"
    better = [s for s in tried if s.is_worth_it]
    head = (
        f"tried, made anew with other options, each against this network on the same {first.images:,} "
        f"images ({against}):"
    )
    lines = [suggestion_told(s) for s in better] or [f"none of {len(tried)} takes fewer cores"]
    left = len(tried) - len(better)
    rest = [f"{left} more took no fewer cores than one that lost no more"] if better and left else []
    return Text("\n".join([head, *(f"  {line}" for line in (*lines, *rest))]))


def basis(found: Checked) -> str:
    """What the cores rest on."""
    guesses = (
        (GUESS, any(row.kind == "MaxPool" for row in found.rows)),
        (GUESS_OF_CURVES, any(row.table_words for row in found.rows)),
    )
    own = BASIS if found.target == LOIHI2 else ELSEWHERE.format(name=found.target.name)
    return "; ".join([own, *(guess for guess, is_there in guesses if is_there)])


def limits_told(target: Limits) -> str:
    return LIMITS if target == LOIHI2 else f"rules on widths, time and shapes: by the limits of {target.name}"


def sizes(shape: Iterable[int]) -> str:
    """16x8x8."""
    return "x".join(map(str, shape))


def _lines(found: Checked) -> list[str]:
    unfit = [row.name for row in found.rows if not row.fits]
    without = f" without {', '.join(unfit)}" if unfit else ""
    chips = f"{found.chips_needed} chip(s) of {found.target.cores}"
    return [
        f"{found.cores:,} cores{without}, {chips}: {basis(found)}",
        f"period {found.period} steps (windows of {found.shortest_period})"
        + "".join(f"\ndelay of {d.steps} from {d.source} into {d.target}" for d in found.delays),
        *_stream(found),
        _spikes(found),
        limits_told(found.target),
        *filter(None, [sentence(found.few_bits), cautions_told(found.cautions)]),
    ]


def cautions_told(cautions: Sequence[Violation]) -> str:
    """Where Lava's own processes would go wrong, and what now."""
    where = ", ".join(dict.fromkeys(v.population for v in cautions))
    most = max((v.value for v in cautions), default=0)
    return (
        f"in Lava, not on a chip: {cautions[0].rule}, at most {cautions[0].limit}; {where}: up to {most:,}. "
        f"Use {cautions[0].remedy}"
        if cautions
        else ""
    )


def _stream(found: Checked) -> list[str]:
    """What a stream's network keeps."""
    if found.stream is None:
        return []
    return [
        f"a stream's network ({dials_told(found.stream)}): {found.state_words:,} words of state, of "
        f"{found.target.word_bits} bits, are kept from frame to frame"
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
        f"{len(rules)} of {len(found.uses)} rules do not hold ({'; '.join(rules)}): the table tells where, "
        f"and what now"
        if rules
        else ""
    )
