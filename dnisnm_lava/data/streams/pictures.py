"""Pictures of a folder as frames, in the order in which people number them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from dnisnm_lava.data.files import folders
from dnisnm_lava.data.streams.stream import Frames
from dnisnm_lava.errors import BadFile


def folder(path: str | Path) -> Frames:
    """The pictures of a folder, RGB uint8 (H, W, 3), frame2 before frame10.

    BadFile for no folder and for one without pictures; while they are read also for a picture that cannot be
    read, or has another size than the first.
    """
    path = Path(path)
    if not path.is_dir():
        raise BadFile(f"{path}: no such folder; give a folder of pictures")
    paths = sorted(filter(folders.is_picture, path.iterdir()), key=natural)
    if not paths:
        raise BadFile(f"{path}: holds 0 pictures; give a folder of .png, .jpg or others")
    return Frames(str(path), lambda: _read(paths), total=len(paths), axes="hwc")


def natural(path: Path) -> list[tuple[int, str]]:
    """A key to sort by, in which runs of digits are numbers; equal numbers go by their digits."""
    parts = re.split(r"(\d+)", path.name)
    return [(int(part) if part.isdecimal() else -1, part) for part in parts]


def _read(paths: list[Path]) -> Iterator[np.ndarray]:
    shape: tuple[int, ...] = ()
    for path in paths:
        try:
            pixels = np.asarray(folders.picture(path))
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise BadFile(f"{path}: cannot be read ({error}); repair or remove it") from error
        shape = shape or pixels.shape
        if pixels.shape != shape:
            now, first = (f"{s[1]}x{s[0]}" for s in (pixels.shape, shape))
            raise BadFile(f"{path}: is {now}, and the first picture is {first}; make them one size")
        yield pixels
