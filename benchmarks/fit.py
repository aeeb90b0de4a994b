"""What `fit` and what weights read cost, in the ANN's own passes over the same images, and the memory as the
images grow.

    python benchmarks/fit.py [--network resnet50] [--side 224] [--images 8 16 32] [--steps 8] [--memory \\
        500000000] [--out FILE.json]

torchvision's network with random weights (only time and memory are looked at), CPU seconds of all threads.
Each count is a process of its own, so what does not grow with the images (linear systems) is in each. A pass
of the ANN is `backends.ann`, which gives pre-activations; what populations send beyond --memory is kept on
disk.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time

import common
import numpy as np
import torch

import dnisnm_lava as dn
from dnisnm_lava.backends import ann
from dnisnm_lava.data.models import load_model
from dnisnm_lava.stages.fitting.fit import Passes, fit_and_read


def measured(network: str, side: int, count: int, steps: int, levels: int, memory: int) -> dict[str, float]:
    """CPU seconds of the ANN, and of fit with readings, and the peak of the resident set."""
    x = np.random.default_rng(0).normal(size=(count, 3, side, side)).astype(np.float32)
    torch.manual_seed(0)
    analog = dn.from_torch(load_model(f"torchvision:{network}", None, (3, side, side)), x[0])
    stats = dn.calibrate(analog, np.array_split(x, -(-count // 8)))
    spiking = dn.convert(analog, stats, steps=steps, levels=levels)
    found = {}
    begun = time.process_time()
    ann.ann(analog, x, batch=8)
    found["ann"] = time.process_time() - begun
    begun = time.process_time()
    fit_and_read(analog, spiking, x, passes=Passes(memory=memory))
    found["fit"] = time.process_time() - begun
    return {**found, "peak, MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3}


def child(arguments: list[str], threads: int) -> dict[str, float]:
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "NUMBA_NUM_THREADS": str(threads)}
    done = subprocess.run(
        [sys.executable, __file__, "--child", *arguments], env=environment, stdout=subprocess.PIPE, check=True
    )
    return json.loads(done.stdout)


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--network", default="resnet50")
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--images", type=int, nargs="+", default=[8, 16, 32])
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--levels", type=int, default=4)
    parser.add_argument(
        "--memory",
        type=int,
        default=500_000_000,
        help="bytes of spikes and activations in memory (%(default)s)",
    )
    args = parser.parse_args()
    rows = []
    for count in args.images:
        found = child(
            [args.network, *map(str, (args.side, count, args.steps, args.levels, args.memory))], args.threads
        )
        rows.append(
            {
                "network": args.network,
                "images": count,
                "T": args.steps,
                "K": args.levels,
                "fit and readings, ANN passes": found["fit"] / found["ann"],
                "fit and readings, CPU seconds an image": found["fit"] / count,
                "peak MB": found["peak, MB"],
            }
        )
        print(rows[-1], file=sys.stderr, flush=True)
    common.finish(args, rows)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        name, *numbers = sys.argv[2:]
        print(json.dumps(measured(name, *map(int, numbers))))
    else:
        main()
