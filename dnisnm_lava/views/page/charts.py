"""Charts: curves over T, points of two measures, bars of populations. Drawn once, in the page's own colours;
what follows the chosen T stands there for each T, and the page's style shows one of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log2

from markupsafe import Markup

from dnisnm_lava.views.page import svg

WIDTH, HEIGHT = 400, 250  # of a chart, in its own units: the page shows it about as large
RIGHT, TOP, BOTTOM = 14, 12, 42
ROW, LEGEND = 19, 17  # of a bar, and of a line of the legend
PERCENT_SPAN = 10.0  # points, that an axis shows where all values are the same
NAME_LETTERS = 20  # of a population beside its bar


@dataclass(frozen=True)
class Series:
    """key: of its colour. values: {T: value}. band: {T: (low, high)} around them. marker: of its points, or
    none."""

    key: str
    name: str
    values: Mapping[int, float]
    band: Mapping[int, tuple[float, float]] | None = None
    marker: str = "circle"
    dashed: bool = False


@dataclass(frozen=True)
class Frame:
    """Where the plot lies in its drawing, and the scale of each axis."""

    left: float
    top: float
    right: float
    bottom: float
    x: Callable[[float], float]
    y: Callable[[float], float]


def over_steps(
    series: Sequence[Series],
    unit: str,
    alt: str,
    *,
    chosen: int,
    told: Callable[[float], str],
    from_zero: bool = False,
    is_share: bool = False,
) -> Markup:
    """A line for each of `series` over T, in octaves. told: a value in words. is_share: ends the axis at
    100?"""
    steps = sorted({t for s in series for t in s.values})
    values = [v for s in series for v in s.values.values()]
    values += [v for s in series if s.band for pair in s.band.values() for v in pair]
    low, high = _range(values, is_share, from_zero)
    legend = _legend([(s.key, s.name, s.marker, s.dashed) for s in series])
    ends = log2(steps[0]), log2(steps[-1])
    frame = _frame(low, high, is_share, legend[1], lambda t: log2(t), *ends)
    shown = [t for t in steps if t & (t - 1) == 0 or t == steps[-1] or len(steps) <= 4]
    names = [(t, str(t)) for t in _spaced(shown, frame)]
    parts = [_axes(frame, _ticks(low, high, is_share), unit, "time steps T", names)]
    for s in series:
        if s.band:
            edge = [(frame.x(t), frame.y(s.band[t][1])) for t in s.band]
            edge += [(frame.x(t), frame.y(s.band[t][0])) for t in reversed(list(s.band))]
            parts.append(svg.path(edge, f"band c-{s.key}", closed=True))
    for t in steps:
        kind = "mark on" if t == chosen else "mark"
        parts.append(svg.line(frame.x(t), frame.top, frame.x(t), frame.bottom, kind, data_mark=t))
    for s in series:
        points = [(frame.x(t), frame.y(v)) for t, v in s.values.items()]
        if s.marker and len(points) == 1:
            points = points * 2
        parts.append(svg.path(points, f"curve c-{s.key}" + " dashed" * s.dashed))
        if s.marker:
            parts += [
                svg.marker(s.marker, frame.x(t), frame.y(v), f"point c-{s.key}") for t, v in s.values.items()
            ]
    parts += _columns(frame, steps, series, told)
    return svg.drawing(WIDTH, HEIGHT, alt, legend[0], *parts)


def _columns(
    frame: Frame, steps: Sequence[int], series: Sequence[Series], told: Callable[[float], str]
) -> list[Markup]:
    """An unseen column around each T: what is pointed at, and chosen."""
    places = [frame.x(t) for t in steps]
    edges = [frame.left, *((a + b) / 2 for a, b in pairwise(places)), frame.right]
    made = []
    for t, a, b in zip(steps, edges[:-1], edges[1:], strict=True):
        lines = [f"{s.name}: {told(s.values[t])}{_band(s, t, told)}" for s in series if t in s.values]
        tip = "\n".join([f"T = {t}", *lines])
        made.append(
            svg.rect(a, frame.top, max(0.0, b - a), frame.bottom - frame.top, "hit", data_tip=tip, data_t=t)
        )
    return made


def _band(s: Series, t: int, told: Callable[[float], str]) -> str:
    return "" if s.band is None else f" ({told(s.band[t][0])} to {told(s.band[t][1])})"


# ---------------------------------------------------------------- points


def trade(
    points: Mapping[int, tuple[float, float]],
    kept: Mapping[int, bool],
    level: float | None,
    x_title: str,
    unit: str,
    alt: str,
    *,
    chosen: int,
    told: Callable[[float, float], str],
    is_share: bool = False,
) -> Markup:
    """{T: (cost, score)}: those that are `kept` on a line, each named by its T; `level`: the ANN's score, if
    it has one. is_share: ends the axis at 100?"""
    levels = [] if level is None else [level]
    low, high = _range([*(y for _, y in points.values()), *levels], is_share)
    least, most = 0.0, max(x for x, _ in points.values()) * 1.08 or 1.0
    theirs = [("ann", "ANN", "", True)] if levels else []
    legend = _legend([("integer", "Pareto front", "square", False), *theirs])
    frame = _frame(low, high, is_share, legend[1], lambda x: x, least, most)
    names = _named(svg.ticks(least, most, 4))
    parts = [_axes(frame, _ticks(low, high, is_share), unit, x_title, names)]
    for y in map(frame.y, levels):
        parts.append(svg.line(frame.left, y, frame.right, y, "curve c-ann dashed"))
    at = {t: (frame.x(x), frame.y(y)) for t, (x, y) in points.items()}
    front = sorted((at[t] for t in points if kept[t]), key=lambda place: place[0])
    parts.append(svg.path(front if len(front) > 1 else front * 2, "curve c-integer"))
    taken = [(x - 5, y - 5, x + 5, y + 5) for x, y in at.values()]
    for t, (x, y) in at.items():
        kind = "point c-integer" if kept[t] else "ring c-ann"
        parts.append(svg.marker("square" if kept[t] else "circle", x, y, kind))
        kind = "halo on" if t == chosen else "halo"
        parts.append(svg.marker("circle", x, y, kind, 7, data_mark=t))
        parts.append(_name_beside(str(t), x, y, taken, frame))
    for t, (x, y) in at.items():
        tip = f"T = {t}\n{told(*points[t])}"
        parts.append(svg.marker("circle", x, y, "hit", 12, data_tip=tip, data_t=t))
    return svg.drawing(WIDTH, HEIGHT, alt, legend[0], *parts)


def _name_beside(
    name: str, x: float, y: float, taken: list[tuple[float, float, float, float]], frame: Frame
) -> Markup:
    """The T of a point, where nothing stands yet, within the plot."""
    w = svg.width_of(name) + 2
    places = [(x + 7, y + 14), (x - w - 6, y - 7), (x + 7, y - 7), (x - w - 6, y + 14)]
    places += [(x - w / 2, y + 20), (x - w / 2, y - 13), (x + 12, y + 4), (x - w - 12, y + 4)]

    def box(place: tuple[float, float]) -> tuple[float, float, float, float]:
        return place[0] - 1, place[1] - 10, place[0] + w, place[1] + 2

    def fits(place: tuple[float, float]) -> bool:
        a, b, c, d = box(place)
        inside = frame.left <= a and c <= WIDTH and frame.top <= b and d <= frame.bottom
        return inside and all(c <= q[0] or a >= q[2] or d <= q[1] or b >= q[3] for q in taken)

    place = next((p for p in places if fits(p)), None)
    if place is None:
        return Markup("")  # its column tells it
    taken.append(box(place))
    return svg.text(*place, name, "name")


# ---------------------------------------------------------------- bars


@dataclass(frozen=True)
class Bar:
    """A population: {key of a colour: size}, stacked from 0 outwards to either side; whole: a mark."""

    name: str
    parts: Mapping[str, float]
    tip: str
    whole: float | None = None


def bars(rows: Sequence[Bar], names: Mapping[str, str], unit: str, alt: str, whole: str = "") -> Markup:
    """A row each. names: of the colours; whole: of the mark."""
    lows = [sum(min(0.0, v) for v in row.parts.values()) for row in rows]
    highs = [max(sum(max(0.0, v) for v in row.parts.values()), row.whole or 0.0) for row in rows]
    low, high = min([0.0, *lows]), max([0.0, *highs]) or 1.0
    span = high - low
    low, high = low - 0.02 * span * (low < 0), high + 0.03 * span
    items = [(key, name, "block", False) for key, name in names.items()]
    legend, lines = _legend(items + ([("whole", whole, "diamond", False)] if whole else []))
    left = 8 + min(NAME_LETTERS, max((len(row.name) for row in rows), default=0)) * svg.LETTER
    top, height = TOP + LEGEND * lines, ROW * len(rows)

    def x(value: float) -> float:
        return left + (value - low) / (high - low) * (WIDTH - RIGHT - left)

    parts = []
    marks = svg.ticks(low, high, 4)
    for value, name in _named(marks):
        parts.append(svg.line(x(value), top, x(value), top + height, "grid" if value else "axis"))
        parts.append(svg.text(x(value), top + height + 15, name, text_anchor="middle"))
    parts.append(svg.text((left + WIDTH - RIGHT) / 2, top + height + 33, unit, text_anchor="middle"))
    for i, row in enumerate(rows):
        parts += _row(row, top + ROW * i, left, x)
    return svg.drawing(WIDTH, top + height + BOTTOM, alt, legend, *parts)


def _row(row: Bar, y: float, left: float, x: Callable[[float], float]) -> list[Markup]:
    made = [svg.text(left - 6, y + 13, svg.shortened(row.name, NAME_LETTERS), text_anchor="end")]
    edges = {True: 0.0, False: 0.0}
    for key, value in row.parts.items():
        if value:
            start = edges[value > 0]
            edges[value > 0] = start + value
            a, b = sorted((x(start), x(start + value)))
            made.append(svg.rect(a, y + 3, b - a, ROW - 6, f"block c-{key}"))
    if row.whole is not None:
        made.append(svg.marker("diamond", x(row.whole), y + ROW / 2, "whole", 4))
    return [*made, svg.rect(0, y, WIDTH, ROW, "hit", data_tip=row.tip)]


# ---------------------------------------------------------------- what they share


def _range(values: Sequence[float], is_share: bool, from_zero: bool = False) -> tuple[float, float]:
    """Around all values; of shares in percent, no higher than 100 and a little room."""
    low, high = min(values), max(values)
    low = 0.0 if from_zero else low
    span = (high - low) or (PERCENT_SPAN if is_share else abs(high) or 1.0)
    low, high = low if from_zero else low - 0.06 * span, high + 0.08 * span
    return (max(low, -0.06 * span), min(high, 100 + 0.08 * span)) if is_share else (low, high)


def _ticks(low: float, high: float, is_share: bool) -> list[float]:
    return [value for value in svg.ticks(low, high) if not is_share or 0 <= value <= 100]


def _frame(
    low: float,
    high: float,
    is_share: bool,
    lines: int,
    scale: Callable[[float], float],
    first: float,
    last: float,
) -> Frame:
    """The left edge leaves room for the numbers of y; `lines`: of the legend."""
    names = svg.tick_names(_ticks(low, high, is_share))
    left = 14 + max(map(svg.width_of, names))
    top, right, bottom = TOP + LEGEND * (lines + 1), WIDTH - RIGHT, HEIGHT - BOTTOM
    pad = 12 if first != last else 0
    span = (last - first) or 1.0

    def x(value: float) -> float:
        if first == last:
            return (left + right) / 2
        inset = pad if scale(1) == 0 else 0  # of octaves, whose first point lies on no edge
        return left + inset + (scale(value) - first) / span * (right - left - 2 * inset)

    def y(value: float) -> float:
        return bottom - (value - low) / (high - low) * (bottom - top)

    return Frame(left, top, right, bottom, x, y)


def _axes(
    frame: Frame, values: Sequence[float], unit: str, x_title: str, x_ticks: Sequence[tuple[float, str]]
) -> Markup:
    """values: of y, that are named."""
    parts = []
    for value, name in zip(values, svg.tick_names(values), strict=True):
        parts.append(svg.line(frame.left, frame.y(value), frame.right, frame.y(value), "grid"))
        parts.append(svg.text(frame.left - 6, frame.y(value) + 4, name, text_anchor="end"))
    parts.append(svg.line(frame.left, frame.bottom, frame.right, frame.bottom, "axis"))
    for value, name in x_ticks:
        parts.append(svg.line(frame.x(value), frame.bottom, frame.x(value), frame.bottom + 4, "axis"))
        parts.append(svg.text(frame.x(value), frame.bottom + 17, name, text_anchor="middle"))
    parts.append(svg.text((frame.left + frame.right) / 2, HEIGHT - 5, x_title, text_anchor="middle"))
    parts.append(svg.text(4, frame.top - 8, unit))
    return svg.element("g", *parts)


def _named(values: Sequence[float]) -> list[tuple[float, str]]:
    return list(zip(values, svg.tick_names(values), strict=True))


def _spaced(steps: Sequence[int], frame: Frame) -> list[int]:
    """Those whose names do not touch, from the last on down."""
    kept: list[int] = []
    for t in reversed(steps):
        if not kept or frame.x(kept[-1]) - frame.x(t) >= svg.width_of(str(kept[-1])) + 8:
            kept.append(t)
    return kept[::-1]


def _legend(items: Sequence[tuple[str, str, str, bool]]) -> tuple[Markup, int]:
    """(key, name, marker, dashed) above the plot; and how many lines it takes."""
    x, y, parts = 4.0, TOP, []
    for key, name, shape, dashed in items:
        width = 26 + svg.width_of(name) + 14
        if x > 4 and x + width > WIDTH:
            x, y = 4.0, y + LEGEND
        if shape == "block":
            parts.append(svg.rect(x + 5, y - 5, 10, 10, f"block c-{key}"))
        elif key == "whole":
            parts.append(svg.marker("diamond", x + 10, y, "whole", 4))
        else:
            parts.append(svg.line(x, y, x + 20, y, f"curve c-{key}" + " dashed" * dashed))
            if shape:
                parts.append(svg.marker(shape, x + 10, y, f"point c-{key}"))
        parts.append(svg.text(x + 25, y + 4, name, "told"))
        x += width
    return svg.element("g", *parts), (y - TOP) // LEGEND + 1
