"""docs/paper.md: the paper's tables and figures beside what was measured here, from docs/results and
published.py.

python -m examples.paper.page
"""

from __future__ import annotations

import re
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dnisnm_lava.system.files import write_whole
from examples.paper import common, published
from examples.paper.common import Result

PAGE, COVERAGE = Path("docs/paper.md"), Path("docs/coverage.md")
OURS = ("one level", "binary", "best")  # of the methods of few_steps.py
DEFAULTS = (("best", 1), ("best", 2), ("fifteen levels", 1), ("seven levels", 2), ("binary", 8))
COLUMNS = 88  # of a line of code, as a page shows it whole
INTRODUCTION = """# The paper's tables and figures, and ours

Wang, Liu, Zhang, Luo, Qu, *Neural Networks* 174:106244, 2024. Written by `python -m examples.paper.page` from the files in `docs/results`,
each of which holds its command, versions, digests and seed. Accuracies in %. Other networks, weights and data than the paper's: its figures
and ours are not to be compared number by number, and the end of this page says why they differ. "Ours" is fitted on calibration images
without labels or training.
"""
NOT_RUN = """Not run, here and in the tables below: VGG-16 on CIFAR-100, ResNet-18 on CIFAR-10 and on CIFAR-100, and any network with the
paper's own weights. `examples/paper/train.py` trains such networks; it was tried for single epochs on a CPU and never on a GPU, since
none was at hand. ResNet-20 stands beside the paper's ResNet-18.
"""
APART = """Rows of this project's recipe are by `fit` as it is: `--recipes ours --fit-images 1024`, 30 November 2026. Rows of the paper's
recipe do not depend on it, and are what they were on 25 November.
"""


def page(results: Path) -> str:
    found = {path.stem: common.read_json(path) for path in sorted(results.glob("*.json"))}
    coverage = (results.parent / COVERAGE.name).read_text()
    sections = [
        INTRODUCTION,
        table1(coverage),
        *(section(found) for section in (table2, few_steps, defaults, table3, table4, energies, maps)),
    ]
    return "\n".join([*sections, differences()])


def table(head: Sequence[Any], rows: Iterable[Sequence[Any]]) -> str:
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return (
        "\n".join(f"| {' | '.join('' if cell is None else str(cell) for cell in line)} |" for line in lines)
        + "\n"
    )


def of(found: Mapping[str, Result], name: str) -> list[tuple[str, Result]]:
    """Those whose file begins with `name`."""
    return [(stem, data) for stem, data in found.items() if stem.startswith(name)]


def heading(data: Result) -> str:
    source = data["provenance"]
    model = source["model"].rsplit(":")[-1]
    return (
        f"{model}, {source['data']}, {source['images']:,} test images, "
        f"{source['calibration_images']:,} to calibrate on"
    )


def command(data: Result) -> str:
    """The command line, in lines that a page shows whole."""
    words = re.findall(r"(?:'[^']*'|\"[^\"]*\"|\S)+", data["provenance"]["command_line"])
    lines = [" " * 4]
    for word in words:
        if len(lines[-1]) + len(word) > COLUMNS:
            lines[-1] += "\\"
            lines.append(" " * 8)
        lines[-1] += f"{word} "
    return "\n" + "\n".join(line.rstrip() for line in lines) + "\n"


def table1(coverage: str) -> str:
    converted = len(re.findall(r"^\| `", coverage, re.M))
    rows = [(method, area, accuracy) for method, (area, accuracy) in published.TABLE1.items()]
    ours = "this project", "any feed-forward network of ReLU, ReLU6 and clamps, unmodified", "Table 2"
    return (
        "## Table 1: universality\n\nWhat each method needs in the ANN, and its VGG-16 on CIFAR-10 at T "
        "= 32.\n\n"
        + table(("method", "activation", "accuracy"), [*rows, ours])
        + f"\n{converted} of torchvision's networks are converted as they are; both integer executors "
        f"agree ([coverage](coverage.md)).\n"
    )


def table2(found: Mapping[str, Result]) -> str:
    parts = ["## Table 2, Figures 7 and 8: with and without DNI, with and without SNM\n", NOT_RUN, APART]
    for stem, data in of(found, "ablation"):
        steps = [str(t) for t in data["T"]]
        rows = [
            (name, *(curve.get(t) for t in steps))
            for name, curve in data["accuracy"].items()
            if isinstance(curve, dict)
        ]
        if "published" in data:
            curve = data["published"][published.PAPER]["snn"]
            rows.append(
                (
                    f"published: {data['published']['row']}, ANN {data['published'][published.PAPER]['ann']}",
                    *(curve.get(t) for t in steps),
                )
            )
        parts += [
            f"### {heading(data)}; ANN {data['accuracy']['ANN']}\n",
            table(("", *(f"T = {t}" for t in steps)), rows),
        ]
        parts += [f"![accuracy over T](results/{stem}.png)", command(data)]
    return "\n".join(parts)


def few_steps(found: Mapping[str, Result]) -> str:
    parts = ["## The same networks at few steps: the paper's recipe and ours, in integers\n"]
    for stem, data in of(found, "few_steps"):
        rows = [
            (
                ", ".join(filter(None, (r["method"], r.get("changed", "").replace("_", " ")))),
                r["T"],
                r["levels"],
                r["lead"],
                r["latency"],
                f"{statistics.mean(r['spikes']):,.0f}",
                f"{r['mean']:.1f}",
                _span(r["accuracy"]),
                _span(r["interval"]),
            )
            for r in data["rows"]
        ]
        seeds = f"{data['seeds']} seed{'s' * (data['seeds'] > 1)}"
        head = (
            "recipe",
            "T",
            "K",
            "lead",
            "latency, steps",
            "spikes an image",
            "accuracy",
            seeds,
            "95 % interval",
        )
        fitted = f"{data['provenance']['fit_images']:,} to fit on"
        parts += [f"### {heading(data)}, {fitted}; ANN {data['accuracy_ann']}\n", table(head, rows)]
        parts += [f"![accuracy over T](results/{stem}.png)", command(data)]
        if "against" in data:
            parts.append(_against(data["against"]))
    return "\n".join(parts)


def defaults(found: Mapping[str, Result]) -> str:
    """Settings between which T and K of `best` and `binary` are chosen, of every network whose operations
    were counted."""
    rows = []
    for _, data in of(found, "few_steps"):
        kept = {(r["method"], r["T"]): r for r in data["rows"] if "operations" in r and not r.get("changed")}
        source = data["provenance"]
        seeds = f"{data['seeds']} seed" + "s" * (data["seeds"] > 1)
        name = f"{source['model'].rsplit(':')[-1]}, {source['data']}, {source['fit_images']:,} to fit on, {seeds}"
        rows += [_default(name, data["accuracy_ann"], kept[key]) for key in DEFAULTS if key in kept]
    head = (
        "network",
        "ANN",
        "recipe",
        "T",
        "K",
        "accuracy",
        "agreement",
        "spikes",
        "M synaptic operations",
        "latency",
    )
    return (
        "## Which T and K\n\nMeans of the seeds; images, seeds and commands are those above. Synaptic "
        "operations are of spikes and of the image, an image, counted on 20 images.\n\n" + table(head, rows)
    )


def _default(name: str, ann: float, r: Result) -> Sequence[Any]:
    accuracy, agreement, spikes, operations = (
        statistics.mean(r[key]) for key in ("accuracy", "agreement", "spikes", "operations")
    )
    means = f"{accuracy:.1f}", f"{agreement:.1f}", f"{spikes:,.0f}", f"{operations / 1e6:.1f}"
    return name, ann, r["method"], r["T"], r["levels"], *means, r["latency"]


def _span(values: Sequence[float]) -> str:
    return f"{min(values):.1f} to {max(values):.1f}"


def _against(rows: Sequence[Result]) -> str:
    """One level and no lead, as theirs."""
    chosen = [r for r in rows if r["ours"] == "one level" and r["lead"] == 0]
    told = [
        (
            r["method"],
            r["T"],
            f"{r['accuracy']:.1f}",
            f"{r['accuracy_ours']:.1f}",
            r["only_ours"],
            r["only_theirs"],
            f"{r['p']:.1g}",
        )
        for r in chosen
    ]
    head = (
        "SpikingJelly 2.0",
        "T",
        "theirs",
        "ours, K = 1, lead 0, seed 0",
        "images only ours gets right",
        "only theirs",
        "p",
    )
    return (
        "Against SpikingJelly's ann2snn on the same network, images and T "
        "(`benchmarks/accuracy_against_spikingjelly.py`); p by McNemar's "
        "exact test, two-sided.\n\n" + table(head, told)
    )


def table3(found: Mapping[str, Result]) -> str:
    head = "method", "type", "network", "accuracy", "T"
    rows: list[Sequence[Any]] = list(published.TABLE3)
    for _, data in of(found, "few_steps"):
        name = (
            f"{data['provenance']['model'].rsplit(':')[-1]} on {data['provenance']['data']}, ANN "
            f"{data['accuracy_ann']}, {data['provenance']['fit_images']:,} fit images"
        )
        as_it_is = [r for r in data["rows"] if r["method"] in OURS and not r.get("changed")]
        ours = [r for r in as_it_is if r["T"] in (2, 4) and r["lead"] == 0]
        rows += [
            (f"this project, K = {r['levels']}", "conversion, no training", name, f"{r['mean']:.1f}", r["T"])
            for r in ours
        ]
    return "## Table 3: beside networks trained as SNNs (published figures, of other networks)\n\n" + table(
        head, rows
    )


def table4(found: Mapping[str, Result]) -> str:
    rows = [
        (name, row["ann"], *(row["error"][t] for t in row["error"])) for name, row in published.TABLE4.items()
    ]
    run = "\n".join(f"{heading(data)}{command(data)}" for _, data in of(found, "imagenet"))
    told = (
        run
        or "Not run here: ImageNet was not at hand. `examples/paper/imagenet.py` is the command, tested "
        "on a small made folder.\n"
    )
    head = "method", "ANN", *(f"T = {t}" for t in (32, 64, 128, 256))
    return f"## Table 4: points below the ANN, VGG-16 on ImageNet\n\n{table(head, rows)}\n{told}"


def energies(found: Mapping[str, Result]) -> str:
    parts = ["## Table 5 and Figure 9: operations, energy by Eq. (24) to (26), firing rates\n", APART]
    for stem, data in of(found, "energy"):
        rows = [
            (
                name,
                t,
                c["accuracy_snn"],
                c["operations_snn_million"]["own"],
                c["operations_snn_million"]["arriving"],
                c["energy_drop"]["own"],
                c["energy_drop"]["arriving"],
                c["firing_rate"],
            )
            for name, columns in data["recipes"].items()
            for t, c in columns.items()
        ]
        if "published" in data:
            columns = data["published"]["steps"].items()
            rows += [
                (
                    "published",
                    t,
                    c["accuracy_snn"],
                    c["operations_snn_million"],
                    None,
                    c["energy_drop"],
                    None,
                    c["firing_rate"],
                )
                for t, c in columns
            ]
        head = (
            "recipe",
            "T",
            "accuracy",
            "M operations, own spikes",
            "arriving",
            "energy, % of the ANN's above it, own",
            "arriving",
            "firing rate",
        )
        parts += [
            f"### {heading(data)}; ANN {data['accuracy_ann']}, {data['operations_ann_million']} M "
            f"operations\n",
            table(head, rows),
        ]
        parts += [f"![firing rates and energy](results/{stem}.png)", command(data)]
    return "\n".join(parts)


def maps(found: Mapping[str, Result]) -> str:
    parts = ["## Figure 4: thresholds of train against test\n"]
    for stem, data in of(found, "thresholds"):
        keys = "layer", "neurons", "correlation", "test_above_train", "dead"
        parts += [
            f"### {heading(data)}\n",
            table([k.replace("_", " ") for k in keys], [[r[k] for k in keys] for r in data["layers"]]),
        ]
        parts += [f"![maps of thresholds](results/{stem}.png)", command(data)]
    return "\n".join(parts)


def differences() -> str:
    rows = [f"- **{what}.** {why}" for what, why in published.DIFFERENCES.items()]
    return "\n".join(["## Why they differ\n", *rows, ""])


def main() -> int:
    if not COVERAGE.is_file() or not common.RESULTS.is_dir():
        print(
            f"page: {COVERAGE} and {common.RESULTS} are not here; run it in the project's folder",
            file=sys.stderr,
        )
        return 1
    write_whole(PAGE, page(common.RESULTS).encode(), overwrite=True)
    print(f"written: {PAGE}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
