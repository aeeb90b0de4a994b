"""ResNet-20 with LeakyReLU or SiLU for CIFAR-10, from the weights of the one with ReLU, in a few epochs.

    python -m examples.functions --network resnet20_silu --start resnet20.pt --data DIR --weights silu.pt

DIR holds train/ and test/ of 32x32 images, a folder for each class. SGD with momentum 0.9, weight decay 1e-4,
batches of 128, a learning rate that falls from 0.05 by a cosine over all batches; flips and shifts by up to 4
pixels.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision import datasets, transforms

from dnisnm_lava.system.files import refuse_existing, write_whole
from examples import resnet20

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BATCH, RATE = 128, 0.05


def images(folder: Path) -> tuple[Tensor, Tensor]:
    """All images of a folder, normalised, (N, 3, 32, 32), and their classes."""
    scores = transforms.Compose([transforms.ToTensor(), transforms.Normalize(MEAN, STD)])
    pairs = datasets.ImageFolder(str(folder), scores)
    return torch.stack([x for x, _ in pairs]), torch.tensor(pairs.targets)


def moved(x: Tensor, generator: torch.Generator) -> Tensor:
    """Each image flipped or not, all shifted alike by up to 4 pixels."""
    flips = torch.rand(len(x), 1, 1, 1, generator=generator) < 0.5
    dy, dx = torch.randint(0, 9, (2,), generator=generator).tolist()
    return F.pad(torch.where(flips, x.flip(3), x), (4, 4, 4, 4))[:, :, dy : dy + 32, dx : dx + 32]


def train(model: torch.nn.Module, x: Tensor, y: Tensor, epochs: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=0.9, weight_decay=1e-4)
    batches = int(epochs * len(x) / BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, batches)
    order = torch.cat([torch.randperm(len(x), generator=generator) for _ in range(int(epochs) + 1)])
    model.train()
    for i in range(batches):
        chosen = order[i * BATCH : (i + 1) * BATCH]
        loss = F.cross_entropy(model(moved(x[chosen], generator)), y[chosen])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if i % 50 == 0:
            print(f"batch {i} of {batches}: loss {loss.item():.3f}", flush=True)


def accuracy(model: torch.nn.Module, x: Tensor, y: Tensor) -> float:
    model.eval()
    with torch.inference_mode():
        right = [
            (model(a).argmax(1) == b).sum()
            for a, b in zip(torch.split(x, 500), torch.split(y, 500), strict=True)
        ]
    return 100 * int(torch.stack(right).sum()) / len(x)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", choices=("resnet20_leaky", "resnet20_silu"), required=True)
    parser.add_argument("--start", type=Path, required=True, help="state_dict of the network with ReLU")
    parser.add_argument("--data", type=Path, required=True, help="a folder with train and test")
    parser.add_argument("--weights", type=Path, required=True, help="state_dict to write")
    parser.add_argument("--epochs", type=float, default=2.0, help="(%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    args = parser.parse_args()
    refuse_existing(args.weights, overwrite=False)
    torch.manual_seed(args.seed)
    model = getattr(resnet20, args.network)()
    model.load_state_dict(torch.load(args.start, weights_only=True))
    train(model, *images(args.data / "train"), args.epochs, args.seed)
    print(f"test: {accuracy(model, *images(args.data / 'test')):.2f} %")
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    write_whole(args.weights, buffer.getvalue(), overwrite=False)


if __name__ == "__main__":
    main()
