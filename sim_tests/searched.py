"""A small network to search recipes for, as a graph and in a folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import dnisnm_lava as dn


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.out = (
            nn.Conv2d(1, 4, 3, padding=1),
            nn.Conv2d(4, 4, 3, padding=1),
            nn.Linear(4 * 16, 3),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.a(x))
        return self.out((torch.relu(self.b(x)) + x).flatten(1))


MINE = [
    *("--model", "mine.py:net", "--data", "data.npz"),
    *("--fit-images", "20", "--steps", "2", "--levels", "1"),
]  # a verb's words in `place`


@pytest.fixture(scope="module")
def analog() -> dn.AnalogGraph:
    torch.manual_seed(5)
    return dn.from_torch(Net().eval(), np.zeros((1, 4, 4), np.float32))


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(120, 1, 4, 4)).astype(np.float32)


MODULE = """
import sys
sys.path.insert(0, {tests!r})
from searched import Net

def net():
    import torch
    torch.manual_seed(5)
    return Net().eval()
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(MODULE.format(tests=str(Path(__file__).parent)))
    torch.manual_seed(5)
    x = np.random.default_rng(0).normal(size=(90, 1, 4, 4)).astype(np.float32)
    y = Net().eval()(torch.from_numpy(x)).argmax(1).numpy()
    np.savez(tmp_path / "data.npz", x_train=x, y_train=y, x_test=x[:20], y_test=y[:20])
    return tmp_path
