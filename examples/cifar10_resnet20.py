"""ResNet-20 on CIFAR-10 from a state_dict to a file and on Lava, in Python.

    python examples/cifar10_resnet20.py --weights resnet20-12fca82f.th --data cifar10.npz --out resnet20.net

The weights are akamaster/pytorch_resnet_cifar10's; the data is an .npz (x_train, y_train, x_test, y_test), or
a folder with train and test in ImageFolder layout. With the defaults some five minutes on two cores. `dnisnm
compare` does the same, and more (README.md).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import dnisnm_lava as dn
from dnisnm_lava.data import datasets, models
from exporters import netx

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # what these weights were trained with
MODEL = f"{Path(__file__).with_name('resnet20.py')}:resnet20"


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--weights", required=True, help="state_dict of ResNet-20")
    made.add_argument("--data", required=True, help="CIFAR-10: an .npz, or a folder in ImageFolder layout")
    made.add_argument(
        "--out",
        default="resnet20.net",
        help="network file to write; an existing one is replaced (%(default)s)",
    )
    made.add_argument("--steps", type=int, default=8, help="time steps T (%(default)s)")
    made.add_argument(
        "--calibration-images", type=int, default=4000, help="of the training images (%(default)s)"
    )
    made.add_argument("--fit-images", type=int, default=1024, help="of the training images (%(default)s)")
    made.add_argument("--images", type=int, default=1000, help="test images (%(default)s)")
    made.add_argument("--lava-images", type=int, default=2, help="of these, on Lava; 0: none (%(default)s)")
    made.add_argument("--seed", type=int, default=0, help="of the samples of images (%(default)s)")
    return made


def main(argv: Sequence[str] | None = None) -> None:
    args = parser().parse_args(argv)
    data = datasets.load_data(args.data, mean=MEAN, std=STD)
    model = models.load_model(MODEL, args.weights)

    recipe = replace(dn.BEST, steps=args.steps)
    samples = dn.Samples(args.calibration_images, args.fit_images, args.seed)
    nets = dn.build(model, data.train, recipe, samples)
    netx.write(args.out, nets.integer, overwrite=True)
    print(f"written: {args.out}, {nets.integer.digest()}")

    broken = dn.check(nets.integer).violations
    print(f"design rules of Loihi 2 that do not hold: {len(broken)}")
    images, labels = datasets.arrays(data.test, datasets.choose(data.test, args.images, args.seed))
    found = dn.compare(nets, images, labels, lava=dn.Lava(images=args.lava_images))
    for name, share in found.accuracy.items():
        shares = {"": share} if isinstance(share, float) else share
        print(
            f"{name}, {found.images[name]} images:",
            ", ".join(f"{f'T = {t}: ' if t else ''}{100 * s:.1f} %" for t, s in shares.items()),
        )
    for row in found.equality:
        print(f"{row.a} = {row.b}: {row.different} of {row.spikes_compared:,} spikes differ")


if __name__ == "__main__":
    main()
