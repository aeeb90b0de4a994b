"""What `tune` found: a table and a picture for people, a dictionary for JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Group, OverflowMethod, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from dnisnm_lava.studies.tuning.pareto import KINDS, Trial, lead_told, levels_told
from dnisnm_lava.studies.tuning.tune import Tuning
from dnisnm_lava.views.plots import COLORS, WIDTHS, as_file, legend, name_points, plain_numbers, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

AXES = ("latency", "spikes", "steps")
LEGEND = ("trials", "Pareto front", "chosen", "ANN", "target")


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
    for heading in (tuning.measure.aim, "95 %", "latency", "spikes"):
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
    return as_file(tuning_figure(tuning, title), "png")


def tuning_figure(tuning: Tuning, title: str) -> Figure:
    """Scores against each cost: every trial, the front with its points named, the chosen one. What all panels
    share stands above them, where no line is."""
    from matplotlib.figure import Figure

    with style():
        figure = Figure(figsize=(WIDTHS["page"], 2.7), dpi=300, layout="constrained")
        panels = figure.subplots(1, len(AXES), sharey=True)
        for axes, cost in zip(panels, AXES, strict=True):
            _panel(axes, tuning, cost)
        panels[0].set_ylabel(tuning.measure.aim)
        _fitted(panels[0], tuning)
        legend(figure, title, len(LEGEND))
        for axes, cost in zip(panels, AXES, strict=True):
            name_points(axes, _named(tuning, cost))
    return figure


def _panel(axes: Axes, tuning: Tuning, cost: str) -> None:
    scale = 100 if tuning.measure.is_share else 1
    costs, scores = [getattr(t, cost) for t in tuning.trials], [scale * t.score for t in tuning.trials]
    axes.scatter(costs, scores, s=7, color="0.75", label=LEGEND[0], zorder=1)
    upper = [(c, scale * s) for c, s in _staircase(tuning, cost)]
    axes.step(*zip(*upper, strict=True), "o-", where="post", color=COLORS[0], label=LEGEND[1], zorder=2)
    chosen = getattr(tuning.best, cost), scale * tuning.best.score
    axes.plot(*chosen, "*", color=COLORS[1], markersize=9, label=LEGEND[2], zorder=4)
    ann = scale * (tuning.best.score + tuning.best.drop / 100)
    axes.axhline(ann, color="0.35", linewidth=0.7, linestyle=(0, (4, 2)), label=LEGEND[3], zorder=3)
    if cost == tuning.target.kind:
        limit = tuning.target.limit
        axes.axvline(limit, color=COLORS[1], linewidth=0.8, linestyle=":", label=LEGEND[4], zorder=1)
    if cost == "steps":
        ticks = sorted({t.steps for t in tuning.trials})
        axes.set_xscale("log", base=2)
        axes.set_xticks(ticks, [str(t) for t in ticks])
    else:
        logarithmic = min(costs) > 0 and max(costs) > 10 * min(costs)
        if logarithmic:
            axes.set_xscale("log")
        plain_numbers(axes, logarithmic)
    axes.margins(x=0.1)
    axes.set_xlabel(KINDS[cost])
    axes.grid(alpha=0.3)


def _fitted(axes: Axes, tuning: Tuning) -> None:
    """The scale shows the front, the chosen one and the ANN; trials far below lie outside."""
    scale = 100 if tuning.measure.is_share else 1
    shown = [t.score for t in (*tuning.front, tuning.best)]
    shown += [s for cost in AXES for _, s in _staircase(tuning, cost)]
    shown.append(tuning.best.score + tuning.best.drop / 100)
    margin = 0.12 * (max(shown) - min(shown)) or 0.01
    axes.set_ylim(scale * (min(shown) - margin), scale * (max(shown) + margin))


def names(trials: Sequence[Trial]) -> list[str]:
    """`T1 K31`; `T8 K1 lead 7`; with the rule of the threshold where that tells two apart."""
    told = [_name(t) for t in trials]
    rules = {name: {t.recipe.threshold for t in trials if _name(t) == name} for name in told}
    return [
        f"{name} {t.recipe.threshold}" if len(rules[name]) > 1 else name
        for name, t in zip(told, trials, strict=True)
    ]


def _name(trial: Trial) -> str:
    recipe = trial.recipe
    levels = levels_told(recipe.levels).replace("K = ", "K")
    lead = f" {lead_told(recipe.lead, named=False)}" if recipe.lead else ""
    return f"T{recipe.steps} {levels}{lead}".partition(" (")[0]


def _named(tuning: Tuning, cost: str) -> list[tuple[float, float, str]]:
    """The corners of a panel's front, and the chosen one, each with its place: of several trials there, the
    first."""
    scale = 100 if tuning.measure.is_share else 1
    corners = [
        next(t for t in tuning.trials if (getattr(t, cost), t.score) == corner)
        for corner in _staircase(tuning, cost)
    ]
    places = {(getattr(t, cost), t.score): t for t in (*corners, tuning.best)}
    told = names(list(places.values()))
    return [(at, scale * score, name) for (at, score), name in zip(places, told, strict=True)]


def _staircase(tuning: Tuning, cost: str) -> list[tuple[float, float]]:
    """(cost, score) of the trials that no cheaper one reaches."""
    found: list[tuple[float, float]] = []
    for trial in sorted(tuning.trials, key=lambda t: (getattr(t, cost), -t.score)):
        if not found or trial.score > found[-1][1]:
            found.append((getattr(trial, cost), trial.score))
    return found
