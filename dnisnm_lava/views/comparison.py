"""A comparison, a network and a model: for people (a table, a picture) and for programs (a dictionary for
JSON)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from dnisnm_lava.backends.results import Difference
from dnisnm_lava.evaluation import equalities, marks
from dnisnm_lava.evaluation.several import of_comparison
from dnisnm_lava.measures import Fit, Score, Share
from dnisnm_lava.views.sanity import alarms_told

if TYPE_CHECKING:
    from dnisnm_lava.evaluation.comparison import Comparison


MIOU = "mean IoU, %"
ROWS = {"ann": "ANN", "float": "float SNN", "integer": "integer SNN", "lava": "Lava fixed_pt"}


def comparison_json(comparison: Comparison, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """The content of `result.json`: accuracies as shares of 1, by step as strings; of values, R2 and RMSE
    instead."""
    is_share = comparison.measure.is_share
    result: dict[str, Any] = {
        "measure": comparison.measure.facts,
        "accuracy": scores_json(comparison.scores) if is_share else {},
        "images": dict(comparison.images),
        "equality": equality_json(comparison.equality),
        "saturations": comparison.saturations,
        "clipped_inputs": comparison.clipped_inputs,
        "dead_neurons": comparison.dead_neurons,
        "populations": [asdict(p) for p in comparison.populations],
        "agreement": scores_json(comparison.agreements) if is_share else {},
        "provenance": dict(provenance),
        "alone": {
            key: {str(t): count for t, count in found.items()} for key, found in comparison.alone.items()
        },
        "alarms": [asdict(alarm) for alarm in comparison.alarms],
    }
    if not is_share:
        for name in ("value", "rmse"):
            key = {"value": "r2"}.get(name, name)
            result[key] = scores_json(comparison.scores, name)
            result[f"{key}_to_ann"] = scores_json(comparison.agreements, name)
    result |= masks_json(comparison.scores, "") | masks_json(comparison.agreements, "_to_ann")
    if not is_share:
        result["worst_image"] = worst_json(comparison.scores)
    if any(comparison.outputs.values()):
        result["outputs"] = {key: _outputs_json(found) for key, found in comparison.outputs.items()}
    if comparison.further:
        result["further"] = {name: _met_json(comparison, name) for name in comparison.further}
    if comparison.marks is not None:
        result["answers"] = marks.to_json(comparison.marks)
    if comparison.equality:
        equal, images = equalities.on_lava(comparison.equality)
        result["on_lava"] = {"images": images, "equal": equal}
    return result


def masks_json(scores: Mapping[str, Score | Mapping[int, Score]], behind: str) -> dict[str, Any]:
    """The mean intersection over union of masks, and that of each class; nothing where there are none."""
    first = next((next(iter(s.values())) if isinstance(s, Mapping) else s for s in scores.values()), None)
    if not isinstance(first, Share) or not first.ious:
        return {}
    return {
        f"miou{behind}": scores_json(scores, "miou"),
        f"iou{behind}": scores_json(scores, "ious"),
    }


def worst_json(scores: Mapping[str, Score | Mapping[int, Score]]) -> dict[str, Any]:
    """{network: {T: the image that is told worst, by its place among those measured, its RMSE, and the
    largest error of a single value}}."""

    def told(score: Score) -> dict[str, Any] | None:
        worst = score.worst if isinstance(score, Fit) else None
        if not isinstance(score, Fit) or worst is None or score.largest is None:
            return None
        image, error = score.largest
        return {"image": worst[0], "rmse": worst[1], "largest": {"image": image, "error": error}}

    return {
        key: {str(t): told(s) for t, s in found.items()} if isinstance(found, Mapping) else told(found)
        for key, found in scores.items()
    }


def _outputs_json(found: Mapping[str, Mapping[int, Score]]) -> dict[str, Any]:
    """{output: r2, rmse and worst image against the ANN's values, by T}."""
    worst = worst_json(dict(found))
    return {
        name: {"r2": at_steps(fits), "rmse": at_steps(fits, "rmse"), "worst_image": worst[name]}
        for name, fits in found.items()
    }


def met_scores(comparison: Comparison, name: str) -> dict[str, Score | Mapping[int, Score]]:
    """{"ann": Score, "float": {T: Score}, "integer": ...} of another output by its own labels or targets."""
    found = {key: of[name] for key, of in comparison.met.items()}
    return {key: scores[0] if key == "ann" else scores for key, scores in found.items()}


def _met_json(comparison: Comparison, name: str) -> dict[str, Any]:
    measure, scores = comparison.further[name], met_scores(comparison, name)
    told = {"measure": measure.facts, "quality": scores_json(scores, "quality"), **masks_json(scores, "")}
    if measure.is_share:
        return {**told, "accuracy": scores_json(scores)}
    return {
        **told,
        "r2": scores_json(scores),
        "rmse": scores_json(scores, "rmse"),
        "worst_image": worst_json(scores),
    }


def scores_json(scores: Mapping[str, Score | Mapping[int, Score]], name: str = "value") -> dict[str, Any]:
    """{network: `name` of its score, or {T as a string: that}}."""
    return {
        key: at_steps(found, name) if isinstance(found, Mapping) else getattr(found, name)
        for key, found in scores.items()
    }


def at_steps(scores: Mapping[int, Score], name: str = "value") -> dict[str, Any]:
    return {str(t): getattr(score, name) for t, score in scores.items()}


def equality_json(rows: tuple[Difference, ...]) -> list[dict[str, Any]]:
    return [asdict(row) for row in rows]


def comparison_table(comparison: Comparison, title: str) -> RenderableType:
    """One framed table: what was measured by step, then what Lava's images say and the equalities, then what
    was lost on the way."""
    measure = comparison.measure
    parts: list[RenderableType] = [_scores_table(comparison, comparison.scores, measure.name)]
    if measure.labels and not measure.is_share:
        parts.append(_scores_table(comparison, comparison.agreements, "R2 to the ANN"))
    if measure.is_mask:
        parts += _mask_tables(comparison)
    if any(comparison.outputs.values()):
        parts.append(_outputs_table(comparison))
    parts += [part for name in comparison.further for part in _met_tables(comparison, name)]
    neurons = sum(p.neurons for p in comparison.populations)
    lines = Text(
        f"{'' if measure.is_share else _rmse(comparison)}saturations {comparison.saturations:,} · "
        f"clipped input values {comparison.clipped_inputs:,} · dead neurons {comparison.dead_neurons:,} "
        f"of {neurons:,}\n{measure}"
    )
    if comparison.equality:
        parts += [
            Text(f"{ROWS['lava']}: {equalities.lava_told(comparison.equality)}"),
            equality_told(comparison.equality),
            "",
        ]
    return Panel(
        Group(alarms_told(comparison.alarms), *parts, lines), title=Text(title), box=box.ROUNDED, expand=False
    )


def _scores_table(
    comparison: Comparison,
    scores: Mapping[str, Score | Mapping[int, Score]],
    heading: str,
    shown: Callable[[Score], str] | None = None,
) -> Table:
    """A row a network, a column a T; the ANN's, which has no T, in each. Lava's images are few: no score to
    set beside that of many. shown: what stands in a cell (default: the score)."""
    measured = {key: found for key, found in scores.items() if key != "lava"}
    steps = sorted({t for found in measured.values() if isinstance(found, Mapping) for t in found})
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(heading)
    table.add_column("images", justify="right")
    for t in steps:
        table.add_column(f"T = {t}", justify="right")
    for key, found in measured.items():
        row = [found[t] if isinstance(found, Mapping) else found for t in steps]
        table.add_row(
            ROWS[key],
            f"{comparison.images[key]:,}",
            *(comparison.measure.shown(score.value) if shown is None else shown(score) for score in row),
        )
    return table


def _mask_tables(comparison: Comparison) -> list[RenderableType]:
    """Mean intersection over union, and pixels that are as the ANN says."""
    tables: list[RenderableType] = []
    if comparison.measure.labels:
        tables.append(_scores_table(comparison, comparison.scores, MIOU, _miou))
    tables.append(_scores_table(comparison, comparison.agreements, "pixels as the ANN's, %"))
    tables.append(_scores_table(comparison, comparison.agreements, f"{MIOU}, to the ANN", _miou))
    return tables


def _miou(score: Score) -> str:
    found = score.miou if isinstance(score, Share) else None
    return "" if found is None else f"{100 * found:.2f}"


def _outputs_table(comparison: Comparison) -> Table:
    """A row for each output of each network, at the last T: its values against the ANN's."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("output, its values against the ANN's")
    for heading in ("", "T", "R2", "RMSE", "deviation", "worst image", "its RMSE", "largest error"):
        table.add_column(heading, justify="right")
    for name in comparison.outputs["integer"]:
        for key, found in comparison.outputs.items():
            t = max(found[name])
            fit = found[name][t]
            assert isinstance(fit, Fit)
            assert fit.worst is not None
            image, rmse = fit.worst
            cells = (f"{t}", f"{fit.value:.4f}", *(f"{v:.4g}" for v in (fit.rmse, fit.variance**0.5)))
            assert fit.largest is not None
            table.add_row(name, ROWS[key], *cells, f"{image:,}", f"{rmse:.4g}", f"{fit.largest[1]:.4g}")
    return table


def _met_tables(comparison: Comparison, name: str) -> list[RenderableType]:
    """The tables of another output, by its own labels or targets."""
    measure, scores = comparison.further[name], met_scores(comparison, name)
    heading = f"{name}: {measure.aim}"
    table = _scores_table(comparison, scores, heading, lambda score: measure.shown(score.quality))
    integer = scores["integer"]
    assert isinstance(integer, Mapping)
    last = integer[max(integer)]
    if not isinstance(last, Fit):
        return [table]
    return [table, Text(f"{name}: RMSE at the last T {last.rmse:.4g}{worst_told(last)}\n")]


def _rmse(comparison: Comparison) -> str:
    """A line with the error of each network, in the units of the output."""
    found = {
        key: score[max(score)] if isinstance(score, Mapping) else score
        for key, score in comparison.scores.items()
        if key != "lava"
    }
    told = ", ".join(
        f"{ROWS[key]} {score.rmse:.4g}" for key, score in found.items() if isinstance(score, Fit)
    )
    deviation = next(score.variance**0.5 for score in found.values() if isinstance(score, Fit))
    of = "targets" if comparison.measure.labels else "ANN's values"
    integer = found.get("integer")
    worst = worst_told(integer) if isinstance(integer, Fit) else ""
    return f"RMSE at the last T: {told}; standard deviation of the {of} {deviation:.4g}{worst}\n"


def worst_told(integer: Fit) -> str:
    """Where the integer SNN errs most."""
    if integer.worst is None or integer.largest is None:
        return ""
    image, rmse = integer.worst
    return (
        f"; worst image {image:,} of the integer SNN, RMSE {rmse:.4g}, largest error {integer.largest[1]:.4g}"
    )


def equality_told(rows: tuple[Difference, ...], of: str = "image") -> RenderableType:
    """A line with a tick; where something differs, also a table of what was compared with what, and the first
    difference. of: what was compared one by one."""
    lines = Text("\n".join(equalities.told(rows, of)))
    return lines if all(row.different == 0 for row in rows) else Group(lines, _equality_table(rows))


def _equality_table(rows: tuple[Difference, ...]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("equality")
    for heading in ("images", "steps", "spikes compared", "different"):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(
            f"{row.a} = {row.b}",
            str(row.images),
            str(row.steps),
            f"{row.spikes_compared:,}",
            f"{row.different:,}",
        )
        if row.first:
            table.add_row(f"  first: {row.first}")
    return table


def accuracy_picture(comparison: Comparison, title: str) -> bytes:
    """Accuracy, or R2, over steps, as a PNG. Of Lava's few images the legend tells: no score to set beside
    that of many."""
    from dnisnm_lava.views.plots import as_file, figure

    networks = [key for key in ("float", "integer") if key in comparison.scores]
    curves = [of_comparison(comparison, key, ROWS[key]) for key in networks]
    lava = f"{ROWS['lava']}: {equalities.lava_told(comparison.equality)}" if comparison.equality else ""
    return as_file(figure(curves, width="page", title=title, notes=[lava] if lava else []), "png")


def short(number: int) -> str:
    """Four characters or so: 999, 64.0k, 118M; nothing for 0."""
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if number >= size:
            share = number / size
            return f"{share:.0f}{unit}" if share >= 100 else f"{share:.1f}{unit}"
    return str(number) if number else ""
