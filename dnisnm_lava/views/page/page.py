"""The page: templates filled, with scripts, styles, figures and the result inside; written whole or not at
all."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import plotly.offline
from markupsafe import Markup

from dnisnm_lava.data.inputs import Images, Labels
from dnisnm_lava.frontend.coverage import Coverage
from dnisnm_lava.stages.networks import Networks
from dnisnm_lava.studies.explain.first_wrong import MEANINGS
from dnisnm_lava.studies.explain.values import ThresholdMap
from dnisnm_lava.studies.overview import Gathered, gather
from dnisnm_lava.system.files import refuse_unwritable, write_whole
from dnisnm_lava.views import curves, graph_svg
from dnisnm_lava.views.checks import BASIS, check_json
from dnisnm_lava.views.comparison import comparison_json
from dnisnm_lava.views.costs import costs_json
from dnisnm_lava.views.coverage import coverage_json, place
from dnisnm_lava.views.explanation import explanation_json
from dnisnm_lava.views.network import network_json
from dnisnm_lava.views.page import rasters, shell, tables
from dnisnm_lava.views.page.figures import NAMES, RULES
from dnisnm_lava.views.page.pictures import pictures
from dnisnm_lava.views.page.pieces import At
from dnisnm_lava.views.runtime import MODEL, TOLD, runtime_json

SVG = "http://www.w3.org/2000/svg"


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
        "costs": costs,
        "check": check_json(found.checked),
        "runtime": {str(t): runtime_json(r) for t, r in found.runtimes.items()},
        "coverage": coverage,
        "network": network_json(found.integer),
        "explanation": _without_pixels(explanation_json(found.explanation, {})),
    }


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
    shown = pictures(found)
    scripts = [shell.script(plotly.offline.get_plotlyjs()), shell.script(shell.asset("page.js"))]
    texts = tables.texts(found)
    return {
        "found": found,
        "chosen": str(found.suggested),
        "texts": texts,
        "here": texts[str(found.suggested)],
        "names": NAMES,
        "rules": RULES,
        "pictures": shown,
        "figures": {key: p.figure for key, p in shown.items()},
        "result": result(found),
        "basis": BASIS,
        "runtime_model": MODEL,
        "unknown_rates": [TOLD[name] for name in found.runtimes[found.suggested].rates.unknown],
        "tables": tables,
        "parts": MEANINGS,
        "maps": _maps(found),
        "thumbnails": _thumbnails(found),
        "drawing": _drawing(found),
        "curves": _curves(found),
        "scripts": scripts,
        "policy": shell.policy(scripts),
        "style": Markup(shell.asset("page.css")),
    }


def _maps(found: Gathered) -> list[dict[str, Any]]:
    made = []
    for p in found.explanation.populations:
        if isinstance(p.map, ThresholdMap):
            made.append({"name": p.name, "map": p.map, "images": rasters.heatmaps(p.map)})
    return made


def _curves(found: Gathered) -> list[dict[str, Any]]:
    return [
        {"name": name, "told": curves.told(curve), "drawing": Markup(curves.svg(function, curve))}
        for name, function, curve in found.curves
    ]


def _thumbnails(found: Gathered) -> list[dict[str, Any]]:
    def named(index: int | None) -> str:
        return "" if index is None else found.classes[index] if index < len(found.classes) else str(index)

    return [
        {
            "image": t.image,
            "uri": rasters.thumbnail(t.pixels),
            "ann": named(t.ann),
            "integer": named(t.integer),
            "label": named(t.label),
        }
        for t in found.thumbnails
    ]


def _drawing(found: Gathered) -> Markup:
    """The graph, as an element of the page: what is drawn is read and written again, so that it can be no
    markup but SVG."""
    ET.register_namespace("", SVG)
    root = ET.fromstring(graph_svg.svg(found.integer, ""))
    for metadata in root.findall(f"{{{SVG}}}metadata"):
        root.remove(metadata)
    root.set("aria-hidden", "true")
    return Markup(ET.tostring(root, encoding="unicode"))
