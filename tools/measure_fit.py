"""Accuracy at few steps with `fit`: the rows of docs/accuracy.md.

    python tools/measure_fit.py --model FILE.py:FACTORY --weights FILE --data FILE.npz --mean M M M --std S S S [--out FILE.json]

For each setting (T, levels, lead) and calibration seed: the integer network (8-bit weights) on `--images` test images
(sample of seed 0), as the paper's recipe gives it and as `fit` does. A sample of `--calibration-images` training
images gives the maxima, its first `--fit-images` in a shuffled order the fit.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import dnisnm_lava as dn
from dnisnm_lava import datasets, loading
from dnisnm_lava.backends import batched
from dnisnm_lava.comparison import versions

SETTINGS = ((2, 1, 0), (4, 1, 0), (8, 1, 0), (16, 1, 0), (2, 1, 2), (4, 1, 2), (8, 1, 4), (1, 4, 0), (2, 4, 0), (4, 4, 2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--model", "--weights", "--data"):
        parser.add_argument(name, required=True)
    parser.add_argument("--mean", type=float, nargs="+", default=[])
    parser.add_argument("--std", type=float, nargs="+", default=[])
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--calibration-images", type=int, default=4000)
    parser.add_argument("--fit-images", type=int, default=256)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    data = datasets.load(args.data, mean=args.mean, std=args.std)
    x, labels = datasets.arrays(data.test, datasets.choose(data.test, args.images, 0))
    analog = dn.from_torch(loading.load_model(args.model, args.weights, x.shape[1:]), x[0])
    found: dict[tuple[int, int, int], list[tuple[float, float]]] = {setting: [] for setting in SETTINGS}
    for seed in range(args.seeds):
        seen, _ = datasets.arrays(data.train, datasets.choose(data.train, args.calibration_images, seed))
        stats = dn.calibrate(analog, np.array_split(seen, max(1, len(seen) // 100)))
        few = seen[np.random.default_rng(seed).permutation(len(seen))[: args.fit_images]]
        for steps, levels, lead in SETTINGS:
            spiking = dn.convert(analog, stats, steps=steps, levels=levels, lead=lead)
            plain, fitted = (dn.quantize(graph) for graph in (spiking, dn.fit(analog, spiking, few)))
            found[steps, levels, lead].append(
                (batched.run(plain, x).accuracy(labels, steps), batched.run(fitted, x).accuracy(labels, steps))
            )
            print(seed, steps, levels, lead, found[steps, levels, lead][-1], file=sys.stderr, flush=True)
    rows = []
    for (steps, levels, lead), pairs in found.items():
        plain, fitted = (list(column) for column in zip(*pairs, strict=True))
        rows.append({"T": steps, "levels": levels, "lead": lead, "max": plain, "fit": fitted})
        print(
            f"| {steps} | {levels} | {lead} | {100 * statistics.mean(plain):.1f} | {100 * statistics.mean(fitted):.1f} "
            f"({100 * min(fitted):.1f} to {100 * max(fitted):.1f}) |"
        )
    if args.out:
        args.out.write_text(json.dumps({"rows": rows, "options": vars(args), "versions": versions()}, indent=2, default=str) + "\n")


if __name__ == "__main__":
    main()
