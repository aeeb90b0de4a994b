"""The error of each population in parts, firing rates, and one image on its way. Plotly figures."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
import plotly.graph_objects as go

from dnisnm_lava.studies.explain.values import PARTS, Explained, Explanation
from dnisnm_lava.views.page.figures import BLUE, GREEN, GREY, ORANGE, RED, VIOLET

PART_COLOURS = dict(zip(PARTS, (RED, GREEN, BLUE, GREY, VIOLET, ORANGE), strict=True))
ROW = 22  # pixels of a bar
SPIKES = ((0.0, BLUE), (0.5, "rgba(127,127,127,0.08)"), (1.0, ORANGE))


def parts(explanation: Explanation) -> go.Figure:
    """Stacked bars, one a population: what each part adds to the squared error; below 0 where it makes up for
    others."""
    shown = list(explanation.populations)
    figure = _bars(len(shown), "squared error, %")
    for name in PARTS:
        figure.add_bar(
            y=_names(shown),
            x=[100 * p.parts[name].contribution for p in shown],
            name=name,
            orientation="h",
            marker={"color": PART_COLOURS[name]},
            hovertemplate="%{x:.3f} %",
        )
    figure.add_scatter(
        y=_names(shown),
        x=[100 * p.total.mean_squared for p in shown],
        name="all",
        mode="markers",
        marker={"symbol": "diamond", "size": 8, "color": GREY},
        meta="ink",
        hovertemplate="%{x:.3f} %",
    )
    return figure


def rates(explanation: Explanation) -> go.Figure:
    """Spikes a neuron and step, positive to the right, negative to the left, as in the paper's Fig. 9."""
    shown = [p for p in explanation.populations if p.kind != "ReadOut"]
    figure = _bars(len(shown), "spikes a neuron and step")
    figure.add_bar(
        y=_names(shown),
        x=[p.rate_up for p in shown],
        name="positive",
        orientation="h",
        marker={"color": ORANGE},
        hovertemplate="%{x:.4f}",
    )
    figure.add_bar(
        y=_names(shown),
        x=[-p.rate_down for p in shown],
        name="negative",
        orientation="h",
        marker={"color": BLUE},
        customdata=[p.rate_down for p in shown],
        hovertemplate="%{customdata:.4f}",
    )
    return figure


def raster(explanation: Explanation) -> go.Figure:
    """One image through the network: a panel a population, a column a step, a row a neuron; the colour is
    what was sent, as a share of the population's K levels."""
    shown = [(p, p.raster) for p in explanation.populations if p.raster is not None]
    height = max((r.levels.shape[1] for _, r in shown), default=0)
    panels, columns, ticks, most = [], [], {}, []
    for i, (p, found) in enumerate(shown):
        steps = len(found.levels)
        panel = np.zeros((height, steps + 1), np.float32)  # the last column parts it from the next
        panel[:, -1] = np.nan
        panel[found.levels.shape[1] :, :steps] = np.nan
        panel[: found.levels.shape[1], :steps] = found.levels.T
        places = [f"{_name(p)}, step {t}" for t in range(1, steps + 1)]
        ticks[places[steps // 2]] = _name(p)
        columns += [*places, f"{i}"]
        most += [max(1, p.levels)] * (steps + 1)
        panels.append(panel)
    cells = np.concatenate(panels, axis=1)[:, :-1] if panels else np.zeros((0, 0), np.float32)
    levels = [[None if np.isnan(v) else int(v) for v in row] for row in cells]
    figure = go.Figure(layout={"template": None, "height": 430})
    figure.add_heatmap(
        z=[[None if v is None else v / k for v, k in zip(row, most, strict=False)] for row in levels],
        text=levels,
        x=columns[:-1],
        y=list(range(1, height + 1)),
        zmin=-1,
        zmax=1,
        colorscale=SPIKES,
        hoverongaps=False,
        hovertemplate="%{x}: %{text:+d}<extra></extra>",
        colorbar={
            "thickness": 10,
            "outlinewidth": 0,
            "title": {"text": "of K"},
            "tickvals": [-1, 0, 1],
            "ticktext": ["-K", "0", "K"],
        },
    )
    figure.update_xaxes(
        tickvals=list(ticks), ticktext=list(ticks.values()), tickangle=-60, showgrid=False, zeroline=False
    )
    figure.update_yaxes(
        title="neurons, busiest first",
        showticklabels=False,
        range=[height + 0.5, 0.5],
        showgrid=False,
        zeroline=False,
    )
    return figure


def _bars(count: int, title: str) -> go.Figure:
    figure = go.Figure(
        layout={"template": None, "barmode": "relative", "bargap": 0.25, "hovermode": "y unified"}
    )
    figure.update_layout(height=110 + ROW * count)
    figure.update_xaxes(title=title, zeroline=True)
    return figure.update_yaxes(autorange="reversed", type="category", ticksuffix=" ", tickfont={"size": 11})


def _names(populations: Sequence[Explained]) -> list[str]:
    return [_name(p) for p in populations]


def _name(p: Explained) -> str:
    """Plotly reads some markup in texts; what is escaped, it shows as it is."""
    return escape(p.name, quote=False)
