"""Every function and both kinds of gates in one network: every executor sends the same spikes."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from graphs import images
from runs import assert_same
from torch import nn

import dnisnm_lava as dn
from dnisnm_lava.backends import batched, events, lava_cpu, reference
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir import SNM, Activation, AnalogGraph, SpikingGraph
from exporters import netx, torch_module

lava_needed = pytest.mark.skipif(importlib.util.find_spec("lava") is None, reason="lava-nc is not installed")
FUNCTIONS = {
    "leaky": (nn.LeakyReLU(0.2), True),
    "prelu": (nn.PReLU(2), True),
    "rrelu": (nn.RReLU(), True),
    "softshrink": (nn.Softshrink(0.2), True),
    "hardshrink": (nn.Hardshrink(0.2), True),
    "silu": (nn.SiLU(), False),
    "gelu": (nn.GELU(), False),
    "gelu_tanh": (nn.GELU(approximate="tanh"), False),
    "hardswish": (nn.Hardswish(), False),
    "sigmoid": (nn.Sigmoid(), False),
    "tanh": (nn.Tanh(), False),
    "softplus": (nn.Softplus(2.0), False),
    "elu": (nn.ELU(0.7), False),
    "selu": (nn.SELU(), False),
    "celu": (nn.CELU(0.5), False),
    "mish": (nn.Mish(), False),
    "log_sigmoid": (nn.LogSigmoid(), False),
}


class Functions(nn.Module):
    """Two channels of each function side by side, times a gate of each channel, and squared."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleDict({name: nn.Conv2d(2, 2, 2) for name in FUNCTIONS})
        self.functions = nn.ModuleDict({name: module for name, (module, _) in FUNCTIONS.items()})
        self.gate = nn.Conv2d(2 * len(FUNCTIONS), 2 * len(FUNCTIONS), 1)
        self.fc = nn.Linear(2 * len(FUNCTIONS), 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        each = [self.functions[name](conv(x)) for name, conv in self.convs.items()]
        y = torch.cat(each, dim=1)
        y = y * torch.sigmoid(self.gate(y.mean((2, 3), keepdim=True)))
        return self.fc((y + y * y).mean((2, 3)))


@cache
def analog() -> tuple[nn.Module, np.ndarray, AnalogGraph]:
    torch.manual_seed(5)
    model, x = Functions().eval(), images(24, (2, 4, 4), 6)
    return model, x, dn.from_torch(model, x[0])


@cache
def made() -> tuple[SpikingGraph, SpikingGraph, np.ndarray]:
    """The float SNN and its integers by the default recipe at three steps."""
    _, x, graph = analog()
    nets = dn.build(analog()[0], x, dn.Recipe(steps=3, levels=7))
    assert nets.analog == graph
    return nets.spiking, nets.integer, x


def test_the_graph_is_the_model_with_one_population_a_function() -> None:
    model, x, graph = analog()
    assert len(graph.of(Activation)) == len(FUNCTIONS) + 1
    expected = model.double()(torch.from_numpy(x).double()).detach().numpy()
    model.float()
    # Sums of 34 products below 10, whose square's slope is below 20, in float64: 34 * 10 * 20 * 2**-53
    np.testing.assert_allclose(graph.ann(x), expected, rtol=0, atol=2**-40)


def test_what_is_exact_has_no_error_and_what_is_near_no_more_than_asked_for() -> None:
    spiking, _, _ = made()
    for name, (_, exact) in FUNCTIONS.items():
        p = spiking[f"convs.{name}"]
        assert isinstance(p, SNM) and p.curve is not None  # noqa: PT018
        assert p.curve.is_exact == exact
        level = np.where(p.vth > 0, p.vth, np.inf).reshape(2, -1).min(axis=1) / 3
        assert (p.curve.error <= p.curve.tolerance * level * (1 + 1e-12)).all()


def test_the_float_network_comes_near_the_model() -> None:
    """24 steps of 31 levels in place of 3 of 7: what is left is the rounding of levels, 2 % at most."""
    model, x, _ = analog()
    nets = dn.build(model, x, dn.Recipe(steps=24, levels=31, function_error=0.25))
    expected = nets.analog.ann(x)
    run = reference.run(nets.spiking, x[:8])
    assert np.abs(run.logits[:, -1] / 24 - expected[:8]).max() < 0.02 * np.abs(expected).max()
    whole = batched.run(nets.integer, x)
    assert np.abs(whole.values(24) - expected).max() < 0.03 * np.abs(expected).max()


def test_every_executor_sends_the_same_spikes(tmp_path: Path) -> None:
    _, integer, x = made()
    expected = reference.run(integer, x)
    assert sum(expected.saturations.values()) == 0
    for neurons in ("compiled", "stepped"):
        assert_same(batched.run(integer, x, record=True, neurons=neurons), expected)
    assert np.array_equal(torch_module.module(integer)(torch.from_numpy(x)).numpy(), expected.logits)
    file = netx.write(tmp_path / "network.net", integer)
    assert netx.read(file) == integer
    assert netx.read(file).digest() == integer.digest()


@lava_needed
def test_lava_sends_them_too() -> None:
    _, integer, x = made()
    assert_same(lava_cpu.run(integer, x[:2]), reference.run(integer, x[:2]))


def test_a_stream_of_them_says_what_each_frame_alone_says() -> None:
    _, integer, x = made()
    stream = dn.streaming(integer, steps=1)
    going, _ = events.follow(stream, x[:6])
    alone = [reference.run(dn.streaming(integer, steps=1), x[i : i + 1]).logits[0, -1] for i in range(6)]
    assert np.array_equal(going.logits[:, -1], np.array(alone))
    assert_same(going, reference.run(stream, x[:6]))


def test_more_steps_than_its_integers_are_exact_for_are_refused() -> None:
    _, integer, x = made()
    with pytest.raises(OutOfRange, match=r": 1000000000 steps given.*made for 3 steps"):
        batched.run(integer, x[:1], steps=10**9)
