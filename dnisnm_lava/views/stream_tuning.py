"""What `tune --stream` found: a table for people, a dictionary for JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from dnisnm_lava.studies.tuning.pareto import levels_told
from dnisnm_lava.studies.tuning.streams import StreamTrial, StreamTuning

LINES = (
    "operations: of a frame on average, the first frame, which sends all, in it: synapses that spikes and "
    "changes of the image go to",
    "of the ANN's: these by the ANN's multiplications",
)


def stream_tuning_json(found: StreamTuning, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe, which `--recipe` takes, the dials, every trial, and the numbers of those on the front."""
    return {
        "recipe": asdict(found.best.recipe),
        "dials": dials_json(found.best),
        "target": {**asdict(found.target), "of": limit_told(found)},
        "met": found.met,
        "measure": found.measure.facts,
        "frames": found.frames,
        "multiplications": found.multiplications,
        "best": _trial_json(found.best),
        "trials": [_trial_json(t) for t in found.trials],
        "front": [found.trials.index(t) for t in found.front],
        "provenance": dict(provenance),
    }


def dials_json(trial: StreamTrial) -> dict[str, Any]:
    """By the names of `stream`'s options; at_once None: all."""
    return {"frame_steps": trial.steps, "hysteresis": trial.hysteresis, "at_once": trial.at_once}


def _trial_json(trial: StreamTrial) -> dict[str, Any]:
    return {**asdict(trial), "interval": list(trial.interval)}


def limit_told(found: StreamTuning) -> str:
    """The target, in words."""
    if found.target.kind == "error":
        return f"RMSE at most {found.target.limit:g} of the standard deviation"
    return f"at most {found.target.limit:g} points below the best agreement"


def stream_tuning_table(found: StreamTuning, title: str) -> RenderableType:
    """The Pareto front with the chosen dials marked, and what they are worth."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="Pareto front", title_justify="left")
    table.add_column("")
    for heading in ("R", "T", "K", "at once", "h", found.measure.name, "95 %", "operations", "of the ANN's"):
        table.add_column(heading, justify="right", overflow="fold" if heading == "K" else "ellipsis")
    for trial in found.front:
        table.add_row("->" if trial == found.best else "", *_row(found, trial))
    missed = "" if found.met else f"Not met: {limit_told(found)}. What comes nearest is marked.\n"
    lines = Text(f"{missed}{_end(found)}\n" + "\n".join([*LINES, str(found.measure)]))
    named = Text(f"{title}: {limit_told(found)}")
    return Panel(Group(table, lines), title=named, box=box.ROUNDED, expand=False)


def _row(found: StreamTuning, trial: StreamTrial) -> list[str]:
    return [
        str(trial.resolution),
        str(trial.steps),
        levels_told(trial.recipe.levels).removeprefix("K = "),
        "all" if trial.at_once is None else str(trial.at_once),
        f"{trial.hysteresis:g}",
        found.measure.shown(trial.score, 1),
        " to ".join(found.measure.shown(score, 1) for score in trial.interval),
        f"{trial.operations:,.0f}",
        f"{trial.ratio:.3f}",
    ]


def _end(found: StreamTuning) -> str:
    best, many = found.best, len(found.trials)
    error = "" if found.measure.is_share else f", RMSE {best.error:.3g} of the standard deviation"
    saturated = f"; saturations {best.saturations:,}" if best.saturations else ""
    return (
        f"Chosen of {many:,} on {found.frames:,} frame{'s' * (found.frames != 1)}: "
        f"{found.measure.shown(best.score, 1)} {found.measure.unit}{error}, {best.ratio:.3f} of the ANN's "
        f"operations{saturated}; intervals take frames for independent."
    )
