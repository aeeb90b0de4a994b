"""What `tune` found: a table and a picture for people, a dictionary for JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Group, OverflowMethod, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from dnisnm_lava.studies.tuning.pareto import KINDS, Trial, lead_told, levels_told
from dnisnm_lava.studies.tuning.tune import Tuning
from dnisnm_lava.views.png import png

if TYPE_CHECKING:
    from matplotlib.figure import Figure

AXES = ("latency", "spikes", "steps")


def tuning_json(tuning: Tuning, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Every trial in its order, the numbers of those on the front, and the recipe, which `--recipe` takes."""
    return {
        "recipe": asdict(tuning.recipe),
        "target": asdict(tuning.target),
        "met": tuning.met,
        "scores": tuning.wanted,
        "measure": tuning.measure.facts,
        "images": dict(tuning.images),
        "best": asdict(tuning.best),
        "confirmed": asdict(tuning.confirmed),
        "story": list(tuning.story),
        "intervals": {"best": list(tuning.best.interval), "confirmed": list(tuning.confirmed.interval)},
        "trials": [{**asdict(t), "interval": list(t.interval)} for t in tuning.trials],
        "pruned": [asdict(p) for p in tuning.pruned],
        "front": [tuning.trials.index(t) for t in tuning.front],
        "alarms": [asdict(alarm) for alarm in tuning.alarms],
        "provenance": dict(provenance),
    }


def _span(tuning: Tuning, trial: Trial) -> str:
    return " to ".join(tuning.measure.shown(score, 1) for score in trial.interval)


def tuning_table(tuning: Tuning, title: str) -> RenderableType:
    """The story, the Pareto front with the chosen recipe marked, and what it is worth on images of its
    own."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="Pareto front", title_justify="left")
    for heading in ("", "T", "K", "down", "lead", "threshold", "correct", "rounding"):
        overflow: OverflowMethod = (
            "fold" if heading in ("K", "threshold", "correct", "rounding") else "ellipsis"
        )
        table.add_column(heading, justify="right" if heading in "TK" else "left", overflow=overflow)
    for heading in (tuning.measure.name, "95 %", "latency", "spikes"):
        table.add_column(heading, justify="right")
    for trial in tuning.front:
        table.add_row("->" if trial == tuning.best else "", *_row(tuning, trial))
    n, measure = tuning.images, tuning.measure
    below = (
        f"{tuning.confirmed.drop:.1f} points below the ANN"
        if measure.is_share
        else f"RMSE {tuning.confirmed.error:.3g} of their deviation"
    )
    end = (
        f"The chosen recipe, fitted on {n['fit']:,} images: {measure.shown(tuning.confirmed.score, 1)} "
        f"{measure.unit} "
        f"(95 %: {_span(tuning, tuning.confirmed)}) on {n['confirm']:,} images that the search did not "
        f"see, {below}. "
        f"The front: fitted on {n['search']:,}, measured on {n['choose']:,}.\n{measure}"
    )
    pruned = len(tuning.pruned)
    if pruned:
        fitted = sum(p.images > 0 for p in tuning.pruned)
        end += (
            f"\n{pruned} of {pruned + len(tuning.trials)} trials could not win: {pruned - fitted} by their "
            f"latency, never fitted; {fitted} on some of the images (the story tells why)."
        )
    missed = [] if tuning.met else [f"Not met: {tuning.target}. The recipe that comes nearest is marked."]
    lines = [*(f"{i}. {sentence}" for i, sentence in enumerate(tuning.story, 1)), *missed]
    parts: list[RenderableType] = [Text("\n".join(lines)), "", table, Text(end)]
    return Panel(Group(*parts), title=Text(f"{title}: {tuning.target}"), box=box.ROUNDED, expand=False)


def _row(tuning: Tuning, trial: Trial) -> list[str]:
    recipe = trial.recipe
    cells = [
        str(recipe.steps),
        levels_told(recipe.levels).removeprefix("K = "),
        f"{recipe.down:g}",
        lead_told(recipe.lead, named=False).removeprefix("lead "),
        recipe.threshold,
        ",".join(recipe.correct) or "none",
        recipe.rounding,
    ]
    return [
        *cells,
        tuning.measure.shown(trial.score, 1),
        _span(tuning, trial),
        f"{trial.latency:,}",
        f"{trial.spikes:,.0f}",
    ]


def tuning_picture(tuning: Tuning, title: str) -> bytes:
    """`tuning_figure` as a PNG."""
    return png(tuning_figure(tuning, title))


def tuning_figure(tuning: Tuning, title: str) -> Figure:
    """Scores against each cost: every trial, the front, the chosen one."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.5, 3.8), dpi=150, layout="constrained")
    scale = 100 if tuning.measure.is_share else 1
    scores = [scale * t.score for t in tuning.trials]
    for axes, cost in zip(figure.subplots(1, len(AXES), sharey=True), AXES, strict=True):
        axes.scatter([getattr(t, cost) for t in tuning.trials], scores, s=14, color="0.7", label="trials")
        upper = _staircase(tuning, cost)
        axes.step(
            [c for c, _ in upper],
            [scale * s for _, s in upper],
            "o-",
            where="post",
            color="C0",
            markersize=4,
            label="Pareto front",
        )
        axes.plot(
            getattr(tuning.best, cost),
            scale * tuning.best.score,
            "*",
            color="C3",
            markersize=13,
            label="chosen",
        )
        axes.axhline(
            scale * (tuning.best.score + tuning.best.drop / 100), color="0.4", linewidth=1, label="ANN"
        )
        if cost == tuning.target.kind:
            axes.axvline(tuning.target.limit, color="C3", linewidth=1, linestyle=":", label="target")
        if cost == "steps":
            ticks = sorted({t.steps for t in tuning.trials})
            axes.set_xscale("log", base=2)
            axes.set_xticks(ticks, [str(t) for t in ticks])
        else:
            axes.locator_params(axis="x", nbins=4, integer=True, min_n_ticks=1)
            axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.set_xlabel(KINDS[cost])
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel(tuning.measure.name)
    shown = next(
        (axes for axes, cost in zip(figure.axes, AXES, strict=True) if cost == tuning.target.kind),
        figure.axes[0],
    )
    shown.legend(fontsize=8, loc="lower right")
    figure.suptitle(title, fontsize=10)
    return figure


def _staircase(tuning: Tuning, cost: str) -> list[tuple[float, float]]:
    """(cost, score) of the trials that no cheaper one reaches."""
    found: list[tuple[float, float]] = []
    for trial in sorted(tuning.trials, key=lambda t: (getattr(t, cost), -t.score)):
        if not found or trial.score > found[-1][1]:
            found.append((getattr(trial, cost), trial.score))
    return found
