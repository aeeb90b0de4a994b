"""Frames a second of a stream whose frames differ little, beside the same integers on each frame alone.

    python benchmarks/stream.py [--size 224] [--frames 24] [--threads 2] [--repeats 5] [--out stream.json]

A photograph before which a square moves by 4 pixels a frame, `size` wide and high. Networks: torchvision's
ResNet-18 and SqueezeNet 1.1 with random weights, T = 1, K = 31, thresholds of channels. Three ways, in turn,
each over all frames but the first: the stream by events, h = 0; `batched.run` of one frame after the other,
as a camera gives them; `batched.run` of all frames as one batch, which no camera allows. All give the same
sums, which is asserted.
"""

from __future__ import annotations

import statistics
from typing import Any

import common
import numpy as np
import torch
import torchvision

import dnisnm_lava as dn
from dnisnm_lava.backends import batched, events
from dnisnm_lava.data.streams.examples import example_photograph, static_scene

NETWORKS = ("resnet18", "squeezenet1_1")


def scene(size: int, count: int) -> np.ndarray:
    """(count, 3, size, size), of about the range of images that are prepared for ImageNet."""
    frames = static_scene(example_photograph("china"), count, side=size // 7)
    middle = [f[(f.shape[0] - size) // 2 :][:size, :size] for f in frames]
    return ((np.stack(middle) / 255 - 0.45) / 0.225).astype(np.float32).transpose(0, 3, 1, 2)


def network(name: str, x: np.ndarray) -> dn.SpikingGraph:
    torch.manual_seed(0)
    analog = dn.from_torch(torchvision.models.get_model(name, weights=None).eval(), x[0])
    statistics_of = dn.calibrate(analog, [x[:2]])
    return dn.quantize(
        dn.convert(analog, statistics_of, steps=1, levels=31, down=0.0, granularity="channel"),
        spikes="graded",
    )


def measure(name: str, x: np.ndarray, repeats: int) -> dict[str, Any]:
    graph = network(name, x)
    stream = events.Stream(dn.streaming(graph))
    stream.step(x[0])
    begun = stream.state
    sums: dict[str, np.ndarray] = {}

    def follow() -> None:
        stream.state = begun
        told = [stream.step(frame).outputs[graph.readout.name][-1] for frame in x[1:]]
        sums["stream"] = np.stack(told)

    def one_by_one() -> None:
        told = [batched.run(graph, frame[None]).logits[0, -1] for frame in x[1:]]
        sums["one by one"] = np.stack(told)

    def at_once() -> None:
        sums["at once"] = batched.run(graph, x[1:]).logits[:, -1]

    times = common.in_turn({"stream": follow, "one by one": one_by_one, "at once": at_once}, repeats)
    assert (sums["stream"] == sums["one by one"]).all()
    assert (sums["stream"] == sums["at once"]).all()
    return {
        "network": name,
        "frames a second": (len(x) - 1) / statistics.median(times["stream"]),
        "times one by one": common.ratio(times["one by one"], times["stream"]),
        "times at once": common.ratio(times["at once"], times["stream"]),
    }


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--frames", type=int, default=24)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    x = scene(args.size, args.frames)
    common.finish(args, [measure(name, x, args.repeats) for name in NETWORKS])


if __name__ == "__main__":
    main()
