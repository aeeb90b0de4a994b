"""The graph as a picture: a box for each population, in rows by depth; an arrow for each projection. SVG."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dnisnm_lava.ir import SNM, Gate, Graph, Input, MaxPool, Population, Product, Projection, ReadOut, sources
from dnisnm_lava.ir.arithmetic import Pair
from dnisnm_lava.views import curves

Place = tuple[float, float]
Box = tuple[float, float, float, float]  # left, top, right, bottom

SVG = "http://www.w3.org/2000/svg"
LETTER, SMALL = 6.7, 6.1  # pixels: the width of a letter in a box, of 11, and beside an arrow, of 10
HEIGHT, ROW, GAP, MARGIN = 38, 82, 44, 22  # pixels: of a box, from row to row, between boxes, around all
LABEL = 12  # pixels: the height of what stands beside an arrow
STYLE = """
svg { background: #ffffff; }
text { font: 11px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
text { fill: #1c2127; text-anchor: middle; }
.title { font-weight: 700; text-anchor: start; }
.what { font-size: 10px; fill: #59616b; paint-order: stroke; stroke: #ffffff; stroke-width: 4px; }
.box { fill: #dde9f8; stroke: #3d6ea8; } .input .box { fill: #ececef; stroke: #7b828c; }
.pool .box { fill: #dcf0e2; stroke: #1f8f6b; } .out .box { fill: #f9e4cc; stroke: #c8641a; }
.gate .box { fill: #e9e0f6; stroke: #8b62c9; }
.arrow { fill: none; stroke: #59616b; } .head { fill: #59616b; }
.depthwise .arrow { stroke-dasharray: 5 3; } .identity .arrow { stroke-dasharray: 1 3; }
"""


@dataclass(frozen=True)
class Arrow:
    """What a source does to a population. bend: of its path, a share of its length. kind: `depthwise` or
    `identity` where it is one of these."""

    source: str
    told: str
    bend: float
    kind: str


def svg(graph: Graph, title: str) -> bytes:
    """An SVG file, the same bytes for the same graph: groups `population-I` (I counts from 0) and
    `projection-I-J`, the J-th into population I. Names stand as text, as they are."""
    ET.register_namespace("", SVG)
    root = drawing(graph, title)
    style = ET.Element(f"{{{SVG}}}style")
    style.text = STYLE
    root.insert(0, style)
    return ET.tostring(root, encoding="utf-8", xml_declaration=True)


def drawing(graph: Graph, title: str = "") -> ET.Element:
    """The same without a style: classes `box`, `arrow`, `what`; `input`, `pool`, `gate`, `out` of boxes;
    `depthwise`, `identity` of arrows."""
    width = max(len(line) for p in graph for line in label(p)) * LETTER + 22
    at, (across, down) = places(graph, width + GAP)
    size = {"width": _told(across), "height": _told(down)}
    root = ET.Element(f"{{{SVG}}}svg", {"viewBox": f"0 0 {_told(across)} {_told(down)}", **size})
    if title:
        _text(root, MARGIN, MARGIN, title, "title")
    boxes = [_box(at[p.name], width) for p in graph]
    taken = list(boxes)
    lines, told = ET.SubElement(root, f"{{{SVG}}}g"), []
    for i, p in enumerate(graph):
        for j, arrow in enumerate(arrows(graph, p, at, width)):
            group = ET.SubElement(lines, f"{{{SVG}}}g", {"id": f"projection-{i}-{j}", "class": arrow.kind})
            points = curve(at[arrow.source], at[p.name], arrow.bend)
            _arrow(group, points)
            told.append((group, points, arrow))
    for group, points, arrow in told:
        others = [place for _, other, _ in told if other is not points for place in other]
        place = beside(points, len(arrow.told) * SMALL, arrow.bend, taken, others, across)
        taken.append(_around(place, len(arrow.told) * SMALL))
        _text(group, *place, arrow.told, "what")
    for i, (p, box) in enumerate(zip(graph, boxes, strict=True)):
        _population(root, i, p, box)
    return root


def _population(root: ET.Element, i: int, p: Population, box: Box) -> None:
    group = ET.SubElement(root, f"{{{SVG}}}g", {"id": f"population-{i}", "class": f"node {_kind(p)}"})
    left, top, right, bottom = box
    place = {"x": left, "y": top, "width": right - left, "height": bottom - top, "rx": 7}
    ET.SubElement(group, f"{{{SVG}}}rect", {"class": "box", **{k: _told(v) for k, v in place.items()}})
    name, what = label(p)
    _text(group, (left + right) / 2, top + 16, name, "name")
    _text(group, (left + right) / 2, top + 30, what, "")


def _kind(p: Population) -> str:
    kinds = ((Input, "input"), (MaxPool, "pool"), (Product | Gate, "gate"), (ReadOut, "out"))
    return next((name for kind, name in kinds if isinstance(p, kind)), "neurons")


def _text(parent: ET.Element, x: float, y: float, told: str, kind: str) -> None:
    ET.SubElement(
        parent, f"{{{SVG}}}text", {"x": _told(x), "y": _told(y), **({"class": kind} if kind else {})}
    ).text = told


def _told(value: float) -> str:
    return f"{value:.1f}".rstrip("0").rstrip(".")


# ---------------------------------------------------------------- words


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


def whats(p: Population) -> list[tuple[str, str]]:
    """What each source does to p, and what kind that is."""
    if isinstance(p, MaxPool):
        return [(_window("max", p.window.kernel, p.window.stride), "")]
    if isinstance(p, Product | Gate):
        return [("times", ""), ("gate", "")]
    return [(what(q), kind_of(q)) for q in projections(p)]


def projections(p: Population) -> tuple[Projection, ...]:
    return () if isinstance(p, Input | MaxPool | Product | Gate) else p.projections


def kind_of(q: Projection) -> str:
    """`depthwise` where each channel reads one of the source's, `identity` where it is that alone; else
    nothing."""
    if not q.is_conv or q.groups == 1 or q.weight.shape[1] != 1:
        return ""
    return "identity" if q.window.kernel == (1, 1) and q.groups == q.weight.shape[0] else "depthwise"


def what(q: Projection) -> str:
    """A projection in a word or two."""
    before = (
        _window("sum", q.sum_pool.kernel, q.sum_pool.stride) + ", "
        if q.sum_pool
        else "resampled, "
        if q.resample
        else ""
    )
    one = q.is_conv and q.window.kernel == (1, 1) and q.groups == q.weight.shape[0] and q.weight.shape[1] == 1
    if one:
        return before + "one to one" + f" /{q.stride[0]}" * (max(q.stride) > 1)  # as an identity's shortcut
    if not q.is_conv:
        return f"{before}dense"
    name = "depthwise" if kind_of(q) == "depthwise" else "conv"
    groups = f", {q.groups} groups" if name == "conv" and q.groups > 1 else ""
    return before + _window(name, q.window.kernel, q.stride) + groups


def _window(name: str, kernel: Pair, stride: Pair) -> str:
    return f"{name} {kernel[0]}x{kernel[1]}" + (f" /{stride[0]}" if max(stride) > 1 else "")


# ---------------------------------------------------------------- places


def rows(graph: Graph) -> list[list[str]]:
    """Names by the longest path from the input, in synapses."""
    depth: dict[str, int] = {}
    for p in graph:
        depth[p.name] = max((1 + depth[s] for s in sources(p)), default=0)
    return [[name for name, d in depth.items() if d == row] for row in range(max(depth.values()) + 1)]


def places(graph: Graph, column: float) -> tuple[dict[str, Place], Place]:
    """Where the middle of each box stands, and the picture's size, in pixels: each row below the one before
    it, boxes side by side in the order of the places of what they read."""
    lines = rows(graph)
    across, down = (max(map(len, lines)) + 1) * column + 2 * MARGIN, (len(lines) + 0.5) * ROW + MARGIN
    at: dict[str, Place] = {}
    for i, names in enumerate(lines):
        heard = {name: [at[s][0] for s in sources(graph[name])] for name in names}
        ordered = sorted(names, key=lambda name: sum(heard[name]) / max(1, len(heard[name])))
        for j, name in enumerate(ordered):
            at[name] = across / 2 + (j - (len(names) - 1) / 2) * column, MARGIN + (i + 0.75) * ROW
    return at, (across, down)


def _box(place: Place, width: float) -> Box:
    x, y = place
    return x - width / 2, y - HEIGHT / 2, x + width / 2, y + HEIGHT / 2


def arrows(graph: Graph, p: Population, at: dict[str, Place], width: float) -> Iterator[Arrow]:
    """Each projection into p. Arrows over several rows bend around the boxes between them, those beside
    another of the same source bend away from it; left and right by turns."""
    told: list[str] = []
    for j, (source, (words, kind)) in enumerate(zip(sources(p), whats(p), strict=True)):
        (x0, y0), (x1, y1) = at[source], at[p.name]
        height = y1 - y0 - HEIGHT
        beside = told.count(source) * 0.55 * ROW
        rows_between = height / ROW
        around = (
            (width / 2 + 8) * (1.2 + 0.1 * rows_between) if height > ROW and abs(x0 - x1) < width else 0.0
        )
        yield Arrow(source, words, (-1) ** j * 2 * (around + beside) / height, kind)
        told.append(source)


STEPS = 24  # points of a path


def curve(source: Place, target: Place, bend: float) -> list[Place]:
    """From below the source's box to above the target's, a parabola that lies bend / 2 of its length aside in
    the middle."""
    (x0, y0), (x1, y1) = (source[0], source[1] + HEIGHT / 2), (target[0], target[1] - HEIGHT / 2 - 2)
    middle = (x0 + x1) / 2 - bend * (y1 - y0), (y0 + y1) / 2 + bend * (x1 - x0)
    shares = [i / STEPS for i in range(STEPS + 1)]
    weights = [((1 - t) ** 2, 2 * t * (1 - t), t**2) for t in shares]
    return [(a * x0 + b * middle[0] + c * x1, a * y0 + b * middle[1] + c * y1) for a, b, c in weights]


def _arrow(group: ET.Element, points: Sequence[Place]) -> None:
    told = "L".join(f"{_told(x)} {_told(y)}" for x, y in points)
    ET.SubElement(group, f"{{{SVG}}}path", {"class": "arrow", "d": f"M{told}"})
    (x0, y0), (x, y) = points[-3], points[-1]
    length = ((x - x0) ** 2 + (y - y0) ** 2) ** 0.5 or 1.0
    dx, dy = (x - x0) / length, (y - y0) / length
    corners = [
        (x, y),
        (x - 8 * dx + 3.5 * dy, y - 8 * dy - 3.5 * dx),
        (x - 8 * dx - 3.5 * dy, y - 8 * dy + 3.5 * dx),
    ]
    told = "L".join(f"{_told(a)} {_told(b)}" for a, b in corners)
    ET.SubElement(group, f"{{{SVG}}}path", {"class": "head", "d": f"M{told}Z"})


SHARES = (0.5, 0.35, 0.65, 0.2, 0.8, 0.42, 0.58, 0.28, 0.72, 0.1, 0.9)
ASIDE = (7, 20, 40, 70, 110, 160, 230, 320)  # pixels from the path


def beside(
    points: Sequence[Place],
    width: float,
    bend: float,
    taken: Sequence[Box],
    others: Sequence[Place],
    across: float,
) -> Place:
    """The middle of a label of this width: beside the path, where it touches no box, no other label, and no
    point of the `others` paths; on the outer side of a bend first. Where all is full, the place that is
    touched least."""
    sides = (-1, 1) if bend > 0 else (1, -1)
    tried: list[tuple[float, int, Place]] = []
    for aside in ASIDE:
        for share in SHARES:
            x, y = points[int(share * STEPS)]
            for side in sides:
                place = x + side * (aside + width / 2), y + 4
                left, top, right, bottom = box = _around(place, width)
                if left < 2 or right > across - 2:
                    continue
                touched = sum(_overlap(box, other) for other in taken)
                crossed = sum(left <= a <= right and top <= b <= bottom for a, b in others)
                if not touched and not crossed:
                    return place
                tried.append((touched, crossed, place))
    return min(tried)[2] if tried else points[STEPS // 2]


def _around(place: Place, width: float) -> Box:
    x, y = place
    return x - width / 2 - 2, y - LABEL + 2, x + width / 2 + 2, y + 3


def _overlap(a: Box, b: Box) -> float:
    across, down = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return across * down if across > 0 and down > 0 else 0.0
