"""Accuracy of SpikingJelly's ann2snn on the ResNet-20, the images and the T of docs/accuracy.md.

    pip install spikingjelly==2.0.0            # Python 3.11, torch 2.6 or later: an environment of its own
    python benchmarks/accuracy_against_spikingjelly.py --weights FILE --data FILE.npz [--images 1000] \\
        [--out FILE.json]

Only torch, numpy and examples/resnet20.py are needed beside it; FILE.npz holds CIFAR-10 (x_train, y_train,
x_test, y_test). Two of its recipes, with thresholds for channels and half a threshold as initial potential:
RobustNorm (the 99.9th percentile) and local threshold balancing (LTB, arXiv 2409.03368). Its read-out sums
all steps; or, "delayed", those from the one on that its estimate_delay_start names for T; or, "chosen", from
the one on that is best for T on as many training images, with their labels. FILE.json has each image's
outcome, for paired tests.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

try:
    from spikingjelly.activation_based import ann2snn, functional
except ModuleNotFoundError as error:
    sys.exit(
        f"accuracy_against_spikingjelly: {error.name} is not installed; pip install spikingjelly==2.0.0 "
        f"into a Python 3.11 of its own"
    )

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))

import resnet20

STEPS = (1, 2, 4, 8, 16, 32)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BATCH = 100


class Block(nn.Module):
    """A block of examples/resnet20.py in modules, which is all that ann2snn converts; its strided slice with
    zero channels is a 1x1 convolution by ones and zeros."""

    def __init__(self, block: resnet20.Block) -> None:
        super().__init__()
        self.conv1, self.bn1, self.conv2, self.bn2 = block.conv1, block.bn1, block.conv2, block.bn2
        self.relu1, self.relu2, self.shortcut = nn.ReLU(), nn.ReLU(), nn.Identity()
        if block.stride != 1 or block.extra:
            inputs, outputs = block.conv1.in_channels, block.conv1.out_channels
            self.shortcut = nn.Conv2d(inputs, outputs, 1, block.stride, bias=False)
            weight = torch.zeros(outputs, inputs, 1, 1)
            weight[block.extra : block.extra + inputs, :, 0, 0] = torch.eye(inputs)
            self.shortcut.weight.data = weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.relu1(self.bn1(self.conv1(x)))
        return self.relu2(self.bn2(self.conv2(out)) + self.shortcut(x))


def in_modules(model: resnet20.ResNet) -> nn.Module:
    blocks = [Block(block) for stage in (model.layer1, model.layer2, model.layer3) for block in stage]
    return nn.Sequential(
        model.conv1, model.bn1, nn.ReLU(), *blocks, nn.AvgPool2d(8), nn.Flatten(), model.linear
    ).eval()


def load_model(weights: Path) -> resnet20.ResNet:
    state = torch.load(weights, map_location="cpu", weights_only=True)
    model = resnet20.resnet20()
    model.load_state_dict(
        {key.removeprefix("module."): value for key, value in state.get("state_dict", state).items()},
        strict=True,
    )
    return model.eval()


def normalized(images: np.ndarray) -> torch.Tensor:
    """(N, H, W, C) bytes -> (N, C, H, W) float32, rounded as dnisnm_lava.data.datasets does."""
    x = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).to(torch.float32) / 255
    return (x - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


def chosen(total: int, count: int) -> np.ndarray:
    """As dnisnm_lava.data.datasets.choose, seed 0."""
    return (
        np.arange(total)
        if count >= total
        else np.sort(np.random.default_rng(0).choice(total, count, replace=False))
    )


def shuffled(x: torch.Tensor, batches: int, seed: int) -> Iterator[torch.Tensor]:
    """Batches of pass after pass over x, each in an order of its own."""
    generator = torch.Generator().manual_seed(seed)
    order: list[torch.Tensor] = []
    for _ in range(batches):
        order = order or list(torch.randperm(len(x), generator=generator).split(BATCH))
        yield x[order.pop(0)]


def scores(network: nn.Module, x: torch.Tensor, steps: int) -> torch.Tensor:
    """(steps + 1, N, classes): the sums of the first 0, 1, ... steps. A run is the beginning of every longer
    one."""
    parts = []
    for images in x.split(BATCH):
        functional.reset_net(network)
        parts.append(torch.stack([network(images) for _ in range(steps)]).double().cumsum(0))
    found = torch.cat(parts, 1)
    return torch.cat([torch.zeros_like(found[:1]), found])


def delay_start(network: nn.Module, seen: torch.Tensor, steps: int) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that T is short for its delay
        return int(ann2snn.estimate_delay_start(network, [seen[:BATCH]], "cpu", steps))


def chosen_start(sums: torch.Tensor, labels: torch.Tensor, steps: int) -> int:
    return max(range(steps), key=lambda start: outcome(sums[steps] - sums[start], labels)[0])


def outcome(read: torch.Tensor, labels: torch.Tensor) -> tuple[float, str]:
    """Accuracy, and a digit for each image."""
    correct = read.argmax(1) == labels.reshape(len(read))
    return correct.double().mean().item(), "".join("1" if c else "0" for c in correct.tolist())


def versions() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in ("spikingjelly", "torch", "numpy")},
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument(
        "--ltb-batches",
        type=int,
        default=400,
        help=f"of {BATCH} images, in shuffled passes over the training images",
    )
    parser.add_argument("--seed", type=int, default=0, help="of their order")
    parser.add_argument("--out", type=Path, help="file for the figures, as JSON")
    args = parser.parse_args()
    data = np.load(args.data, allow_pickle=False)
    indices = chosen(len(data["x_test"]), args.images)
    x, labels, seen = (
        normalized(data["x_test"][indices]),
        torch.from_numpy(data["y_test"][indices]),
        normalized(data["x_train"]),
    )
    robust = {"mode": "99.9%", "channel_wise": True, "half_threshold": True}
    known = torch.from_numpy(data["y_train"][: len(x)])
    results: list[dict[str, Any]] = []
    with torch.no_grad():
        plain, model = load_model(args.weights)(x), in_modules(load_model(args.weights))
        if not torch.allclose(model(x), plain, atol=1e-4) or not torch.equal(
            model(x).argmax(1), plain.argmax(1)
        ):
            raise RuntimeError("the network in modules is not the one of examples/resnet20.py")
        accuracy, correct = outcome(plain, labels)
        results.append({"method": "ANN", "T": None, "accuracy": accuracy, "correct": correct})
        print(f"| read-out | {' | '.join(f'T = {steps}' for steps in STEPS)} |\n|---|{'--:|' * len(STEPS)}")
        for name, recipe in {
            "RobustNorm 99.9 %": ann2snn.RateCodingRecipe(seen.split(BATCH), **robust),
            "LTB": ann2snn.LocalThresholdBalancingRecipe(shuffled(seen, args.ltb_batches, args.seed)),
        }.items():
            network = (
                ann2snn.Converter(recipe, device="cpu").convert(in_modules(load_model(args.weights))).eval()
            )
            sums, training = (scores(network, images, max(STEPS)) for images in (x, seen[: len(x)]))
            for method, starts in {
                name: [0] * len(STEPS),
                f"{name}, delayed": [delay_start(network, seen, t) for t in STEPS],
                f"{name}, chosen": [chosen_start(training, known, t) for t in STEPS],
            }.items():
                row = []
                for steps, start in zip(STEPS, starts, strict=True):
                    accuracy, correct = outcome(sums[steps] - sums[start], labels)
                    row.append(f"{100 * accuracy:.1f}" + (f" (from {start + 1})" if start else ""))
                    results.append(
                        {
                            "method": method,
                            "T": steps,
                            "start": start,
                            "accuracy": accuracy,
                            "correct": correct,
                        }
                    )
                print(f"| {method} | {' | '.join(row)} |", flush=True)
    print(f"\nANN {100 * results[0]['accuracy']:.1f}; {len(x)} images; {versions()}")
    if args.out:
        facts = {
            "command": ["python", *sys.argv],
            "options": {**vars(args), "robust": robust, "batch": BATCH},
            "versions": versions(),
        }
        whole = {**facts, "calibration_images": len(seen), "indices": indices.tolist(), "rows": results}
        args.out.write_text(json.dumps(whole, indent=1, default=str) + "\n")


if __name__ == "__main__":
    main()
