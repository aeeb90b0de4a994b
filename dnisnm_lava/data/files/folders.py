"""Pictures in folders, and MNIST in its own files: only what holds pixels is read."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any

from PIL import Image

from dnisnm_lava.errors import BadFile

FORMATS = (
    "BMP",
    "JPEG",
    "PNG",
    "PPM",
    "TIFF",
    "WEBP",
)  # others are programs, such as EPS, that Pillow hands to an interpreter


def mnist(folder: Path) -> tuple[Any, Any]:
    """torchvision's MNIST in `folder`, downloaded from its official source where it is not there. A cache of
    pickles (`processed`), as old versions made, is not read."""
    from torchvision import datasets as vision

    plain = type(
        "MNIST", (vision.MNIST,), {"_check_legacy_exist": lambda self: False}
    )  # the name is that of its folder
    made = [p for p in (folder / "MNIST/raw", folder / "MNIST", folder) if not p.exists()]
    try:
        with contextlib.redirect_stdout(sys.stderr):  # torchvision tells of a download by print
            return plain(str(folder), train=True, download=True), plain(str(folder), train=False)
    except (RuntimeError, OSError) as error:
        for empty in made:
            with contextlib.suppress(OSError):
                empty.rmdir()
        reason = str(error).strip().splitlines()[0]
        raise BadFile(
            f"mnist:{folder}: neither found there nor downloaded ({reason}); give a folder that holds "
            f"MNIST/raw"
        ) from error


def image_folder(path: Path) -> tuple[Any, Any]:
    """`path/train` and `path/test` (or `val`), or one folder for both: of class folders, or of pictures
    alone."""
    train, test = (
        path / "train",
        next((path / n for n in ("test", "val") if (path / n).is_dir()), path / "test"),
    )
    if train.is_dir() != test.is_dir():
        raise BadFile(f"{path}: holds only one of train and test (or val); give both, or class folders alone")
    try:
        if not train.is_dir():
            both = _folder(path)
            return both, both
        pair = _folder(train), _folder(test)
    except (FileNotFoundError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise BadFile(
            f"{path}: not in ImageFolder layout ({reason}); give one folder a class, with images in it"
        ) from error
    classes = [part.classes for part in pair if not isinstance(part, Pictures)]
    if len(classes) == 2 and classes[0] != classes[1]:
        counts = f"train has {len(classes[0])} classes and test {len(classes[1])}, or other names"
        raise BadFile(f"{path}: {counts}; give both the same class folders")
    return pair


def _folder(path: Path) -> Any:
    from torchvision import datasets as vision

    pictures = Pictures(path)
    alone = len(pictures) and not any(p.is_dir() for p in path.iterdir())
    return pictures if alone else vision.ImageFolder(str(path), loader=picture)


def is_picture(path: Path) -> bool:
    """By its name."""
    from torchvision.datasets.folder import IMG_EXTENSIONS

    return path.suffix.lower() in IMG_EXTENSIONS


class Pictures:
    """The pictures of a folder in the order of their names, or one picture; without classes."""

    def __init__(self, place: Path) -> None:
        self.paths = [place] if place.is_file() else sorted(filter(is_picture, place.iterdir()))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Image.Image:
        return picture(self.paths[index])


def picture(path: str | Path) -> Image.Image:
    """In RGB. What it is, its first bytes say, not its name."""
    with Image.open(path, formats=FORMATS) as found:
        return found.convert("RGB")
