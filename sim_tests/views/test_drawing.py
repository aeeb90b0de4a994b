"""The picture of a graph: one box a population, one arrow a projection, names as they are."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from graphs import (
    GatedNet,
    ResidualPoolNet,
    gated,
    images,
    integer_graphs,
    irregular,
    randomized,
    readout,
    small,
    snm,
    weights,
)
from hypothesis import given, settings
from rich.console import Console

import dnisnm_lava as dn
from dnisnm_lava.ir import SNM, Curve, Graph, Input, Projection, Smooth, SpikingGraph, sources
from dnisnm_lava.views import curves, graph_svg, network

SVG = "{http://www.w3.org/2000/svg}"


def groups(graph: Graph, title: str = "a.net") -> list[str]:
    """The ids of all groups of the picture."""
    return [g.get("id", "") for g in ET.fromstring(graph_svg.svg(graph, title)).iter(f"{SVG}g")]


def texts(graph: Graph, title: str = "a.net") -> list[str]:
    return [
        "".join(t.itertext()).strip() for t in ET.fromstring(graph_svg.svg(graph, title)).iter(f"{SVG}text")
    ]


def assert_complete(graph: Graph) -> None:
    found = Counter(groups(graph))
    drawn = {i: n for i, n in found.items() if i.startswith(("population", "projection"))}
    expected = {f"population-{i}" for i, _ in enumerate(graph)}
    expected |= {f"projection-{i}-{j}" for i, p in enumerate(graph) for j, _ in enumerate(sources(p))}
    assert set(drawn) == expected
    assert set(drawn.values()) == {1}


@settings(max_examples=10)
@given(graph=integer_graphs())
def test_one_box_a_population_and_one_arrow_a_projection(graph: SpikingGraph) -> None:
    assert_complete(graph)


def test_curves_and_gates_are_named() -> None:
    graph, x = gated(levels=3)
    assert_complete(graph)
    assert_complete(dn.from_torch(randomized(GatedNet(), 0), x[0]))
    told = texts(graph)
    assert "SNM 4x6x6, silu, K 3" in told
    assert {"times", "gate"} <= set(told)
    (p,) = [p for p in graph.of(SNM) if p.curve is not None and p.curve.name == "silu"]
    assert p.curve is not None
    pieces = p.curve.slopes.shape[1]
    assert p.curve.worst is not None
    worst = p.curve.worst[p.curve.error.argmax()]
    assert re.fullmatch(
        rf"silu, {pieces} pieces, off by at most 0\.\d+, at {re.escape(f'{worst:.3g}')}, between .+ and .+",
        curves.told(p.curve),
    )
    unknown = replace(p.curve, worst=None)  # of a file that an earlier version wrote
    assert re.match(rf"silu, {pieces} pieces, off by at most 0\.\d+ between", curves.told(unknown))
    console = Console(width=120, file=io.StringIO())
    console.print(network.network_table(graph, "a.net"))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert f"curve of {p.name}: silu, {pieces} pieces, off by at most" in shown
    assert "2**" in shown
    leaky = Curve("leaky_relu", np.zeros((1, 1)), np.array([[0.1, 1.0]]), np.zeros((1, 2)))
    assert curves.told(leaky) == "leaky_relu, 2 pieces, exact"


def test_the_lines_of_a_curve_are_drawn_over_its_function() -> None:
    spiking, _ = gated(levels=3, quantize=False)
    (p,) = [p for p in spiking.of(SNM) if p.curve is not None and p.curve.name == "silu"]
    assert p.curve is not None
    drawn = ET.fromstring(curves.svg(Smooth("silu"), p.curve))
    function, lines = (path.get("d", "") for path in drawn)
    assert function.count("L") == curves.POINTS - 1
    assert 1 <= lines.count("L") <= p.curve.slopes.shape[1]
    numbers = [float(n) for n in re.findall(r"[\d.]+", function + lines)]
    assert 0 <= min(numbers) <= max(numbers) <= curves.WIDTH


def test_a_model_is_drawn_too() -> None:
    analog = dn.from_torch(randomized(ResidualPoolNet(), 0), images(1, (2, 6, 6), 0)[0])
    assert_complete(analog)
    assert "Rectifier 4x6x6" in texts(analog)


def test_names_are_escaped_and_shown_as_they_are() -> None:
    graph = small()[0]
    strange = "<a href='x'>&amp;$\\frac{1}{2}$ \"--]]>"
    named = tuple(replace(p, name=strange) if p.name == "fc" else p for p in graph)
    found = texts(replace(graph, populations=named), strange)
    assert found.count(strange) == 2  # the title and the box
    assert not list(ET.fromstring(graph_svg.svg(replace(graph, populations=named), strange)).iter(f"{SVG}a"))


def test_a_box_tells_shape_levels_and_lead_an_arrow_its_operation() -> None:
    found = texts(small(levels=2, lead=1)[0])
    for line in (
        "input",
        "Input 2x6x6",
        "conv1",
        "SNM 4x6x6, K 2, lead 1",
        "max 3x3 /2",
        "conv 2x2 /2",
        "sum 2x2 /2, dense",
        "ReadOut 3",
    ):
        assert line in found
    rng = np.random.default_rng(0)
    a = snm(
        "a",
        (4, 5, 5),
        (Projection("input", weights(rng, 4, 2, 1, 1)), irregular("input", 2, (5, 5), (4, 5, 5), rng)),
        rng,
        two_sided=True,
    )
    out = readout("out", (3,), (Projection("a", weights(rng, 3, 100)),), rng)
    a = replace(a, projections=(a.projections[0], replace(a.projections[1], weight=weights(rng, 2, 2, 1, 1))))
    found = texts(SpikingGraph((Input("input", (2, 5, 5), np.ones(2), 8), a, out), steps=2))
    assert {"SNM 4x5x5, two-sided", "resampled, conv 1x1"} <= set(found)


def test_the_same_graph_gives_the_same_bytes_without_a_date() -> None:
    graph = small()[0]
    first = graph_svg.svg(graph, "a.net")
    assert first == graph_svg.svg(graph, "a.net")
    assert not re.search(rb"<dc:date>|20\d\d-\d\d-\d\d", first)


@pytest.mark.parametrize("seed", range(3))
def test_boxes_do_not_overlap_and_sources_stand_above(seed: int) -> None:
    """A wide graph: three populations read the image, later ones read any before them."""
    rng = np.random.default_rng(seed)
    populations = [Input("input", (2,), np.ones(2), 8)]
    for i in range(8):
        heard = rng.choice(len(populations), size=min(len(populations), 2), replace=False) if i > 2 else [0]
        into = tuple(Projection(populations[s].name, weights(rng, 3, populations[s].shape[0])) for s in heard)
        populations.append(snm(f"p{i}", (3,), into, rng))
    populations.append(readout("out", (3,), (Projection("p7", weights(rng, 3, 3)),), rng))
    graph = SpikingGraph(tuple(populations), steps=2)
    at, (across, down) = graph_svg.places(graph, 200)
    for p in graph:
        x, y = at[p.name]
        assert 100 <= x <= across - 100
        assert graph_svg.HEIGHT / 2 <= y <= down - graph_svg.HEIGHT / 2
        assert all(y >= at[s][1] + graph_svg.ROW for s in sources(p))
        for q in graph:
            if q.name != p.name and at[q.name][1] == y:
                assert abs(at[q.name][0] - x) >= 200
    assert_complete(graph)
    assert touching(graph) == []


def touching(graph: Graph) -> list[tuple[str, str]]:
    """Labels of arrows, and boxes, that overlap one another; labels beyond the picture's edge."""
    root = graph_svg.drawing(graph)
    start, _, width, _ = map(float, root.get("viewBox", "").split())
    labels = [(t, 3.0 * len(t.text or "")) for t in root.iter(f"{SVG}text") if t.get("class") == "what"]
    at = [(float(t.get("x", 0)), float(t.get("y", 0))) for t, _ in labels]
    areas = [
        (t.text or "", x - half, y - 8, x + half, y + 1) for (t, half), (x, y) in zip(labels, at, strict=True)
    ]
    outside = [(name, "edge") for name, left, _, right, _ in areas if left < start or right > start + width]
    for r in root.iter(f"{SVG}rect"):
        x, y, w, h = (float(r.get(k, 0)) for k in ("x", "y", "width", "height"))
        areas.append(("box", x, y, x + w, y + h))
    return outside + [
        (a[0], b[0])
        for i, a in enumerate(areas)
        for b in areas[i + 1 :]
        if a[1] < b[3] and b[1] < a[3] and a[2] < b[4] and b[2] < a[4]
    ]


@settings(max_examples=10)
@given(graph=integer_graphs())
def test_no_label_touches_another_or_a_box(graph: SpikingGraph) -> None:
    assert touching(graph) == []


def test_depthwise_and_grouped_convolutions_are_told_apart() -> None:
    def conv(groups: int, out: int, kernel: int = 3) -> torch.nn.Module:
        return torch.nn.Conv2d(8, out, kernel, padding=kernel // 2, groups=groups)

    layers = [conv(1, 8), conv(8, 8), conv(4, 8), conv(8, 16)]
    model = torch.nn.Sequential(*(m for layer in layers for m in (layer, torch.nn.ReLU())))
    analog = dn.from_torch(model, np.ones((8, 6, 6), np.float32))
    found = texts(analog)
    for told in ("conv 3x3", "depthwise 3x3", "conv 3x3, 4 groups"):
        assert told in found
    assert found.count("depthwise 3x3") == 2  # of one filter a channel, and of two
    root = graph_svg.drawing(analog)
    kinds = [g.get("class") for g in root.iter(f"{SVG}g") if (g.get("id") or "").startswith("projection")]
    assert kinds == ["", "depthwise", "", "depthwise", "identity"]  # the last into the read-out


def test_arrows_over_several_rows_go_around_the_boxes_between() -> None:
    rng = np.random.default_rng(0)
    populations = [Input("input", (2,), np.ones(2), 8)]
    for i in range(9):
        heard = (
            populations[-1].name,
            *((populations[0].name,) if i == 8 else ()),
            *(("p1",) if i == 5 else ()),
        )
        into = tuple(Projection(s, weights(rng, 3, 2 if s == "input" else 3)) for s in heard)
        populations.append(snm(f"p{i}", (3,), into, rng))
    graph = SpikingGraph(
        (*populations, readout("out", (3,), (Projection("p8", weights(rng, 3, 3)),), rng)), steps=2
    )
    width = 180.0
    at, _ = graph_svg.places(graph, width)
    boxes = {p.name: (at[p.name][0] - width / 2, at[p.name][1] - graph_svg.HEIGHT / 2) for p in graph}
    for p in graph:
        for arrow in graph_svg.arrows(graph, p, at, width):
            for x, y in graph_svg.curve(at[arrow.source], at[p.name], arrow.aside):
                for name, (left, top) in boxes.items():
                    inside = left < x < left + width and top < y < top + graph_svg.HEIGHT
                    assert not inside, (arrow.source, p.name, name)
    assert touching(graph) == []
