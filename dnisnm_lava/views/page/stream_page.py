"""The page of a stream: what `stream` tells, over frames; small however long it was."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from dnisnm_lava.studies.streams.activity import Activity
from dnisnm_lava.views import streams
from dnisnm_lava.views.costs import ESTIMATED
from dnisnm_lava.views.dials import dials_told
from dnisnm_lava.views.page import shell
from dnisnm_lava.views.page.pieces import Column, Table
from dnisnm_lava.views.page.stream_pictures import MOST_POPULATIONS, changes, drawn, heat_maps, thumbnails
from dnisnm_lava.views.page.stream_points import Follow, class_name, points, short

HELP = {
    "operations": "synapses that spikes, and changes of the image, go to; of the ANN, multiplications",
    "stream's": "the stream's operations by these",
    "arithmetic": "energy of integer arithmetic alone",
    "chip": "energy of a chip like Loihi 1",
    "the paper": "energy by the paper's rule",
    "ms": "milliseconds here, the median",
}


def render(found: Follow, activity: Activity, frames: Iterable[np.ndarray]) -> bytes:
    """The page in UTF-8. frames: as they lie there, anew, for a few thumbnails."""
    scripts = [shell.script(shell.asset("stream.js"))]
    context = {
        "found": found,
        "told": found.summary,
        "origin": found.facts["provenance"],
        "verdict": streams.verdict(found.summary),
        "dials": dials_told(found.summary.dials),
        "lines": _lines(found),
        "saturated": streams.saturated(found.summary) if found.summary.inexact else "",
        "points": points(found),
        "costs": _costs(found),
        "changes": len(changes(found.rows)),
        "are_classes": isinstance(found.rows[0].answers["stream"], int),
        "thumbnails": _thumbnails(found, frames),
        "maps": heat_maps(activity),
        "span": _span(found, activity),
        "speakers": [activity.names[i] for i in drawn(activity)],
        "populations": _populations(activity),
        "left_out": max(0, len(activity.names) - MOST_POPULATIONS),
        "scripts": scripts,
        "policy": shell.policy(scripts),
        "style": Markup(shell.asset("page.css") + shell.asset("stream.css")),
    }
    return shell.environment().get_template("stream.html").render(**context).encode()


def _lines(found: Follow) -> list[str]:
    """Without what the page says elsewhere."""
    of = found.summary
    said = {dials_told(of.dials), ESTIMATED, streams.saturated(of)}
    shown = [line for line in streams.lines(of) if line not in said]
    return [line for line in shown if not line.startswith(("operations: ", "stream's: "))]


def _costs(found: Follow) -> Table:
    of = found.summary
    rows = [
        tuple(cell.replace(" uJ", " µJ") for cell in streams.cells(of, key))
        for key in streams.NAMES
        if key in of.operations
    ]
    columns = [Column(name, help=HELP.get(name, "")) for name in streams.HEADINGS]
    return Table(
        "costs", "Of a frame, on average", (Column("a frame", numeric=False), *columns), _filled(rows)
    )


def _filled(rows: Sequence[tuple[str, ...]]) -> tuple[tuple[str, ...], ...]:
    """Cells that say nothing say so."""
    return tuple(tuple(cell or "–" for cell in row) for row in rows)


def _thumbnails(found: Follow, frames: Iterable[np.ndarray]) -> list[dict[str, Any]]:
    said = [row.answers["stream"] for row in found.rows]
    return [
        {
            "frame": found.rows[t.position].frame,
            "uri": t.uri,
            "says": class_name(said[t.position], found.classes),
            "before": class_name(said[t.position - 1], found.classes) if t.position else "",
        }
        for t in thumbnails(frames, found.rows)
    ]


def _span(found: Follow, activity: Activity) -> dict[str, int]:
    """Frames below the columns of the heat maps, which may go beyond the last."""
    first, columns = found.rows[0].frame, len(activity.sent)
    return {
        "first": first,
        "last": found.rows[-1].frame,
        "columns": columns,
        "width": activity.width,
        "frames": columns * activity.width,
    }


def _populations(activity: Activity) -> Table:
    columns = ("neurons", "spikes a frame", "spikes a neuron", "operations a frame", "share")
    totals, frames = activity.totals(), max(1, activity.frames)
    every = sum(of["operations"] for of in totals.values()) or 1
    rows = []
    for name in (activity.names[i] for i in drawn(activity)):
        neurons, spikes, operations = totals[name].values()
        rows.append(
            (
                short(name),
                f"{neurons:,}",
                f"{spikes / frames:,.1f}",
                f"{spikes / frames / neurons:.4f}",
                f"{operations / frames:,.0f}",
                f"{100 * operations / every:.1f} %",
            )
        )
    return Table(
        "populations-table",
        "Of a frame, on average; of the image, changes of its values in place of spikes",
        (Column("population", numeric=False), *(Column(name) for name in columns)),
        tuple(rows),
    )
