"""Products of two tensors that depend on the image: the graph is the model in float64, with one population
for each product."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from graphs import images, randomized
from runs import assert_same
from torch import Tensor, nn

import dnisnm_lava as dn
from dnisnm_lava.backends import batched, reference
from dnisnm_lava.errors import UnsupportedModel
from dnisnm_lava.ir import Activation, AnalogGraph, MaxPool, Product, Rectifier, Relay
from examples.bodies import CrossStage, Detector, Split, UNet


class Excited(nn.Module):
    """Two convolutions and `body` between them, which has a squeeze p, an excitation q, and c."""

    def __init__(self, body: Callable[..., Tensor]) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1)
        self.p, self.q, self.c = nn.Conv2d(4, 2, 1), nn.Conv2d(2, 4, 1), nn.Conv2d(4, 4, 3, padding=1)
        self.body = body

    def gate(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.q(F.relu(self.p(x.mean((2, 3), keepdim=True)))))

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.body(self, self.first(x)))


def squeeze(n: Excited, x: Tensor) -> Tensor:
    return F.relu6(n.q(F.relu(n.p(F.adaptive_avg_pool2d(x, 1)))) + 3) / 6


def vector(n: Excited, x: Tensor) -> Tensor:
    pooled = F.adaptive_avg_pool2d(x, 1).flatten(1)[:, :, None, None]
    return torch.sigmoid(n.q(F.relu(n.p(pooled)))).flatten(1).view(-1, 4, 1, 1)


def halves(n: Excited, x: Tensor) -> Tensor:
    a, b = n.c(x).chunk(2, 1)
    return torch.cat([a * torch.sigmoid(b), a], 1)


def twice(n: Excited, x: Tensor) -> Tensor:
    y = F.relu(x)
    return y * y


Counts = tuple[int, int, int, int]  # products, functions, rectifiers, relays
PRODUCTS: dict[str, tuple[Callable[..., Tensor], Counts]] = {
    "a gate": (lambda n, x: F.relu(x) * n.gate(x), (1, 1, 2, 0)),
    "a gate in front": (lambda n, x: n.gate(x) * F.relu(x), (1, 1, 2, 0)),
    "a gate in place": (lambda n, x: F.relu(x).mul_(n.gate(x)), (1, 1, 2, 0)),
    "a hard gate": (lambda n, x: F.silu(x) * squeeze(n, x), (1, 1, 2, 0)),
    "a gate of a vector": (lambda n, x: F.relu(x) * vector(n, x), (1, 1, 2, 0)),
    "a gate of pixels": (lambda n, x: F.relu(x) * torch.sigmoid(n.p(x)[:, :1]), (1, 1, 1, 0)),
    "of a linear tensor": (lambda n, x: x * n.gate(x), (1, 1, 1, 1)),
    "of two linear tensors": (lambda n, x: n.c(x) * x.flip(1), (1, 0, 0, 2)),
    "of rows and columns": (lambda n, x: x.mean(2, keepdim=True) * x.mean(3, keepdim=True), (1, 0, 0, 2)),
    "plus 1": (lambda n, x: F.relu(x) * (1 + n.gate(x)), (1, 1, 2, 0)),
    "1 minus": (lambda n, x: F.relu(x) * (1 - n.gate(x)), (1, 1, 2, 0)),
    "both shifted": (lambda n, x: (F.relu(x) - 0.5) * (0.25 + n.gate(x)), (1, 1, 2, 0)),
    "of clamps": (lambda n, x: x.clamp(-1, 1) * (x + 1).clamp(-1, 2), (1, 0, 2, 0)),
    "scaled in front": (lambda n, x: F.relu(x) * (2 * n.gate(x)), (1, 1, 2, 0)),
    "scaled behind": (lambda n, x: F.relu(x) * n.gate(x) / 3, (1, 1, 2, 0)),
    "in a residual": (lambda n, x: F.relu(F.relu(x) * n.gate(x) + x), (1, 1, 3, 0)),
    "in front of a ReLU": (lambda n, x: F.relu(x * n.gate(x)), (1, 1, 2, 1)),
    "in front of SiLU": (lambda n, x: F.silu(F.relu(x) * n.gate(x)), (1, 2, 2, 0)),
    "in front of a max-pool": (lambda n, x: F.max_pool2d(F.relu(x) * n.gate(x), 2, 1), (1, 1, 2, 0)),
    "of a max-pool": (lambda n, x: F.max_pool2d(F.relu(x), 2, 1) * n.gate(x), (1, 1, 2, 0)),
    "behind a convolution": (lambda n, x: n.c(F.relu(x) * n.gate(x)), (1, 1, 2, 0)),
    "moved": (lambda n, x: (F.relu(x) * n.gate(x)).flip(2), (1, 1, 2, 0)),
    "of a product": (lambda n, x: F.relu(x) * n.gate(x) * F.relu(n.c(x)), (2, 1, 3, 0)),
    "of itself": (lambda n, x: x * x, (1, 0, 0, 1)),
    "of a ReLU and itself": (twice, (1, 0, 1, 0)),
    "squared": (lambda n, x: x**2, (1, 0, 0, 1)),
    "square": (lambda n, x: torch.square(F.relu(x)), (1, 0, 1, 0)),
    "of halves": (halves, (1, 1, 0, 1)),
    "GLU": (lambda n, x: F.glu(torch.cat([n.c(x), x], 1), 1), (1, 1, 0, 1)),
    "of another's sigmoid": (lambda n, x: x.flip(1) * torch.sigmoid(x), (1, 1, 0, 1)),
}


def held(model: nn.Module, x: np.ndarray) -> AnalogGraph:
    """The graph, which is the model. Float64 on both sides: sums of at most 2^6 products a layer, in at most
    2^5 layers, of magnitudes that are at most 2^10 times the largest output: 2^6 * 2^5 * 2^10 * 2^-53."""
    analog = dn.from_torch(model, x[0])
    with torch.no_grad():
        wanted = model.double()(torch.from_numpy(x).double())
    wanted = wanted if isinstance(wanted, tuple | list) else (wanted,)
    for got, y in zip(analog.outputs(x.astype(np.float64)).values(), wanted, strict=True):
        assert np.abs(got.reshape(y.shape) - y.numpy()).max() <= 2.0**-32 * float(y.abs().max())
        assert float(y.std()) > 1e-3
    return analog


@pytest.mark.parametrize("name", PRODUCTS)
def test_each_product_is_the_model_and_one_population(name: str) -> None:
    body, counts = PRODUCTS[name]
    analog = held(randomized(Excited(body), 3), images(3, (3, 4, 4), 4))
    assert tuple(len(analog.of(k)) for k in (Product, Activation, Rectifier, Relay)) == counts
    assert len(analog.of(MaxPool)) == ("max-pool" in name)


@pytest.mark.parametrize("scale", ["sigmoid", "hardsigmoid"])
def test_torchvisions_squeeze_and_excitation_converts(scale: str) -> None:
    misc = pytest.importorskip("torchvision.ops.misc")
    gates = {"sigmoid": nn.Sigmoid, "hardsigmoid": nn.Hardsigmoid}
    block = misc.SqueezeExcitation(4, 2, scale_activation=gates[scale])
    model = randomized(nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), block, nn.Conv2d(4, 2, 1)), 0)
    analog = held(model, images(3, (3, 4, 4), 4))
    assert len(analog.of(Product)) == 1


def test_the_row_of_a_product_tells_its_population() -> None:
    found = dn.inspect(randomized(Excited(lambda n, x: F.relu(x) * n.gate(x)), 3), images(1, (3, 4, 4), 4)[0])
    (row,) = (r for r in found.rows if r.shown == "mul")
    assert (row.how, row.became) == ("exact", "population mul")
    assert found.populations["Product"] == 1


@pytest.mark.parametrize(
    ("body", "match"),
    [
        (lambda n, x: x**3, r"pow.*: a power other than a square"),
        (lambda n, x: x**0.5, r"pow.*: a power other than a square"),
        (lambda n, x: x / (1 + n.gate(x)), r"div.*: a quotient whose divisor depends on the input"),
        (lambda n, x: x * (n.gate(x) > 0.5), r"gt.*: a comparison makes a mask"),
        (lambda n, x: x * F.softmax(n.c(x), 1), r"softmax.*: a softmax in the body"),
    ],
)
def test_other_products_are_refused(body: Callable[..., Tensor], match: str) -> None:
    with pytest.raises(UnsupportedModel, match=match):
        dn.from_torch(Excited(body).eval(), images(1, (3, 4, 4), 4)[0])


# ---------------------------------------------------------------- bodies of detectors, and a U-Net


BODIES: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "YOLOv5's, SiLU": (lambda: Detector(CrossStage), 19),
    "YOLOv8's, SiLU": (lambda: Detector(Split), 16),
    "YOLOv5's, LeakyReLU": (lambda: Detector(CrossStage, nn.LeakyReLU), 19),
    "U-Net, PReLU": (UNet, 3),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_is_its_graph_and_every_spike_is_equal(name: str) -> None:
    factory, functions = BODIES[name]
    x = images(4, (3, 8, 8), 2)
    analog = held(randomized(factory(), 1), x)
    assert len(analog.of(Activation)) == functions
    integer = dn.quantize(dn.convert(analog, dn.calibrate(analog, [x]), steps=2, levels=15))
    assert_same(reference.run(integer, x[:1]), batched.run(integer, x[:1], record=True))
