"""Cost as work grows: steps, images and width, each alone; linear or better is the aim.

    python benchmarks/growth.py [--repeats 3] [--threads 2] [--out FILE.json] [--picture FILE.png]

ResNet-20 (option B) on random images. `per unit` is the cost per step, image, or multiplication, relative to
the first.
"""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import common
import numpy as np
import torch

from dnisnm_lava.backends import batched
from dnisnm_lava.ir import SpikingGraph

STEPS, IMAGES, WIDTHS = (2, 4, 8, 16, 32, 64), (100, 300, 1000, 3000, 10_000), (1, 2, 3, 4)


def multiplications(graph: SpikingGraph) -> int:
    return sum(q.macs(graph[q.source].shape) for p in graph for q in getattr(p, "projections", ()))


def cost(graph: SpikingGraph, x: np.ndarray, steps: int, repeats: int) -> float:
    batched.run(graph, x[:100], steps=steps)
    return statistics.median(
        common.seconds(lambda: batched.run(graph, x, steps=steps)) for _ in range(repeats)
    )


def rows(what: str, units: list[float], costs: list[float]) -> list[dict[str, Any]]:
    first = costs[0] / units[0]
    return [
        {what: unit, "seconds": c, "per unit": c / unit / first} for unit, c in zip(units, costs, strict=True)
    ]


def picture(path: Path, tables: dict[str, list[dict[str, Any]]]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3), dpi=150, layout="constrained")
    for axes, (what, table) in zip(figure.subplots(1, len(tables)), tables.items(), strict=True):
        units, costs = [row[what] for row in table], [row["seconds"] for row in table]
        axes.loglog(units, costs, "o-", label="measured")
        axes.loglog(units, [costs[0] * u / units[0] for u in units], ":", color="gray", label="linear")
        axes.set_xlabel(what)
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("seconds")
    figure.axes[0].legend()
    figure.savefig(path)


def main() -> None:
    parser = common.parser(__doc__)
    parser.set_defaults(repeats=3)
    parser.add_argument("--picture", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    x = common.images(100)
    graph = common.integer(common.relu_resnet20().eval(), x, max(STEPS))
    many = np.tile(x, (max(IMAGES) // 100, 1, 1, 1))
    wide = [common.integer(common.relu_resnet20(16 * width).eval(), x, 8) for width in WIDTHS]
    tables = {
        "steps": rows("steps", list(STEPS), [cost(graph, x, t, args.repeats) for t in STEPS]),
        "images": rows("images", list(IMAGES), [cost(graph, many[:n], 8, args.repeats) for n in IMAGES]),
        "multiplications": rows(
            "multiplications", [multiplications(g) for g in wide], [cost(g, x, 8, args.repeats) for g in wide]
        ),
    }
    if args.picture:
        picture(args.picture, tables)
    common.finish(args, [row for table in tables.values() for row in table])


if __name__ == "__main__":
    main()
