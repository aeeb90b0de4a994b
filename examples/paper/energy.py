"""Table 5 and Figure 9: how often each layer fires, what its operations cost, and what the accuracy loses.

    python -m examples.paper.energy --model examples/paper/networks.py:vgg16 --weights vgg16_c10jpeg.pt \\
        --data cifar10-jpeg --data-name "CIFAR-10 (JPEG)" --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225

    OP_ANN of a layer = its multiplications                                                       (24)
    OP_SNN of a layer = spikes / neurons * OP_ANN                                                 (25)
    energy = 4.6 pJ for each OP of the first layer, which reads the image; 0.9 pJ for all others  (26)

The equations are in `dnisnm_lava.studies.costs.prices`, with the two ways in which (25) is read.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

import dnisnm_lava as dn
from dnisnm_lava.backends import batched
from dnisnm_lava.ir import Graph
from dnisnm_lava.studies.costs.prices import READINGS, Spikes, energy_drop, layers, operations, rates
from examples.paper import common, published, stepwise
from examples.paper.common import Result, Setting, note, percent


def row(graph: Graph, spikes: Spikes, images: int, steps: int) -> Result:
    """All but the accuracy of one column of Table 5, and the bars of Figure 9."""
    found, rate = layers(graph), rates(graph, spikes, images, steps)
    ann = [layer.operations for layer in found]
    result: Result = {"operations_snn_million": {}, "energy_drop": {}}
    for reading in READINGS:
        snn = [operations(layer, rate, reading) for layer in found]
        result["operations_snn_million"][reading] = round(sum(snn) / 1e6, 2)
        result["energy_drop"][reading] = percent(energy_drop(ann, snn, [layer.first for layer in found]))
    firing = [layer for layer in found if layer.fires]
    sums = {layer.name: spikes[layer.name] for layer in firing}
    shares = {
        layer.name: [n / (images * steps * layer.neurons) for n in sums[layer.name]] for layer in firing
    }
    result["firing_rate"] = round(
        sum(map(sum, sums.values())) / (images * steps * sum(layer.neurons for layer in firing)), 4
    )
    result["firing_rate_mean_of_layers"] = round(float(np.mean([sum(pair) for pair in shares.values()])), 4)
    result["layers"] = {
        name: {"up": round(up, 5), "down": round(down, 5)} for name, (up, down) in shares.items()
    }
    return result


def measure(setting: Setting) -> Result:
    args, ann = setting.args, setting.ann_accuracy()
    spent = sum(layer.operations for layer in layers(dn.convert(setting.analog, setting.statistics, steps=1)))
    result: Result = {
        "operations_ann_million": round(spent / 1e6, 2),
        "accuracy_ann": ann,
        "unit": "%; operations in millions",
    }
    recipes = {"paper": paper, "ours": ours}
    result["recipes"] = {name: recipes[name](setting, ann) for name in args.recipes}
    return (
        {**result, "published": {"row": args.published, **published.TABLE5[args.published]}}
        if args.published
        else result
    )


def paper(setting: Setting, ann: float) -> Result:
    """Floats, one run for every T."""
    images, labels = setting.test
    steps = setting.args.steps
    graph = dn.convert(setting.analog, setting.statistics, steps=max(steps))
    trace = stepwise.run(graph, images, steps, device=setting.args.device)
    return {
        str(t): with_accuracy(
            row(graph, trace.spikes[t], len(images), t), percent(trace.accuracy(labels, t)), ann
        )
        for t in steps
    }


def ours(setting: Setting, ann: float) -> Result:
    """Integers, a network for each T."""
    images, labels = setting.test
    found = {}
    for t in setting.args.steps:
        graph = setting.ours(t)
        run = batched.run(graph, images, steps=t, device=setting.args.device)
        found[str(t)] = with_accuracy(
            row(graph, run.spike_counts, len(images), t), percent(run.accuracy(labels, t)), ann
        )
        note(f"ours, T = {t}: {found[str(t)]['accuracy_snn']} %")
    return found


def with_accuracy(column: Result, snn: float, ann: float) -> Result:
    """With the drop in % of the ANN's accuracy, as the paper tells it; None of an ANN that is never right."""
    return {
        "accuracy_snn": snn,
        "accuracy_drop": round(100 * (snn - ann) / ann, 2) if ann else None,
        **column,
    }


def picture(data: Result) -> Figure:
    figure = common.canvas(9.6, 4.0)
    bars, drops = figure.subplots(1, 2, width_ratios=(3, 2))
    for i, (name, columns) in enumerate(data["recipes"].items()):
        t = "8" if "8" in columns else max(columns, key=int)
        shares = list(columns[t]["layers"].values())
        places = np.arange(1, len(shares) + 1) + 0.4 * i
        up, down = [s["up"] for s in shares], [s["down"] for s in shares]
        bars.bar(
            places, up, 0.38, color=f"C{i}", label=f"{name}, T = {t}: average {columns[t]['firing_rate']}"
        )
        bars.bar(places, down, 0.38, bottom=up, color=f"C{i}", alpha=0.4, label=f"{name}, negative spikes")
        for reading, style in zip(READINGS, ("o-", "o--"), strict=True):
            curve = [column["energy_drop"][reading] for column in columns.values()]
            drops.plot(
                [int(n) for n in columns], curve, style, color=f"C{i}", label=f"{name}, {reading} spikes"
            )
    if "published" in data:
        columns = data["published"]["steps"]
        drops.plot(
            [int(n) for n in columns], [c["energy_drop"] for c in columns.values()], "k:", label="published"
        )
    bars.set(xlabel="layer", ylabel="spikes a neuron and step")
    bars.margins(y=0.35)  # room for the legend
    drops.set(xlabel="time steps T", ylabel="energy against the ANN's, %")
    for axes in (bars, drops):
        axes.legend(frameon=False, fontsize=7)
        axes.grid(alpha=0.3)
    source = data["provenance"]
    figure.suptitle(
        f"{source['model'].rsplit(':')[-1]} on {source['data']}, {source['images']:,} test images",
        fontsize=10,
    )
    return figure


def parser() -> argparse.ArgumentParser:
    made = common.parser(__doc__, "energy")
    made.add_argument("--steps", type=int, nargs="+", default=[2, 4, 8, 16], help="(%(default)s)")
    made.add_argument("--published", choices=published.TABLE5, help="the part of Table 5 to show beside")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    return common.main(parser(), "energy", measure, picture, argv)


if __name__ == "__main__":
    raise SystemExit(main())
