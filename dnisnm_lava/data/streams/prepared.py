"""Frames prepared for a network, as the images of `--data` are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image

from dnisnm_lava.data.files import layouts
from dnisnm_lava.data.files.preparation import UNIT, Preparation
from dnisnm_lava.data.streams.stream import Frames, given
from dnisnm_lava.errors import OutOfRange


def prepared(frames: Iterable[Any], preparation: Preparation) -> Frames:
    """Each frame as the network takes it: float32 (C, H, W), unless the preparation's layout says otherwise.

    Frames of clips and folders, and Pillow's, are pictures, prepared as a folder's pictures are. Other arrays
    are prepared as those of an .npz: with the layout that they most likely have, and bytes as 0 ... 1, where
    the preparation does not say. OutOfRange for a frame that does not suit the preparation.
    """
    stream = given(frames)
    return replace(stream, read=lambda: _each(stream, preparation), axes="chw")


def _each(stream: Frames, preparation: Preparation) -> Iterator[np.ndarray]:
    for number, frame in enumerate(stream.read(), 1):
        try:
            yield _one(frame, stream.axes, preparation)
        except (RuntimeError, ValueError, TypeError) as error:
            raise OutOfRange(
                f"{stream.name}: frame {number} does not suit layout, mean, std, resize or crop: {error}"
            ) from error


def _one(frame: Any, axes: str, preparation: Preparation) -> np.ndarray:
    if isinstance(frame, Image.Image):
        return _floats(preparation(frame))
    if axes == "hwc":
        return _floats(preparation(Image.fromarray(frame)))
    are_bytes = "uint8" in str(frame.dtype)
    shape = tuple(frame.shape)
    own = layouts.parse("nchw") if axes == "chw" else layouts.of_array(shape, are_bytes)
    asked = replace(preparation, layout=preparation.layout or own, range=preparation.range or UNIT)
    return _floats(asked(frame.copy() if _is_read_only(frame) else frame))


def _is_read_only(frame: Any) -> bool:
    """As those of a mapped file are, of which torch warns."""
    return isinstance(frame, np.ndarray) and not frame.flags.writeable


def _floats(image: Any) -> np.ndarray:
    return np.ascontiguousarray(image.numpy(), dtype=np.float32)
