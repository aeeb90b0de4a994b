"""A network of torchvision, with its weights, on a folder of ImageNet: converted, and measured batch by
batch.

    python examples/imagenet.py --data IMAGENET --model resnet18 --out resnet18.net

IMAGENET holds train/ and val/, a folder for each class in torchvision's order (that of the WordNet ids).
Weights are fetched by torchvision once, or read from a file of yours; the transforms are those that they were
trained with. `--weights none` takes random ones, to try the road. Few images suffice to fit: docs/accuracy.md
tells what they cost. The paper's own Table 4 is `examples/paper/imagenet.py`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Subset
from torchvision import models
from torchvision.datasets import ImageFolder

import dnisnm_lava as dn
from dnisnm_lava.backends import ann, batched
from dnisnm_lava.errors import BadFile
from dnisnm_lava.measures import classes
from exporters import netx


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--data", type=Path, required=True, help="folder with train/ and val/")
    made.add_argument("--model", default="resnet18", help="a name of torchvision's (%(default)s)")
    made.add_argument(
        "--weights",
        default="DEFAULT",
        help="a name of its weights, a file of them, or none: random (%(default)s)",
    )
    made.add_argument(
        "--out",
        default="imagenet.net",
        help="network file to write; an existing one is replaced (%(default)s)",
    )
    made.add_argument("--steps", type=int, default=8, help="time steps T (%(default)s)")
    made.add_argument("--calibration-images", type=int, default=1024, help="of train/ (%(default)s)")
    made.add_argument("--fit-images", type=int, default=128, help="of train/ (%(default)s)")
    made.add_argument("--images", type=int, default=1000, help="of val/ (%(default)s)")
    made.add_argument("--batch", type=int, default=25, help="images at once (%(default)s)")
    made.add_argument("--device", default="cpu", help="where torch runs (%(default)s)")
    return made


def sample(data: ImageFolder, count: int, batch: int) -> DataLoader:
    """`count` images, the same each time: folders come class by class."""
    chosen = np.random.default_rng(0).permutation(len(data))[:count]
    return DataLoader(Subset(data, chosen.tolist()), batch_size=batch)


def arrays(loader: DataLoader) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    return ((x.numpy(), y.numpy()) for x, y in loader)


def main(argv: Sequence[str] | None = None) -> None:
    args = parser().parse_args(argv)
    torch.manual_seed(0)  # of random weights
    name, weights = f"torchvision:{args.model}", None if args.weights == "none" else args.weights
    try:
        model = dn.load_model(name, weights)
    except BadFile as error:  # no such weights, or no network to fetch them by
        raise SystemExit(str(error)) from None
    transform = models.get_model_weights(args.model).DEFAULT.transforms()
    train, val = (ImageFolder(str(args.data / part), transform) for part in ("train", "val"))

    recipe = replace(dn.BEST, steps=args.steps)
    samples = dn.Samples(args.calibration_images, args.fit_images)
    nets = dn.build(model, train, recipe, samples, device=args.device)
    analog, integer = nets.analog, nets.integer
    netx.write(args.out, integer, overwrite=True)
    print(f"written: {args.out}")

    images = same = right_ann = right = 0
    for x, y in arrays(sample(val, args.images, args.batch)):
        by_ann = classes(ann.ann(analog, x, device=args.device))
        by_spikes = batched.run(integer, x, device=args.device).predictions(args.steps)
        images, same = images + len(y), same + int((by_ann == by_spikes).sum())
        right_ann, right = right_ann + int((by_ann == y).sum()), right + int((by_spikes == y).sum())
    print(f"{images} images: ANN {right_ann} right, T = {args.steps} {right} right, the same class in {same}")


if __name__ == "__main__":
    main()
