"""The integer simulator on a CUDA device, against T half-precision passes of the ANN on the same card.

    python benchmarks/gpu.py ["ResNet-20, 32x32" ...] [--steps 8] [--images 1024] [--repeats 7] \\
        [--out FILE.json]

Timed in turn on the same images: the ANN in float16, channels last; the integer network converted from it;
and, of ResNet-20 (option B) where SpikingJelly is installed, its ann2snn in float32, and in float16 by
autocast. Ratios are SNN / (T x ANN). Weights are random: no cost depends on their values. Images begin in the
host's memory, and class scores end there. Where no device is, it says so and measures nothing.
"""

from __future__ import annotations

import importlib.util
import statistics
import sys
from collections.abc import Callable
from typing import Any

import common
import numpy as np
import simulator
import torch
from torch import nn

from dnisnm_lava.backends import batched
from dnisnm_lava.backends.batched import planning

NETWORKS = {name: (factory, size) for name, (factory, size, _) in simulator.NETWORKS.items()}
NETWORKS["ResNet-20 (option B), 32x32"] = (common.relu_resnet20, 32)


def passes(network: nn.Module, x: torch.Tensor) -> Callable[[], None]:
    def work() -> None:
        with torch.inference_mode():
            network(x.cuda().to(memory_format=torch.channels_last)).cpu()

    return work


def spikingjelly(model: nn.Module, x: torch.Tensor, steps: int, half: bool) -> Callable[[], None]:
    from spikingjelly.activation_based import ann2snn, functional

    loader = [(x[:100], torch.zeros(len(x[:100])))]
    theirs = ann2snn.Converter(dataloader=loader, mode="Max")(model).eval().cuda()

    def work() -> None:
        functional.reset_net(theirs)
        with torch.inference_mode(), torch.autocast("cuda", torch.float16, enabled=half):
            images = x.cuda()
            total = theirs(images)
            for _ in range(steps - 1):
                total = total + theirs(images)
            total.cpu()

    return work


def measure(name: str, steps: int, count: int, repeats: int) -> dict[str, Any]:
    factory, size = NETWORKS[name]
    torch.manual_seed(0)
    model = factory().eval()
    images = common.images(count, size)
    graph = common.integer(model, images, steps)
    x = torch.from_numpy(images)
    works: dict[str, Callable[[], Any]] = {
        "snn": lambda: batched.run(graph, images, steps=steps, device="cuda")
    }
    if factory is common.relu_resnet20 and importlib.util.find_spec("spikingjelly") is not None:
        works |= {
            f"SpikingJelly {kind}": spikingjelly(model, x, steps, kind == "half")
            for kind in ("half", "float")
        }
    half = factory().eval().half().cuda().to(memory_format=torch.channels_last)
    works["ann"] = passes(half, x.half())
    on_cpu = batched.run(graph, images[:16], steps=steps)
    on_card = batched.run(graph, images[:16], steps=steps, device="cuda")
    if not np.array_equal(on_cpu.logits, on_card.logits):
        sys.exit(f"{name}: the card's integers are not the CPU's: nothing was timed")
    times = common.in_turn(works, repeats)
    row: dict[str, Any] = {"network": name, "images": count, "T": steps}
    row |= {f"{way} ms": 1e3 * statistics.median(spent) for way, spent in times.items()}
    row["ratio"] = common.ratio(times["snn"], times["ann"], steps)
    row |= {
        f"times as fast as {way}": common.ratio(spent, times["snn"])
        for way, spent in times.items()
        if way.startswith("SpikingJelly")
    }
    return row | planning.paths(planning.planned(graph, device="cuda"))


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("networks", nargs="*", default=list(NETWORKS), help=", ".join(NETWORKS))
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--images", type=int, default=1024)
    args = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("gpu: this torch finds no CUDA device here, so nothing was measured; run it where one is")
    print(torch.cuda.get_device_name())
    rows = [measure(name, args.steps, args.images, args.repeats) for name in args.networks]
    common.finish(args, [{**row, "card": torch.cuda.get_device_name()} for row in rows])


if __name__ == "__main__":
    main()
