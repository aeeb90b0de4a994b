"""Predictions: a table for people, a dictionary for JSON, arrays for programs."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from dnisnm_lava.evaluation.predictions import Predictions

MOST = 1000  # values of an image that JSON tells
SHOWN = 8  # that a table shows


def predictions_json(
    found: Predictions,
    images: Sequence[str],
    names: Sequence[str],
    output: tuple[str, int, int],
    provenance: Mapping[str, Any],
) -> dict[str, Any]:
    """One entry an image: class, its name where there is one, and margin; else values, or of more than MOST
    their extrema and mean; and the integer sums of each read-out, where they are no more than MOST. output:
    its name, its place, and how many there are."""
    rows = [
        {"image": image, **_entry(found, i, names), "steps": int(found.steps[i]), "sums": _sums(found, i)}
        for i, image in enumerate(images)
    ]
    return {
        "images": len(images),
        "mean_steps": float(found.steps.mean()),
        "shape": list(found.values.shape[1:]),
        **dict(zip(("output", "index", "outputs"), output, strict=True)),
        "units": {name: unit.tolist() for name, unit in found.units.items()},
        "predictions": rows,
        "provenance": dict(provenance),
    }


def _entry(found: Predictions, i: int, names: Sequence[str]) -> dict[str, Any]:
    if found.classes is not None and found.margins is not None:
        chosen = int(found.classes[i])
        return {
            "class": chosen,
            **({"name": names[chosen]} if names else {}),
            "margin": float(found.margins[i]),
        }
    values = found.values[i]
    if values.size <= MOST:
        return {"values": values.tolist()}
    return {"least": float(values.min()), "mean": float(values.mean()), "largest": float(values.max())}


def _sums(found: Predictions, i: int) -> dict[str, Any]:
    """{read-out: its integers of this image}, of those that are few."""
    return {name: sums[i].tolist() for name, sums in found.sums.items() if sums[i].size <= MOST}


def predictions_arrays(found: Predictions, images: Sequence[str]) -> bytes:
    """An .npz of images, values, steps, where there are classes, classes and margins, and of each read-out
    `sums/NAME` and `unit/NAME`."""
    buffer = io.BytesIO()
    more = {} if found.classes is None else {"classes": found.classes, "margins": found.margins}
    more |= {f"sums/{name}": sums for name, sums in found.sums.items()}
    more |= {f"unit/{name}": unit for name, unit in found.units.items()}
    np.savez(buffer, images=np.array(images), values=found.values, steps=found.steps, **more)  # type: ignore[arg-type]
    return buffer.getvalue()


def predictions_table(result: Mapping[str, Any], title: str, early: bool) -> RenderableType:
    """`predictions_json` for people."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("image", overflow="fold")
    rows = result["predictions"]
    keys = [key for key in rows[0] if key not in ("image", "sums") and (early or key != "steps")]
    for key in keys:
        table.add_column(
            key,
            justify="left" if key == "name" else "right",
            overflow="fold" if key in ("name", "values") else "ellipsis",
        )
    for row in rows:
        table.add_row(Text(row["image"]), *(Text(_cell(row[key])) for key in keys))
    return Panel(
        Group(table, Text("\n".join(_words(result, keys)))), title=Text(title), box=box.ROUNDED, expand=False
    )


def _words(result: Mapping[str, Any], keys: Sequence[str]) -> Iterator[str]:
    count, steps = result["images"], result["mean_steps"]
    yield f"{count:,} image{'s' * (count != 1)}, {steps:.4g} steps" + (
        " each" if "steps" not in keys else " on average"
    )
    which = (
        f", {result['index']} of 0 to {result['outputs'] - 1} (--output chooses)"
        if result["outputs"] > 1
        else ""
    )
    yield f"output {result['output']}{which}"
    if "margin" in keys:
        yield "margin: by how much the class leads the second, in the units of the model's output"
    elif "least" in keys:
        yield f"an output of shape {tuple(result['shape'])} an image: --out FILE.npz keeps all values"


def _cell(value: Any) -> str:
    if isinstance(value, list):
        flat = np.ravel(value)
        return " ".join(f"{v:.4g}" for v in flat[:SHOWN]) + (
            f" ... ({flat.size:,})" if flat.size > SHOWN else ""
        )
    return f"{value:.4g}" if isinstance(value, float) else str(value)
