"""What `explain` found: a table for people, a dictionary for JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from dnisnm_lava.measures import Fit, Share
from dnisnm_lava.studies.explain.first_wrong import MEANINGS, size
from dnisnm_lava.studies.explain.threshold_maps import encoded
from dnisnm_lava.studies.explain.values import PARTS, Disagreement, Explained, Explanation, ThresholdMap
from dnisnm_lava.views.comparison import masks_json, worst_json, worst_told
from dnisnm_lava.views.sanity import alarms_told

SHOWN = 5  # disagreements in the terminal


def explanation_json(found: Explanation, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Everything; threshold maps in greys, rasters as lists; of scores what `comparison` tells of them."""
    rows = [_row_json(p) for p in found.populations]
    told = {key: value for key, value in asdict(found).items() if key not in ("scores", "agreements")}
    masks = masks_json(found.scores, "") | masks_json(found.agreements, "_to_ann")
    worst = {} if found.measure.is_share else {"worst_image": worst_json(found.scores or found.agreements)}
    return {
        **told,
        "agreement": found.agreement,
        "accuracy": found.accuracy,
        **masks,
        **worst,
        "measure": found.measure.facts,
        "populations": rows,
        "provenance": dict(provenance),
    }


def _row_json(p: Explained) -> dict[str, Any]:
    row = asdict(p)
    if p.headroom is not None:
        row["headroom"]["bits_left"] = p.headroom.bits_left
    if p.map is not None:
        row["map"].update(train=encoded(p.map.train), test=encoded(p.map.test))
    if p.raster is not None:
        row["raster"].update(neurons=p.raster.neurons.tolist(), levels=p.raster.levels.tolist())
    return row


def explanation_table(found: Explanation, title: str) -> RenderableType:
    """The finding; then the errors of each population in parts; then what else is seen of it; then images
    that disagree."""
    head = [found.sentence, *_of_the_ann(found), _shares(found)]
    parts: list[RenderableType] = [
        alarms_told(found.alarms),
        Text("\n".join(head)),
        _errors(found.populations),
        Text(LEGEND),
        _activity(found.populations),
    ]
    parts.append(Text(_notes(found)))
    if found.disagreements:
        parts.append(_disagreements(found.disagreements[:SHOWN]))
    told = Text(f"{title}, {found.images:,} images, T = {found.steps:,}")
    return Panel(Group(*parts), title=told, box=box.ROUNDED, expand=False)


LEGEND = (
    "% of the mean squared activation of the ANN; integers: what they add to the float SNN's error\n"
    + "\n".join(f"{part}: {MEANINGS[part]}" for part in PARTS)
)


def _shares(found: Explanation) -> str:
    measure, names = found.measure, {"ann": "ANN", "float": "float SNN", "integer": "integer SNN"}
    unit = " %" if measure.is_share else ""
    agreement, accuracy = (
        ", ".join(f"{names[key]} {measure.shown(score.value, 1)}{unit}" for key, score in scores.items())
        for scores in (found.agreements, found.scores)
    )
    what = "agreement with the ANN" if measure.is_share else "R2 to the ANN"
    against = f"\n{measure.name.removesuffix(', %')}: {accuracy}" if accuracy else ""
    agreement = agreement or f"not told, since the values do not vary over {found.images:,} images"
    return f"{what}: {agreement}{against}{_further(found, names)}\n{measure}"


def _of_the_ann(found: Explanation) -> list[str]:
    """A sentence where most answers that are wrong are wrong in the ANN, too."""
    if not (found.measure.is_share and {"ann", "integer"} <= set(found.accuracy)):
        return []
    own, wrong = (1 - found.accuracy[key] for key in ("ann", "integer"))
    if own <= wrong / 2:
        return []
    return [
        f"Most that is wrong is the ANN's own: {100 * own:.1f} % of these answers, of {100 * wrong:.1f} %. "
        f"Where it should err less, look at its preparation and weights first (--mean, --std, --weights)."
    ]


def _further(found: Explanation, names: Mapping[str, str]) -> str:
    """The mean IoU of masks; of values the RMSE, and the image that is told worst."""
    told = ""
    for of, scores in ((" to the ANN", found.agreements), ("", found.scores)):
        ious = {key: s.miou for key, s in scores.items() if isinstance(s, Share) and s.miou is not None}
        if ious:
            each = ", ".join(f"{names[key]} {100 * iou:.1f} %" for key, iou in ious.items())
            told += f"\nmean IoU{of}: {each}"
        fits = {key: s for key, s in scores.items() if isinstance(s, Fit)}
        if fits:
            each = ", ".join(f"{names[key]} {s.rmse:.4g}" for key, s in fits.items())
            told += f"\nRMSE{of}: {each}{worst_told(fits['integer'])}"
    return told


def _errors(rows: Iterable[Explained]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("error, %", overflow="fold")
    for heading in (*PARTS, "float SNN", "integer SNN"):
        table.add_column(heading, justify="right", no_wrap=True)
    for p in rows:
        errors = [*(size(p, part) for part in PARTS), p.spiking.mean_squared, p.total.mean_squared]
        table.add_row(Text(p.name), *(f"{100 * error:.2f}" for error in errors))
    return table


def _activity(rows: Iterable[Explained]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("activity", overflow="fold")
    for heading in ("neurons", "up", "down", "dead", "silent", "bits left", "saturated", "train/test"):
        table.add_column(heading, justify="right", no_wrap=True)
    for p in rows:
        bits = "" if p.headroom is None else f"{p.headroom.bits_left:.1f}"
        alike = "" if p.map is None else _alike(p.map)
        table.add_row(
            Text(p.name),
            f"{p.neurons:,}",
            f"{p.rate_up:.3f}",
            f"{p.rate_down:.3f}",
            f"{p.dead:,}",
            f"{p.silent:,}",
            bits,
            f"{p.saturations:,}",
            alike,
        )
    return table


def _alike(found: ThresholdMap) -> str:
    return "-" if found.correlation is None else f"{found.correlation:.3f}"


def _notes(found: Explanation) -> str:
    first, second = found.map_sets
    return (
        "up, down: spikes per neuron and step; dead: never active in calibration; silent: sent nothing "
        "on these images\n"
        "bits left: of 24, above the largest potential that these images reached\n"
        f"train/test: correlation of the largest activations over {first} with those over {second}\n"
        f"clipped input values {found.clipped_inputs:,}"
        + (f"; images that disagree with the ANN {found.disagreeing:,}" if found.measure.is_share else "")
    )


def _disagreements(rows: Iterable[Disagreement]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("image", "ANN", "integer SNN", "label", "ANN's margin", "integer SNN's margin"):
        table.add_column(heading, justify="right")
    for d in rows:
        label = "" if d.label is None else str(d.label)
        table.add_row(
            str(d.image), str(d.ann), str(d.integer), label, f"{d.ann_margin:.3g}", f"{d.integer_margin:.3g}"
        )
    return table
