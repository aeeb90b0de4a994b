"""Figure 4: the largest activation of every neuron, over training images and over test images.

    python -m examples.paper.thresholds --model examples/paper/networks.py:vgg16 --weights vgg16_c10jpeg.pt \\
        --data cifar10-jpeg --data-name "CIFAR-10 (JPEG)" --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225

Maxima of a shallow and of a deep layer as maps, and for every layer their correlation over its neurons: what
DNI rests on.
"""

from __future__ import annotations

import argparse
import base64
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

import dnisnm_lava as dn
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir import Rectifier
from dnisnm_lava.studies.explain import threshold_maps
from dnisnm_lava.studies.explain.threshold_maps import GREYS, encoded
from examples.paper import common
from examples.paper.common import BATCH, Result, Setting


def measure(setting: Setting) -> Result:
    args, (images, _) = setting.args, setting.test
    train = setting.statistics
    test = dn.calibrate(
        setting.analog, np.split(images, range(BATCH, len(images), BATCH)), device=args.device
    )
    names = [p.name for p in setting.analog.of(Rectifier)]
    if not 1 <= args.shallow <= len(names) or not 1 <= args.deep <= len(names):
        raise OutOfRange(
            f"layers {args.shallow} and {args.deep} asked for; the network has rectifiers 1 to {len(names)}"
        )
    pairs = {name: (train.maxima(name), test.maxima(name)) for name in names}
    return {
        "layers": [{"layer": i, "name": name, **compared(*pairs[name])} for i, name in enumerate(names, 1)],
        "maps": {
            str(i): dict(zip(("train", "test"), map(encoded, pairs[names[i - 1]]), strict=True))
            for i in chosen(args)
        },
    }


def chosen(args: argparse.Namespace) -> tuple[int, int]:
    return args.shallow, args.deep


def compared(train: np.ndarray, test: np.ndarray) -> Result:
    """Over the neurons: Pearson's correlation, how many go beyond the training maximum, and how unlike they
    are."""
    found = threshold_maps.compared(train, test)
    by_median = found.maximum_by_median
    return {
        "neurons": train.size,
        "correlation": None if found.correlation is None else round(found.correlation, 4),
        "test_above_train": round(found.test_above_train, 4),
        "layer_maximum_by_median": None if by_median is None else round(by_median, 2),
        "dead": found.never_active,
    }


def decoded(entry: Result) -> np.ndarray:
    greys = np.frombuffer(base64.b64decode(entry["greys"]), np.uint8).reshape(entry["shape"])
    return greys * (entry["largest"] / GREYS)


def picture(data: Result) -> Figure:
    figure = common.canvas(10.0, 6.0)
    grid = figure.add_gridspec(2, 3)
    facts = {row["layer"]: row for row in data["layers"]}
    for row, (layer, maps) in enumerate(data["maps"].items()):
        brightest = max(entry["largest"] for entry in maps.values())
        for column, (part, entry) in enumerate(maps.items()):
            axes = figure.add_subplot(grid[row, column])
            axes.imshow(
                decoded(entry), cmap="inferno", vmin=0, vmax=brightest, aspect="auto", interpolation="nearest"
            )
            axes.set_title(
                f"layer {layer}, {part} images: r = {facts[int(layer)]['correlation']}", fontsize=9
            )
            axes.set_axis_off()
    axes = figure.add_subplot(grid[:, 2])
    axes.plot(
        list(facts), [row["correlation"] for row in facts.values()], "o-", label="correlation of the maxima"
    )
    axes.plot(
        list(facts),
        [row["test_above_train"] for row in facts.values()],
        "s--",
        label="neurons with a test maximum above",
    )
    axes.set(xlabel="layer", ylim=(0, 1.02), xticks=list(facts))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=8)
    source = data["provenance"]
    counts = f"{source['calibration_images']:,} training and {source['images']:,} test images"
    figure.suptitle(
        f"Largest activations: {source['model'].rsplit(':')[-1]} on {source['data']}, {counts}", fontsize=10
    )
    return figure


def parser() -> argparse.ArgumentParser:
    made = common.parser(__doc__, "thresholds", images=2000, calibration_images=2000)
    made.add_argument("--shallow", type=int, default=5, help="a layer, counted from 1 (%(default)s)")
    made.add_argument("--deep", type=int, default=13, help="another (%(default)s)")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    return common.main(parser(), "thresholds", measure, picture, argv)


if __name__ == "__main__":
    raise SystemExit(main())
