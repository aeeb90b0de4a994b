"""What `compare`, `report` and `explain` cost once a network is fitted, stage by stage, in CPU seconds and in
passes of the ANN over the same images.

    python benchmarks/verbs.py --weights resnet20-12fca82f.th --data cifar10-lossless-subset.npz \\
        [--recipe best binary paper] [--images 1000] [--lava-images 4] [--threads 1] [--out FILE.json]

ResNet-20 on CIFAR-10, prepared as in README.md; without --weights and --data, random weights and noise. CPU
seconds are those of all threads, of Lava's processes too: who starts them collects them (Linux). Fitting is
not counted. What is compiled once in a process (numba) is compiled before, on two images.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import common
import numpy as np
import torch

import dnisnm_lava as dn
from dnisnm_lava.backends import ann
from dnisnm_lava.backends.lava_cpu import Lava
from dnisnm_lava.data.datasets import arrays, load_data
from dnisnm_lava.data.models import load_model
from dnisnm_lava.stages import recipes

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
MODEL = f"{Path(__file__).resolve().parents[1] / 'examples/resnet20.py'}:resnet20"
SUBREAPER = 36  # prctl's PR_SET_CHILD_SUBREAPER


def cpu() -> float:
    """Seconds of this process and of all that it started and that have ended."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    return sum(
        use.ru_utime + use.ru_stime
        for use in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


class Stopwatch:
    """CPU seconds by stage. As `stages`, it is told of each as it begins."""

    def __init__(self) -> None:
        self.found: dict[str, float] = {}
        self.stage, self.begun = "begin", cpu()

    def __call__(self, stage: str) -> None:
        now = cpu()
        self.found[self.stage] = self.found.get(self.stage, 0.0) + now - self.begun
        self.stage, self.begun = stage, now


@contextlib.contextmanager
def timed(name: str, passes: float, rows: list[dict[str, Any]], **told: Any) -> Iterator[Stopwatch]:
    watch, begun = Stopwatch(), cpu()
    yield watch
    watch("end")
    took = cpu() - begun
    rows.append({"verb": name, **told, "CPU s": took, "ANN passes": took / passes, **watch.found})
    print(rows[-1], flush=True)


def measured(args: Any, x: np.ndarray, y: np.ndarray, train: np.ndarray) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    module = load_model(MODEL, args.weights, x.shape[1:])
    analog = dn.from_torch(module, train[0])
    ann.ann(analog, x)
    begun = cpu()
    ann.ann(analog, x)
    passes = cpu() - begun
    print({"one pass of the ANN, CPU s": passes}, flush=True)
    lava = Lava(images=args.lava_images)
    for name in args.recipe:
        nets = dn.build(analog, train, recipes.named(name), dn.Samples(500, 64))
        dn.compare(nets, x[:2], y[:2], lava=Lava(0))
        dn.explain(nets, x[:2], y[:2])
        with timed("compare", passes, rows, recipe=name) as watch:
            dn.compare(nets, x, y, lava=lava, session=dn.Session(stages=watch))
        with tempfile.TemporaryDirectory() as folder:
            page = Path(folder) / "r.html"
            with timed("report", passes, rows, recipe=name) as watch:
                dn.report(page, nets, x, y, lava=lava, session=dn.Session(stages=watch))
    return rows


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--weights")
    parser.add_argument("--data")
    parser.add_argument("--recipe", nargs="+", default=["best", "binary", "paper"])
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--lava-images", type=int, default=4)
    args = parser.parse_args()
    sys.path.remove(str(Path(__file__).parent))  # in which `lava` would be lava.py
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    if args.data:
        data = load_data(args.data, mean=MEAN, std=STD)
        x, y = arrays(data.test, np.arange(args.images))
        train, _ = arrays(data.train, np.arange(500))
    else:
        x, train = common.images(args.images), common.images(500, seed=1)
        y = np.random.default_rng(2).integers(0, 10, args.images)
    common.finish(args, measured(args, x, y, train))


if __name__ == "__main__":
    main()
