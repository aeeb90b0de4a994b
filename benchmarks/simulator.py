"""The integer simulator against T passes of the ANN.

    python benchmarks/simulator.py ["ResNet-20, 32x32" ...] [--steps 8] [--levels 1] [--floats] \\
        [--repeats 7] [--threads 2] [--cpu] [--out FILE.json]

Timed in turn on the same images: the ANN in float32, channels last, in batches of `batch` (where it is
fastest); the same with its batch norms folded into its convolutions; and the integer network converted from
it; with --floats, the float network too. Weights are random: no cost depends on their values. Ratios are
SNN / (T x ANN). Time nothing else meanwhile, or take one thread and --cpu, processor time.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import common
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

import dnisnm_lava as dn
from dnisnm_lava.backends import batched
from dnisnm_lava.backends.batched import planning
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


def mobilenet_v2() -> nn.Module:
    from torchvision.models import mobilenet_v2 as torchvisions

    return torchvisions(weights=None)


NETWORKS: dict[str, tuple[Callable[[], nn.Module], int, int]] = {  # model, pixels a side, the ANN's batch
    "ResNet-20, 32x32": (resnet20, 32, 64),
    "VGG-16, 32x32": (vgg16, 32, 64),
    "ResNet-18, 64x64": (resnet18, 64, 32),
    "MobileNetV2, 224x224": (mobilenet_v2, 224, 4),
}
BATCHES = 4


def folded(model: nn.Module) -> nn.Module:
    """A copy in which each convolution holds the batch norm that stands next to it."""
    model = copy.deepcopy(model)
    for module in list(model.modules()):
        for (name, conv), (next_name, norm) in pairwise(list(module.named_children())):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, name, fuse_conv_bn_eval(conv, norm))
                setattr(module, next_name, nn.Identity())
    return model


def measure(name: str, args: argparse.Namespace) -> dict[str, Any]:
    factory, size, batch = NETWORKS[name]
    steps = args.steps
    torch.manual_seed(0)
    model = factory().eval().to(memory_format=torch.channels_last)
    x = common.images(BATCHES * batch, size)
    floats = common.spiking(model, x, steps, args.levels)
    graph = dn.quantize(floats)
    parts = torch.from_numpy(x).contiguous(memory_format=torch.channels_last).split(batch)
    plain = folded(model).to(memory_format=torch.channels_last)

    def passes(network: nn.Module) -> Callable[[], None]:
        def work() -> None:
            with torch.inference_mode():
                for part in parts:
                    network(part)

        return work

    works: dict[str, Callable[[], Any]] = {
        "ann": passes(model),
        "folded": passes(plain),
        "snn": lambda: batched.run(graph, x, steps=steps),
    }
    if args.floats:
        works["floats"] = lambda: batched.run(floats, x, steps=steps)
    times = common.in_turn(works, args.repeats, time.process_time if args.cpu else time.perf_counter)
    row = {
        "network": name,
        "images": len(x),
        "T": steps,
        "K": args.levels,
        "ANN ms": 1e3 * statistics.median(times["ann"]),
        "SNN ms": 1e3 * statistics.median(times["snn"]),
        "ratio": common.ratio(times["snn"], times["ann"], steps),
        "ratio to folded": common.ratio(times["snn"], times["folded"], steps),
        "paths": planning.paths(planning.planned(graph))["synapses"],
    }
    return row | ({"floats to integers": common.ratio(times["floats"], times["snn"])} if args.floats else {})


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("networks", nargs="*", default=list(NETWORKS), help=", ".join(NETWORKS))
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--levels", type=int, default=1)
    parser.add_argument("--floats", action="store_true", help="the float SNN, too")
    parser.add_argument("--cpu", action="store_true", help="processor time")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    common.finish(args, [measure(name, args) for name in args.networks])


if __name__ == "__main__":
    main()
