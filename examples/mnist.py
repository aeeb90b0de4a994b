"""A LeNet-like max-pool CNN on MNIST: train it, then hand it to `dnisnm`.

    python examples/mnist.py --data DIR --weights mnist.pt
    dnisnm compare --model examples/mnist.py:lenet --weights mnist.pt --data mnist:DIR --mean 0.1307 \\
        --std 0.3081

DIR holds MNIST/raw, or receives it from torchvision's official source. Training: about two minutes on two
cores.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import nn
from torchvision import datasets

MEAN, STD = 0.1307, 0.3081


class LeNet(nn.Module):
    """Two convolutions with max-pooling, then two linear layers, for (1, 28, 28) images."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 5)
        self.bn1 = nn.BatchNorm2d(16)
        self.conv2 = nn.Conv2d(16, 32, 5)
        self.bn2 = nn.BatchNorm2d(32)
        self.pool = nn.MaxPool2d(2)
        self.fc1 = nn.Linear(32 * 4 * 4, 128)
        self.dropout = nn.Dropout(0.3)
        self.fc2 = nn.Linear(128, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(torch.relu(self.bn1(self.conv1(x))))
        x = self.pool(torch.relu(self.bn2(self.conv2(x))))
        return self.fc2(self.dropout(torch.relu(self.fc1(torch.flatten(x, 1)))))


def lenet() -> LeNet:
    return LeNet()


def images(folder: str, train: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """(N, 1, 28, 28) normalized, and (N,) digits."""
    data = datasets.MNIST(folder, train=train, download=True)
    return ((data.data[:, None].float() / 255) - MEAN) / STD, data.targets


def fit(model: LeNet, x: torch.Tensor, y: torch.Tensor, epochs: int) -> None:
    steps = epochs * -(-len(x) // 128)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=steps)
    model.train()
    for epoch in range(epochs):
        for chosen in torch.split(torch.randperm(len(x)), 128):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[chosen]), y[chosen]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
        print(f"epoch {epoch + 1} of {epochs}", flush=True)
    model.eval()


def accuracy(model: LeNet, x: torch.Tensor, y: torch.Tensor) -> float:
    with torch.no_grad():
        right = int((torch.cat([model(part) for part in torch.tensor_split(x, 10)]).argmax(1) == y).sum())
    return right / len(x)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="folder with MNIST/raw")
    parser.add_argument(
        "--weights", type=Path, default=Path("mnist.pt"), help="state_dict to write (%(default)s)"
    )
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    model = lenet()
    fit(model, *images(args.data, train=True), args.epochs)
    print(f"ANN: {100 * accuracy(model, *images(args.data, train=False)):.2f} % of the 10,000 test images")
    torch.save(model.state_dict(), args.weights)
    print(f"written: {args.weights}")


if __name__ == "__main__":
    main()
