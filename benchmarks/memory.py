"""Peak memory of `dnisnm simulate` as the images grow: ResNet-20, T = 32, 500 images against 10,000.

    python benchmarks/memory.py [--images 500 10000] [--steps 32] [--threads 2] [--out FILE.json]

Each count is a command of its own; what is measured is the largest resident set of that process, in which the
images themselves (bytes, in an .npz) are 3 kB each.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import common
import numpy as np
import torch

from examples.resnet20 import resnet20
from exporters import netx


def peak(folder: Path, count: int, steps: int, threads: int) -> int:
    """Bytes of the child's largest resident set."""
    command = [
        sys.executable,
        "-m",
        "dnisnm_lava",
        "simulate",
        str(folder / "a.net"),
        "--data",
        str(folder / "images.npz"),
        "--images",
        str(count),
        "--steps",
        str(steps),
        "--json",
        "--anyway",
    ]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": str(threads),
        "PYTHONPATH": str(Path(__file__).resolve().parents[1]),
    }
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    _, status, usage = os.wait4(child.pid, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        raise RuntimeError(f"{command} failed")
    return usage.ru_maxrss << (0 if sys.platform == "darwin" else 10)


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--images", type=int, nargs="+", default=[500, 10_000])
    parser.add_argument("--steps", type=int, default=32)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    x, y = (
        rng.integers(0, 256, (max(args.images), 32, 32, 3), dtype=np.uint8),
        rng.integers(0, 10, max(args.images)),
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.savez(folder / "images.npz", x_train=x[:100], y_train=y[:100], x_test=x, y_test=y)
        netx.write(folder / "a.net", common.integer(resnet20().eval(), common.images(100), args.steps))
        peaks = [peak(folder, count, args.steps, args.threads) for count in args.images]
    least = peaks[0]
    rows = [
        {"images": count, "T": args.steps, "peak MB": p / 1e6, "ratio": p / least}
        for count, p in zip(args.images, peaks, strict=True)
    ]
    common.finish(args, rows)


if __name__ == "__main__":
    main()
