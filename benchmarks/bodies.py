"""Networks beyond ReLU in layouts that people use, trained small: the ANN beside its integers.

    python -m benchmarks.bodies [--only NAME] [--levels 15] [--seed 0]

Bodies of detectors (examples/bodies.py, 16 channels) look for a square or a disk in 1,000 drawn pictures of
32x32, a U-Net with PReLU tells the class of each pixel of such pictures, and torchvision's networks classify
scikit-learn's digits at 32x32 (1,297 to train and to fit on, 500 to test). Adam, the steps and rates below.
For detectors, "right": the cell of the fine head that is surest of a box, and the class that it says there;
for the U-Net, pixels. "maps": the share of the variance of the ANN's raw output that the integers explain.
The integers are recipe `best` with the levels and steps of the column.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from sklearn.datasets import load_digits
from torch import Tensor, nn

import dnisnm_lava as dn
from dnisnm_lava.backends import batched
from examples.bodies import CrossStage, Detector, Split, UNet

SIZE, STRIDE, STEPS = 32, 4, (1, 2, 4)
Outputs = tuple[Tensor, ...]


@dataclass(frozen=True)
class Drawn:
    """pictures (N, 3, y, x); wanted: what `Task.loss` and `Task.right` compare with, (N, ...)."""

    pictures: Tensor
    wanted: Tensor


@dataclass(frozen=True)
class Task:
    """draw: training and test pictures of a seed. loss: of outputs and what was wanted. right: of the first
    output (N, ...), which answers are, as booleans."""

    draw: Callable[[int], tuple[Drawn, Drawn]]
    loss: Callable[[Outputs, Tensor], Tensor]
    right: Callable[[np.ndarray, np.ndarray], np.ndarray]
    steps: int
    rate: float


def shapes(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pictures (N, 3, y, x) of one coloured square or disk on noise, masks (N, y, x) of 0, 1 or 2, and
    (N, 4): its cell's row and column, size in cells, class."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE]
    masks, told = np.zeros((count, SIZE, SIZE), np.int64), np.zeros((count, 4), np.float32)
    for mask, box in zip(masks, told, strict=True):
        kind, radius = rng.integers(0, 2), rng.integers(3, 8)
        cy, cx = rng.integers(radius, SIZE - radius, 2)
        reach = np.maximum(abs(y - cy), abs(x - cx)) if kind == 0 else np.hypot(y - cy, x - cx)
        mask[reach <= radius] = kind + 1
        box[:] = cy // STRIDE, cx // STRIDE, 2 * radius / STRIDE, kind
    colour = rng.uniform(0.3, 0.9, (count, 3, 1, 1))
    pictures = np.where(masks[:, None] > 0, colour, 0.15) + rng.normal(0, 0.1, (count, 3, SIZE, SIZE))
    return pictures.astype(np.float32), masks, told


def drawn(told: int) -> Callable[[int], tuple[Drawn, Drawn]]:
    """Pictures of `shapes` to learn from and to test on, with what it tells at this place: masks 1, boxes
    2."""

    def draw(seed: int) -> tuple[Drawn, Drawn]:
        learned, test = shapes(1000, seed), shapes(500, seed + 1)
        first, second = (
            Drawn(torch.from_numpy(part[0]), torch.from_numpy(part[told])) for part in (learned, test)
        )
        return first, second

    return draw


def digits(seed: int) -> tuple[Drawn, Drawn]:
    data = load_digits()
    x = torch.tensor(data.images[:, None] / 16, dtype=torch.float32)
    x = F.interpolate(x, size=(SIZE, SIZE), mode="bilinear").expand(-1, 3, -1, -1).contiguous()
    y = torch.tensor(data.target)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    fit, test = order[:1297], order[1297:]
    return Drawn(x[fit], y[fit]), Drawn(x[test], y[test])


def detection(said: Outputs, told: Tensor) -> Tensor:
    """Of both heads, the finer with cells of half the side: is there a box, how large, which class."""
    loss = torch.zeros(())
    for finer, head in zip((2, 1), said, strict=True):
        n, cells = torch.arange(len(told)), (told[:, :2] * finer + (finer - 1)).long()
        there = torch.zeros(len(told), *head.shape[2:])
        there[n, cells[:, 0], cells[:, 1]] = 1
        at = head[n, :, cells[:, 0], cells[:, 1]]
        loss = loss + F.binary_cross_entropy_with_logits(head[:, 4], there, pos_weight=torch.tensor(20.0))
        loss = loss + F.mse_loss(at[:, 0], told[:, 2]) + F.cross_entropy(at[:, 5:], told[:, 3].long())
    return loss


def found_box(said: np.ndarray, told: np.ndarray) -> np.ndarray:
    """said: (N, 7, rows, columns) of the finer head, the model's first output."""
    surest = said[:, 4].reshape(len(said), -1).argmax(1)
    row, column = np.divmod(surest, said.shape[3])
    kind = said[np.arange(len(said)), 5:, row, column].argmax(1)
    near = (row // 2 == told[:, 0]) & (column // 2 == told[:, 1])
    return near & (kind == told[:, 3])


def by_class(said: Outputs, wanted: Tensor) -> Tensor:
    return F.cross_entropy(said[0], wanted)


def right_class(said: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    return said.argmax(1) == wanted


DETECTION = Task(drawn(2), detection, found_box, 600, 3e-3)
PIXELS = Task(drawn(1), by_class, right_class, 400, 3e-3)
CLASSES = Task(digits, by_class, right_class, 500, 2e-3)


def classifier(name: str) -> Callable[[], nn.Module]:
    """With batch norms that keep up with so short a training (MnasNet's own forget in 3,000 steps)."""

    def made() -> nn.Module:
        model = torchvision.models.get_model(name, num_classes=10)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 0.1
        return model

    return made


NETWORKS: dict[str, tuple[Callable[[], nn.Module], Task]] = {
    "YOLOv5's layout, SiLU": (lambda: Detector(CrossStage, nn.SiLU, 16), DETECTION),
    "YOLOv8's layout, SiLU": (lambda: Detector(Split, nn.SiLU, 16), DETECTION),
    "YOLOv5's layout, LeakyReLU": (lambda: Detector(CrossStage, nn.LeakyReLU, 16), DETECTION),
    "U-Net, PReLU": (lambda: UNet(3, 16), PIXELS),
    "mobilenet_v3_small": (classifier("mobilenet_v3_small"), CLASSES),
    "mobilenet_v3_large": (classifier("mobilenet_v3_large"), CLASSES),
    "efficientnet_b0": (classifier("efficientnet_b0"), CLASSES),
    "regnet_y_400mf": (classifier("regnet_y_400mf"), CLASSES),
    "mnasnet0_5": (classifier("mnasnet0_5"), CLASSES),
}


def outputs(model: nn.Module, x: Tensor) -> Outputs:
    said = model(x)
    return said if isinstance(said, tuple) else (said,)


def train(model: nn.Module, task: Task, drawn: Drawn, seed: int) -> None:
    rng = np.random.default_rng(seed)
    optimizer = torch.optim.Adam(model.parameters(), task.rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, task.rate, total_steps=task.steps)
    model.train()
    for _ in range(task.steps):
        chosen = torch.from_numpy(rng.integers(0, len(drawn.pictures), 32))
        optimizer.zero_grad()
        torch.autograd.backward(task.loss(outputs(model, drawn.pictures[chosen]), drawn.wanted[chosen]))
        optimizer.step()
        schedule.step()
    model.eval()


def row(name: str, levels: int, seed: int) -> dict[str, object]:
    make, task = NETWORKS[name]
    learned, test = task.draw(seed)
    torch.manual_seed(seed)
    model = make()
    train(model, task, learned, seed)
    with torch.inference_mode():
        ann = [y.numpy() for y in outputs(model, test.pictures)]
    wanted = test.wanted.numpy()
    found: dict[str, object] = {"network": name, "ann": _percent(task.right(ann[0], wanted))}
    for steps in STEPS:
        nets = dn.build(model, learned.pictures.numpy(), replace(dn.BEST, steps=steps, levels=levels))
        run = batched.run(nets.integer, test.pictures.numpy())
        said = [
            run.values(steps, p.name).reshape(y.shape)
            for p, y in zip(nets.integer.readouts, ann, strict=True)
        ]
        found[f"T={steps}"] = _percent(task.right(said[0], wanted))
        found[f"maps, T={steps}"] = round(min(map(explained, said, ann)), 4)
    return found


def explained(said: np.ndarray, ann: np.ndarray) -> float:
    return float(1 - np.mean((said - ann) ** 2) / ann.var())


def _percent(right: np.ndarray) -> float:
    return round(100 * float(right.mean()), 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", choices=NETWORKS, help="one of the networks")
    parser.add_argument("--levels", type=int, default=15, help="(%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    args = parser.parse_args()
    for name in [args.only] if args.only else NETWORKS:
        print(json.dumps(row(name, args.levels, args.seed)), flush=True)


if __name__ == "__main__":
    main()
