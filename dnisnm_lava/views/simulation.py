"""What one executor said of test images, for people and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from dnisnm_lava.evaluation.tallies import Tally, branch, number, scores
from dnisnm_lava.measures import Measure

if TYPE_CHECKING:
    from dnisnm_lava.evaluation.exits import Exits
from dnisnm_lava.views.comparison import at_steps


def simulation_json(
    summed: Tally, measure: Measure, backend: str, steps: int, exits: Exits | None
) -> dict[str, Any]:
    """The result of `simulate`: accuracies as shares of 1, by step as strings; of values, R2 and RMSE
    instead."""
    images = number(summed, "images")
    saturations = branch(summed, "saturations")
    found = scores(summed, measure, "labels")
    result: dict[str, Any] = {
        "measure": measure.facts,
        "accuracy": at_steps(found) if measure.is_share else {},
        "images": images,
        "steps": steps,
        "backend": backend,
        "spike_counts": summed["spikes"],
        "saturations": sum(number(saturations, name) for name in saturations),
        "clipped_inputs": summed["clipped_inputs"],
    }
    if not measure.is_share:
        result |= {"r2": at_steps(found), "rmse": at_steps(found, "rmse")}
    if exits is not None:
        early = measure.score(branch(summed, "early", "counts"), branch(summed, "labels", "spread"), images)
        result["early_exit"] = {
            "confidence": exits.confidence,
            "calibration_images": exits.images,
            "accuracy": early.value,
            "mean_steps": number(summed, "early", "steps") / images,
            "bounds": exits.bounds.tolist(),
        }
    return result


def simulation_table(result: Mapping[str, Any], measure: Measure, title: str) -> RenderableType:
    """Accuracy by step, and with early exit; of values, R2 and RMSE; spikes, saturations and clipped values
    below."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("T")
    table.add_column(measure.name, justify="right")
    if not measure.is_share:
        table.add_column("RMSE", justify="right")
    for t, score in result["accuracy" if measure.is_share else "r2"].items():
        table.add_row(t, measure.shown(score), *([] if measure.is_share else [f"{result['rmse'][t]:.4g}"]))
    early = result.get("early_exit")
    if early:
        told = f"{early['mean_steps']:.2f} (early exit, confidence {early['confidence']:g})"
        table.add_row(told, measure.shown(early["accuracy"]))
    spikes = sum(c["up"] + c["down"] for c in result["spike_counts"].values()) / result["images"]
    lines = Text(
        f"{spikes:,.0f} spikes an image · saturations {result['saturations']:,} · clipped input values "
        f"{result['clipped_inputs']:,}\n{measure}"
    )
    return Panel(
        Group(table, lines),
        title=Text(f"{title}, {result['images']:,} images"),
        box=box.ROUNDED,
        expand=False,
    )
