"""One figure of several networks: scores over T, latency, spikes or energy, with intervals, and the ANN as a
line; as a file of a paper's width."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import log10
from typing import TYPE_CHECKING, Any

from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.evaluation.several import Curve, Point

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTHS = {"column": 3.5, "page": 7.16}  # inches: of IEEE's two columns, and of both
SHAPES = {"column": 0.78, "page": 0.42}  # height by width
COLUMNS = {"column": 60, "page": 120}  # letters of a legend's row
AXES = {
    "steps": "time steps T",
    "latency": "time steps until the answer stands",
    "spikes": "spikes an image",
    "energy": "energy an image, uJ",
}
RULE_NAMES = {"chip": "a chip like Loihi", "arithmetic": "integer arithmetic", "paper": "the paper's rule"}
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")  # Okabe and Ito's
MARKERS = "osD^vPX"
POINTS = 7.0  # of the text
NUMBER = 0.45  # inches that a number takes of an axis
ASIDE = 2.4  # points between curves that share a T
STYLE = {
    "font.size": POINTS,
    "axes.titlesize": POINTS,
    "axes.labelsize": POINTS,
    "legend.fontsize": POINTS - 0.5,
    "xtick.labelsize": POINTS - 0.5,
    "ytick.labelsize": POINTS - 0.5,
    "lines.linewidth": 1.1,
    "lines.markersize": 3.6,
    "axes.linewidth": 0.6,
    "grid.linewidth": 0.4,
    "pdf.fonttype": 42,  # letters that can be searched and edited
    "svg.hashsalt": "dnisnm",  # the same figure, the same bytes
}


def figure(
    curves: Sequence[Curve],
    *,
    x: str = "steps",
    rule: str = "chip",
    width: str = "column",
    title: str = "",
    notes: Sequence[str] = (),
) -> Figure:
    """Scores of each curve over `x`, one of AXES; energies by `rule`. Bars are the intervals of the points.
    notes: further entries of the legend, without a line. OutOfRange where a curve does not know `x`."""
    from matplotlib.figure import Figure

    check(curves, x, rule)
    with style():
        wide = WIDTHS[width]
        drawn = Figure(figsize=(wide, wide * SHAPES[width]), dpi=300, layout="constrained")
        axes = drawn.add_subplot()
        for i, curve in enumerate(curves):
            aside = (i - (len(curves) - 1) / 2) * ASIDE if x in ("steps", "latency") else 0.0
            _draw(axes, curve, x, rule, i, aside)
        _ann(axes, curves)
        for note in notes:
            axes.plot([], [], " ", label=note)
        _scaled(axes, curves, x, rule)
        axes.set_xlabel(AXES[x] + (f" ({RULE_NAMES[rule]})" if x == "energy" else ""))
        axes.set_ylabel(curves[0].heading)
        axes.grid(alpha=0.3)
        legend(drawn, title, max(1, int(COLUMNS[width] // (_longest(axes) + 6))))
        drawn.supxlabel(bars(curves), fontsize=POINTS - 1.5, color="0.35")
        if x in ("spikes", "energy"):  # elsewhere the axis tells T
            name_points(axes, [named for curve in curves for named in _steps_named(curve, x, rule)])
    return drawn


def _steps_named(curve: Curve, x: str, rule: str) -> Iterator[tuple[float, float, str]]:
    """Each point's place and its T."""
    for cost, point in _known(curve, x, rule):
        yield cost, _scale(curve) * point.score, f"T = {point.steps}"


def _known(curve: Curve, x: str, rule: str) -> list[tuple[float, Point]]:
    """The points that tell this cost, with it."""
    return [(cost, p) for p in curve.points if (cost := p.cost(x, rule)) is not None]


def _scale(curve: Curve) -> int:
    return 100 if curve.is_share else 1


def check(curves: Sequence[Curve], x: str, rule: str) -> None:
    """OutOfRange where there is nothing to draw, or what there is does not belong together."""
    if not curves:
        raise OutOfRange("plot: no networks given; give folders of dnisnm compare --out")
    kinds = {(c.heading, c.is_share) for c in curves}
    if len(kinds) > 1:
        told = "; ".join(sorted(f"{c.name}: {c.heading}" for c in curves))
        raise OutOfRange(f"plot: what was measured is not the same ({told}); plot them apart")
    for curve in curves:
        if not any(p.cost(x, rule) is not None for p in curve.points):
            how = "; compare it with --cost-images 16" if x == "energy" else "; compare it anew"
            raise OutOfRange(f"{curve.name}: its result tells no {x}{how}")


def bars(curves: Sequence[Curve]) -> str:
    """On how many images, and what the bars are, in a line."""
    images = sorted({c.images for c in curves})
    of = f"{images[0]:,} images" if len(images) == 1 else "each one's images"
    paired = {c.paired for c in curves if any(p.interval for p in c.points)}
    if not paired:
        return of
    if paired == {True}:
        return f"bars: 95 % of the difference from the ANN, paired on {of}"
    return f"bars: 95 % on {of}" + (", of the difference from the ANN where paired" if True in paired else "")


def unpaired(curves: Sequence[Curve]) -> list[str]:
    """A sentence for each curve without intervals."""
    return [
        f"{c.name}: drawn without intervals, since its result does not tell what each image got (made by an "
        f"older version); compare it anew for them"
        for c in curves
        if c.marks is None
    ]


# ---------------------------------------------------------------- what is drawn


def _draw(axes: Axes, curve: Curve, x: str, rule: str, i: int, aside: float) -> None:
    """aside: by how many points of a letter's measure to the right, so that bars of several stand apart."""
    from matplotlib.transforms import ScaledTranslation

    known, scale = _known(curve, x, rule), _scale(curve)
    color, marker = COLORS[i % len(COLORS)], MARKERS[i % len(MARKERS)]
    line = ("-", "--", "-.", ":")[i // len(COLORS) % 4]
    shifted = axes.transData + ScaledTranslation(aside / 72, 0, axes.figure.dpi_scale_trans)
    drawn: dict[str, Any] = {"color": color, "transform": shifted}
    xs, ys = [c for c, _ in known], [scale * p.score for _, p in known]
    axes.plot(xs, ys, line, marker=marker, label=curve.name, zorder=3, **drawn)
    for cost, point in known:
        if point.interval is not None:
            axes.vlines(cost, *(scale * end for end in point.interval), alpha=0.6, zorder=2, **drawn)


def _ann(axes: Axes, curves: Sequence[Curve]) -> None:
    """One line for all that have the same ANN; else one each, in its colour."""
    scale = _scale(curves[0])
    known = {c.ann for c in curves if c.ann is not None}
    for i, curve in enumerate(curves):
        if curve.ann is None or (len(known) == 1 and i != _first(curves)):
            continue
        own = len(known) > 1
        axes.axhline(
            scale * curve.ann,
            color=COLORS[i % len(COLORS)] if own else "0.35",
            linewidth=0.7,
            linestyle=(0, (4, 2)),
            label=f"ANN of {curve.name}" if own else "ANN",
            zorder=4,
        )


def _first(curves: Sequence[Curve]) -> int:
    return next(i for i, c in enumerate(curves) if c.ann is not None)


def _scaled(axes: Axes, curves: Sequence[Curve], x: str, rule: str) -> None:
    """Both axes fit what is drawn, with a margin; T, and costs that differ by much, are logarithmic."""
    scale = _scale(curves[0])
    ends = [scale * c.ann for c in curves if c.ann is not None]
    for curve in curves:
        for p in curve.points:
            if p.cost(x, rule) is not None:
                ends += [scale * value for value in (p.score, *(p.interval or ()))]
    low, high = min(ends), max(ends)
    margin = 0.06 * (high - low) or (0.5 if curves[0].is_share else 0.01)
    axes.set_ylim(low - margin, high + margin)
    costs = sorted({c for curve in curves for p in curve.points if (c := p.cost(x, rule)) is not None})
    logarithmic = costs[0] > 0 and (x in ("steps", "latency") or costs[-1] > 10 * costs[0])
    if logarithmic:
        axes.set_xscale("log", base=2 if x in ("steps", "latency") else 10)
        around = (costs[-1] / costs[0]) ** 0.06 if len(costs) > 1 else 2.0
        axes.set_xlim(costs[0] / around, costs[-1] * around)
    else:
        around = 0.06 * (costs[-1] - costs[0]) or 1.0
        axes.set_xlim(costs[0] - around, costs[-1] + around)
    if x in ("steps", "latency"):
        axes.set_xticks(spread(costs), [f"{c:g}" for c in spread(costs)])
        axes.minorticks_off()
    else:
        plain_numbers(axes, logarithmic)


def plain_numbers(axes: Axes, logarithmic: bool) -> None:
    """20,000 and not 2 x 10^4; at 1, 2 and 5 of each power of ten where there is room, or at four places."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    if logarithmic:
        low, high = axes.get_xlim()
        inches = axes.bbox.width / axes.figure.dpi
        roomy = 3 * log10(high / low) * NUMBER < inches
        axes.xaxis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0) if roomy else (1.0,)))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.locator_params(axis="x", nbins=4, integer=True, min_n_ticks=1)


def spread(costs: Sequence[float]) -> list[float]:
    """Those of `costs`, ascending, whose numbers do not touch on a logarithmic axis: a sixteenth of it
    apart."""
    if len(costs) < 2 or costs[0] <= 0:
        return list(costs)
    step = (costs[-1] / costs[0]) ** (1 / 16)
    kept = [costs[0]]
    for cost in costs[1:]:
        if cost >= kept[-1] * step:
            kept.append(cost)
    if kept[-1] != costs[-1]:
        kept[-1] = costs[-1]
    return kept


def legend(drawn: Figure, title: str, columns: int) -> None:
    """Above the panels, where no line is, with what they share once, under the title."""
    found = {
        label: line
        for axes in drawn.axes
        for line, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    drawn.legend(
        list(found.values()),
        list(found),
        loc="outside upper center",
        ncols=min(columns, len(found)),
        frameon=False,
        title=title or None,
        title_fontsize=POINTS,
    )


def _longest(axes: Axes) -> int:
    return max(map(len, axes.get_legend_handles_labels()[1]), default=0)


# ---------------------------------------------------------------- names beside points

NEAR = (5.0, 9.0, 14.0, 20.0, 28.0, 38.0, 50.0)  # points from a point to its name, tried in this order
AROUND = ((1, -1), (1, 1), (-1, 1), (-1, -1), (0, 1), (0, -1), (1, 0), (-1, 0))


def name_points(axes: Axes, named: Sequence[tuple[float, float, str]]) -> None:
    """A name beside each (x, y, name), inside the panel, on no other name and on no point of these; with a
    thin line where it stands away. What finds no such place is left out of the picture, as a table has it."""
    from matplotlib.transforms import Bbox

    figure = axes.figure
    figure.canvas.draw()  # places are known only then
    panel, dot = axes.get_window_extent(), figure.dpi / 72
    places = [tuple(map(float, axes.transData.transform((x, y)))) for x, y, _ in named]
    taken = [Bbox.from_bounds(px - 3 * dot, py - 3 * dot, 6 * dot, 6 * dot) for px, py in places]
    for (x, y, name), (px, py) in zip(named, places, strict=True):
        text = axes.annotate(name, (x, y), xytext=(0, 0), textcoords="offset points", fontsize=POINTS - 2)
        own = text.get_window_extent()
        for distance in NEAR:
            boxes = [
                (a, b, _beside(px, py, own.width, own.height, a * distance * dot, b * distance * dot, Bbox))
                for a, b in AROUND
            ]
            free = [
                (a, b, box)
                for a, b, box in boxes
                if panel.x0 < box.x0 and box.x1 < panel.x1 and panel.y0 < box.y0 and box.y1 < panel.y1
                if not any(box.overlaps(other) for other in taken)
            ]
            if free:
                _, _, box = free[0]
                text.set_position(((box.x0 - px) / dot, (box.y0 - py) / dot))
                taken.append(box)
                if distance > NEAR[1]:
                    _leader(axes, (px, py), box)
                break
        else:
            text.remove()


def _beside(px: float, py: float, width: float, height: float, dx: float, dy: float, box: Any) -> Any:
    """The box of a text whose near side is (dx, dy) away from a point, in pixels."""
    left = px + dx - (width if dx < 0 else width / 2 if dx == 0 else 0)
    low = py + dy - (height if dy < 0 else height / 2 if dy == 0 else 0)
    return box.from_bounds(left, low, width, height)


def _leader(axes: Axes, place: tuple[float, ...], box: Any) -> None:
    near = min(max(place[0], box.x0), box.x1), min(max(place[1], box.y0), box.y1)
    ends = axes.transData.inverted().transform([place, near])
    axes.plot(ends[:, 0], ends[:, 1], color="0.6", linewidth=0.4, zorder=1.5)


# ---------------------------------------------------------------- as a file


@contextmanager
def style() -> Iterator[None]:
    """Sizes of text and lines, for a figure that is made, or kept, meanwhile."""
    import matplotlib

    with matplotlib.rc_context(STYLE):
        yield


METADATA: Mapping[str, dict[str, Any]] = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Producer": None, "Creator": None},
    "svg": {"Date": None, "Creator": None},
}


def as_file(drawn: Figure, kind: str) -> bytes:
    """pdf, svg or png: the same bytes for the same figure."""
    buffer = io.BytesIO()
    with style():
        drawn.savefig(buffer, format=kind, metadata=METADATA[kind])
    return buffer.getvalue()
