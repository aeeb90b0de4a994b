"""`from_torch(model).ann(x)` is the model: a wrong fold is found here, not three stages later."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from graphs import Chain, ResidualPoolNet, images, randomized
from torch import nn

import dnisnm_lava as dn
from dnisnm_lava.backends import ann
from dnisnm_lava.errors import OutOfRange, UnsupportedModel
from dnisnm_lava.ir import MaxPool, ReadOut, Rectifier


class Body(nn.Module):
    """A convolution, then `forward_body` with its own layers, then a linear layer."""

    def __init__(self, forward: Callable[..., torch.Tensor], features: int, **layers: nn.Module) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.last = nn.Linear(features, 5)
        self.body = forward

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.body(self, F.relu(self.first(x))).flatten(1))


def relu_conv(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return F.relu(net.conv(x))  # type: ignore[operator]


def conv(features: int, *args: object, **kwargs: object) -> Body:
    return Body(relu_conv, features, conv=nn.Conv2d(4, *args, **kwargs))  # type: ignore[arg-type]


def pool(features: int, layer: nn.Module) -> Body:
    return Body(lambda net, x: net.pool(x), features, pool=layer)  # type: ignore[operator]


def spelled(relu: Callable[[torch.Tensor], torch.Tensor]) -> Body:
    return Body(lambda net, x: relu(net.conv(x)), 256, conv=nn.Conv2d(4, 4, 1))  # type: ignore[operator]


def reused_inplace(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    x = net.act(net.a(x))  # type: ignore[operator]
    return net.act(net.b(x))  # type: ignore[operator]


def residual(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    y = net.bn(net.a(x))  # type: ignore[operator]
    y += x
    return F.relu(y)


def option_a(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    shortcut = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2))
    return F.relu(net.a(x) + shortcut)  # type: ignore[operator]


def projected(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return F.relu(net.bn(net.a(x)) + net.bn2(net.b(x)))  # type: ignore[operator]


MODELS = {
    "stride": conv(64, 4, 3, stride=2, padding=1),
    "uneven stride and padding": conv(4 * 3 * 10, 4, (3, 1), stride=(3, 1), padding=(1, 1)),
    "dilation": conv(4 * 16, 4, 3, dilation=2),
    "groups": conv(4 * 64, 4, 3, padding=1, groups=2),
    "depthwise": conv(8 * 64, 8, 3, padding=1, groups=4, bias=False),
    "batch norm 2d": Body(
        lambda n, x: F.relu(n.bn(n.conv(x))), 256, conv=nn.Conv2d(4, 4, 1), bn=nn.BatchNorm2d(4)
    ),
    "batch norm 1d": Body(
        lambda n, x: F.relu(n.bn(n.fc(x.flatten(1)))), 7, fc=nn.Linear(256, 7), bn=nn.BatchNorm1d(7)
    ),
    "batch norm without affine": Body(
        lambda n, x: F.relu(n.bn(n.conv(x))), 256, conv=nn.Conv2d(4, 4, 1), bn=nn.BatchNorm2d(4, affine=False)
    ),
    "batch norm behind a ReLU": Body(
        lambda n, x: F.relu(n.conv(n.bn(x))), 144, conv=nn.Conv2d(4, 4, 3), bn=nn.BatchNorm2d(4)
    ),
    "nn.ReLU": spelled(nn.ReLU()),
    "nn.ReLU in place": spelled(nn.ReLU(inplace=True)),
    "torch.relu": spelled(torch.relu),
    "torch.relu_": spelled(torch.relu_),
    "Tensor.relu": spelled(lambda x: x.relu()),
    "clamp": spelled(lambda x: x.clamp(min=0)),
    "clamp_min": spelled(lambda x: torch.clamp_min(x, 0)),
    "a reused nn.ReLU": Body(
        reused_inplace, 256, a=nn.Conv2d(4, 4, 1), b=nn.Conv2d(4, 4, 1), act=nn.ReLU(inplace=True)
    ),
    "relu of a relu": Body(lambda n, x: F.relu(x), 256),
    "residual, in place": Body(residual, 256, a=nn.Conv2d(4, 4, 3, padding=1), bn=nn.BatchNorm2d(4)),
    "option A": Body(option_a, 128, a=nn.Conv2d(4, 8, 3, stride=2, padding=1)),
    "option B": Body(
        projected,
        128,
        a=nn.Conv2d(4, 8, 3, 2, 1),
        bn=nn.BatchNorm2d(8),
        b=nn.Conv2d(4, 8, 1, 2),
        bn2=nn.BatchNorm2d(8),
    ),
    "max-pool": pool(64, nn.MaxPool2d(2)),
    "max-pool, overlapping, padded": pool(64, nn.MaxPool2d(3, 2, 1)),
    "max-pool, ceil mode": pool(100, nn.MaxPool2d(2, 2, padding=1, ceil_mode=True)),
    "max-pool, ceil mode drops a window": pool(64, nn.MaxPool2d(1, 2, ceil_mode=True)),
    "max-pool, dilated": pool(144, nn.MaxPool2d(2, 1, dilation=2)),
    "max-pool, uneven": pool(4 * 4 * 6, nn.MaxPool2d((2, 3), (2, 1))),
    "max-pool before its ReLU": Body(
        lambda n, x: F.relu(n.pool(n.conv(x))), 64, conv=nn.Conv2d(4, 4, 1), pool=nn.MaxPool2d(2)
    ),
    "average pool": pool(64, nn.AvgPool2d(2)),
    "average pool, overlapping, padded": pool(64, nn.AvgPool2d(3, 2, 1)),
    "average pool before a convolution": Body(
        lambda n, x: F.relu(n.conv(n.pool(x))),
        32,
        conv=nn.Conv2d(4, 8, 2, padding=0, stride=2),
        pool=nn.AvgPool2d(2),
    ),
    "global average pool": Body(lambda n, x: F.adaptive_avg_pool2d(x, 1), 4),
    "adaptive average pool": Body(lambda n, x: F.adaptive_avg_pool2d(x, (4, 2)), 32),
    "mean": Body(lambda n, x: x.mean((2, 3)), 4),
    "mean, keepdim": Body(lambda n, x: x.mean([-1, -2], keepdim=True), 4),
    "view by size": Body(lambda n, x: x.view(x.size(0), -1), 256),
    "reshape": Body(lambda n, x: x.reshape(-1, 256), 256),
    "dropout": Body(lambda n, x: n.drop2(n.drop(x)), 256, drop=nn.Dropout(0.5), drop2=nn.Dropout2d(0.5)),
    "identity": Body(lambda n, x: n.same(x), 256, same=nn.Identity()),
    "no bias, no relu at the end": Body(lambda n, x: x, 256),
    "the whole small network": nn.Sequential(
        nn.Conv2d(3, 2, 1), nn.ReLU(), ResidualPoolNet(), nn.ReLU(), nn.Linear(3, 4)
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_graph_is_the_model(name: str) -> None:
    shape = (3, 8, 8) if name != "the whole small network" else (3, 6, 6)
    model = randomized(MODELS[name], seed=3)
    x = images(6, shape, 4)
    with torch.no_grad():
        expected = model(torch.from_numpy(x)).numpy()
    analog = dn.from_torch(model, x[0])
    scale = np.abs(expected).max()
    # float32 products of up to 600 terms: 600 * 2**-24 of the largest output
    np.testing.assert_allclose(analog.ann(x), expected, rtol=0, atol=600 * 2**-24 * max(scale, 1))
    np.testing.assert_array_equal(analog.ann(x).argmax(1), expected.argmax(1))
    np.testing.assert_allclose(ann.ann(analog, x), expected, rtol=0, atol=600 * 2**-24 * max(scale, 1))


def test_the_model_is_left_as_it_was() -> None:
    model = ResidualPoolNet().train()
    model.bn1.eval()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    dn.from_torch(model, images(1, (2, 6, 6), 0))
    assert model.training
    assert not model.bn1.training
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_populations_are_named_after_the_layers_that_own_the_weights() -> None:
    analog = dn.from_torch(randomized(ResidualPoolNet(), 0), images(1, (2, 6, 6), 0))
    assert [p.name for p in analog.of(Rectifier)] == ["conv1", "conv2", "conv3"]
    assert [p.name for p in analog.of(MaxPool)] == ["conv2.pool"]
    assert analog.readout.name == "fc"


def test_a_max_pool_moves_behind_its_relu() -> None:
    analog = dn.from_torch(randomized(MODELS["max-pool before its ReLU"], 0), images(1, (3, 8, 8), 0))
    assert [type(p) for p in analog][2:] == [Rectifier, MaxPool, ReadOut]


def test_an_average_pool_in_front_of_a_convolution_becomes_its_sum_pool() -> None:
    analog = dn.from_torch(
        randomized(MODELS["average pool before a convolution"], 0), images(1, (3, 8, 8), 0)
    )
    projection = analog["conv"].projections[0]
    assert projection.sum_pool is not None
    assert projection.sum_pool.kernel == (2, 2)


# ---------------------------------------------------------------- refusals: by name, with the line


REFUSED = {
    "erf": (Body(lambda n, x: torch.erf(x), 256), "erf"),
    "softmax": (Body(lambda n, x: F.softmax(x, 1), 256), "softmax"),
    "quotient of maps": (Body(lambda n, x: x / (1 + x.flip(1)), 256), "div"),
    "one statistic of the batch": (Body(lambda n, x: x - x.mean(), 256), "mean|sub"),
    "dropout that is always on": (Body(lambda n, x: F.dropout(x, 0.5), 256), "random|rand|dropout|bernoulli"),
    "instance norm": (Body(lambda n, x: n.norm(x), 256, norm=nn.InstanceNorm2d(4)), "at .*test_frontend"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_known_is_refused_by_name(name: str) -> None:
    model, match = REFUSED[name]
    with pytest.raises(UnsupportedModel, match=match) as caught:
        dn.from_torch(randomized(model, 0), images(1, (3, 8, 8), 0))
    assert "\n" not in str(caught.value)


def test_a_refusal_names_the_line_of_forward() -> None:
    class Named(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = torch.erf(x)  # refused here
            return torch.relu(x)

    with pytest.raises(
        UnsupportedModel, match=r"aten\.erf\.default at .*test_frontend\.py:\d+ `x = torch\.erf\(x\).*`: "
    ):
        dn.from_torch(Named(), images(1, (3, 8, 8), 0))


def test_control_flow_on_data_is_refused() -> None:
    class Branches(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(
        UnsupportedModel, match=r"Branches: torch\.export cannot trace it .* data-dependent control flow"
    ):
        dn.from_torch(Branches(), images(1, (3, 8, 8), 0))


def test_an_input_of_the_wrong_size_is_refused() -> None:
    with pytest.raises(UnsupportedModel, match=r"input of shape \(2, 1, 1\).*check the input's shape"):
        dn.from_torch(ResidualPoolNet(), images(1, (2, 1, 1), 0))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_numbers_are_refused_by_name(bad: float) -> None:
    model = Chain()
    with torch.no_grad():
        model.fc2.weight[0, 0] = bad
    with pytest.raises(OutOfRange, match=r"fc2\.weight: 1 of 40 weights are NaN or infinite"):
        dn.from_torch(model, images(1, (6,), 0))


def test_lava_can_be_imported_after_a_model_was_traced() -> None:
    """Lava sets multiprocessing's start method when it is imported; torch.fx would have tqdm, if installed,
    fix it before."""
    program = (
        "import multiprocessing, numpy, torch, dnisnm_lava as dn\n"
        "dn.from_torch(torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.ReLU(), torch.nn.Linear(2, "
        "2)), numpy.zeros(3, 'f'))\n"
        "print(multiprocessing.get_start_method(allow_none=True))\n"
        "multiprocessing.set_start_method('fork')\n"
    )
    child = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100)
    assert (child.returncode, child.stdout) == (0, "None\n"), child.stderr
