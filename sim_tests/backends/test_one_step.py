"""One step of graded spikes: bytes of levels, weights in two digits, and what falls back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from graphs import ResidualPoolNet
from runs import assert_same
from torch import nn

import dnisnm_lava as dn
from dnisnm_lava.backends import batched, reference
from dnisnm_lava.backends.batched import onednn, planning
from dnisnm_lava.ir import SNM


class Wide(nn.Module):
    """Residual blocks of 32 channels, of which a shortcut is a byte, a pool, groups, and a dense layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 32, 3, padding=1), nn.Conv2d(32, 32, 3, padding=1)
        self.third, self.fourth = nn.Conv2d(32, 32, 3, padding=1, groups=2), nn.Conv2d(32, 8, 1, stride=2)
        self.dense = nn.Linear(8 * 4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.first(x))
        x = torch.relu(x + self.second(x))
        x = torch.max_pool2d(torch.relu(self.third(x)), 2)
        return self.dense(torch.relu(self.fourth(x)).flatten(1))


@pytest.mark.parametrize("levels", [15, 31, 300])
@pytest.mark.parametrize("granularity", ["channel", "neuron"])
@pytest.mark.parametrize("kind", [Wide, ResidualPoolNet])
def test_one_step_equals_the_reference(kind: type[nn.Module], granularity: str, levels: int) -> None:
    torch.manual_seed(0)
    x = np.random.default_rng(0).normal(size=(3, 3 if kind is Wide else 2, 8, 8)).astype(np.float32)
    graph = _graph(kind(), x, levels, granularity)
    expected = reference.run(graph, x)
    for neurons in ("compiled", "stepped"):
        assert_same(expected, batched.run(graph, x, record=True, neurons=neurons))
    for way in ("int8", "float64"):
        assert_same(expected, batched.run(graph, x, record=True, synapses=way))
    assert_same(reference.run(graph, x, steps=3), batched.run(graph, x, steps=3, record=True))


def test_levels_are_bytes_where_pixels_share_payloads() -> None:
    x = np.random.default_rng(0).normal(size=(3, 3, 8, 8)).astype(np.float32)
    graph = _graph(Wide(), x, 15, "channel")
    plan = planning.planned(graph)
    codes = [plan[p.name].code for p in graph.of(SNM)]
    assert all(code.dtype is torch.uint8 and code.offset == 0 for code in codes)
    assert any(code.units is not None for code in codes)
    if onednn.int8_is_exact():
        assert set(planning.paths(plan)["synapses"]) == {"int8", "shortcut"}
    later = planning.planned(graph, steps=2)  # then a spike may be taken back
    assert all(later[p.name].code.units is None for p in graph.of(SNM))


def _graph(model: nn.Module, x: np.ndarray, levels: int, granularity: str) -> dn.SpikingGraph:
    analog = dn.from_torch(model.eval(), x[0])
    stats = dn.calibrate(analog, [x])
    spiking = dn.convert(analog, stats, steps=1, levels=levels, granularity=granularity, down=0.0)
    return dn.quantize(spiking)
