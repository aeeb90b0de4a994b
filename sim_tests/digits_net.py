"""A small network that knows scikit-learn's digits, trained in a second: for tests that need an accuracy."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import nn

MEAN, STD = 0.88, 0.05  # the network's own preparation; without it, these pale pictures are all alike to it
GIVEN = ["--mean", str(MEAN), "--std", str(STD)]
NETWORK = """
import sys
sys.path.insert(0, {tests!r})
from digits_net import network
"""


def network() -> nn.Sequential:
    """(1, 8, 8) images, 10 classes; untrained."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16 * 16, 32),
        nn.ReLU(),
        nn.Linear(32, 10),
    )


@lru_cache(1)
def pictures() -> tuple[np.ndarray, np.ndarray]:
    """All 1,797: (N, 8, 8) uint8 from 200 to 248, (N,) classes, in a seeded order."""
    from sklearn.datasets import load_digits

    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))
    return (200 + 3 * data.images[order]).astype(np.uint8), data.target[order]


def prepared(x: np.ndarray) -> np.ndarray:
    """(N, 1, 8, 8) float32, as the network wants them."""
    return (((x / np.float32(255)) - np.float32(MEAN)) / np.float32(STD))[:, None]


@lru_cache(1)
def trained() -> nn.Sequential:
    """On the first 1,200."""
    x, y = pictures()
    images, labels = torch.from_numpy(prepared(x[:1200])), torch.from_numpy(y[:1200])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = network()
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        for _ in range(12):
            for chosen in torch.split(torch.randperm(len(images)), 64):
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(images[chosen]), labels[chosen]).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
    return model.eval()


def lay_out(folder: Path) -> None:
    """net.py, weights.pt and data.npz: 1,200 images to train, 597 to test."""
    x, y = pictures()
    (folder / "net.py").write_text(NETWORK.format(tests=str(Path(__file__).parent)))
    torch.save(trained().state_dict(), folder / "weights.pt")
    np.savez(folder / "data.npz", x_train=x[:1200], y_train=y[:1200], x_test=x[1200:], y_test=y[1200:])
