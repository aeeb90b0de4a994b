"""Which training images `tune` calibrates on, fits to and measures on; and the same again, for a file that it
wrote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dnisnm_lava.errors import BadFile

if TYPE_CHECKING:
    from dnisnm_lava.cli.making import Tune
    from dnisnm_lava.cli.options import OfModel
    from dnisnm_lava.data.datasets import Labelled


@dataclass(frozen=True)
class Split:
    """Indices of training images. calibrate: that maxima come from alone. searched: that the search is given,
    ascending; of these, in the order in which they are used, fit: that the winner is fitted on, choose: that
    measure the trials, confirm: that measure the winner."""

    calibrate: np.ndarray
    searched: np.ndarray
    fit: np.ndarray
    choose: np.ndarray
    confirm: np.ndarray

    @property
    def facts(self) -> dict[str, list[int]]:
        """For JSON: which image is what."""
        return {
            name: np.sort(getattr(self, name)).tolist() for name in ("calibrate", "fit", "choose", "confirm")
        }


def split(dataset: Labelled, calibration_images: int, fit_images: int, held_images: int, seed: int) -> Split:
    """The split of the calibration images, chosen by `seed`: fit_images and held_images to search on, the
    others for maxima."""
    from dnisnm_lava.data import datasets
    from dnisnm_lava.studies.tuning import tune

    chosen = datasets.choose(dataset, calibration_images, seed)
    searched, others = np.split(np.random.default_rng(seed).permutation(chosen), [fit_images + held_images])
    searched = np.sort(searched)
    parts = tune.split(len(searched), share(fit_images, held_images), seed)
    return Split(others, searched, *(searched[part] for part in parts))


def share(fit_images: int, held_images: int) -> float:
    """That is held back."""
    return held_images / (fit_images + held_images)


def record(found: Split, args: Tune, dataset: Labelled) -> dict[str, Any]:
    """What makes the same split again, for a file: with --calibration-images, --fit-images and --seed, and
    told by counts and a digest."""
    return {
        "held_images": args.held_images,
        "of": len(dataset),
        "seed": args.seed,
        **_counts(found),
        "digest": _digest(found),
    }


def remembered(args: OfModel, dataset: Labelled) -> Split | None:
    """That of the file of `tune` that a verb is about; None for other files and for models. Other data, seed
    or counts, where they are given, make another split."""
    told = args.made_of.get("split")
    if told is None:
        return None
    held = told.get("held_images") if isinstance(told, Mapping) else None
    if not isinstance(held, int) or isinstance(held, bool) or held < 2:
        raise BadFile(
            f"{args.net}: remembers a split of images that is not understood; give --model and --recipe "
            f"instead"
        )
    return split(dataset, args.calibration_images, args.fit_images, held, args.seed)


def _counts(found: Split) -> dict[str, int]:
    return {name: len(indices) for name, indices in found.facts.items()}


def _digest(found: Split) -> str:
    """SHA-256 of the indices, hex."""
    from dnisnm_lava.evaluation.origin import array_digest

    return array_digest(
        *(np.asarray(part, np.int64) for part in (found.calibrate, found.fit, found.choose, found.confirm))
    )
