"""A small network on scikit-learn's digits: the whole road in a minute, on real images that need no
download."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from dnisnm_lava.errors import BackendMissing
from dnisnm_lava.system.extras import missing
from dnisnm_lava.system.progress import Progress, tell

STEPS = 32
TRAIN_IMAGES = 1297  # of 1,797; the other 500 test
EPOCHS = 20
BATCH = 32


class DigitsNet(nn.Module):
    """A residual block, max-pooling, batch norm and biases, for (1, 8, 8) images."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(16)
        self.conv2 = nn.Conv2d(16, 16, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(16)
        self.conv3 = nn.Conv2d(16, 16, 3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.fc1 = nn.Linear(16 * 4 * 4, 64)
        self.fc2 = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(x)))
        x = torch.relu(x + self.conv3(y))
        x = self.pool(x)
        return self.fc2(torch.relu(self.fc1(x.flatten(1))))


def digits(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """x_train (1297, 1, 8, 8), y_train, x_test (500, 1, 8, 8), y_test: values in [0, 1], seeded order."""
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError as error:
        raise BackendMissing(f"the demo's digits: {missing('scikit-learn', 'demo')}") from error
    data = load_digits()
    order = np.random.default_rng(seed).permutation(len(data.target))
    x, y = (data.images / 16).astype(np.float32)[order, None], data.target[order]
    return x[:TRAIN_IMAGES], y[:TRAIN_IMAGES], x[TRAIN_IMAGES:], y[TRAIN_IMAGES:]


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """For torch. On images as small as these, threads wait for each other more than they compute: on two
    cores that others use as well, minutes instead of seconds."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def train(x: np.ndarray, y: np.ndarray, seed: int, progress: Progress | None = None) -> DigitsNet:
    """A DigitsNet trained for some seconds, in eval mode; the same for the same seed, whatever the thread
    count."""
    with torch.random.fork_rng(), _one_thread():
        torch.manual_seed(seed)
        model = DigitsNet()
        optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, 5e-3, total_steps=EPOCHS * -(-len(x) // BATCH)
        )
        images, labels = torch.from_numpy(x), torch.from_numpy(y)
        for epoch in range(EPOCHS):
            for chosen in torch.split(torch.randperm(len(x)), BATCH):
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(images[chosen]), labels[chosen]).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
            tell(progress, epoch + 1, EPOCHS)
    return model.eval()
