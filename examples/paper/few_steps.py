"""Accuracy at few steps, calibrated anew for each seed: the paper's recipe and ours, of binary spikes, of 4,
7, 15 and 31 levels.

    python -m examples.paper.few_steps --model examples/resnet20.py:resnet20 --weights resnet20-12fca82f.th \\
        --data cifar10-lossless-subset.npz --data-name "CIFAR-10 (lossless subset)" \\
        --mean 0.485,0.456,0.406 \\
        --std 0.229,0.224,0.225 --images 1000 --calibration-images 4000 [--against FILE.json]

Integers throughout (8-bit weights, 5-bit payloads). Synaptic operations (of spikes and of the image, each at
every synapse of its neuron) are counted on the first 20 test images. Seeds choose the training images; test
images are those of --seed. A row is METHOD:T, METHOD:T:LEAD or METHOD:T:LEAD:DIAL=VALUE with another value of
a dial (`correct=bias+v_init`, `correct=none`; several with commas); --dials stands for every other value of
each, one by one, of one level at T = 4. FILE.json is what benchmarks/accuracy_against_spikingjelly.py wrote
of the same test images: each of its methods is compared at each T, image by image (McNemar's exact test).
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from dnisnm_lava.backends import ann, batched
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir import SpikingGraph
from dnisnm_lava.ir.timing import latency
from dnisnm_lava.measures import classes
from dnisnm_lava.stages import recipes
from dnisnm_lava.stages.fitting import THRESHOLDS
from dnisnm_lava.stages.networks import follow
from dnisnm_lava.stages.recipes import Recipe
from dnisnm_lava.studies.costs.counts import count
from examples.paper import common
from examples.paper.common import Result, Setting, note, percent

METHODS: dict[str, Recipe] = {
    "paper": recipes.PAPER,
    "subset maxima": replace(recipes.PAPER, threshold="subset-max"),
    "one level": replace(recipes.BEST, levels=1, granularity="neuron", share="neuron"),
    "binary": recipes.BINARY,
    "four levels": replace(recipes.BEST, levels=4),
    "seven levels": replace(recipes.BEST, levels=7),
    "fifteen levels": replace(recipes.BEST, levels=15),
    "best": recipes.BEST,
}
ROWS = (
    *(f"{method}:{t}" for method in ("paper", "one level", "binary") for t in (1, 2, 4, 8, 16)),
    *(f"one level:{t}:0:down=1" for t in (2, 4, 8)),
    *(
        f"{method}:{t}"
        for method in ("four levels", "seven levels", "fifteen levels", "best")
        for t in (1, 2, 4)
    ),
)
DIALS = (
    *(f"threshold={rule}" for rule in THRESHOLDS if rule != recipes.BEST.threshold),
    "correct=none",
    "correct=weights+bias",
    "correct=weights+v_init",
    "correct=bias+v_init",
    "share=channel",
    "share=layer",
    "granularity=channel",
    "granularity=layer",
    "levels=2",
    "levels=4",
    "down=0.25",
    "down=0.5",
    "down=1",
    "lead=1",
    "lead=3",
    "payload_bits=8",
    "payload_bits=3",
    *(f"weight_bits={bits}" for bits in (6, 5, 4, 3)),
    "rounding=nearest",
)
COUNTED = 20  # images whose synaptic operations are counted
Z = 1.96  # of a 95 % interval


@dataclass(frozen=True)
class Row:
    method: str
    steps: int
    lead: int = 0
    changed: str = ""  # DIAL=VALUE,...

    @property
    def recipe(self) -> Recipe:
        return replace(replace(METHODS[self.method], steps=self.steps, lead=self.lead), **dials(self.changed))


def dials(text: str) -> dict[str, Any]:
    """Of DIAL=VALUE,...; ValueError or KeyError where there is no such dial or value."""
    found: dict[str, Any] = {}
    for part in filter(None, text.split(",")):
        dial, value = part.split("=")
        kind = int if dial == "payload_bits" else type(vars(recipes.BEST)[dial])
        words = () if value == "none" else tuple(value.split("+"))
        found[dial] = words if kind is tuple else kind(value)
    return found


def row(text: str) -> Row:
    try:
        method, steps, lead, changed = [*text.split(":"), *("", "0", "")[text.count(":") :]]
        METHODS[method], dials(changed)  # there are such
        return Row(method, int(steps), int(lead), changed)
    except (ValueError, KeyError) as error:
        known = f"{', '.join(METHODS)}, and of {', '.join(vars(recipes.BEST))}"
        raise argparse.ArgumentTypeError(f"{text}: no METHOD:T:LEAD:DIAL=VALUE of {known}") from error


def measure(setting: Setting) -> Result:
    images, labels = setting.test
    args = setting.args
    own = classes(ann.ann(setting.analog, images, device=args.device))
    plain = own == labels
    cells: dict[Row, list[Result]] = {r: [] for r in args.rows}
    for seed in range(args.seeds):
        seeded = replace(setting, args=argparse.Namespace(**{**vars(args), "seed": seed}))
        for r in args.rows:
            cells[r].append(cell(seeded, r, images, labels, own))
            note(f"seed {seed}, {r}: {cells[r][-1]['accuracy']} %")
    rows = [together(r, found, len(labels)) for r, found in cells.items()]
    result: Result = {
        "accuracy_ann": percent(plain.mean()),
        "unit": "% of the test images",
        "seeds": args.seeds,
        "rows": rows,
    }
    if args.against:
        theirs = common.read_json(args.against)
        result["against"] = against(theirs, rows, setting.chosen)
        result["theirs"] = {key: theirs[key] for key in ("versions", "calibration_images") if key in theirs}
    return result


def cell(setting: Setting, r: Row, images: np.ndarray, labels: np.ndarray, own: np.ndarray) -> Result:
    """One seed of a row; `correct` has a digit for each test image. own: the ANN's classes, which `agreement`
    counts."""
    fit_images = setting.fit_images if r.recipe.needs_images else None
    network = follow(r.recipe, setting.analog, setting.statistics, fit_images).integer
    run = batched.run(network, images, device=setting.args.device)
    said = run.predictions(r.steps)
    met = said == labels
    spikes = sum(up + down for up, down in run.spike_counts.values()) / len(labels)
    return {
        "accuracy": percent(met.mean()),
        "agreement": percent(float(np.mean(said == own))),
        "spikes": round(spikes),
        "operations": synaptic_operations(network, images[:COUNTED]),
        "latency": latency(network, network.readout.name, r.steps),
        "saturations": sum(run.saturations.values()),
        "correct": "".join("1" if m else "0" for m in met),
    }


def synaptic_operations(network: SpikingGraph, images: np.ndarray) -> int:
    """An image, those of the image's own values with them."""
    populations = count(network, images).populations
    return round(sum(s.delivered for a in populations for s in a.synapses) / len(images))


def together(r: Row, cells: Sequence[Result], images: int) -> Result:
    """interval: 95 %, of so many images, about the mean of the seeds (Wilson's)."""
    found = [c["accuracy"] for c in cells]
    mean = statistics.mean(found)
    return {
        "method": r.method,
        "T": r.steps,
        "lead": r.recipe.lead,
        "changed": r.changed,
        "levels": r.recipe.levels,
        "latency": cells[0]["latency"],
        "accuracy": found,
        "agreement": [c["agreement"] for c in cells],
        "mean": round(mean, 2),
        "interval": wilson(mean / 100, images),
        "spikes": [c["spikes"] for c in cells],
        "operations": [c["operations"] for c in cells],
        "saturations": [c["saturations"] for c in cells],
        "correct": [c["correct"] for c in cells],
    }


def wilson(share: float, count: int) -> list[float]:
    """Of a proportion, in % (Wilson 1927)."""
    middle = share + Z * Z / (2 * count)
    half = Z * math.sqrt(share * (1 - share) / count + Z * Z / (4 * count * count))
    return [percent((middle + sign * half) / (1 + Z * Z / count)) for sign in (-1, 1)]


def against(theirs: Result, rows: Sequence[Result], chosen: np.ndarray) -> list[Result]:
    """Each of their rows beside each of ours at that T, of the first seed."""
    if theirs["indices"] != chosen.tolist():
        raise OutOfRange(
            "--against: measured on other test images than these; give both the same --images and --seed"
        )
    pairs = [(a, b) for a in theirs["rows"] for b in rows if a["T"] == b["T"]]
    return [
        {
            "method": a["method"],
            "T": a["T"],
            "accuracy": percent(a["accuracy"]),
            "ours": b["method"],
            "lead": b["lead"],
            "accuracy_ours": b["accuracy"][0],
            **mcnemar(b["correct"][0], a["correct"]),
        }
        for a, b in pairs
    ]


def mcnemar(ours: str, theirs: str) -> dict[str, Any]:
    """Images that one alone gets right, and the chance of so uneven a split or worse if neither were better
    (exact, two-sided)."""
    better = sum(a > b for a, b in zip(ours, theirs, strict=True))
    worse = sum(a < b for a, b in zip(ours, theirs, strict=True))
    n = better + worse
    tail = sum(math.comb(n, k) for k in range(min(better, worse) + 1))
    return {"only_ours": better, "only_theirs": worse, "p": min(1.0, float(2 * tail / 2**n))}


def picture(data: Result) -> Figure:
    return bars(data) if any(r.get("changed") for r in data["rows"]) else curves(data)


def bars(data: Result) -> Figure:
    """One dial changed in each row."""
    figure = common.canvas(7.2, 1.2 + 0.22 * len(data["rows"]))
    axes = figure.add_subplot()
    for place, r in enumerate(data["rows"]):
        axes.barh(place, r["mean"], color="C0" if r["changed"] else "C1")
        axes.plot(r["accuracy"], [place] * len(r["accuracy"]), "k.", markersize=3)
    first = data["rows"][0]
    names = [r["changed"].replace("_", " ") or f"{r['method']}, T = {r['T']}, as it is" for r in data["rows"]]
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.invert_yaxis()
    axes.axvline(first["mean"], color="C1", linewidth=1)
    axes.set(xlabel="accuracy, %; a dot for each seed", xlim=(0, 100))
    axes.grid(alpha=0.3, axis="x")
    return figure


def curves(data: Result) -> Figure:
    figure = common.canvas()
    axes = figure.add_subplot()
    found: dict[str, list[Result]] = {}
    for r in data["rows"]:
        found.setdefault(r["method"] + (", with a lead" if r["lead"] else ""), []).append(r)
    for name, points in found.items():
        low, high = ([abs(p["mean"] - p["interval"][i]) for p in points] for i in (0, 1))
        axes.errorbar(
            [p["T"] for p in points],
            [p["mean"] for p in points],
            (low, high),
            fmt="o-",
            markersize=4,
            capsize=2,
            label=name,
        )
    axes.axhline(data["accuracy_ann"], color="0.4", linewidth=1, label=f"ANN, {data['accuracy_ann']} %")
    ticks = sorted({r["T"] for r in data["rows"]})
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [str(t) for t in ticks])
    axes.set(xlabel="time steps T", ylabel="accuracy, %", ylim=(0, 102))
    source = data["provenance"]
    axes.set_title(
        f"integers, {data['seeds']} seeds, {source['data']}, {source['images']:,} test images", fontsize=10
    )
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7)
    return figure


def parser() -> argparse.ArgumentParser:
    made = common.parser(__doc__, "few_steps")
    made.add_argument(
        "--rows", type=row, nargs="+", default=[row(r) for r in ROWS], help="(those of docs/accuracy.md)"
    )
    made.add_argument(
        "--dials",
        dest="rows",
        action="store_const",
        const=[Row("one level", 4), *(Row("one level", 4, 0, d) for d in DIALS)],
    )
    made.add_argument("--seeds", type=int, default=3, help="calibrations, from seed 0 on (%(default)s)")
    made.add_argument("--against", type=Path, help="SpikingJelly's figures of the same images")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    return common.main(parser(), "few_steps", measure, picture, argv)


if __name__ == "__main__":
    raise SystemExit(main())
