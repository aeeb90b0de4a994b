"""Pixels as PNG files in data URIs: thumbnails of images, and maps of thresholds."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from matplotlib import colormaps
from PIL import Image

from dnisnm_lava.studies.explain.values import ThresholdMap

MOST = 128  # pixels a side; larger maps and images are averaged in blocks
SHADES = 32  # of a map
SMALL = 48  # pixels a side of an image that is kept pixel by pixel; JPEG would blur it
COLOURS = "viridis"


def thumbnail(pixels: np.ndarray) -> str:
    """An image (C, H, W) in [0, 1]: grey of one channel, colours of three, else the mean; vectors as a
    row. PNG of small ones, JPEG of others."""
    x = pixels.reshape(1, 1, -1) if pixels.ndim < 3 else pixels
    x = x if len(x) in (1, 3) else x.mean(axis=0, keepdims=True)
    shrunk = np.stack([_shrunk(channel) for channel in x], axis=-1)  # (H, W, C)
    grey = colormaps["gray"](shrunk, bytes=True)[..., 0]  # each channel from 0 ... 1 to 0 ... 255
    grey = grey[..., 0] if grey.shape[-1] == 1 else grey
    if max(grey.shape[:2]) <= SMALL or min(grey.shape[:2]) == 1:
        return uri(grey)
    return encoded(Image.fromarray(np.ascontiguousarray(grey)), "JPEG", quality=80)


def heatmaps(found: ThresholdMap) -> tuple[str, str]:
    """Train and test on one scale, from 0 to the largest of both."""
    train, test = _shrunk(found.train), _shrunk(found.test)
    largest = max(float(train.max(initial=0)), float(test.max(initial=0))) or 1.0
    first, second = (
        encoded(Image.fromarray(_coloured(values / largest)).quantize(SHADES), "PNG")
        for values in (train, test)
    )
    return first, second


def _coloured(shares: np.ndarray) -> np.ndarray:
    """(h, w, 3) bytes of values in [0, 1]."""
    pixels: np.ndarray = colormaps[COLOURS](shares, bytes=True)[..., :3]
    return np.ascontiguousarray(pixels)


def _shrunk(values: np.ndarray) -> np.ndarray:
    """(h, w), at most MOST either way: means of blocks."""
    rows, columns = (-(-s // MOST) for s in values.shape)
    padded = np.pad(
        values.astype(np.float64),
        ((0, -values.shape[0] % rows), (0, -values.shape[1] % columns)),
        mode="edge",
    )
    h, w = padded.shape
    return padded.reshape(h // rows, rows, w // columns, columns).mean(axis=(1, 3))


def uri(pixels: np.ndarray) -> str:
    """PNG: grey (h, w), or colours (h, w, 3), of bytes."""
    return encoded(Image.fromarray(np.ascontiguousarray(pixels)), "PNG")


def encoded(image: Image.Image, kind: str, **options: Any) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, optimize=True, **options)
    return f"data:image/{kind.lower()};base64," + base64.b64encode(buffer.getvalue()).decode()
