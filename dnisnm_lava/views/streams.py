"""A watched stream: a table and a picture for people, a dictionary and rows for programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from dnisnm_lava.measures import Score, Share
from dnisnm_lava.studies.streams.rows import Row
from dnisnm_lava.studies.streams.summary import Summary
from dnisnm_lava.views.costs import ESTIMATED, joules
from dnisnm_lava.views.dials import dials_told
from dnisnm_lava.views.png import png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAMES = {
    "stream": "the stream",
    "alone": "each frame alone",
    "skipping": "quantized ANN, zeros skipped",
    "ann": "the ANN",
}
HEADINGS = ("operations", "stream's", "spikes", "arithmetic", "chip", "the paper", "ms")
COLOURS = {"stream": "C0", "alone": "C1", "skipping": "C2", "ann": "C3"}


# ---------------------------------------------------------------- for programs


def stream_json(
    found: Summary, provenance: Mapping[str, Any], populations: Mapping[str, Mapping[str, int]] | None = None
) -> dict[str, Any]:
    """Every field; energies in pJ, seconds and counts of a frame on average; ratios: the stream's operations
    by those of others; populations: neurons, and spikes and operations of all frames, by name."""
    return {
        **asdict(found),
        "measure": None if found.measure is None else found.measure.facts,
        "agreement": {key: _score_json(score) for key, score in found.agreement.items()},
        "ratios": {
            key: ratio for key in NAMES if (ratio := found.ratio(key)) is not None and key != "stream"
        },
        "frames_per_second": found.rate,
        "populations": dict(populations or {}),
        "energies": ESTIMATED,
        "provenance": dict(provenance),
    }


def _score_json(score: Score | None) -> dict[str, Any] | None:
    if score is None:
        return None
    told: dict[str, Any] = {"value": score.value, "interval": list(score.interval)}
    return told if isinstance(score, Share) else {**told, "rmse": score.rmse}


def frames_csv(rows: Sequence[Row]) -> bytes:
    """A row a frame, energies in pJ; a cell is empty where nothing was found."""
    told = [_cells(row) for row in rows]
    text = io.StringIO()
    writer = csv.DictWriter(
        text, list(dict.fromkeys(key for found in told for key in found)), lineterminator="\n"
    )
    writer.writeheader()
    writer.writerows(told)
    return text.getvalue().encode()


def _cells(row: Row) -> dict[str, Any]:
    found: dict[str, Any] = {"frame": row.frame, "fresh": int(row.fresh), "exact": int(row.exact)}
    for key, answer in row.answers.items():
        found[f"answer_{key}"] = " ".join(map(str, answer)) if isinstance(answer, list) else answer
    for name in ("agreement", "spikes", "operations"):
        found.update({f"{name}_{key}": value for key, value in getattr(row, name).items()})
    for key, energy in row.energy.items():
        found.update({f"{view}_{key}": value for view, value in asdict(energy).items() if value is not None})
    found.update({f"seconds_{key}": value for key, value in row.seconds.items()})
    return {**found, "saturations": row.saturations, "clipped": row.clipped}


# ---------------------------------------------------------------- for people


def stream_table(found: Summary, title: str) -> RenderableType:
    """A row for the stream and for each reference, of a frame; then how it was followed, and a verdict."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("a frame")
    for heading in HEADINGS:
        table.add_column(heading, justify="right")
    for key in NAMES:
        if key in found.operations:
            table.add_row(*cells(found, key))
    below = Text("\n".join(lines(found)))
    named = Text(f"{title}, {frames_told(found.frames)}")
    panel = Panel(Group(table, below), title=named, box=box.ROUNDED, expand=False)
    return Group(panel, Text(verdict(found)))


def cells(found: Summary, key: str) -> list[str]:
    """The cells of the stream or of a reference: its name, and what stands below HEADINGS."""
    ratio, energy = found.ratio(key), found.energy.get(key)
    views = ["", "", ""]
    if energy is not None:
        views = ["" if v is None else joules(v) for v in (energy.arithmetic, energy.chip, energy.paper)]
    return [
        NAMES[key],
        f"{found.operations[key]:,.0f}",
        "" if key == "stream" or ratio is None else f"{ratio:.3f}",
        f"{found.spikes[key]:,.0f}" if key in found.spikes else "",
        *views,
        f"{1000 * found.seconds[key]:.1f}" if key in found.seconds else "",
    ]


def lines(found: Summary) -> Iterator[str]:
    """How it was followed, what it agrees with, and how fast it was."""
    yield "operations: synapses that spikes and changes of the image go to; of the ANN, multiplications"
    yield "stream's: the stream's operations by these"
    yield dials_told(found.dials)
    if found.settled is not None:
        others = frames_told(found.frames - found.fresh)
        yield f"{found.settled:,.0f} operations in a frame, of the {others} that did not begin anew"
    for key, score in found.agreement.items():
        yield f"agreement with {NAMES[key]}: {_agreed(found, score)}"
    yield (
        f"{found.rate:.3g} frames a second · saturations {found.saturations:,} · clipped input values "
        f"{found.clipped:,}"
    )
    if found.inexact:
        yield saturated(found)
    if found.measure is not None:
        yield str(found.measure)
    yield ESTIMATED


def _agreed(found: Summary, score: Score | None) -> str:
    if score is None:
        return "not told, since its values do not vary"
    low, high = score.interval
    if isinstance(score, Share):
        return f"{100 * score.value:.1f} % ({100 * low:.1f} to {100 * high:.1f}, frames as independent)"
    return f"RMSE {score.rmse:.4g}, R2 {score.value:.4f} ({low:.4f} to {high:.4f}, frames as independent)"


def saturated(found: Summary) -> str:
    """What a saturation means."""
    return (
        f"{found.saturations:,} states were clipped to 24 bits, first in frame {found.first_inexact}: sums "
        f"of {found.inexact:,} frames from there on may differ from those of the frames alone; --refresh N "
        f"begins anew every N frames"
    )


def verdict(found: Summary) -> str:
    """The whole in a line."""
    alone, ann = (found.ratio(key) for key in ("alone", "ann"))
    if alone is None:
        return (
            f"{frames_told(found.frames)}, {found.rate:.3g} a second; {ann or 0:.3f} of the ANN's operations"
        )
    said = ", ".join(told for key in found.agreement if (told := _met(found, key)))
    cost = f"{alone:.3f} of the frame-wise operations, {ann or 0:.3f} of the ANN's"
    return f"{said}; {cost}" if said else cost


def _met(found: Summary, key: str) -> str:
    score = found.agreement[key]
    if isinstance(score, Share):
        return f"as {NAMES[key]} in {100 * score.value:.1f} %"
    return "" if score is None else f"RMSE {score.rmse:.3g} to {NAMES[key]}"


def frames_told(count: int) -> str:
    return f"{count:,} frame{'s' * (count != 1)}"


# ---------------------------------------------------------------- a picture


def stream_picture(rows: Sequence[Row], found: Summary, title: str) -> bytes:
    """Over frames: operations of the stream and of its references, spikes, and where answers differ."""
    from matplotlib.figure import Figure

    compared = bool(found.agreement)
    figure = Figure(figsize=(10, 6.5 if compared else 5), dpi=120, layout="constrained")
    parts = figure.subplots(2 + compared, 1, sharex=True, height_ratios=(3, 2, 1)[: 2 + compared])
    at = [row.frame for row in rows]
    _operations(parts[0], rows, at, found)
    for key in rows[0].spikes:
        parts[1].plot(at, [row.spikes[key] for row in rows], color=COLOURS[key], label=NAMES[key])
    parts[1].set(ylabel="spikes", ylim=(0, None))
    if compared:
        _agreement(parts[2], rows, at, found)
    parts[-1].set_xlabel("frame")
    figure.suptitle(f"{title}\n{dials_told(found.dials)}", fontsize=10)
    return png(figure)


def _operations(axes: Axes, rows: Sequence[Row], at: Sequence[int], found: Summary) -> None:
    for key in rows[0].operations:
        style = ":" if key == "skipping" else "-"
        axes.plot(at, [row.operations[key] for row in rows], style, color=COLOURS[key], label=NAMES[key])
    axes.axhline(
        found.operations["ann"], color=COLOURS["ann"], linestyle="--", label="the ANN's multiplications"
    )
    axes.set(ylabel="operations", ylim=(0, None))
    _legend(axes)
    for frame in (row.frame for row in rows if not row.exact):
        axes.axvline(frame, color="0.85", zorder=0)


def _legend(axes: Axes) -> None:
    """Above the panel, where no line is."""
    axes.legend(fontsize=8, ncols=4, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0, frameon=False)


def _agreement(axes: Axes, rows: Sequence[Row], at: Sequence[int], found: Summary) -> None:
    """Marks where an answer differs; of values, the lines of their errors."""
    if found.measure is not None and not found.measure.is_share:
        for key in found.agreement:
            axes.plot(at, [row.agreement[key] for row in rows], color=COLOURS[key], label=f"to {NAMES[key]}")
        axes.set_ylabel("RMSE")
        _legend(axes)
        return
    for height, key in enumerate(found.agreement):
        other = np.array([row.frame for row in rows if row.agreement[key] < 1])
        axes.plot(other, np.full(len(other), height), "|", color=COLOURS[key], markersize=12)
    axes.set_yticks(range(len(found.agreement)), [NAMES[key] for key in found.agreement])
    axes.set_ylabel("differs from")
    axes.set_ylim(-0.7, len(found.agreement) - 0.3)
