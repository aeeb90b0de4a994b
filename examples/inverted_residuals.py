"""Small networks for 32x32 images, and their training: inverted residuals (depthwise convolutions, linear
shortcuts, ReLU6), and dense growth (concatenations, a max-pool).

    python -m examples.inverted_residuals --network mobilenet_v2 --data FOLDER --epochs 5 \\
        --weights mobilenet.pt
    dnisnm compare --model examples/inverted_residuals.py:mobilenet_v2 --weights mobilenet.pt \\
        --data FOLDER ...

FOLDER holds train/ and test/ in ImageFolder layout, such as CIFAR-10 as files. Minutes an epoch on one core.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn
from torchvision import models, transforms
from torchvision.datasets import ImageFolder

from dnisnm_lava.errors import BadFile, DnisnmError
from dnisnm_lava.system.files import refuse_existing, write_whole

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
Stage = tuple[int, int, int, int, int]  # expansion, channels, blocks, kernel, stride of the first block


def unit(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU6())


class InvertedResidual(nn.Module):
    """1x1 expansion, depthwise, 1x1 linear; a shortcut where shapes agree."""

    def __init__(self, inputs: int, outputs: int, expand: int, kernel: int, stride: int) -> None:
        super().__init__()
        hidden = inputs * expand
        layers: list[nn.Module] = [] if expand == 1 else [unit(inputs, hidden)]
        layers += [
            unit(hidden, hidden, kernel, stride, hidden),
            nn.Conv2d(hidden, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        ]
        self.layers = nn.Sequential(*layers)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.layers(x)
        return x + y if self.shortcut else y


class InvertedResiduals(nn.Module):
    def __init__(self, stem: int, stages: Sequence[Stage], head: int, classes: int = 10) -> None:
        super().__init__()
        layers: list[nn.Module] = [unit(3, stem, 3, 2)]
        inputs = stem
        for expand, outputs, blocks, kernel, stride in stages:
            for i in range(blocks):
                layers.append(InvertedResidual(inputs, outputs, expand, kernel, stride if i == 0 else 1))
                inputs = outputs
        self.features = nn.Sequential(*layers, unit(inputs, head))
        self.classifier = nn.Linear(head, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.classifier(self.features(x).mean([2, 3]))
        return scores


def mobilenet_v2() -> nn.Module:
    """MobileNetV2's layout (Sandler et al., CVPR 2018, Table 2) at half width: 6.4 M multiplications."""
    stages = [
        (1, 8, 1, 3, 1),
        (6, 12, 2, 3, 1),
        (6, 16, 3, 3, 2),
        (6, 32, 4, 3, 2),
        (6, 48, 3, 3, 1),
        (6, 80, 2, 3, 1),
    ]
    return InvertedResiduals(16, stages, 320)


def efficientnet_lite() -> nn.Module:
    """EfficientNet-Lite0's layout (no squeeze-and-excitation, kernels of 3 and 5) at half width: 8.4 M
    multiplications."""
    stages = [
        (1, 8, 1, 3, 1),
        (6, 12, 2, 3, 1),
        (6, 20, 2, 5, 2),
        (6, 40, 3, 3, 2),
        (6, 56, 3, 5, 1),
        (6, 96, 2, 5, 1),
    ]
    return InvertedResiduals(16, stages, 320)


def densenet() -> nn.Module:
    """torchvision's DenseNet (Huang et al., CVPR 2017) of three blocks of three layers, growth 12: 2.8 M
    multiplications."""
    return models.DenseNet(growth_rate=12, block_config=(3, 3, 3), num_init_features=24, num_classes=10)


NETWORKS = {"mobilenet_v2": mobilenet_v2, "efficientnet_lite": efficientnet_lite, "densenet": densenet}


def images(folder: str, part: str) -> tuple[torch.Tensor, torch.Tensor]:
    """All images of a part, prepared, (N, 3, 32, 32), and their classes."""
    prepare = transforms.Compose([transforms.ToTensor(), transforms.Normalize(MEAN, STD)])
    try:
        found = ImageFolder(str(Path(folder) / part), prepare)
    except OSError as error:
        raise BadFile(
            f"{folder}: {str(error).splitlines()[0]}; give a folder with train and test, of a folder a class"
        ) from error
    x, y = zip(*found, strict=True)
    return torch.stack(x), torch.tensor(y)


def fit(model: nn.Module, x: torch.Tensor, y: torch.Tensor, epochs: int, batch: int = 128) -> None:
    """SGD with Nesterov momentum, one cycle up to 0.2; flips and shifts by up to 3 pixels, the same for a
    batch."""
    steps = len(x) // batch
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=2e-4, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.2, total_steps=steps * epochs, pct_start=0.2)
    model.train()
    for epoch in range(epochs):
        order = torch.randperm(len(x))
        for i in range(steps):
            chosen = order[i * batch : (i + 1) * batch]
            some = x[chosen].flip(3) if torch.rand(()) < 0.5 else x[chosen]
            some = some.roll(tuple(torch.randint(-3, 4, (2,)).tolist()), (2, 3))
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(some), y[chosen]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
        print(f"epoch {epoch + 1} of {epochs}", flush=True)


def accuracy(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    model.eval()
    with torch.no_grad():
        right = [model(x[i : i + 500]).argmax(1) == y[i : i + 500] for i in range(0, len(x), 500)]
    return float(torch.cat(right).float().mean())


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--network", choices=NETWORKS, required=True)
    parser.add_argument("--data", required=True, help="a folder with train and test")
    parser.add_argument("--weights", type=Path, required=True, help="state_dict to write")
    parser.add_argument("--epochs", type=int, default=5, help="(%(default)s)")
    parser.add_argument("--overwrite", action="store_true", help="replace what --weights names")
    args = parser.parse_args(argv)
    try:
        refuse_existing(args.weights, args.overwrite)
        torch.manual_seed(0)
        model = NETWORKS[args.network]()
        fit(model, *images(args.data, "train"), args.epochs)
        print(f"{100 * accuracy(model, *images(args.data, 'test')):.2f} % of the test images")
        buffer = io.BytesIO()
        torch.save(model.state_dict(), buffer)
        write_whole(args.weights, buffer.getvalue(), overwrite=args.overwrite)
    except DnisnmError as error:
        print(f"inverted_residuals: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
