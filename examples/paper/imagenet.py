"""Table 4: by how much the spiking VGG-16 is below the ANN on ImageNet, at T = 32, 64, 128 and 256.

    python -m examples.paper.imagenet --weights DEFAULT --data IMAGENET --data-name ImageNet \\
        --device cuda --images 50000

IMAGENET holds train/ and val/, a folder for each class. The network is torchvision's vgg16_bn; DEFAULT are
torchvision's weights, which the paper trains a little further. Test images are read and run block by block,
so their number costs time alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.figure import Figure

import dnisnm_lava as dn
from dnisnm_lava.backends import ann, batched
from dnisnm_lava.measures import classes
from examples.paper import common, published, stepwise
from examples.paper.common import Result, Setting, note, percent

STEPS = (32, 64, 128, 256)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
Classifier = Callable[
    [np.ndarray], dict[str, np.ndarray]
]  # images (N, *shape) -> {T, or `ann`: classes (N,)}


def measure(setting: Setting) -> Result:
    recipes = {"paper": paper, "ours": ours}
    classifiers: dict[str, Classifier] = {name: recipes[name](setting) for name in setting.args.recipes}
    classifiers["ann"] = lambda x: {"ann": classes(ann.ann(setting.analog, x, device=setting.args.device))}
    found = accuracies(setting, classifiers)
    whole = found.pop("ann")["ann"]
    errors = {
        name: {t: round(whole - share, 2) for t, share in shares.items()} for name, shares in found.items()
    }
    return {
        "unit": "% and points",
        "accuracy": {"ANN": whole, **found},
        "error": errors,
        "published": published.TABLE4,
    }


def accuracies(setting: Setting, classifiers: dict[str, Classifier]) -> dict[str, dict[str, float]]:
    right: dict[str, dict[str, int]] = {name: {} for name in classifiers}
    count = 0
    for images, labels in setting.test_batches():
        count += len(labels)
        for name, classifier in classifiers.items():
            for t, found in classifier(images).items():
                right[name][t] = right[name].get(t, 0) + int(
                    np.count_nonzero(found == labels.reshape(found.shape))
                )
        note(f"{count:,} images: {right}")
    return {name: {t: percent(n / count) for t, n in counts.items()} for name, counts in right.items()}


def paper(setting: Setting) -> Classifier:
    """Floats, all T in one run."""
    args = setting.args
    graph = dn.convert(setting.analog, setting.statistics, steps=max(args.steps))

    def classifier(images: np.ndarray) -> dict[str, np.ndarray]:
        trace = stepwise.run(graph, images, args.steps, device=args.device, batch=args.batch)
        return {str(t): classes(trace.logits[t]) for t in args.steps}

    return classifier


def ours(setting: Setting) -> Classifier:
    """Integers, a network for each T."""
    args = setting.args
    graphs = {t: setting.ours(t) for t in args.ours_steps}

    def classifier(images: np.ndarray) -> dict[str, np.ndarray]:
        return {
            str(t): batched.run(graph, images, steps=t, device=args.device).predictions(t)
            for t, graph in graphs.items()
        }

    return classifier


def picture(data: Result) -> Figure:
    figure = common.canvas()
    axes = figure.add_subplot()
    for name, errors in data["error"].items():
        axes.plot([int(t) for t in errors], list(errors.values()), "o-", label=name)
    for name, row in data["published"].items():
        known = {int(t): error for t, error in row["error"].items() if error is not None}
        axes.plot(
            list(known),
            list(known.values()),
            "k:" if name == published.PAPER else ".:",
            linewidth=1,
            label=f"published: {name}",
        )
    axes.set_xscale("log", base=2)
    axes.set(xlabel="time steps T", ylabel="points below the ANN")
    source = data["provenance"]
    axes.set_title(
        f"{source['model'].rsplit(':')[-1]} on {source['data']}, {source['images']:,} test images",
        fontsize=10,
    )
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=7)
    return figure


def parser() -> argparse.ArgumentParser:
    made = common.parser(__doc__, "imagenet", images=1000)
    made.set_defaults(model="torchvision:vgg16_bn", mean=MEAN, std=STD, resize=256, crop=224, fit_images=16)
    made.add_argument("--steps", type=int, nargs="+", default=list(STEPS), help="(%(default)s)")
    made.add_argument(
        "--ours-steps", type=int, nargs="+", default=[32], help="T of this project's recipe (%(default)s)"
    )
    made.add_argument("--batch", type=int, default=10, help="images at once (%(default)s)")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    return common.main(parser(), "imagenet", measure, picture, argv)


if __name__ == "__main__":
    raise SystemExit(main())
