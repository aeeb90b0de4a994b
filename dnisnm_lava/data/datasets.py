"""Images to calibrate on and to test with: an ImageFolder, an `.npz`, MNIST, or a Dataset of the user's own.

Images may come without labels, as a folder of pictures: they calibrate, and nothing is measured with them.
Labels are read as they are; who measures says whether they suit. Plain arrays and Datasets need no
torchvision, which fits one torch alone; folders, MNIST, resize, crop and grayscale do.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from dnisnm_lava.data import inputs
from dnisnm_lava.data.files import arrays as array_files
from dnisnm_lava.data.files import folders, layouts, preparation
from dnisnm_lava.data.files.arrays import Arrays
from dnisnm_lava.data.files.preparation import Preparation, Transform
from dnisnm_lava.data.forward import runs_on
from dnisnm_lava.data.models import call_factory
from dnisnm_lava.errors import BadFile, OutOfRange
from dnisnm_lava.system.progress import Progress, tell

BATCH = 100
UNKNOWN = np.iinfo(np.int64).min  # the label of an image that comes without one


class Labelled(torch.utils.data.Dataset):
    """(image (C, H, W) float32, label) pairs of `base`, the image prepared; the label as `base` gives it,
    UNKNOWN where it gives none."""

    def __init__(self, base: Any, prepare: Preparation, name: str) -> None:
        self.base, self.prepare, self.name = base, prepare, name

    def __len__(self) -> int:
        return len(self.base)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, Any]:
        image, label = self.given(index)
        try:
            return self.prepare(image), UNKNOWN if label is None else label
        except (RuntimeError, ValueError, TypeError) as error:
            raise OutOfRange(
                f"{self.name}: image {index} does not suit layout, mean, std, resize or crop: {error}"
            ) from error

    @property
    def first(self) -> torch.Tensor:
        """The first image."""
        return self[0][0]

    def sample(self, count: int, seed: int, progress: Progress | None = None) -> Chosen:
        """`count` of them, chosen by `seed`."""
        return Chosen(self, choose(self, count, seed), progress)

    def given(self, index: int) -> tuple[Any, Any]:
        """(image, label) as they lie there; None for no label."""
        try:
            item = self.base[index]
        except (UnidentifiedImageError, OSError) as error:
            raise BadFile(
                f"{self.name}: image {index} cannot be read ({error}); repair or remove it"
            ) from error
        if isinstance(item, Mapping):
            keys = ", ".join(map(repr, list(item)[:4]))
            raise OutOfRange(
                f"{self.name}: image {index} is a {type(item).__name__} of {keys}; give images, or (image, "
                f"class) pairs: [(d[key], d[label]) for d in dataset], or a Dataset that makes them"
            )
        if not isinstance(item, tuple | list):
            return item, None
        if not 1 <= len(item) <= 2:
            raise OutOfRange(
                f"{self.name}: image {index} is a {type(item).__name__} of {len(item)}; give images, or "
                f"(image, class) pairs"
            )
        image, label = (*item, None)[:2]
        return image, label


@dataclass(frozen=True)
class Chosen:
    """The images of `indices`, with their labels, UNKNOWN for none, batch by batch, each time they are asked
    for."""

    dataset: Labelled
    indices: np.ndarray
    progress: Progress | None = None

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return self.turns(0, 1)

    def turns(self, rank: int, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Every `size`th batch, from the `rank`th on."""
        starts = range(rank * BATCH, len(self.indices), size * BATCH)
        return _batches(self.dataset, self.indices, starts, self.progress, False)


@dataclass(frozen=True)
class Data:
    """train: to calibrate on. test: to measure on. transforms: the name of those that prepare both, if they
    have one. model: the module that their axes suit, if one was asked."""

    name: str
    train: Labelled
    test: Labelled
    transforms: str = ""
    model: torch.nn.Module | None = None


def load_data(
    spec: str,
    *,
    mean: Sequence[float] = (),
    std: Sequence[float] = (),
    resize: int | Sequence[int] = 0,
    crop: int | Sequence[int] = 0,
    grayscale: bool = False,
    range: Sequence[float] = (),
    layout: str = "",
    transform: Transform | None = None,
    model: torch.nn.Module | None = None,
) -> Data:
    """Data of `spec`: a folder in ImageFolder layout or of pictures, a picture, an `.npz` (x_train, x_test,
    and for labels y_train, y_test; other common names are understood and told) or `.npy`, `mnist:DIR`, or
    `file.py:factory` giving a Dataset, of pairs or of images alone, or a (train, test) pair of them.

    Images come as float32, pictures and bytes in `range` (default 0, 1; arrays of a Dataset of the user's
    own: as it gives them), then resize (shorter side, or height and width), crop (centre: a square, or height
    and width), grayscale, and (x - mean) / std where asked for. layout: axes of arrays, such as nhwc or nlc,
    and behind a colon how the model takes them (default: channels first); without it, `model`, if given, is
    asked (`suited`). transform: instead of all but the layout, such as the `transforms()` of a set of
    torchvision's weights: a function of a picture, or of float32 in [0, 1], (C, H, W).
    """
    asked = preparation.checked(
        layout=layout,
        range=range,
        resize=resize,
        crop=crop,
        grayscale=grayscale,
        mean=mean,
        std=std,
        transform=transform,
    )
    pair = _pair(spec)
    train, test = (
        Labelled(base, _of(base, asked), f"{spec} ({part})")
        for base, part in zip(pair, ("train", "test"), strict=True)
    )
    data = Data(spec, train, test)
    return (
        data
        if model is None or layout or len(train) == 0
        else suited(data, lambda image: runs_on(model, image))
    )


def _of(base: Any, asked: Preparation) -> Preparation:
    """What is not asked for, for arrays of a file: the layout that they most likely have, and bytes as 0 ...
    1."""
    if not isinstance(base, Arrays):
        return asked
    layout = asked.layout or layouts.of_array(base.x.shape[1:], base.are_bytes)
    return replace(asked, layout=layout, range=asked.range or preparation.UNIT)


def transformed(data: Data, transform: Transform) -> Data:
    """The same images, after `transform` instead of what they had but for their layout."""
    return prepared(data, lambda own: Preparation(own.layout, own.range, transform=transform))


def prepared(data: Data, change: Callable[[Preparation], Preparation]) -> Data:
    """The same images, prepared otherwise."""
    train, test = (Labelled(d.base, change(d.prepare), d.name) for d in (data.train, data.test))
    return replace(data, train=train, test=test)


def are_pictures(data: Data) -> bool:
    """Do the images come as pictures or bytes, which a network's own transforms are made for? Floats may be
    prepared already."""
    base = data.train.base
    if isinstance(base, Arrays):
        return base.are_bytes
    return len(base) > 0 and isinstance(data.train.given(0)[0], Image.Image)


def have_bytes(data: Data) -> bool:
    """Do the images come as pictures or bytes, a Dataset's own arrays of bytes among them?"""
    return are_pictures(data) or "uint8" in str(getattr(data.train.given(0)[0], "dtype", ""))


def class_names(dataset: Labelled) -> tuple[str, ...]:
    """As torchvision's folders and Datasets tell them, by index; none where the Dataset has none."""
    names = getattr(dataset.base, "classes", ())
    return tuple(map(str, names)) if isinstance(names, list | tuple) else ()


def _pair(spec: str) -> tuple[Any, Any]:
    if spec.startswith("mnist:"):
        return folders.mnist(Path(spec.removeprefix("mnist:")))
    path = Path(spec)
    if path.is_dir():
        return folders.image_folder(path)
    if path.suffix in (".npz", ".npy"):
        return array_files.read(path)
    if path.is_file() and folders.is_picture(path):
        return folders.Pictures(path), folders.Pictures(path)
    if ":" in spec:
        return _factory(spec)
    if path.is_file():
        raise BadFile(
            f"{spec}: no kind of data that is read here; give an .npz (x_train, y_train, x_test, y_test) "
            f"or pictures"
        )
    raise BadFile(
        f"{spec}: no such data; give a folder of class folders, an .npz, mnist:DIR or file.py:factory"
    )


def _factory(spec: str) -> tuple[Any, Any]:
    made = call_factory(spec)
    pair = (
        made if isinstance(made, tuple) and len(made) == 2 and all(map(_is_dataset, made)) else (made, made)
    )
    if not all(map(_is_dataset, pair)):
        raise BadFile(
            f"{spec}: makes a {type(made).__name__}; a Dataset with a length, or a (train, test) pair of "
            f"them, is needed"
        )
    for part in pair:
        if isinstance(part, np.ndarray | torch.Tensor) and part.ndim < 2:
            raise BadFile(
                f"{spec}: makes {'a pair with ' if made is not part else ''}an array of shape "
                f"{tuple(part.shape)}, which holds no images; of images and labels, give "
                f"torch.utils.data.TensorDataset(x, y)"
            )
    return pair


def _is_dataset(value: Any) -> bool:
    return isinstance(value, list) or inputs.is_dataset(value)


# ---------------------------------------------------------------- asking the model


def suited(data: Data, runs: Callable[[torch.Tensor], bool]) -> Data:
    """`data` with the axes of its images as the model takes them. runs: does it run on such an image?

    Unchanged where a layout was asked for, or the model runs on none. A UserWarning tells of another than the
    likeliest, and where the model runs on several.
    """
    image, own = data.train.given(0)[0] if len(data.train) else None, data.train.prepare
    is_picture = isinstance(image, Image.Image)
    shape = (3, 0, 0) if is_picture else tuple(getattr(image, "shape", ()))
    if not 1 <= len(shape) <= 3:
        return data
    first = own.layout if isinstance(data.train.base, Arrays) and own.layout else layouts.as_given(shape)
    are_bytes = is_picture or "uint8" in str(getattr(image, "dtype", ""))

    def takes(layout: layouts.Layout) -> bool:
        try:
            return runs(replace(own, layout=layout)(image))
        except (RuntimeError, ValueError, TypeError):
            return False

    found = layouts.running(shape, first, are_bytes, takes)
    what = "pictures" if is_picture else f"images {shape}"
    if len(found) > 1:
        which = f"the model runs on {', '.join(map(str, found))}"
        warnings.warn(
            f"{data.name}: {what} do not tell their axes, and {which}: taken as {found[0]} (--layout)",
            stacklevel=2,
        )
    if not found or found[0] == first:
        return data
    why = f"since the model does not run on {first}"
    warnings.warn(f"{data.name}: {what} are taken as {found[0]}, {why} (--layout)", stacklevel=2)
    return prepared(data, lambda p: replace(p, layout=found[0]))


# ---------------------------------------------------------------- choosing and reading


def choose(dataset: Labelled, count: int, seed: int) -> np.ndarray:
    """Indices of `count` images, sorted: all of them, or a seeded sample (folders come class by class)."""
    return inputs.sampled(len(dataset), count, seed, dataset.name)


def batches(
    dataset: Labelled, indices: np.ndarray, progress: Progress | None = None, *, classes: bool = True
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(images (N, *shape), labels (N, ...)), one batch in memory at a time. classes: are labels needed, or
    may they be UNKNOWN?"""
    return _batches(dataset, indices, range(0, len(indices), BATCH), progress, classes)


def _batches(
    dataset: Labelled, indices: np.ndarray, starts: range, progress: Progress | None, classes: bool
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for start in starts:
        pairs = [dataset[int(i)] for i in indices[start : start + BATCH]]
        shapes = {tuple(image.shape) for image, _ in pairs}
        if len(shapes) > 1:
            some = " and ".join(map(str, sorted(shapes)[:2]))
            raise OutOfRange(
                f"{dataset.name}: images of {len(shapes)} sizes, such as {some}; make them one with "
                f"resize and crop"
            )
        labels = _labels(dataset.name, [label for _, label in pairs], classes)
        yield np.stack([image.numpy() for image, _ in pairs]), labels
        tell(progress, min(start + BATCH, len(indices)), len(indices))


def _labels(name: str, given: list[Any], needed: bool) -> np.ndarray:
    """Labels of a batch as one array; where they are no numbers of one shape, UNKNOWN, or a sentence for who
    needs them."""
    try:
        found = [inputs.array(label, "labels") for label in given]
    except OutOfRange as error:
        if needed:
            kinds = " or ".join(sorted({type(label).__name__ for label in given})[:2])
            raise OutOfRange(
                f"{name}: labels of type {kinds}, which are no numbers; give one class for each image, "
                f"or a map of them; of names, np.unique(names, return_inverse=True)[1] in the order of the "
                f"model's classes"
            ) from error
        return np.full(len(given), UNKNOWN)
    shapes = {label.shape for label in found}
    if len(shapes) > 1 and not needed:
        return np.full(len(given), UNKNOWN)
    if len(shapes) > 1:
        some = " and ".join(map(str, sorted(shapes)[:2]))
        raise OutOfRange(
            f"{name}: labels of {len(shapes)} shapes, such as {some}; give one class for each image, or "
            f"maps of one size"
        )
    labels = np.stack(found)
    if needed and is_unknown(labels):
        raise OutOfRange(
            f"{name}: images come without classes, which accuracy needs; convert, tune, verify and predict "
            f"go without, and compare does with --measure values, against the ANN's own"
        )
    return labels.astype(np.int64) if labels.dtype.kind in "iub" else labels


def labels_of(dataset: Labelled, indices: np.ndarray, *, classes: bool = True) -> np.ndarray:
    """(N, ...) labels, without an image prepared: all, where the data tells them apart from its images (an
    .npz, class folders, torchvision's own), else of BATCH images, evenly spread. classes: as of `batches`."""
    base = dataset.base
    apart = base.y if isinstance(base, Arrays) else _targets(base)
    if apart is None:
        some = indices[np.unique(np.linspace(0, len(indices) - 1, BATCH).astype(int))]
        given = [dataset.given(int(i))[1] for i in some]
    else:
        given = [apart[int(i)] for i in indices]
    return _labels(dataset.name, [UNKNOWN if label is None else label for label in given], classes)


def _targets(base: Any) -> Any:
    """The labels that torchvision's own Datasets keep beside their images; None of any other."""
    own = getattr(type(base), "__getitem__", None)
    plain = getattr(own, "__module__", "").startswith("torchvision.")
    found = getattr(base, "targets", None)
    untouched = getattr(base, "target_transform", None) is None and getattr(base, "transforms", None) is None
    return found if plain and untouched and found is not None and len(found) == len(base) else None


def is_unknown(labels: np.ndarray) -> bool:
    """Does some image come without a label?"""
    return labels.dtype.kind in "iu" and bool((labels == UNKNOWN).any())


def arrays(
    dataset: Labelled, indices: np.ndarray, progress: Progress | None = None, *, classes: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """All chosen images (N, *shape) and labels (N, ...) at once."""
    images, labels = zip(*batches(dataset, indices, progress, classes=classes), strict=True)
    if len({x.shape[1:] for x in images}) > 1:
        raise OutOfRange(f"{dataset.name}: images differ in size; make them one with resize and crop")
    if len({y.shape[1:] for y in labels}) > 1:
        raise OutOfRange(
            f"{dataset.name}: labels differ in shape; give one class for each image, or maps of one size"
        )
    return np.concatenate(images), np.concatenate(labels)
