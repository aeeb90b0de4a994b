"""A network of one's own: a residual block and a concatenation, trained for some seconds on scikit-learn's
digits.

    python examples/own_network.py

Or by the command line, which finds the network and its images by their names:

    dnisnm inspect examples/own_network.py:network --input-shape 1,8,8
    dnisnm compare --model examples/own_network.py:network --weights own.pt \\
        --data examples/own_network.py:images
"""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import dnisnm_lava as dn
from dnisnm_lava.backends import batched
from dnisnm_lava.data import digits


class Forked(nn.Module):
    """Two branches of (1, 8, 8) images, concatenated; then a residual block and a global mean."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Conv2d(1, 12, 3, padding=1)
        self.coarse = nn.Sequential(
            nn.MaxPool2d(2), nn.Conv2d(1, 12, 3, padding=1), nn.Upsample(scale_factor=2)
        )
        self.norm = nn.BatchNorm2d(24)
        self.inner = nn.Sequential(
            nn.Conv2d(24, 24, 3, padding=1), nn.BatchNorm2d(24), nn.ReLU(), nn.Conv2d(24, 24, 3, padding=1)
        )
        self.head = nn.Linear(24 * 4 * 4, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm(torch.cat([self.fine(x), self.coarse(x)], dim=1)))
        x = torch.relu(x + self.inner(x))
        return self.head(nn.functional.avg_pool2d(x, 2).flatten(1))


def network() -> Forked:
    return Forked()


def images() -> tuple[TensorDataset, TensorDataset]:
    """The digits to train and calibrate on, and those to test with: ((1, 8, 8) image, class) pairs."""
    x_train, y_train, x_test, y_test = (torch.from_numpy(a) for a in digits.digits(seed=0))
    return TensorDataset(x_train, y_train), TensorDataset(x_test, y_test)


def fit(model: nn.Module, data: TensorDataset, epochs: int = 8) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(epochs):
        for x, y in DataLoader(data, batch_size=32, shuffle=True):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    model.eval()


def main() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(
        1
    )  # on images as small as these, more wait for each other, long where others use the machine
    train, test = images()
    model = network()
    fit(model, train)
    torch.save(model.state_dict(), "own.pt")

    traced = dn.trace(model, train[0][0])  # before anything is computed: what became of each operation
    found = traced.coverage
    print(f"{len(found.rows)} operations: {found.count('exact')} exact; {dict(found.populations)}")

    nets = dn.build(traced, train, samples=dn.Samples(fit=256))

    x, y = (t.numpy() for t in test.tensors)
    right = batched.run(nets.integer, x).accuracy(y, nets.integer.steps)
    ann = float((nets.analog.ann(x).argmax(axis=1) == y).mean())
    print(
        f"ANN {100 * ann:.1f} %, integer spiking network {100 * right:.1f} % at T = "
        f"{nets.integer.steps}, of {len(y)} test images"
    )


if __name__ == "__main__":
    main()
