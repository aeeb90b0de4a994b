"""The integer simulator against T passes of the ANN: ratios measured side by side in one run.

    python benchmarks/simulator.py [--steps 8] [--repeats 7] [--threads 2] [--out FILE.json]

For each network, the two are timed in turn, `--repeats` times, and the medians are compared. The ANN runs in float32,
channels last, in torch; the simulator runs the integer network converted from it. Weights are random: neither depends
on their values. Time nothing else meanwhile.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import dnisnm_lava as dn
from dnisnm_lava.backends import batched, currents
from dnisnm_lava.comparison import versions
from examples.resnet20 import resnet20


def vgg16() -> nn.Module:
    """VGG-16 for 32x32 images with batch norm and average pooling, as the SNM authors' code has it."""
    layers: list[nn.Module] = []
    channels = 3
    for width in (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0):
        if width == 0:
            layers.append(nn.AvgPool2d(2))
        else:
            layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
    head = [nn.Flatten(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)]
    return nn.Sequential(*layers, *head)


def resnet18() -> nn.Module:
    from torchvision.models import resnet18 as torchvisions

    return torchvisions(weights=None)


NETWORKS: dict[str, tuple[Callable[[], nn.Module], int, int]] = {  # model, pixels a side, images
    "ResNet-20, 32x32": (resnet20, 32, 64), "VGG-16, 32x32": (vgg16, 32, 64), "ResNet-18, 64x64": (resnet18, 64, 32),
}  # fmt: skip


def seconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def measure(name: str, steps: int, repeats: int) -> dict[str, Any]:
    factory, size, count = NETWORKS[name]
    torch.manual_seed(0)
    model = factory().eval().to(memory_format=torch.channels_last)
    x = np.random.default_rng(0).normal(size=(count, 3, size, size)).astype(np.float32)
    analog = dn.from_torch(model, x[0])
    integer = dn.quantize(dn.convert(analog, dn.calibrate(analog, [x]), steps=steps))
    images = torch.from_numpy(x).contiguous(memory_format=torch.channels_last)

    def ann() -> None:
        with torch.inference_mode():
            model(images)

    def snn() -> None:
        batched.run(integer, x, steps=steps)

    ann(), snn()
    times = [(seconds(ann), seconds(snn)) for _ in range(repeats)]
    one, all_steps = (statistics.median(column) for column in zip(*times, strict=True))
    ratio = statistics.median(b / (steps * a) for a, b in times)
    return {"network": name, "images": count, "steps": steps, "ann_seconds": one, "snn_seconds": all_steps, "ratio": ratio}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", default=list(NETWORKS), help=", ".join(NETWORKS))
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    rows = []
    for name in args.networks:
        rows.append(measure(name, args.steps, args.repeats))
        row = rows[-1]
        print(f"{name}: ANN {1e3 * row['ann_seconds']:.0f} ms, SNN {1e3 * row['snn_seconds']:.0f} ms, ratio to T passes {row['ratio']:.3f}")
    result = {
        "rows": rows, "threads": args.threads, "int8": currents.int8_is_exact(), "versions": versions(), "machine": platform.processor(),
    }  # fmt: skip
    if args.out:
        args.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
