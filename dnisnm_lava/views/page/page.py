"""The page: templates filled, with scripts, styles, figures and the result inside; written whole or not at
all."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from markupsafe import Markup

from dnisnm_lava.data.inputs import Images, Labels
from dnisnm_lava.evaluation import equalities
from dnisnm_lava.evaluation.pairs import Loss
from dnisnm_lava.frontend.coverage import Coverage
from dnisnm_lava.stages.networks import Networks
from dnisnm_lava.studies.explain.first_wrong import MEANINGS
from dnisnm_lava.studies.explain.values import ThresholdMap
from dnisnm_lava.studies.loihi2.limits import LOIHI2
from dnisnm_lava.studies.overview import Gathered, gather
from dnisnm_lava.studies.verdict import bound, cores, has_targets, verdict
from dnisnm_lava.system.files import refuse_unwritable, write_whole
from dnisnm_lava.views import curves, graph_svg
from dnisnm_lava.views.checks import BASIS, check_json
from dnisnm_lava.views.comparison import comparison_json
from dnisnm_lava.views.costs import costs_json
from dnisnm_lava.views.coverage import coverage_json, place
from dnisnm_lava.views.explanation import explanation_json
from dnisnm_lava.views.network import network_json
from dnisnm_lava.views.page import apart, kinds, rasters, shell, tables
from dnisnm_lava.views.page.figures import RULES
from dnisnm_lava.views.page.glossary import GLOSSARY
from dnisnm_lava.views.page.nodes import first_shown, nodes
from dnisnm_lava.views.page.pictures import pictures
from dnisnm_lava.views.page.pieces import At
from dnisnm_lava.views.page.why_figures import drawn, left_out
from dnisnm_lava.views.runtime import MODEL, TOLD, runtime_json

LEAST = 0.7  # of its size, to which the graph shrinks before it scrolls


def report(
    path: Path | str,
    nets: Networks,
    images: Images,
    labels: Labels | None = None,
    *,
    overwrite: bool = False,
    **options: Any,
) -> Gathered:
    """Write the page on these networks and images to `path`; options as in `overview.gather`. Returns what it
    tells."""
    refuse_unwritable(Path(path), overwrite)
    found = gather(nets, images, labels, **options)
    write_whole(Path(path), render(found), overwrite=overwrite)
    return found


def render(found: Gathered) -> bytes:
    """The page in UTF-8: the same bytes for the same findings."""
    environment = shell.environment()
    environment.tests["following"] = lambda cell: isinstance(cell, At)
    return environment.get_template("page.html").render(**_context(found)).encode()


def result(found: Gathered) -> dict[str, Any]:
    """All numbers of the page, for programs: of `compare`, `energy` at each T, `check`, `inspect` and
    `explain`."""
    compared = comparison_json(found.comparison, found.provenance)
    costs = {str(t): costs_json(c, {}) for t, c in found.costs.items()}
    coverage = None if found.coverage is None else coverage_json(_without_folders(found.coverage))
    return {
        **compared,
        "title": found.title,
        "suggested_steps": found.suggested,
        "verdict": {str(t): asdict(verdict(found, t)) for t in found.steps},
        "quality": {
            "name": found.scale.name,
            "of": {
                key: {str(t): asdict(own) for t, own in found.quality(key).items()} for key in found.qualities
            },
        },
        "lost_to_ann": {
            key: {str(t): _loss(loss) for t, loss in lost.items()} for key, lost in found.losses.items()
        },
        "apart": apart.counts(found.partings),
        "costs": costs,
        "check": check_json(found.checked),
        "runtime": {str(t): runtime_json(r) for t, r in found.runtimes.items()},
        "coverage": coverage,
        "network": network_json(found.integer),
        "explanation": _without_pixels(explanation_json(found.explanation, {})),
    }


def _loss(loss: Loss) -> dict[str, Any]:
    return {**asdict(loss), "p": loss.p}


def _without_folders(coverage: Coverage) -> Coverage:
    """Lines of code as the tables have them: a page for others does not tell where its author's files lie,
    nor depend on it."""
    return replace(coverage, rows=tuple(replace(row, line=place(row.line)) for row in coverage.rows))


def _without_pixels(value: Any) -> Any:
    """Nested values without what only pictures show."""
    if isinstance(value, Mapping):
        return {str(k): _without_pixels(v) for k, v in value.items() if k not in ("raster", "train", "test")}
    if isinstance(value, list | tuple):
        return [_without_pixels(v) for v in value]
    return value


def _context(found: Gathered) -> dict[str, Any]:
    scripts = [shell.script(shell.asset("page.js"))]
    texts, boxes = tables.texts(found), nodes(found)
    first = first_shown(found)
    return {
        "found": found,
        "chosen": str(found.suggested),
        "texts": texts,
        "here": texts[str(found.suggested)],
        "rules": RULES,
        "most_lost": bound(found),
        "has_targets": has_targets(found),
        "said_by": kinds.words(found),
        "cores": _cores(found),
        "pictures": pictures(found),
        "result": result(found),
        "basis": BASIS,
        "runtime_model": MODEL,
        "timed": found.timed,
        "other_chip": found.checked.target != LOIHI2,
        "unknown_rates": [TOLD[name] for name in found.runtimes[found.suggested].rates.unknown],
        "tables": tables,
        "parts": MEANINGS,
        "glossary": GLOSSARY,
        "is_wrong": bool(found.explanation.first or found.comparison.alarms or found.explanation.alarms),
        "equalities": equalities.told(found.comparison.equality),
        "confusion": apart.confusion(found),
        "errors": apart.errors(found),
        "shots": apart.shots(found),
        "maps": _maps(found),
        "maps_left_out": left_out(found.explanation.populations),
        "nodes": boxes,
        "first_node": first,
        "plain_nodes": _plain(boxes),
        "drawing": _drawing(found, first),
        "curves": _curves(found),
        "scripts": scripts,
        "policy": shell.policy(scripts),
        "style": Markup(shell.asset("page.css") + shell.asset("report.css")),
    }


def _plain(boxes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """For the page's script: what follows T is {"at": its key}."""
    return [
        {
            **box,
            "rows": [
                [word, {"at": cell.key} if isinstance(cell, At) else cell] for word, cell in box["rows"]
            ],
        }
        for box in boxes
    ]


def _maps(found: Gathered) -> list[dict[str, Any]]:
    return [
        {"name": p.name, "map": p.map, "images": rasters.heatmaps(p.map)}
        for p in drawn(found.explanation)
        if isinstance(p.map, ThresholdMap)
    ]


def _curves(found: Gathered) -> list[dict[str, Any]]:
    return [
        {"name": name, "told": curves.told(curve), "drawing": Markup(curves.svg(function, curve))}
        for name, function, curve in found.curves
    ]


def _cores(found: Gathered) -> tuple[str, str]:
    """17 of 128; 13 %"""
    number, share = cores(found.checked).split(" cores", 1)
    return number, share.lstrip(" ,")


def _drawing(found: Gathered, chosen: int) -> Markup:
    """The graph, as an element of the page, whose boxes can be pressed."""
    ET.register_namespace("", graph_svg.SVG)
    root = graph_svg.drawing(found.integer)
    root.set("style", f"min-width: {LEAST * float(root.get('width', 0)):.0f}px")
    for i, _ in enumerate(found.integer):
        group = root.find(f".//*[@id='population-{i}']")
        assert group is not None
        group.attrib.update({"role": "button", "tabindex": "0", "data-node": str(i)})
        if i == chosen:
            group.set("class", f"{group.get('class')} on")
    return Markup(ET.tostring(root, encoding="unicode"))
