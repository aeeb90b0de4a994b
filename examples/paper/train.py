"""Train the paper's VGG-16 or ResNet-18 (section 5.1) for CIFAR-10, CIFAR-100 or a folder of 32x32 images.

    python -m examples.paper.train --network vgg16 --data cifar10:DIR --weights vgg16.pt --device cuda

SGD with momentum 0.9, weight decay 5e-4, learning rate 0.01 falling by a cosine; crops, flips, AutoAugment,
Cutout and z-scores, in this order. The paper does not tell the number of epochs and the size of a batch: 300
and 128 are ours. cifar10:DIR and cifar100:DIR download from torchvision's official source what is not there;
a folder holds train/ and test/.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from dnisnm_lava.backends.batched.device import checked_device
from dnisnm_lava.errors import BadFile, DnisnmError, OutOfRange
from dnisnm_lava.system.files import refuse_existing, write_whole
from examples.paper.networks import VGG16, ResNet18

SCORES = {  # mean and standard deviation of the training images, per channel
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar100": ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    "folder": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
SOURCES = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}
NETWORKS = {"vgg16": VGG16, "resnet18": ResNet18}


def transforms_of(kind: str) -> tuple[Any, Any]:
    """For training and for testing. Cutout blackens a square of 16x16 that lies inside the image."""
    scores = [transforms.ToTensor(), transforms.Normalize(*SCORES[kind])]
    policy = transforms.AutoAugment(transforms.AutoAugmentPolicy.CIFAR10)
    cutout = transforms.RandomErasing(p=1.0, scale=(0.25, 0.25), ratio=(1.0, 1.0))
    moved = [transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip(), policy]
    return transforms.Compose([*moved, scores[0], cutout, scores[1]]), transforms.Compose(scores)


def images(spec: str) -> tuple[Any, Any, int]:
    """Training images, test images, and the number of classes."""
    kind, _, folder = spec.rpartition(":")
    if kind not in ("", *SOURCES):
        raise OutOfRange(
            f"data: {kind}: given; choose cifar10:DIR, cifar100:DIR or a folder with train and test"
        )
    training, testing = transforms_of(kind or "folder")
    try:
        if kind:
            source = SOURCES[kind]
            pair = (
                source(folder, train=True, transform=training, download=True),
                source(folder, train=False, transform=testing),
            )
        else:
            pair = tuple(
                datasets.ImageFolder(str(Path(folder) / part), t)
                for part, t in (("train", training), ("test", testing))
            )
    except (OSError, RuntimeError) as error:
        raise BadFile(
            f"{spec}: neither found there nor downloaded ({str(error).splitlines()[0]}); check the folder"
        ) from error
    return *pair, len(pair[0].classes)


def fit(model: nn.Module, train: Any, test: Any, args: argparse.Namespace) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, args.epochs)
    for epoch in range(1, args.epochs + 1):
        model.train()
        for x, y in loader(train, args, shuffle=True):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x.to(args.device)), y.to(args.device)).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        schedule.step()
        print(
            f"epoch {epoch} of {args.epochs}: {100 * accuracy(model, test, args):.2f} % of the test images",
            flush=True,
        )


def loader(data: Any, args: argparse.Namespace, shuffle: bool = False) -> DataLoader:
    return DataLoader(data, args.batch, shuffle=shuffle, num_workers=args.workers)


def accuracy(model: nn.Module, test: Any, args: argparse.Namespace) -> float:
    model.eval()
    with torch.no_grad():
        right = sum(int((model(x.to(args.device)).argmax(1).cpu() == y).sum()) for x, y in loader(test, args))
    return right / len(test)


def save(model: nn.Module, path: Path, overwrite: bool) -> None:
    """The state_dict on the CPU, whole or not at all."""
    buffer = io.BytesIO()
    torch.save({key: value.cpu() for key, value in model.state_dict().items()}, buffer)
    write_whole(path, buffer.getvalue(), overwrite=overwrite)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--network", choices=NETWORKS, required=True)
    made.add_argument(
        "--data", required=True, help="cifar10:DIR, cifar100:DIR or a folder with train and test"
    )
    made.add_argument("--weights", type=Path, required=True, help="state_dict to write")
    made.add_argument("--epochs", type=int, default=300, help="(%(default)s)")
    made.add_argument("--batch", type=int, default=128, help="(%(default)s)")
    made.add_argument("--workers", type=int, default=0, help="processes that read images (%(default)s)")
    made.add_argument("--device", default="cpu", help="(%(default)s)")
    made.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    made.add_argument("--overwrite", action="store_true", help="replace what --weights names")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    try:
        refuse_existing(args.weights, args.overwrite)
        if args.epochs < 1 or args.batch < 2:
            raise OutOfRange(
                f"epochs and batch: {args.epochs} and {args.batch} given; give 1 or more epochs, of 2 or "
                f"more images a batch"
            )
        device = checked_device(args.device)
        torch.manual_seed(args.seed)
        train, test, classes = images(args.data)
        model = NETWORKS[args.network](classes).to(device)
        fit(model, train, test, args)
        save(model, args.weights, args.overwrite)
    except DnisnmError as error:
        print(f"train: {error}", file=sys.stderr)
        return 1
    print(f"written: {args.weights}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
