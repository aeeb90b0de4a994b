"""Three networks that are no classifiers, their pictures, and their training in some seconds.

    python examples/tasks.py steering FOLDER    # a camera's road -> one steering angle
    python examples/tasks.py unet FOLDER        # a picture -> a class for each pixel, by a small U-Net
    python examples/tasks.py heads FOLDER       # a picture -> two raw maps, as a detector's heads give: where
                                                # something is, and how large

Each leaves FOLDER/weights.pt and FOLDER/data.npz, heads also targets1.npy, those of its second output, and
prints the command that compares the networks. Pictures are drawn with a seed; nothing is downloaded.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

SIZE = 24  # pixels, both ways
Drawn = tuple[np.ndarray, tuple[np.ndarray, ...]]  # pictures (N, 1, y, x); a target for each output


def steering() -> nn.Module:
    """(N, 1, 24, 24) -> (N, 1), in the layout of PilotNet."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 5, 2), nn.ReLU(), nn.Conv2d(8, 16, 3, 2), nn.ReLU(),
        nn.Flatten(), nn.Linear(16 * 16, 32), nn.ReLU(), nn.Linear(32, 1),
    )  # fmt: skip


class UNet(nn.Module):
    """(N, 1, y, x) -> (N, 3, y, x): two scales, transposed convolutions, and what the finer one knew."""

    def __init__(self) -> None:
        super().__init__()
        self.down1, self.down2 = block(1, 8), block(8, 16)
        self.middle = block(16, 16)
        self.up2, self.up1 = nn.ConvTranspose2d(16, 16, 2, 2), nn.ConvTranspose2d(16, 8, 2, 2)
        self.join2, self.join1 = block(32, 16), block(16, 8)
        self.last = nn.Conv2d(8, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        fine = self.down1(x)
        coarse = self.down2(F.max_pool2d(fine, 2))
        x = self.middle(F.max_pool2d(coarse, 2))
        x = self.join2(torch.cat([self.up2(x), coarse], 1))
        x = self.join1(torch.cat([self.up1(x), fine], 1))
        return self.last(x)


def block(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())


class Heads(nn.Module):
    """(N, 1, 24, 24) -> (N, 1, 6, 6) logits of whether something's centre is there, (N, 2, 6, 6) its height
    and width, in cells."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(block(1, 8), nn.MaxPool2d(2), block(8, 16), nn.MaxPool2d(2), block(16, 16))
        self.where, self.size = nn.Conv2d(16, 1, 1), nn.Conv2d(16, 2, 1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.body(x)
        return self.where(x), self.size(x)


unet, heads = UNet, Heads


def roads(count: int, seed: int) -> Drawn:
    """A bright road on noise, which leans: its angle, -1 to 1, (N, 1)."""
    rng = np.random.default_rng(seed)
    angle, start = rng.uniform(-1, 1, count), rng.uniform(8, 16, count)
    y, x = np.mgrid[:SIZE, :SIZE]
    middle = start[:, None, None] + angle[:, None, None] * (SIZE - 1 - y) * 0.5
    road = np.exp(-(((x - middle) / 2.5) ** 2))
    pictures = 0.8 * road + 0.2 * rng.uniform(size=(count, SIZE, SIZE))
    return pictures[:, None].astype(np.float32), (angle[:, None].astype(np.float32),)


def shapes(count: int, seed: int) -> Drawn:
    """A bright square and a grey disk on noise: background 0, square 1, disk 2 of each pixel, (N, y, x)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE]
    masks = np.zeros((count, SIZE, SIZE), np.int64)
    for mask in masks:
        (top, left), side = rng.integers(0, SIZE - 10, 2), rng.integers(5, 10)
        mask[top : top + side, left : left + side] = 1
        (cy, cx), radius = rng.integers(4, SIZE - 4, 2), rng.integers(3, 6)
        mask[(y - cy) ** 2 + (x - cx) ** 2 <= radius**2] = 2
    pictures = np.array([0.1, 0.9, 0.5])[masks] + rng.normal(0, 0.08, masks.shape)
    return pictures[:, None].astype(np.float32), (masks,)


def boxes(count: int, seed: int) -> Drawn:
    """One bright box on noise: 1 in the cell of its centre (N, 1, 6, 6), and there its height and width by a
    cell's four pixels (N, 2, 6, 6), else 0."""
    rng = np.random.default_rng(seed)
    where, size = np.zeros((count, 1, 6, 6), np.float32), np.zeros((count, 2, 6, 6), np.float32)
    pictures = rng.normal(0.2, 0.08, (count, 1, SIZE, SIZE)).astype(np.float32)
    for i in range(count):
        sides = rng.integers(4, 11, 2)
        top, left = (int(rng.integers(0, SIZE - side + 1)) for side in sides)
        pictures[i, 0, top : top + sides[0], left : left + sides[1]] += 0.7
        cell = (top + sides[0] // 2) // 4, (left + sides[1] // 2) // 4
        where[i, 0][cell], size[i][:, cell[0], cell[1]] = 1, sides / 4
    return pictures, (where, size)


def squared(said: tuple[torch.Tensor, ...], wanted: tuple[torch.Tensor, ...]) -> torch.Tensor:
    return F.mse_loss(said[0], wanted[0])


def by_pixel(said: tuple[torch.Tensor, ...], wanted: tuple[torch.Tensor, ...]) -> torch.Tensor:
    return F.cross_entropy(said[0], wanted[0])


def detection(said: tuple[torch.Tensor, ...], wanted: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """Of sizes in every cell, 0 where nothing is."""
    where = wanted[0]
    found = F.binary_cross_entropy_with_logits(said[0], where, pos_weight=torch.tensor(10.0))
    return found + (said[1] - wanted[1]).square().sum() / where.sum()


Loss = Callable[[tuple[torch.Tensor, ...], tuple[torch.Tensor, ...]], torch.Tensor]
TASKS: dict[str, tuple[Callable[[], nn.Module], Callable[[int, int], Drawn], Loss]] = {
    "steering": (steering, roads, squared),
    "unet": (unet, shapes, by_pixel),
    "heads": (heads, boxes, detection),
}


def trained(task: str, drawn: Drawn, steps: int) -> nn.Module:
    make, _, loss = TASKS[task]
    torch.manual_seed(0)
    net, rng = make(), np.random.default_rng(0)
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    x, wanted = torch.from_numpy(drawn[0]), tuple(map(torch.from_numpy, drawn[1]))
    for _ in range(steps):
        chosen = torch.from_numpy(rng.integers(0, len(x), 32))
        said = net(x[chosen])
        optimizer.zero_grad()
        error = loss(said if isinstance(said, tuple) else (said,), tuple(y[chosen] for y in wanted))
        torch.autograd.backward(error)
        optimizer.step()
    return net.eval()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=1000, help="for training (%(default)s)")
    parser.add_argument("--steps", type=int, default=300, help="of training (%(default)s)")
    args = parser.parse_args()
    draw = TASKS[args.task][1]
    train, test = draw(args.images, 0), draw(max(1, args.images // 5), 1)
    net = trained(args.task, train, args.steps)
    args.folder.mkdir(parents=True, exist_ok=True)
    torch.save(net.state_dict(), args.folder / "weights.pt")
    np.savez(
        args.folder / "data.npz", x_train=train[0], y_train=train[1][0], x_test=test[0], y_test=test[1][0]
    )
    more = ""
    for i, wanted in enumerate(test[1][1:], 1):  # those of the first output are the images' own
        np.save(args.folder / f"targets{i}.npy", wanted)
        more += f" --targets {i}={args.folder / f'targets{i}.npy'}"
    print(
        f"dnisnm compare --model examples/tasks.py:{args.task} --weights {args.folder / 'weights.pt'} "
        f"--data {args.folder / 'data.npz'}{more}"
    )


if __name__ == "__main__":
    main()
