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
from dnisnm_lava.views.comparison import MIOU, at_steps, masks_json, worst_json


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
        worst = worst_json({"file": found})["file"]
        result |= {"r2": at_steps(found), "rmse": at_steps(found, "rmse"), "worst_image": worst}
    result |= {name: at["file"] for name, at in masks_json({"file": found}, "").items()}
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


def _further(result: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """{heading: {T: what is told beside the score}}: of masks the mean IoU; of values RMSE and worst
    image."""
    if "rmse" not in result:
        return {MIOU: {t: f"{100 * v:.2f}" for t, v in result["miou"].items()}} if "miou" in result else {}
    worst = result["worst_image"]
    return {
        "RMSE": {t: f"{v:.4g}" for t, v in result["rmse"].items()},
        "worst image": {t: f"{v['image']:,}" for t, v in worst.items()},
        "its RMSE": {t: f"{v['rmse']:.4g}" for t, v in worst.items()},
        "largest error": {t: f"{v['largest']['error']:.4g}" for t, v in worst.items()},
    }


def simulation_table(result: Mapping[str, Any], measure: Measure, title: str) -> RenderableType:
    """Accuracy by step, and with early exit; of values, R2 and RMSE; spikes, saturations and clipped values
    below."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("T")
    table.add_column(measure.name, justify="right")
    further = _further(result)
    for heading in further:
        table.add_column(heading, justify="right")
    for t, score in result["accuracy" if measure.is_share else "r2"].items():
        table.add_row(t, measure.shown(score), *(told[t] for told in further.values()))
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
