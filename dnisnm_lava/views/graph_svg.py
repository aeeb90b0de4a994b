"""The graph as a picture: a box for each population, in rows by depth; an arrow for each projection. SVG."""

from __future__ import annotations

import io
from collections.abc import Iterator

from dnisnm_lava.ir import SNM, Gate, Graph, Input, MaxPool, Population, Product, Projection, ReadOut, sources
from dnisnm_lava.ir.arithmetic import Pair
from dnisnm_lava.views import curves

Place = tuple[float, float]

SIZE, SMALL = 9, 8  # points
LETTER = 0.602 * SIZE / 72  # inches: the width of a letter of a monospaced font
HEIGHT, ROW, GAP, MARGIN = 0.46, 1.0, 0.5, 0.3  # inches: of a box, from row to row, between boxes, around all
COLOURS = {Input: "#e8e8e8", MaxPool: "#dcefdc", ReadOut: "#f9e2c6"}
NEURONS = "#d9e6f7"


def svg(graph: Graph, title: str) -> bytes:
    """An SVG file, the same bytes for the same graph: groups `population-I` (I counts from 0) and
    `projection-I-J`, the J-th into population I. Names stand as text, as they are."""
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

    width = max(len(line) for p in graph for line in label(p)) * LETTER + 0.2
    at, (across, down) = places(graph, width + GAP)
    style = {
        "svg.hashsalt": "dnisnm-lava",
        "svg.fonttype": "none",
        "text.parse_math": False,
        "font.family": "monospace",
    }
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(across, down))
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, across), ylim=(0, down))
        axes.set_axis_off()
        axes.text(MARGIN, down - MARGIN, title, fontsize=SIZE + 1, va="center")
        for i, p in enumerate(graph):
            x, y = at[p.name]
            box = FancyBboxPatch(
                (x - width / 2, y - HEIGHT / 2), width, HEIGHT, boxstyle="round,pad=0,rounding_size=0.06"
            )
            box.set(
                facecolor=COLOURS.get(type(p), NEURONS), edgecolor="0.3", linewidth=0.8, gid=f"population-{i}"
            )
            axes.add_patch(box)
            axes.text(x, y, "\n".join(label(p)), fontsize=SIZE, ha="center", va="center")
            for j, (source, text, bend) in enumerate(arrows(graph, p, at, width)):
                (x0, y0), (x1, y1) = (at[source][0], at[source][1] - HEIGHT / 2), (x, y + HEIGHT / 2)
                arrow = FancyArrowPatch(
                    (x0, y0),
                    (x1, y1),
                    arrowstyle="-|>",
                    connectionstyle=f"arc3,rad={bend}",
                    shrinkA=0,
                    shrinkB=0,
                )
                arrow.set(
                    mutation_scale=8, color="0.35", linewidth=0.8, zorder=0.5, gid=f"projection-{i}-{j}"
                )
                axes.add_patch(arrow)
                middle = (x0 + x1) / 2 + bend * (y1 - y0) / 2, (y0 + y1) / 2 - bend * (x1 - x0) / 2
                away, side = (
                    (-0.05, "right") if bend > 0 else (0.05, "left")
                )  # from boxes that an arrow goes around
                paper = {
                    "facecolor": "white",
                    "edgecolor": "none",
                    "pad": 0.5,
                }  # where another arrow passes below
                axes.text(
                    middle[0] + away,
                    middle[1],
                    text,
                    fontsize=SMALL,
                    color="0.35",
                    va="center",
                    ha=side,
                    bbox=paper,
                )
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def label(p: Population) -> tuple[str, str]:
    """The two lines in a population's box."""
    what = f"{type(p).__name__} {'x'.join(map(str, p.shape))}"
    function = curves.name_of(p)
    what += f", {function}" * bool(function)
    if isinstance(p, SNM | Gate):
        what += (
            f", K {p.levels}" * (p.levels > 1)
            + f", lead {p.lead}" * (p.lead > 0)
            + ", two-sided" * (p.two_sided and not function)
        )
    if isinstance(p, SNM) and p.curve is None:
        what += f", down {p.down:g}" * (p.down != 1)
    return p.name, what


def rows(graph: Graph) -> list[list[str]]:
    """Names by the longest path from the input, in synapses."""
    depth: dict[str, int] = {}
    for p in graph:
        depth[p.name] = max((1 + depth[s] for s in sources(p)), default=0)
    return [[name for name, d in depth.items() if d == row] for row in range(max(depth.values()) + 1)]


def places(graph: Graph, column: float) -> tuple[dict[str, Place], Place]:
    """Where the middle of each box stands, and the picture's size, in inches: each row below the one before
    it, boxes side by side in the order of the places of what they read."""
    lines = rows(graph)
    across, down = (max(map(len, lines)) + 1) * column + 2 * MARGIN, (len(lines) + 0.5) * ROW + MARGIN
    at: dict[str, Place] = {}
    for i, names in enumerate(lines):
        heard = {name: [at[s][0] for s in sources(graph[name])] for name in names}
        ordered = sorted(names, key=lambda name: sum(heard[name]) / max(1, len(heard[name])))
        for j, name in enumerate(ordered):
            at[name] = across / 2 + (j - (len(names) - 1) / 2) * column, down - (i + 1) * ROW
    return at, (across, down)


def arrows(
    graph: Graph, p: Population, at: dict[str, Place], width: float
) -> Iterator[tuple[str, str, float]]:
    """(source, what it does, bend) of each projection into p. Arrows over several rows bend around the boxes
    between them, those beside another of the same source bend away from it; left and right by turns."""
    told: list[str] = []
    whats = _whats(p)
    for j, (source, text) in enumerate(zip(sources(p), whats, strict=True)):
        (x0, y0), (x1, y1) = at[source], at[p.name]
        height = y0 - y1 - HEIGHT
        beside = told.count(source) * 0.55
        around = (width / 2 + 0.1) * (1.2 + 0.1 * height) if height > ROW and abs(x0 - x1) < width else 0.0
        yield source, text, (-1) ** j * 2 * (around + beside) / height
        told.append(source)


def _whats(p: Population) -> list[str]:
    """What each source does to p."""
    if isinstance(p, MaxPool):
        return [_window("max", p.window.kernel, p.window.stride)]
    return ["times", "gate"] if isinstance(p, Product | Gate) else [what(q) for q in projections(p)]


def projections(p: Population) -> tuple[Projection, ...]:
    return () if isinstance(p, Input | MaxPool | Product | Gate) else p.projections


def what(q: Projection) -> str:
    """A projection in a word or two."""
    before = (
        _window("sum", q.sum_pool.kernel, q.sum_pool.stride) + ", "
        if q.sum_pool
        else "resampled, "
        if q.resample
        else ""
    )
    if q.is_conv and q.window.kernel == (1, 1) and q.groups == q.weight.shape[0] and q.weight.shape[1] == 1:
        return before + "one to one" + f" /{q.stride[0]}" * (max(q.stride) > 1)  # as an identity's shortcut
    return before + (_window("conv", q.window.kernel, q.stride) if q.is_conv else "dense")


def _window(name: str, kernel: Pair, stride: Pair) -> str:
    return f"{name} {kernel[0]}x{kernel[1]}" + (f" /{stride[0]}" if max(stride) > 1 else "")
