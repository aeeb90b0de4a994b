"""A page of a small network whose every name is markup, for what reads it and for what opens it in a
browser."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from graphs import ResidualPoolNet, images, randomized

import dnisnm_lava as dn
from dnisnm_lava.backends.results import Difference
from dnisnm_lava.ir import Input, MaxPool
from dnisnm_lava.measures import Share
from dnisnm_lava.studies.overview import Gathered, gather
from dnisnm_lava.views.page import page

EVIL = (
    "</script><script>window.pwned=1</script><img src=x onerror=window.pwned=1>\"'&amp;${1}{{ 7*7 "
    "}}<a href='http://evil.example'>"
)
PROVENANCE = {
    "digests": {"integer": "0" * 64},
    "versions": {"dnisnm-lava": dn.__version__, "torch": EVIL},
    "seed": 3,
    "recipe": {"lead": {f"conv1{EVIL}": 2, "fc": 0}, "correct": ("weights", "bias"), "levels": 4},
    "command_line": f"dnisnm {EVIL}",
}


def renamed(graph: Any, name: Callable[[str], str]) -> Any:
    """The graph with other names of its populations."""
    populations = []
    for p in graph:
        changed: dict[str, Any] = {"name": name(p.name)}
        if isinstance(p, MaxPool):
            changed["source"] = name(p.source)
        elif not isinstance(p, Input):
            changed["projections"] = tuple(replace(q, source=name(q.source)) for q in p.projections)
        populations.append(replace(p, **changed))
    return replace(graph, populations=tuple(populations))


def gathered(name: Callable[[str], str] = str) -> Gathered:
    """Anew, without Lava."""
    model, x = randomized(ResidualPoolNet(), 2), images(30, (2, 6, 6), 2)
    analog = dn.from_torch(model, x[0])
    spiking = dn.convert(
        analog, dn.calibrate(analog, [x[:10]]), steps=4
    )  # few images: something is left to disagree on
    graphs = [renamed(g, name) for g in (analog, spiking, dn.quantize(spiking, weight_bits=3))]
    coverage = dn.inspect(model, x[0])
    rows = tuple(
        replace(row, name=name(row.name), line=f"{name('net')}.py:3 `{name('x')}`") for row in coverage.rows
    )
    coverage = replace(coverage, model=name("net"), rows=rows, notices=(name("notice"),))
    labels = np.random.default_rng(0).integers(0, 3, 30)
    about = dn.About(
        f"A page {name('of')}",
        [name(c) for c in "abc"],
        provenance=PROVENANCE,
        cost_images=3,
        explain_images=30,
    )
    nets = dn.Networks(*graphs, dn.calibrate(graphs[0], [x[:10]]), coverage=coverage)
    return gather(nets, x, labels, about=about, lava=dn.Lava(images=0))


@cache
def evil() -> Gathered:
    """Names of populations, layers, files, classes, notices are markup; and as if two images had run on
    Lava."""
    found = gathered(lambda name: f"{name}{EVIL}")
    compared = found.comparison
    lava = dict.fromkeys(found.steps, Share(1, 2, 2))
    compared = replace(
        compared,
        scores={**compared.scores, "lava": lava},
        images={**compared.images, "lava": 2},
        equality=(
            Difference("integer batched", "Lava fixed_pt", 2, 4, 7, 12345, 6, f"conv1{EVIL}, image 0", 1),
        ),
    )
    return replace(found, comparison=compared)


@cache
def evil_page() -> bytes:
    return page.render(evil())


def text_of(rendered: str) -> str:
    """What a page says, in a line, without scripts and styles."""
    words = re.sub(r"<(script|style)\b.*?</\1>", " ", rendered, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", words)).split())
