"""Table 2, Figures 7 and 8: what DNI and SNM each bring, at every T, for a network and its images.

    python -m examples.paper.ablation --model examples/paper/networks.py:vgg16 --weights vgg16_c10jpeg.pt \\
        --data cifar10-jpeg --data-name "CIFAR-10 (JPEG)" --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225

Float networks of the paper's neurons, step by step; then integers (8-bit weights), as the chip has them: the
paper's recipe and this project's, which is made anew for each T.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from matplotlib.figure import Figure

import dnisnm_lava as dn
from dnisnm_lava.backends import batched
from dnisnm_lava.ir import SNM, AnalogGraph, SpikingGraph
from examples.paper import common, published, stepwise
from examples.paper.common import Result, Setting, note, percent

STEPS = (2, 4, 8, 16, 32, 64, 128)
PAPER, OURS = "the paper's recipe, integers", "this project's recipe, integers"


@dataclass(frozen=True)
class Variant:
    """granularity: of the maxima. half: v0 = theta / 2, else 0. signed: SNM, else soft-reset IF."""

    granularity: str
    half: bool
    signed: bool


VARIANTS: Mapping[str, Variant] = {
    "IF, layer maxima, v0 = 0 (RMP)": Variant("layer", False, False),
    "IF, layer maxima, v0 = theta/2": Variant("layer", True, False),
    "IF, DNI (neuron maxima, v0 = theta/2)": Variant("neuron", True, False),
    "SNM, layer maxima, v0 = 0": Variant("layer", False, True),
    "SNM, DNI (the paper's recipe)": Variant("neuron", True, True),
}


def network(variant: Variant, analog: AnalogGraph, stats: dn.Statistics, steps: int) -> SpikingGraph:
    graph = dn.convert(analog, stats, steps=steps, granularity=variant.granularity)
    if variant.half:
        return graph
    return SpikingGraph(
        tuple(replace(p, v_init=np.zeros(p.shape)) if isinstance(p, SNM) else p for p in graph), steps=steps
    )


def measure(setting: Setting) -> Result:
    args = setting.args
    result: Result = {
        "T": args.steps,
        "accuracy": {"ANN": setting.ann_accuracy()},
        "unit": "% of the test images",
    }
    if "paper" in args.recipes:
        result["accuracy"].update(floats(setting, args.steps))
        result["accuracy"][PAPER] = integers(setting)
    if "ours" in args.recipes:
        result["accuracy"][OURS] = fitted(setting, args.ours_steps)
    if args.published:
        result["published"] = {"row": args.published, **published.TABLE2[args.published]}
    return result


def floats(setting: Setting, steps: Sequence[int]) -> dict[str, dict[str, float]]:
    images, labels = setting.test
    found = {}
    for name, variant in VARIANTS.items():
        graph = network(variant, setting.analog, setting.statistics, max(steps))
        trace = stepwise.run(graph, images, steps, signed=variant.signed, device=setting.args.device)
        found[name] = {str(t): percent(trace.accuracy(labels, t)) for t in steps}
        note(f"{name}: {found[name]}")
    return found


def integers(setting: Setting) -> dict[str, float]:
    images, labels = setting.test
    steps = setting.args.steps
    graph = dn.quantize(dn.convert(setting.analog, setting.statistics, steps=max(steps)))
    run = batched.run(graph, images, device=setting.args.device)
    return {str(t): percent(run.accuracy(labels, t)) for t in steps}


def fitted(setting: Setting, steps: Sequence[int]) -> dict[str, float]:
    images, labels = setting.test
    found = {}
    for t in steps:
        found[str(t)] = percent(
            batched.run(setting.ours(t), images, steps=t, device=setting.args.device).accuracy(labels, t)
        )
        note(f"{OURS}: {found}")
    return found


def picture(data: Result) -> Figure:
    figure = common.canvas(7.2, 5.2)
    axes = figure.add_subplot()
    curves = [(name, curve, "o-") for name, curve in data["accuracy"].items() if isinstance(curve, dict)]
    if "published" in data:
        row = data["published"]
        curves.append((f"published: {row['row']}, other weights and data", row[published.PAPER]["snn"], "k:"))
    for name, curve, style in curves:
        axes.plot(
            [int(t) for t in curve],
            list(curve.values()),
            "s--" if "integers" in name else style,
            markersize=4,
            label=name,
        )
    axes.axhline(data["accuracy"]["ANN"], color="0.4", linewidth=1, label=f"ANN, {data['accuracy']['ANN']} %")
    axes.set_xscale("log", base=2)
    axes.set_xticks(data["T"], [str(t) for t in data["T"]])
    axes.set(xlabel="time steps T", ylabel="accuracy, %", ylim=(0, 102))
    source = data["provenance"]
    axes.set_title(
        f"{source['model'].rsplit(':')[-1]} on {source['data']}, {source['images']:,} test images",
        fontsize=10,
    )
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=7)
    return figure


def parser() -> argparse.ArgumentParser:
    made = common.parser(__doc__, "ablation")
    made.add_argument(
        "--steps", type=int, nargs="+", default=list(STEPS), help="T of the paper's neurons (%(default)s)"
    )
    made.add_argument(
        "--ours-steps",
        type=int,
        nargs="+",
        default=[2, 4, 8, 16],
        help="T of this project's recipe (%(default)s)",
    )
    made.add_argument("--published", choices=published.TABLE2, help="the rows of Table 2 to show beside")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    return common.main(parser(), "ablation", measure, picture, argv)


if __name__ == "__main__":
    raise SystemExit(main())
