"""Images to calibrate on and to test with: an ImageFolder, an `.npz`, MNIST, or a Dataset of the user's own.

Images may come without classes, as a folder of pictures: they calibrate, and nothing is measured with them.
Plain arrays and Datasets need no torchvision, which fits one torch alone; folders, MNIST, resize, crop and grayscale do.
"""

from __future__ import annotations

import contextlib
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from dnisnm_lava.errors import BadFile, OutOfRange
from dnisnm_lava.loading import call_factory
from dnisnm_lava.simulation import Progress

BATCH = 100
NPZ_KEYS = ("x_train", "x_test")
UNKNOWN = -1  # the class of an image that comes without one


class Labelled(torch.utils.data.Dataset):
    """(image (C, H, W) float32, class) pairs of `base`, after `transform`; the class is UNKNOWN where `base` gives none."""

    def __init__(self, base: Any, transform: Callable[[Any], torch.Tensor], name: str) -> None:
        self.base, self.transform, self.name = base, transform, name

    def __len__(self) -> int:
        return len(self.base)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        try:
            item = self.base[index]
        except (UnidentifiedImageError, OSError) as error:
            raise BadFile(f"{self.name}: image {index} cannot be read ({error}); repair or remove it") from error
        image, label = _parted(item, f"{self.name}: image {index}")
        try:
            return self.transform(image), int(label)
        except (RuntimeError, ValueError, TypeError) as error:
            raise OutOfRange(f"{self.name}: image {index} does not suit mean, std, resize or crop: {error}") from error


def _parted(item: Any, who: str) -> tuple[Any, Any]:
    """(image, class) of an image alone, or of a pair."""
    if not isinstance(item, tuple | list):
        return item, UNKNOWN
    if not 1 <= len(item) <= 2:
        raise OutOfRange(f"{who} is a {type(item).__name__} of {len(item)}; give images, or (image, class) pairs")
    image, label = (*item, None)[:2]
    return image, UNKNOWN if label is None else label


@dataclass(frozen=True)
class Data:
    """train: to calibrate on. test: to measure on."""

    name: str
    train: Labelled
    test: Labelled


def load(
    spec: str, *, mean: Sequence[float] = (), std: Sequence[float] = (), resize: int = 0, crop: int = 0, grayscale: bool = False,
    transform: Callable[[Any], torch.Tensor] | None = None,
) -> Data:  # fmt: skip
    """Data of `spec`: a folder in ImageFolder layout or of pictures, an `.npz` (x_train, x_test, and for classes y_train, y_test),
    `mnist:DIR`, or `file.py:factory` giving a Dataset, of pairs or of images alone, or a (train, test) pair of them.

    Images come as float32 in [0, 1] (a Dataset of the user's own: as it gives them), then resize (shorter
    side), crop (centre), grayscale, and (x - mean) / std where asked for. transform: instead of these, such as the
    `transforms()` of a set of torchvision's weights: a function of a picture, or of float32 in [0, 1], (C, H, W).
    """
    if transform is not None and (mean or std or resize or crop or grayscale):
        raise OutOfRange("transform: given beside mean, std, resize, crop or grayscale; give either")
    if len(mean) != len(std):
        raise OutOfRange(f"mean and std: {len(mean)} and {len(std)} values given; give both, one value a channel")
    if any(s <= 0 for s in std):
        raise OutOfRange(f"std: {tuple(std)} given; every value must be above 0")
    train, test = _pair(spec)
    transform = _transform(mean, std, resize, crop, grayscale) if transform is None else transform
    return Data(spec, Labelled(train, transform, f"{spec} (train)"), Labelled(test, transform, f"{spec} (test)"))


def transformed(data: Data, transform: Callable[[Any], torch.Tensor]) -> Data:
    """The same images, after `transform` instead of what they had."""
    train, test = (Labelled(d.base, transform, d.name) for d in (data.train, data.test))
    return Data(data.name, train, test)


def are_pictures(data: Data) -> bool:
    """Do the images come as pictures or bytes, which a network's own transforms are made for? Floats may be prepared already."""
    base = data.train.base
    if isinstance(base, Arrays):
        return base.x.dtype == np.uint8
    return len(base) > 0 and isinstance(_parted(base[0], data.train.name)[0], Image.Image)


def class_names(dataset: Labelled) -> tuple[str, ...]:
    """As torchvision's folders and Datasets tell them, by index; none where the Dataset has none."""
    names = getattr(dataset.base, "classes", ())
    return tuple(map(str, names)) if isinstance(names, list | tuple) else ()


def _pair(spec: str) -> tuple[Any, Any]:
    if spec.startswith("mnist:"):
        return _mnist(Path(spec.removeprefix("mnist:")))
    path = Path(spec)
    if path.is_dir():
        return _image_folder(path)
    if path.suffix == ".npz":
        return _npz(path)
    if ":" in spec:
        return _factory(spec)
    raise BadFile(f"{spec}: no such data; give a folder of class folders, an .npz, mnist:DIR or file.py:factory")


def _transform(mean: Sequence[float], std: Sequence[float], resize: int, crop: int, grayscale: bool) -> Callable[[Any], torch.Tensor]:
    stages = _resizing(resize, crop, grayscale) if resize or crop or grayscale else []
    stages.append(_tensor)
    if mean:
        stages.append(_normalize(mean, std))
    return lambda image: reduce(lambda x, stage: stage(x), stages, image)


def _resizing(resize: int, crop: int, grayscale: bool) -> list[Callable[[Any], Any]]:
    from torchvision import transforms

    stages: list[Callable[[Any], Any]] = []
    if resize:
        stages.append(transforms.Resize(resize, antialias=True))
    if crop:
        stages.append(transforms.CenterCrop(crop))
    if grayscale:
        stages.append(transforms.Grayscale())
    return stages


def _normalize(mean: Sequence[float], std: Sequence[float]) -> Callable[[torch.Tensor], torch.Tensor]:
    """(x - mean) / std of an image (C, H, W), channel by channel."""
    means, stds = (torch.tensor(values, dtype=torch.float32).reshape(-1, 1, 1) for values in (mean, std))

    def apply(image: torch.Tensor) -> torch.Tensor:
        if image.ndim != 3 or len(mean) not in (1, len(image)):
            raise ValueError(f"mean and std have {len(mean)} values, the image has shape {tuple(image.shape)}")
        return (image - means) / stds

    return apply


def _tensor(image: Any) -> torch.Tensor:
    """(C, H, W) float32: a PIL image in [0, 1], anything else as it is."""
    if isinstance(image, Image.Image):
        from torchvision import transforms

        return transforms.functional.to_tensor(image)
    return torch.as_tensor(np.asarray(image), dtype=torch.float32)


# ---------------------------------------------------------------- sources


def _mnist(folder: Path) -> tuple[Any, Any]:
    """torchvision's MNIST in `folder`, downloaded from its official source where it is not there."""
    from torchvision import datasets as vision

    made = [p for p in (folder / "MNIST/raw", folder / "MNIST", folder) if not p.exists()]
    try:
        with contextlib.redirect_stdout(sys.stderr):  # torchvision tells of a download by print
            return vision.MNIST(str(folder), train=True, download=True), vision.MNIST(str(folder), train=False)
    except (RuntimeError, OSError) as error:
        for empty in made:
            with contextlib.suppress(OSError):
                empty.rmdir()
        reason = str(error).strip().splitlines()[0]
        raise BadFile(f"mnist:{folder}: neither found there nor downloaded ({reason}); give a folder that holds MNIST/raw") from error


def _image_folder(path: Path) -> tuple[Any, Any]:
    """`path/train` and `path/test` (or `val`), or one folder for both: of class folders, or of pictures alone."""
    train, test = path / "train", next((path / n for n in ("test", "val") if (path / n).is_dir()), path / "test")
    if train.is_dir() != test.is_dir():
        raise BadFile(f"{path}: holds only one of train and test (or val); give both, or class folders alone")
    try:
        if not train.is_dir():
            both = _folder(path)
            return both, both
        pair = _folder(train), _folder(test)
    except (FileNotFoundError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise BadFile(f"{path}: not in ImageFolder layout ({reason}); give one folder a class, with images in it") from error
    classes = [part.classes for part in pair if not isinstance(part, Pictures)]
    if len(classes) == 2 and classes[0] != classes[1]:
        counts = f"train has {len(classes[0])} classes and test {len(classes[1])}, or other names"
        raise BadFile(f"{path}: {counts}; give both the same class folders")
    return pair


def _folder(path: Path) -> Any:
    from torchvision import datasets as vision

    pictures = Pictures(path)
    return pictures if len(pictures) and not any(p.is_dir() for p in path.iterdir()) else vision.ImageFolder(str(path))


class Pictures:
    """The pictures of a folder in the order of their names, without classes."""

    def __init__(self, folder: Path) -> None:
        from torchvision.datasets.folder import IMG_EXTENSIONS

        self.paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in IMG_EXTENSIONS)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Image.Image:
        with Image.open(self.paths[index]) as picture:
            return picture.convert("RGB")


def _npz(path: Path) -> tuple[Any, Any]:
    if not path.is_file():
        raise BadFile(f"{path}: no such file; check the path of the data")
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = [key for key in NPZ_KEYS if key not in file.files]
            if missing:
                raise BadFile(f"{path}: lacks {', '.join(missing)}; save both, and with classes y_train and y_test, with numpy.savez")
            x_train, x_test = (file[key] for key in NPZ_KEYS)
            y_train, y_test = (file[key] if key in file.files else None for key in ("y_train", "y_test"))
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, LookupError, RuntimeError, MemoryError) as error:
        if isinstance(error, BadFile):
            raise
        reason = "it holds pickled objects, which can run code: refused" if "allow_pickle" in str(error) else type(error).__name__
        raise BadFile(f"{path}: not an .npz of plain arrays, or truncated ({reason}); write it again with numpy.savez") from error
    return Arrays(x_train, y_train, str(path)), Arrays(x_test, y_test, str(path))


class Arrays:
    """(image (C, H, W) float32, class) pairs; of no y, all classes are UNKNOWN. x: (N, H, W), (N, H, W, C), (N, C, H, W) or (N, features);
    uint8 becomes [0, 1], floats stay as they are."""

    def __init__(self, x: np.ndarray, y: np.ndarray | None, who: str) -> None:
        if y is None:
            y = np.full(x.shape[:1], UNKNOWN)
        if len(x) != len(y) or y.ndim != 1 or y.dtype.kind not in "iu":
            given = f"x of shape {x.shape} with y of shape {y.shape} and dtype {y.dtype}"
            raise BadFile(f"{who}: {given}; give one integer class for each image")
        if x.dtype.kind not in "fu" or (x.dtype.kind == "u" and x.dtype != np.uint8) or not 2 <= x.ndim <= 4:
            layouts = "(N, H, W, C), (N, C, H, W), (N, H, W) or (N, features)"
            raise BadFile(f"{who}: x of shape {x.shape} and dtype {x.dtype}; give uint8 or floats, {layouts}")
        self.x, self.y = self._channels_first(x, who), y

    @staticmethod
    def _channels_first(x: np.ndarray, who: str) -> np.ndarray:
        if x.ndim == 3:
            return x[:, None]
        if x.ndim == 2 or (x.dtype.kind == "f" and x.shape[1] in (1, 3)):
            return x
        if x.shape[3] in (1, 3):
            return x.transpose(0, 3, 1, 2)
        if x.dtype == np.uint8 and x.shape[1] not in (1, 3):
            raise BadFile(f"{who}: images of shape {x.shape} have 1 or 3 channels neither first nor last; save them as floats (N, C, H, W)")
        return x

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image = np.ascontiguousarray(self.x[index], dtype=np.float32)
        if self.x.dtype == np.uint8:
            image /= np.float32(255)
        return torch.from_numpy(image), int(self.y[index])


def _factory(spec: str) -> tuple[Any, Any]:
    made = call_factory(spec)
    pair = made if isinstance(made, tuple) and len(made) == 2 and all(map(_is_dataset, made)) else (made, made)
    if not all(map(_is_dataset, pair)):
        raise BadFile(f"{spec}: makes a {type(made).__name__}; a Dataset with a length, or a (train, test) pair of them, is needed")
    return pair


def _is_dataset(value: Any) -> bool:
    return hasattr(value, "__getitem__") and hasattr(value, "__len__") and not isinstance(value, tuple | dict | str)


# ---------------------------------------------------------------- choosing and reading


def choose(dataset: Labelled, count: int, seed: int) -> np.ndarray:
    """Indices of `count` images, sorted: all of them, or a seeded sample (folders come class by class)."""
    if count < 1:
        raise OutOfRange(f"{dataset.name}: {count} images asked for; ask for 1 or more")
    if len(dataset) == 0:
        raise OutOfRange(f"{dataset.name}: holds 0 images; give at least 1")
    if count >= len(dataset):
        return np.arange(len(dataset))
    return np.sort(np.random.default_rng(seed).choice(len(dataset), count, replace=False))


def batches(
    dataset: Labelled, indices: np.ndarray, progress: Progress | None = None, *, classes: bool = True
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(images (N, *shape), classes (N,)), one batch in memory at a time. classes: are they needed, or may they be UNKNOWN?"""
    for start in range(0, len(indices), BATCH):
        pairs = [dataset[int(i)] for i in indices[start : start + BATCH]]
        shapes = {tuple(image.shape) for image, _ in pairs}
        if len(shapes) > 1:
            some = " and ".join(map(str, sorted(shapes)[:2]))
            raise OutOfRange(f"{dataset.name}: images of {len(shapes)} sizes, such as {some}; make them one with resize and crop")
        labels = np.array([label for _, label in pairs])
        if classes and (labels == UNKNOWN).any():
            raise OutOfRange(f"{dataset.name}: images come without classes, which accuracy needs; convert, tune and verify go without")
        yield np.stack([image.numpy() for image, _ in pairs]), labels
        if progress:
            progress(min(start + BATCH, len(indices)), len(indices))


def arrays(
    dataset: Labelled, indices: np.ndarray, progress: Progress | None = None, *, classes: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """All chosen images (N, *shape) and classes (N,) at once."""
    images, labels = zip(*batches(dataset, indices, progress, classes=classes), strict=True)
    if len({x.shape[1:] for x in images}) > 1:
        raise OutOfRange(f"{dataset.name}: images differ in size; make them one with resize and crop")
    return np.concatenate(images), np.concatenate(labels)
