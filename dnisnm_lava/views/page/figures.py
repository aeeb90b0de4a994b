"""The curves: accuracy, agreement, spikes and energy over T, and what is traded for what. Plotly figures.

Colours keep a contrast of 3:1 with the page in light and dark; what depends on the theme, the page's script
sets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import plotly.graph_objects as go

from dnisnm_lava.evaluation.intervals import front
from dnisnm_lava.measures import wilson
from dnisnm_lava.studies.costs.energy import Costs
from dnisnm_lava.studies.overview import Gathered

BLUE, ORANGE, GREEN, VIOLET, GREY, RED = "#2f7fd1", "#c8641a", "#1f8f6b", "#8b62c9", "#7b828c", "#cf4747"
NAMES = {"ann": "ANN", "float": "float SNN", "integer": "integer SNN", "lava": "Lava fixed_pt"}
COLOURS = {"ann": GREY, "float": BLUE, "integer": ORANGE, "lava": GREEN}
HEIGHT = 320  # pixels
RULES = {"chip": "a chip like Loihi", "arithmetic": "integer arithmetic", "paper": "the paper's rule"}


def energies(costs: Costs, rule: str) -> tuple[float, float]:
    """µJ an image by one of RULES: (of the spiking network, of the ANN beside it; 0 where the rule knows
    none)."""
    if rule == "chip":
        return costs.chip.total / 1e6, 0.0
    if rule == "arithmetic":
        return costs.quantized.snn / 1e6, costs.quantized.ann / 1e6
    return costs.paper.energy_snn["arriving"] / 1e6, costs.paper.energy_ann / 1e6


def spikes(costs: Costs) -> float:
    """How many spikes an image takes, without those of the image itself."""
    return sum(p.spikes for p in costs.populations if p.kind != "Input")


# ---------------------------------------------------------------- over T


def accuracy(found: Gathered) -> go.Figure:
    """A line each, in its 95 % interval; the ANN's, which has no T, is level."""
    figure = _figure("time steps T", "accuracy, %", found.steps)
    images = found.comparison.images
    for key in ("float", "integer"):
        _band(figure, found.accuracy(key), images[key], COLOURS[key])
    ann = found.accuracy("ann")
    _line(figure, ann, NAMES["ann"], GREY, images["ann"], dash="dash", symbol=None)
    for key, symbol in (("float", "circle"), ("integer", "square")):
        _line(figure, found.accuracy(key), NAMES[key], COLOURS[key], images[key], symbol=symbol)
    shown = [
        (share, images[key]) for key in ("ann", "float", "integer") for share in found.accuracy(key).values()
    ]
    low = max(-2.0, 100 * min(wilson(*pair)[0] for pair in shown) - 3)
    figure.update_yaxes(range=[low, 100 + (100 - low) / 25])
    return figure


def agreement(found: Gathered) -> go.Figure:
    figure = _figure("time steps T", "same class as the ANN, %", found.steps)
    for key, symbol in (("float", "circle"), ("integer", "square")):
        shares, images = found.comparison.agreement[key], found.comparison.images[key]
        _band(figure, shares, images, COLOURS[key])
        _line(figure, shares, NAMES[key], COLOURS[key], images, symbol=symbol)
    return figure


def spikes_over_steps(found: Gathered) -> go.Figure:
    figure = _figure("time steps T", "spikes an image", found.steps)
    counts = [spikes(found.costs[t]) for t in found.steps]
    hover = "T = %{x}: %{y:,.0f} spikes<extra></extra>"
    figure.add_scatter(
        x=list(found.steps),
        y=counts,
        mode="lines+markers",
        line={"color": ORANGE},
        marker={"symbol": "square"},
        hovertemplate=hover,
        showlegend=False,
    )
    return figure.update_yaxes(rangemode="tozero")


def energy_over_steps(found: Gathered, rule: str) -> go.Figure:
    figure = _figure("time steps T", "µJ an image", found.steps)
    pairs = [energies(found.costs[t], rule) for t in found.steps]
    for name, colour, values, symbol in (
        (NAMES["integer"], ORANGE, [snn for snn, _ in pairs], "square"),
        ("the ANN, by the same rule", GREY, [ann for _, ann in pairs], "circle"),
    ):
        if any(values):
            figure.add_scatter(
                x=list(found.steps),
                y=values,
                name=name,
                mode="lines+markers",
                line={"color": colour},
                marker={"symbol": symbol},
                hovertemplate="%{y:,.4~g} µJ",
            )
    return figure.update_yaxes(rangemode="tozero")


def _line(
    figure: go.Figure,
    shares: Mapping[int, float],
    name: str,
    colour: str,
    images: int,
    *,
    dash: str = "solid",
    symbol: str | None = "circle",
) -> None:
    lows, highs = zip(*(wilson(share, images) for share in shares.values()), strict=True)
    told = [f"{100 * low:.2f} to {100 * high:.2f}" for low, high in zip(lows, highs, strict=True)]
    figure.add_scatter(
        x=list(shares),
        y=[100 * s for s in shares.values()],
        name=name,
        mode="lines+markers" if symbol else "lines",
        line={"color": colour, "dash": dash},
        marker={"symbol": symbol or "circle", "size": 7, "color": colour},
        customdata=told,
        hovertemplate="%{y:.2f} % (%{customdata})",
    )


def _band(figure: go.Figure, shares: Mapping[int, float], images: int, colour: str) -> None:
    """The 95 % interval, as an area."""
    lows, highs = zip(*(wilson(share, images) for share in shares.values()), strict=True)
    x = [*shares, *reversed(list(shares))]
    y = [100 * v for v in (*lows, *reversed(highs))]
    rgb = ",".join(str(int(colour[i : i + 2], 16)) for i in (1, 3, 5))
    figure.add_scatter(
        x=x,
        y=y,
        fill="toself",
        fillcolor=f"rgba({rgb},0.13)",
        mode="none",
        hoverinfo="skip",
        showlegend=False,
    )


# ---------------------------------------------------------------- trade-offs

COSTS: dict[str, tuple[str, Callable[[int, Costs], float]]] = {
    "steps": ("time steps T", lambda t, _: float(t)),
    "spikes": ("spikes an image", lambda _, costs: spikes(costs)),
    "energy": ("µJ an image, a chip like Loihi", lambda _, costs: energies(costs, "chip")[0]),
}


def on_front(found: Gathered, cost: str) -> dict[int, bool]:
    """{T: does no other T beat its integer accuracy at this cost?}"""
    values = [COSTS[cost][1](t, found.costs[t]) for t in found.steps]
    return dict(
        zip(found.steps, front([found.accuracy("integer")[t] for t in found.steps], values), strict=True)
    )


def trade(found: Gathered, cost: str) -> go.Figure:
    """Accuracy over a cost: the front as a line, what is beaten as rings."""
    title, of = COSTS[cost]
    kept = on_front(found, cost)
    points = {t: (of(t, found.costs[t]), 100 * found.accuracy("integer")[t]) for t in found.steps}
    figure = _figure(title, "accuracy, %", None)
    figure.update_layout(hovermode="closest", height=280, showlegend=False)
    best, beaten = ([t for t in found.steps if kept[t] is wanted] for wanted in (True, False))
    best = sorted(best, key=lambda t: points[t][0])
    for name, chosen, marker, mode in (
        ("front", best, {"symbol": "square", "size": 8, "color": ORANGE}, "lines+markers+text"),
        ("beaten", beaten, {"symbol": "circle-open", "size": 8, "color": GREY}, "markers+text"),
    ):
        if chosen:
            figure.add_scatter(
                x=[points[t][0] for t in chosen],
                y=[points[t][1] for t in chosen],
                mode=mode,
                name=name,
                marker=marker,
                line={"color": ORANGE, "width": 1.5},
                text=[str(t) for t in chosen],
                textposition="bottom right",
                hovertemplate="T = %{text}<br>%{x:,.5~g}, %{y:.2f} %<extra></extra>",
                cliponaxis=False,
            )
    figure.add_hline(
        y=100 * found.accuracy("ann")[found.steps[0]], line={"color": GREY, "dash": "dash", "width": 1.5}
    )
    return figure


# ---------------------------------------------------------------- what they share


def _figure(x: str, y: str, steps: Sequence[int] | None) -> go.Figure:
    """Empty, with titled axes; over T in octaves where `steps` are given."""
    figure = go.Figure(layout={"template": None, "height": HEIGHT, "hovermode": "x unified"})
    figure.update_xaxes(title=x)
    figure.update_yaxes(title=y)
    if steps:
        shown = [t for t in steps if t & (t - 1) == 0 or t == steps[-1] or len(steps) <= 4]
        figure.update_xaxes(type="log", tickvals=shown, ticktext=[str(t) for t in shown], hoverformat="d")
    return figure
