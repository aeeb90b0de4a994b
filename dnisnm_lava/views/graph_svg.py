"""The graph as a picture: a box for each population, in rows by depth; an arrow for each projection. SVG."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

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
    """What a source does to a population. aside: pixels by which its path is drawn to the left, or to the
    right below 0. kind: `depthwise` or `identity` where it is one of these."""

    source: str
    told: str
    aside: float
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
    at, (_, down) = places(graph, width + GAP)
    root = ET.Element(f"{{{SVG}}}svg")
    boxes = [_box(at[p.name], width) for p in graph]
    lines, drawn = ET.SubElement(root, f"{{{SVG}}}g"), []
    for i, p in enumerate(graph):
        for j, arrow in enumerate(arrows(graph, p, at, width)):
            group = ET.SubElement(lines, f"{{{SVG}}}g", {"id": f"projection-{i}-{j}", "class": arrow.kind})
            points = curve(at[arrow.source], at[p.name], arrow.aside)
            _arrow(group, points)
            drawn.append((group, points, arrow))
    found = labels([(points, arrow) for _, points, arrow in drawn], boxes)
    for (group, _, arrow), place in zip(drawn, found, strict=True):
        _text(group, *place, arrow.told, "what")
    for i, (p, box) in enumerate(zip(graph, boxes, strict=True)):
        _population(root, i, p, box)
    edges = [(box[0], box[2]) for box in boxes]
    edges += [(x, x) for _, points, _ in drawn for x, _ in points]
    edges += [
        (x - len(arrow.told) * SMALL / 2, x + len(arrow.told) * SMALL / 2)
        for (x, _), (_, _, arrow) in zip(found, drawn, strict=True)
    ]
    left, right = min(a for a, _ in edges) - MARGIN, max(b for _, b in edges) + MARGIN
    right = max(right, left + 2 * MARGIN + len(title) * LETTER)
    if title:
        _text(root, left + MARGIN, MARGIN, title, "title")
    size = {"width": _told(right - left), "height": _told(down)}
    root.attrib.update({"viewBox": f"{_told(left)} 0 {size['width']} {size['height']}", **size})
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
    """Each projection into p. Arrows over several rows go around the boxes between them, those beside another
    of the same source away from it; left and right by turns."""
    told: list[str] = []
    for j, (source, (words, kind)) in enumerate(zip(sources(p), whats(p), strict=True)):
        (x0, y0), (x1, y1) = at[source], at[p.name]
        beside = told.count(source) * 0.6 * ROW
        passes = y1 - y0 > 1.5 * ROW and abs(x0 - x1) < width
        around = (width / 2 + 8) / _aside_at_first_box(y1 - y0) if passes else 0.0
        yield Arrow(source, words, (-1) ** j * (around + beside), kind)
        told.append(source)


STEPS, REACH = 32, 0.6 * ROW  # points of a path; how steeply it leaves and arrives


def curve(source: Place, target: Place, aside: float) -> list[Place]:
    """From below the source's box to above the target's: a cubic Bezier curve, whose inner points lie so far
    aside."""
    (x0, y0), (x1, y1) = (source[0], source[1] + HEIGHT / 2), (target[0], target[1] - HEIGHT / 2 - 2)
    reach = REACH if aside else (y1 - y0) / 3
    return [_bezier((x0, y0), (x1, y1), aside, reach, i / STEPS) for i in range(STEPS + 1)]


def _bezier(start: Place, end: Place, aside: float, reach: float, t: float) -> Place:
    (x0, y0), (x1, y1) = start, end
    a, b, c, d = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3
    return (
        (a + b) * x0 + (c + d) * x1 - (b + c) * aside,
        a * y0 + b * (y0 + reach) + c * (y1 - reach) + d * y1,
    )


def _aside_at_first_box(height: float) -> float:
    """The share of `aside` by which a curve over so many pixels lies aside where the first box begins that it
    goes around."""
    length = height - HEIGHT - 2
    for i in range(1, 500):
        t = i / 1000
        if _bezier((0, 0), (0, length), 0.0, REACH, t)[1] >= ROW - HEIGHT - 4:
            return 3 * t * (1 - t)
    return 0.75


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
BELOW = (4, -9, 17)  # of the line that the label stands on


def labels(arrows: Sequence[tuple[Sequence[Place], Arrow]], boxes: Sequence[Box]) -> list[Place]:
    """The middle of the label of each arrow: beside its path, where it touches no box, no other label, and no
    path; on the outer side first. Where all is full, the place that is touched least."""
    taken = np.zeros((len(boxes) + len(arrows), 4))
    taken[: len(boxes)] = boxes
    points = np.array([path for path, _ in arrows]).reshape(-1, 2)
    made: list[Place] = []
    for i, (path, arrow) in enumerate(arrows):
        place = _beside(path, arrow, taken[: len(boxes) + i], points)
        taken[len(boxes) + i] = _around(place, len(arrow.told) * SMALL)
        made.append(place)
    return made


def _beside(path: Sequence[Place], arrow: Arrow, taken: np.ndarray, points: np.ndarray) -> Place:
    width = len(arrow.told) * SMALL
    sides = (-1, 1) if arrow.aside > 0 else (1, -1)
    above, below = path[0][1] - 2 * LABEL, path[-1][1] + 2 * LABEL  # no label of it lies beyond
    points = points[(points[:, 1] > above) & (points[:, 1] < below)]
    taken = taken[(taken[:, 3] > above) & (taken[:, 1] < below)]
    tried: list[tuple[float, int, Place]] = []
    for aside, share, down, side in product(ASIDE, SHARES, BELOW, sides):
        x, y = path[int(share * STEPS)]
        place = x + side * (aside + width / 2), y + down
        left, top, right, bottom = _around(place, width)
        overlap = np.minimum((right, bottom), taken[:, 2:]) - np.maximum((left, top), taken[:, :2])
        touched = float(np.maximum(overlap, 0).prod(axis=1).sum())
        inside = (points >= (left, top)) & (points <= (right, bottom))
        crossed = int(inside.all(axis=1).sum())
        if not touched and not crossed:
            return place
        tried.append((touched, crossed, place))
    return min(tried)[2]


def _around(place: Place, width: float) -> Box:
    x, y = place
    return x - width / 2 - 2, y - LABEL + 2, x + width / 2 + 2, y + 3
