"""Small networks of every function, trained on scikit-learn's digits: the ANN beside its integers.

    python -m benchmarks.functions [--levels 15] [--seed 0]

1,297 images of 8x8 to train and to fit on, 500 to test. Three convolutions of 16, 32 and 32 channels with
batch norm, a pool, and for `gate` squeeze-and-excitation behind the second. Adam, 12 epochs, learning rate
0.003. The integers are recipe `best` with the levels and steps of the column.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn

import dnisnm_lava as dn
from dnisnm_lava.backends import batched

FUNCTIONS: dict[str, Callable[[], nn.Module]] = {
    "ReLU": nn.ReLU,
    "LeakyReLU(0.1)": lambda: nn.LeakyReLU(0.1),
    "PReLU": nn.PReLU,
    "RReLU": nn.RReLU,
    "Softshrink(0.1)": lambda: nn.Softshrink(0.1),
    "SiLU": nn.SiLU,
    "GELU": nn.GELU,
    "Hardswish": nn.Hardswish,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "softplus": nn.Softplus,
    "ELU": nn.ELU,
    "SELU": nn.SELU,
    "CELU": nn.CELU,
    "Mish": nn.Mish,
    "LogSigmoid": nn.LogSigmoid,
    "SiLU, gate": nn.SiLU,
    "Hardswish, hard gate": nn.Hardswish,
}
STEPS = (1, 2, 4)


class Squeeze(nn.Module):
    """Squeeze-and-excitation (Hu et al., arXiv 1709.01507), a quarter of the channels inside."""

    def __init__(self, channels: int, gate: nn.Module) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(channels, channels // 4, 1), nn.Conv2d(channels // 4, channels, 1)
        self.gate = gate

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(self.up(F.relu(self.down(x.mean((2, 3), keepdim=True)))))


def network(name: str) -> nn.Module:
    make = FUNCTIONS[name]
    gates = {"SiLU, gate": nn.Sigmoid(), "Hardswish, hard gate": nn.Hardsigmoid()}
    gate = [Squeeze(32, gates[name])] if name in gates else []

    def layer(inputs: int, outputs: int) -> list[nn.Module]:
        return [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), make()]

    parts = [*layer(1, 16), *layer(16, 32), *gate, nn.MaxPool2d(2), *layer(32, 32)]
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))


def train(model: nn.Module, x: Tensor, y: Tensor) -> None:
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    model.train()
    for _ in range(12):
        for chosen in torch.randperm(len(x)).split(64):  # type: ignore[no-untyped-call]
            loss = F.cross_entropy(model(x[chosen]), y[chosen])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    model.eval()


def row(name: str, levels: int, seed: int) -> dict[str, object]:
    digits = load_digits()
    x = torch.tensor(digits.images[:, None] / 16, dtype=torch.float32)
    y = torch.tensor(digits.target)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    fit, test = order[:1297], order[1297:]
    torch.manual_seed(seed)
    model = network(name)
    train(model, x[fit], y[fit])
    with torch.inference_mode():
        ann = model(x[test]).argmax(1).numpy()
    found: dict[str, object] = {"function": name, "ann": _percent(ann == y[test].numpy())}
    for steps in STEPS:
        nets = dn.build(model, x[fit].numpy(), replace(dn.BEST, steps=steps, levels=levels))
        said = batched.run(nets.integer, x[test].numpy()).predictions(steps)
        found[f"T={steps}"] = _percent(said == y[test].numpy())
        found[f"agrees, T={steps}"] = _percent(said == ann)
    return found


def _percent(right: np.ndarray) -> float:
    return round(100 * float(right.mean()), 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--levels", type=int, default=15, help="(%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    args = parser.parse_args()
    for name in FUNCTIONS:
        print(json.dumps(row(name, args.levels, args.seed)), flush=True)


if __name__ == "__main__":
    main()
