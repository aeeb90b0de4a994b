"""Draw docs/pictures/*.svg, the pictures of docs/how.md and of docs/design.md: python tools/draw_pictures.py
[FOLDER]

What they show is computed by the project's own neuron (`dynamics`) and graph, not drawn by hand.
"""

from __future__ import annotations

import ast
import io
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dnisnm_lava.ir import SNM, Input, Population, Projection, ReadOut, Smooth, SpikingGraph, dynamics, lead
from dnisnm_lava.ir.activations import near
from dnisnm_lava.ir.curves import through
from dnisnm_lava.ir.dynamics import follow
from dnisnm_lava.system.files import write_whole

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs/pictures"
CONTRACT = re.compile(r'^    "([\w.]+)",$', re.MULTILINE)
BLUE, RED, GREY, PALE = "#3056d3", "#d33a30", "#777777", "#c9d4f7"
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "dnisnm",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


class Trace(NamedTuple):
    """Of one neuron over T steps: v before and after it may fire, k levels sent, m after it; (T,) each."""

    before: np.ndarray
    after: np.ndarray
    k: np.ndarray
    m: np.ndarray


def neuron(
    currents: Sequence[float], vth: float, levels: int = 1, signed: bool = True, down: float = 1.0
) -> Trace:
    """`signed=False`: a plain integrate-and-fire neuron, which takes nothing back. down: the lower threshold,
    as a share of vth."""
    theta, v, m, rows = np.array([vth]), np.array([vth / 2]), np.zeros(1, np.int64), []
    lower = dynamics.lower_threshold(theta, down)
    for z in currents:
        before, _ = dynamics.integrate(v, np.array([z]), np.zeros(1))
        k, v, heard = dynamics.fire(before, m, theta, levels, lower=lower)
        m = heard if signed else m  # with no memory of what was sent, nothing can be taken back
        rows.append((before[0], v[0], k[0], heard[0]))
    return Trace(*map(np.array, zip(*rows, strict=True)))


# ---------------------------------------------------------------- the pictures


def staircase() -> Figure:
    """Mean spikes over the activation, in thresholds."""
    figure = Figure(figsize=(7.2, 2.9), layout="constrained")
    for ax, levels in zip(figure.subplots(1, 2), (1, 4), strict=True):
        activation = np.linspace(-0.2 * levels, 1.3 * levels, 1201)
        steps = 4
        sent = [neuron([a] * steps, 1.0, levels).k.sum() / steps for a in activation]
        ax.plot(activation, np.maximum(activation, 0), color=GREY, linestyle="--", linewidth=1, label="ReLU")
        ax.plot(activation, sent, color=BLUE, linewidth=1.5, label=f"T = {steps}, K = {levels}")
        ax.axvspan(levels, activation[-1], color=RED, alpha=0.12, linewidth=0, label="clipped")
        ax.set(xlabel="activation / theta", ylabel="levels sent a step")
        ax.legend(frameon=False, loc="upper left")
    return figure


EARLY = (6, 7, 6, -9, -6, 3, 1, -2)  # what excites arrives before what inhibits


def memory() -> Figure:
    """One signed neuron, and the same without a memory: potential, spikes, memory."""
    vth, t = 8, np.arange(1, len(EARLY) + 1)
    figure = Figure(figsize=(7.2, 5.0), layout="constrained")
    current, potential, sent, kept = figure.subplots(4, 1, sharex=True, height_ratios=(2, 3, 2, 2))
    current.bar(t, EARLY, color=[BLUE if z > 0 else RED for z in EARLY], width=0.5)
    current.set(ylabel="current")
    signed, plain = neuron(EARLY, vth), neuron(EARLY, vth, signed=False)
    for at, before, after in zip(t, signed.before, signed.after, strict=True):
        potential.plot([at, at + 0.25], [before, after], color=BLUE, linewidth=1)
    potential.plot(t, signed.before, "o", color=BLUE, markersize=5, label="v, as it was found")
    potential.plot(
        t + 0.25,
        signed.after,
        "o",
        color="white",
        markeredgecolor=BLUE,
        markersize=5,
        label="after the spike",
    )
    potential.axhline(vth, color=GREY, linestyle="--", linewidth=1)
    potential.axhline(-vth, color=GREY, linestyle="--", linewidth=1)
    potential.set(ylabel="potential", yticks=[-vth, 0, vth], yticklabels=["-theta", "0", "theta"])
    potential.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 0.06))
    rows = {"signed": signed.k, "plain": np.maximum(plain.k, 0)}
    for row, (name, k) in enumerate(rows.items()):
        sent.plot(t[k > 0], [1 - row] * int((k > 0).sum()), "^", color=BLUE, markersize=9)
        sent.plot(t[k < 0], [1 - row] * int((k < 0).sum()), "v", color=RED, markersize=9)
        sent.annotate(f"{name}: {k.sum()} in sum", (len(EARLY) + 0.6, 1 - row), va="center")
    sent.set(ylabel="spikes", yticks=[], ylim=(-0.6, 1.6), xlim=(0.5, len(EARLY) + 2.2))
    kept.step([0.5, *t, len(EARLY) + 0.5], [0, *signed.m, signed.m[-1]], where="post", color=BLUE)
    kept.set(ylabel="memory m", yticks=[0, 1, 2, 3], ylim=(-0.3, 3.3), xlabel="time step", xticks=t)
    return figure


def two_thresholds() -> Figure:
    """What a neuron has sent while the sum of its currents rises and falls again, slowly, under both lower
    thresholds."""
    figure = Figure(figsize=(7.2, 3.1), layout="constrained")
    rise = np.linspace(0, 4, 401)
    path = np.concatenate([rise, rise[-2::-1]])  # the running sum, in thresholds
    for ax, down, title in zip(
        figure.subplots(1, 2, sharey=True), (1.0, 0.0), ("D = theta", "D smallest"), strict=True
    ):
        m = neuron(np.diff(path, prepend=0.0), 1.0, levels=4, down=down).m
        half = len(rise)
        ax.plot(rise, rise, color=GREY, linestyle="--", linewidth=1, label="the sum itself")
        ax.plot(path[:half], m[:half], color=BLUE, linewidth=2.2, label="rising")
        ax.plot(
            path[half:],
            m[half:],
            color=RED,
            linewidth=1.4,
            linestyle="-" if down else (0, (3, 2)),
            label="falling",
        )
        ax.set(xlabel="sum of the currents so far / theta", title=title)
    figure.axes[0].set(ylabel="levels sent, net")
    figure.axes[0].legend(frameon=False, loc="upper left")
    return figure


def functions() -> Figure:
    """What neurons with a curve have sent while the sum of their currents rises and falls again, slowly."""
    figure = Figure(figsize=(7.2, 3.1), layout="constrained")
    rise = np.linspace(-4, 4, 801)
    low, high = np.array([-4.0]), np.array([4.0])
    leaky = through("leaky_relu", [0.0], [0.25, 1.0])
    silu = Smooth("silu")
    curves = (leaky, leaky), (silu, near(silu, low, high, np.array([0.125])))
    for ax, (function, curve), title in zip(
        figure.subplots(1, 2, sharey=True), curves, ("LeakyReLU, slope 1/4", "SiLU"), strict=True
    ):
        theta, m, sent = np.array([[0.25]]), np.zeros((1, 1), np.int64), []
        for total in (*rise, *rise[::-1]):
            m = follow(np.array([[total]]), m, theta, curve, 1, dynamics.Allowed(32, True)).m
            sent.append(0.25 * m.item())
        ax.plot(
            rise,
            function.at(rise[:, None])[:, 0],
            color=GREY,
            linestyle="--",
            linewidth=1,
            label="the function",
        )
        ax.plot(rise, sent[: len(rise)], color=BLUE, linewidth=2.2, label="rising")
        falling = sent[len(rise) :][::-1]
        ax.plot(rise, falling, color=RED, linewidth=1.4, linestyle=(0, (3, 2)), label="falling")
        ax.set(xlabel="sum of the currents so far", title=title)
    figure.axes[0].set(ylabel="sent, net")
    figure.axes[0].legend(frameon=False, loc="upper left")
    return figure


def chain(steps: int, leads: int) -> SpikingGraph:
    """Two neurons in a row and a read-out, each with a weight of 1."""

    def values(value: float) -> np.ndarray:
        return np.full(1, value)

    def after(source: str) -> tuple[Projection, ...]:
        return (Projection(source, np.ones((1, 1))),)

    populations: list[Population] = [Input("image", (1,), values(1.0))]
    neuron = {"vth": 1.0, "payload": 1.0, "v_init": 0.5, "unit": 1.0, "spike_unit": 1.0, "v_range": 1.0}
    for name, source in (("first", "image"), ("second", "first")):
        populations.append(
            SNM(
                name,
                (1,),
                after(source),
                bias=values(0.0),
                **{k: values(a) for k, a in neuron.items()},
                levels=1,
                lead=leads,
            )
        )
    return SpikingGraph(
        (
            *populations,
            ReadOut(
                "read-out", (1,), after("second"), bias=values(0.0), unit=values(1.0), v_range=values(1.0)
            ),
        ),
        steps=steps,
    )


def windows() -> Figure:
    """When each population hears (pale) and sends (dark), for two images in a row, without and with a
    lead."""
    steps = 4
    figure = Figure(figsize=(7.2, 4.0), layout="constrained")
    for ax, leads in zip(figure.subplots(2, 1, sharex=True), (0, 3), strict=True):
        graph = chain(steps, leads)
        offsets, names = graph.window_starts(), [p.name for p in graph]
        for image in range(2):
            for row, p in enumerate(graph):
                start = offsets[p.name] + image * (steps + leads)
                colour = BLUE if image == 0 else RED
                if not isinstance(p, Input):
                    ax.barh(row, steps, left=start, height=0.7, color=colour, alpha=0.25)
                if not isinstance(p, ReadOut):
                    ax.barh(row, steps, left=start + lead(p), height=0.3, color=colour)
        ax.set(yticks=range(len(names)), yticklabels=names, title=f"T = {steps}, lead = {leads}")
        ax.invert_yaxis()
        ax.grid(axis="x", alpha=0.3)
    ax.set(xlabel="Lava's time steps", xticks=range(0, 21, 2))
    return figure


STAGES = (
    ("torch.nn.Module", "trained, in floats"),
    ("AnalogGraph", "populations and\nprojections, float64"),
    ("SpikingGraph", "thresholds, T steps,\nfloat64"),
    ("SpikingGraph", "8-bit weights,\n24-bit potentials"),
    ("network.net", "HDF5"),
)
VERBS = ("from_torch", "calibrate,\nconvert, fit", "quantize", "netx.write")
EXECUTORS = (
    "reference: NumPy, step by step",
    "batched: torch, all steps at once",
    "Lava fixed_pt, on the CPU",
)


def road() -> Figure:
    """The stages from a module to a file, and the three executors of one integer graph."""
    figure = Figure(figsize=(9.0, 3.0), layout="constrained")
    ax = figure.subplots()
    for i, (name, text) in enumerate(STAGES):
        _box(ax, 2 * i, 1.6, 1.35, 1.0, f"{name}\n\n{text}", PALE)
        if i:
            ax.annotate(
                "", (2 * i - 0.02, 2.1), (2 * i - 0.63, 2.1), arrowprops={"arrowstyle": "->", "color": GREY}
            )
            ax.annotate(VERBS[i - 1], (2 * i - 0.32, 2.72), ha="center", va="bottom", fontsize=7, color=BLUE)
    for i, text in enumerate(EXECUTORS):
        _box(ax, 3.1 * i + 0.15, 0, 2.5, 0.6, text, "#ececec")
        ax.annotate("", (3.1 * i + 1.4, 0.62), (6.67, 1.58), arrowprops={"arrowstyle": "->", "color": GREY})
        if i:
            ax.annotate("=", (3.1 * i - 0.15, 0.3), ha="center", va="center", fontsize=15, color=RED)
    ax.set(xlim=(-0.1, 9.5), ylim=(-0.1, 3.2))
    ax.axis("off")
    return figure


def house() -> Figure:
    """The folders as the contract of pyproject.toml lists them, and a line for each folder that another
    imports: read from the code."""
    folders = [
        name.removeprefix("dnisnm_lava.") for name in CONTRACT.findall((ROOT / "pyproject.toml").read_text())
    ][::-1]
    place = {name: i for i, name in enumerate(folders)}
    figure = Figure(figsize=(7.2, 5.4), layout="constrained")
    ax = figure.subplots()
    for upper, lower in sorted(imported(folders)):
        bend = 0.11 * (place[upper] - place[lower])
        line = FancyArrowPatch(
            (1, -place[upper] - 0.1),
            (1, -place[lower] + 0.1),
            connectionstyle=f"arc3,rad={0.25 + bend / 6}",
            arrowstyle="-",
            color=BLUE,
            alpha=0.45,
            linewidth=0.8,
        )
        ax.add_patch(line)
    for name, i in place.items():
        _box(ax, 0, -i - 0.33, 1, 0.66, name, PALE)
        ax.annotate(ROOMS[name], (-0.08, -i), ha="right", va="center", fontsize=7.5)
    ax.set(xlim=(-2.6, 3.2), ylim=(-len(folders) + 0.3, 0.6))
    ax.axis("off")
    return figure


ROOMS = {
    "errors": "five errors",
    "system": "files, interrupts, memory",
    "data": "images, models, weights",
    "ir": "the graph",
    "measures": "shares and fits",
    "frontend": "torch module to graph",
    "procs": "Lava processes",
    "exporters": "netx, ONNX, C, torch, NIR",
    "backends": "executors that agree",
    "stages": "thresholds, fitting, integers",
    "evaluation": "tallies, comparisons, alarms",
    "studies": "a question each",
    "views": "tables, pictures, the page",
    "cli": "verbs",
}


def imported(folders: Sequence[str]) -> set[tuple[str, str]]:
    """(folder, another that it imports), late imports included."""
    found = set()
    for name in folders:
        place = ROOT / name if name == "exporters" else ROOT / "dnisnm_lava" / name
        for path in [place.with_suffix(".py")] if name == "errors" else place.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ImportFrom) and node.module:
                    whole = [node.module, *(f"{node.module}.{a.name}" for a in node.names)]
                    found |= {
                        (name, f)
                        for m in whole
                        for f in folders
                        if m.removeprefix("dnisnm_lava.").split(".")[0] == f
                    }
    return {(a, b) for a, b in found if a != b}


def _box(ax: Axes, x: float, y: float, width: float, height: float, text: str, colour: str) -> None:
    ax.add_patch(
        FancyBboxPatch(
            (x, y), width, height, boxstyle="round,pad=0.02", facecolor=colour, edgecolor=GREY, linewidth=0.8
        )
    )
    ax.annotate(text, (x + width / 2, y + height / 2), ha="center", va="center", fontsize=7.5)


PICTURES: dict[str, Callable[[], Figure]] = {
    "staircase": staircase,
    "memory": memory,
    "two_thresholds": two_thresholds,
    "functions": functions,
    "windows": windows,
    "road": road,
    "house": house,
}


def svg(picture: Callable[[], Figure]) -> bytes:
    with mpl.rc_context(STYLE):
        buffer = io.BytesIO()
        picture().savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return _named_in_order(buffer.getvalue())


def _named_in_order(drawn: bytes) -> bytes:
    """matplotlib names what it clips by an address in memory, so that no two runs give the same bytes."""
    names = list(dict.fromkeys(re.findall(rb'id="(p[0-9a-f]{10})"', drawn)))
    for i, name in enumerate(names):
        drawn = drawn.replace(name, b"clip%d" % i)
    return drawn


def main(argv: Sequence[str]) -> None:
    folder = Path(argv[0]) if argv else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in PICTURES.items():
        write_whole(folder / f"{name}.svg", svg(picture), overwrite=True)


if __name__ == "__main__":
    main(sys.argv[1:])
