"""The error of each population in parts, firing rates, and one image on its way."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from PIL import Image

from dnisnm_lava.studies.explain.values import PARTS, Explained, Explanation, Raster
from dnisnm_lava.views.page import charts, svg
from dnisnm_lava.views.page.charts import Bar
from dnisnm_lava.views.page.rasters import encoded

MOST = 24  # populations that are drawn: those with the largest errors
ORANGE, BLUE = (200, 100, 26), (47, 127, 209)
ACROSS, PANEL, GAP = 4, (89, 50), 9  # panels in a row; their size, and what lies between


def drawn(explanation: Explanation) -> list[Explained]:
    """In the order of the graph."""
    ranked = sorted(explanation.populations, key=lambda p: -p.total.mean_squared)
    chosen = {p.name for p in ranked[:MOST]}
    return [p for p in explanation.populations if p.name in chosen]


def parts(explanation: Explanation, alt: str) -> Markup:
    """Stacked bars, one a population: what each part adds to the squared error; below 0 where it makes up for
    others."""
    rows = [
        Bar(
            p.name,
            {name: 100 * p.parts[name].contribution for name in PARTS},
            "\n".join(
                [
                    p.name,
                    f"all: {100 * p.total.mean_squared:.3f} %",
                    *(f"{name} adds {100 * p.parts[name].contribution:.3f} %" for name in PARTS),
                ]
            ),
            100 * p.total.mean_squared,
        )
        for p in drawn(explanation)
    ]
    used = {name: name for name in PARTS if any(row.parts[name] for row in rows)}
    return charts.bars(rows, used, "squared error, % of the power", alt, "all")


def rates(explanation: Explanation, alt: str) -> Markup:
    """Spikes a neuron and step, positive to the right, negative to the left, as in the paper's Fig. 9."""
    rows = [
        Bar(
            p.name,
            {"positive": p.rate_up, "negative": -p.rate_down},
            f"{p.name}\npositive: {p.rate_up:.4f}\nnegative: {p.rate_down:.4f}",
        )
        for p in drawn(explanation)
        if p.kind != "ReadOut"
    ]
    names = {"positive": "positive", "negative": "negative"}
    return charts.bars(rows, names, "spikes a neuron and step", alt)


def raster(explanation: Explanation, alt: str) -> Markup:
    """One image through the network: a panel a population, a column a step, a row a neuron."""
    shown = [(p, p.raster) for p in drawn(explanation) if p.raster is not None]
    width, height = PANEL
    pitch = width + GAP, height + 26
    made = []
    for i, (p, found) in enumerate(shown):
        x, y = 4 + i % ACROSS * pitch[0], 6 + i // ACROSS * pitch[1]
        made.append(_panel(p, found, x, y))
        name = svg.shortened(p.name, 15)
        made.append(svg.text(x + width / 2, y + height + 13, name, "small", text_anchor="middle"))
    rows = -(-len(shown) // ACROSS)
    return svg.drawing(charts.WIDTH, 12 + rows * pitch[1], alt, *made)


def _panel(p: Explained, found: Raster, x: float, y: float) -> Markup:
    width, height = PANEL
    tip = f"{p.name}\n{found.firing:,} of {found.total:,} neurons sent something in {len(found.levels)} steps"
    image = svg.element(
        "image",
        x=x,
        y=y,
        width=width,
        height=height,
        href=_pixels(found, p.levels),
        preserveAspectRatio="none",
        class_="pixels",
    )
    return svg.element("g", svg.rect(x, y, width, height, "panel"), image, data_tip=tip)


def _pixels(found: Raster, levels: int) -> str:
    """PNG: orange above 0, blue below, clear at 0; full colour is all K levels."""
    share = np.clip(found.levels.T.astype(np.float64) / max(1, levels), -1, 1)  # (neurons, T)
    pixels = np.zeros((*share.shape, 4), np.uint8)
    for sign, colour in ((1, ORANGE), (-1, BLUE)):
        pixels[share * sign > 0, :3] = colour
    alpha = np.where(share == 0, 0.0, 0.25 + 0.75 * np.abs(share))
    pixels[..., 3] = (255 * alpha).astype(np.uint8)
    return encoded(Image.fromarray(pixels), "PNG")


def left_out(populations: Sequence[Explained]) -> int:
    return max(0, len(populations) - MOST)
