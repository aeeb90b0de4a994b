"""The integer simulator against SpikingJelly's ann2snn: the same ResNet-20, the same images, the same T.

    pip install '.[benchmarks]'
    python benchmarks/against_spikingjelly.py [--steps 8] [--images 64] [--repeats 7] [--threads 2] \\
        [--out FILE.json]

ann2snn turns ReLU modules into float IF neurons with thresholds for whole layers and runs T passes. Its
fastest mode on a CPU is taken: of both memory layouts, the faster.
"""

from __future__ import annotations

import statistics

import common
import torch
from spikingjelly.activation_based import ann2snn, functional

from dnisnm_lava.backends import batched


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--images", type=int, default=64)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    model = common.relu_resnet20().eval()
    x = common.images(args.images)
    graph = common.integer(model, x, args.steps)
    loader = [(torch.from_numpy(x), torch.zeros(len(x)))]
    theirs = ann2snn.Converter(dataloader=loader, mode="Max")(model).eval()

    def spikingjelly(memory_format: torch.memory_format) -> None:
        images = torch.from_numpy(x).contiguous(memory_format=memory_format)
        network = theirs.to(memory_format=memory_format)
        functional.reset_net(network)
        with torch.inference_mode():
            total = network(images)
            for _ in range(args.steps - 1):
                total = total + network(images)

    nhwc = model.to(memory_format=torch.channels_last)
    batch = torch.from_numpy(x).contiguous(memory_format=torch.channels_last)
    works = {
        "ann": lambda: nhwc(batch),
        "contiguous": lambda: spikingjelly(torch.contiguous_format),
        "channels last": lambda: spikingjelly(torch.channels_last),
        "dnisnm": lambda: batched.run(graph, x, steps=args.steps),
    }
    with torch.inference_mode():
        times = common.in_turn(works, args.repeats)
    fastest = min(("contiguous", "channels last"), key=lambda name: statistics.median(times[name]))
    row = {
        "network": "ResNet-20 (option B)",
        "images": args.images,
        "T": args.steps,
        "SpikingJelly's layout": fastest,
        "SpikingJelly ms": 1e3 * statistics.median(times[fastest]),
        "dnisnm ms": 1e3 * statistics.median(times["dnisnm"]),
        "times as fast": common.ratio(times[fastest], times["dnisnm"]),
        "a step of theirs, in ANN passes": common.ratio(times[fastest], times["ann"], args.steps),
    }
    common.finish(args, [row])


if __name__ == "__main__":
    main()
