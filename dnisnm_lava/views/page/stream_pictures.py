"""Pictures of a stream's page: frames where the class changes, and which populations speak."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from PIL import Image

from dnisnm_lava.studies.streams.activity import Activity
from dnisnm_lava.studies.streams.rows import Row
from dnisnm_lava.views.clip import picture
from dnisnm_lava.views.page.rasters import COLOURS, encoded, uri

MOST_THUMBNAILS, SIDE = 24, 96  # and pixels of one
FEW = 12  # thumbnails where nothing is a class
SMALL = 48  # pixels of a frame that is kept pixel by pixel
MOST_POPULATIONS = 100  # that are drawn


@dataclass(frozen=True)
class Thumbnail:
    """position: of the frame's row."""

    position: int
    uri: str


@dataclass(frozen=True)
class HeatMap:
    """uri: a row of pixels a population, a column of them a column of `Activity`; most: what the brightest
    stands for."""

    id: str
    title: str
    unit: str
    uri: str
    most: float


# ---------------------------------------------------------------- frames


def changes(rows: Sequence[Row]) -> list[int]:
    """Positions of rows with another class than the one before; of what is no class, evenly spaced."""
    said = [row.answers["stream"] for row in rows]
    if not isinstance(said[0], int):
        return spread(range(len(rows)), FEW)
    return [i for i, answer in enumerate(said) if i == 0 or answer != said[i - 1]]


def spread(positions: Sequence[int], most: int) -> list[int]:
    """At most so many, evenly, the first and the last among them."""
    if len(positions) <= most:
        return list(positions)
    return [positions[i * (len(positions) - 1) // (most - 1)] for i in range(most)]


def thumbnails(frames: Iterable[np.ndarray], rows: Sequence[Row]) -> list[Thumbnail]:
    """The thumbnails of `frames` as they lie there, read once more as far as they are shown, and none
    kept."""
    wanted = spread(changes(rows), MOST_THUMBNAILS)
    shown, made = set(wanted), []
    for i, frame in enumerate(frames):
        if i in shown:
            made.append(Thumbnail(i, _thumbnail(frame)))
        if i >= wanted[-1]:
            break
    return made


def _thumbnail(frame: np.ndarray) -> str:
    """JPEG; of few pixels PNG, since JPEG blurs them."""
    small = picture(frame.reshape(1, -1) if frame.ndim < 2 else frame)
    small.thumbnail((SIDE, SIDE))
    if max(small.size) <= SMALL:
        return uri(np.asarray(small))
    return encoded(small, "JPEG", quality=70)


# ---------------------------------------------------------------- populations


def drawn(activity: Activity) -> list[int]:
    """Which populations: those with most operations, in the graph's order."""
    total = np.sum(activity.delivered, axis=0, dtype=np.int64)
    return sorted(np.argsort(-total, kind="stable")[:MOST_POPULATIONS].tolist())


def heat_maps(activity: Activity) -> list[HeatMap]:
    """Spikes a neuron, and operations, of a frame; colours grow as the square root, so that little is seen
    beside a first frame."""
    rows = drawn(activity)
    counts = [np.asarray(table, float)[:, rows].T for table in (activity.sent, activity.delivered)]
    full, rest = divmod(activity.frames, activity.width)
    frames = np.array([activity.width] * full + [rest] * (rest > 0), float)
    sizes = np.array(activity.sizes, float)[rows, None]
    return [
        _heat_map("rates", "Spikes a neuron", "spikes a neuron and frame", counts[0] / frames / sizes),
        _heat_map("work", "Operations", "operations a frame", counts[1] / frames),
    ]


def _heat_map(name: str, title: str, unit: str, values: np.ndarray) -> HeatMap:
    most = float(values.max(initial=0))
    pixels: np.ndarray = colormaps[COLOURS](np.sqrt(values / (most or 1)), bytes=True)[..., :3]
    few = Image.fromarray(np.ascontiguousarray(pixels)).quantize(64)
    return HeatMap(name, title, unit, encoded(few, "PNG"), most)
