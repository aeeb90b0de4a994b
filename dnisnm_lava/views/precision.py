"""What `precision` found: a table and a picture for people, a dictionary for JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from dnisnm_lava.studies.precision import KINDS, Cell, Precision
from dnisnm_lava.views.png import png

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage


def precision_json(found: Precision, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Every cell, every population alone, and the first of each kind that breaks."""
    firsts = {kind: found.first(kind) for kind in KINDS}
    return {
        **asdict(found),
        "measure": found.measure.facts,
        "first_to_break": {kind: first and asdict(first) for kind, first in firsts.items()},
        "provenance": dict(provenance),
    }


def precision_table(found: Precision, title: str) -> RenderableType:
    """Accuracy over the bits of one kind, the others at their most; then which population breaks first, and
    where."""
    parts: list[RenderableType] = []
    for kind in KINDS:
        cells = _line(found, kind)
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column(f"bits of {kind}", min_width=16)
        for cell in cells:
            table.add_column(str(getattr(cell, kind)), justify="right")
        table.add_row(found.measure.aim, *(_score(found, c.outcome.accuracy) for c in cells))
        table.add_row(
            f"agreement, {found.measure.unit}", *(_score(found, c.outcome.agreement) for c in cells)
        )
        parts.append(table)
    lines = [_told(found, kind) for kind in KINDS]
    own = (
        ""
        if found.spiking is None
        else f"float network {_score(found, found.spiking)} {found.measure.unit} of {found.images:,} images\n"
    )
    text = Text(own + "\n".join(lines) + f"\n{found.measure}")
    return Panel(Group(*parts, text), title=Text(title), box=box.ROUNDED, expand=False)


def _line(found: Precision, kind: str) -> list[Cell]:
    """The cells that differ from the finest in `kind` alone."""
    others = [k for k in KINDS if k != kind]
    return [c for c in found.grid if all(getattr(c, k) == getattr(found.finest, k) for k in others)]


def _told(found: Precision, kind: str) -> str:
    first = found.first(kind)
    if first is None:
        return (
            f"{kind}: no population alone costs more than {found.tolerance:g} points of agreement "
            f"with the float network"
        )
    what = first.outcome.refused or f"{first.loss:.1f} points of agreement lost"
    return f"{kind}: {first.population} breaks first, at {first.bits} bits ({what})"


def _score(found: Precision, score: float | None) -> str:
    return "-" if score is None else found.measure.shown(score, 1)


def _main(found: Precision, cell: Cell) -> float | None:
    """What the pictures show: against labels, or without them against the float network."""
    return cell.outcome.accuracy if found.measure.labels else cell.outcome.agreement


def precision_picture(found: Precision, title: str) -> bytes:
    """Above: accuracy over bits of weights and payloads, and of weights and state. Below: what each
    population costs alone."""
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(a.population for a in found.alone))
    figure = Figure(figsize=(11, 4.2 + 0.2 * len(names)), dpi=120, layout="constrained")
    grids, alone = figure.subfigures(2, 1, height_ratios=(3.2, 1 + 0.2 * len(names)))
    for axes, (other, fixed) in zip(
        grids.subplots(1, 2), (("payloads", "state"), ("state", "payloads")), strict=True
    ):
        shown = _grid(axes, found, other, fixed)
    grids.colorbar(shown, ax=grids.axes, label=found.measure.aim)
    for axes, kind in zip(alone.subplots(1, len(KINDS), sharey=True, squeeze=False)[0], KINDS, strict=True):
        lost = _losses(axes, found, kind, names)
    alone.colorbar(lost, ax=alone.axes, label="points of agreement lost")
    figure.suptitle(title, fontsize=10)
    return png(figure)


def _grid(axes: Axes, found: Precision, other: str, fixed: str) -> AxesImage:
    cells = [c for c in found.grid if getattr(c, fixed) == getattr(found.finest, fixed)]
    rows, columns = (sorted({getattr(c, k) for c in cells}) for k in (other, "weights"))
    scale = 100 if found.measure.is_share else 1
    values = np.full((len(rows), len(columns)), np.nan)
    for c in cells:
        score = _main(found, c)
        values[rows.index(getattr(c, other)), columns.index(c.weights)] = (
            np.nan if score is None else scale * score
        )
    shown = axes.imshow(values, origin="lower", aspect="auto", vmin=0, vmax=scale, cmap="viridis")
    for (i, j), value in np.ndenumerate(values):
        text = "-" if np.isnan(value) else found.measure.shown(value / scale, 0)
        axes.text(
            j,
            i,
            text,
            ha="center",
            va="center",
            fontsize=7,
            color="white" if not value > 0.6 * scale else "black",
        )
    axes.set_xticks(range(len(columns)), map(str, columns))
    axes.set_yticks(range(len(rows)), map(str, rows))
    axes.set(xlabel="bits of weights", ylabel=f"bits of {other}")
    axes.set_title(f"{getattr(found.finest, fixed)} bits of {fixed}", fontsize=9)
    return shown


def _losses(axes: Axes, found: Precision, kind: str, names: list[str]) -> AxesImage:
    rows = [a for a in found.alone if a.kind == kind]
    columns = sorted({a.bits for a in rows})
    values = np.full((len(names), max(1, len(columns))), np.nan)
    for a in rows:
        values[names.index(a.population), columns.index(a.bits)] = a.loss
    shown = axes.imshow(values, aspect="auto", vmin=0, vmax=max(10.0, 2 * found.tolerance), cmap="magma_r")
    first = found.first(kind)
    if first is not None:
        axes.plot(
            columns.index(first.bits),
            names.index(first.population),
            "s",
            markersize=9,
            markerfacecolor="none",
            color="C0",
        )
    axes.set_xticks(range(len(columns)), map(str, columns))
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.set_xlabel(f"bits of {kind}, alone", fontsize=9)
    axes.set_title(
        f"first to break: {first.population}, {first.bits} bits" if first else "none breaks", fontsize=8
    )
    return shown
