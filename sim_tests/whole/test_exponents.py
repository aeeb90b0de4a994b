"""Exponents of projections: no tensor's scale takes the bits of another beside it, on every way that integers
travel."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from graphs import Chain, images, randomized
from runs import assert_same
from torch import nn

import dnisnm_lava as dn
from dnisnm_lava.backends import batched, lava_cpu, reference
from dnisnm_lava.backends.batched.planning import paths, planned
from dnisnm_lava.backends.results import difference
from dnisnm_lava.ir import SNM, Projection, SpikingGraph, integers
from dnisnm_lava.stages import recipes
from dnisnm_lava.stages.networks import follow
from exporters import netx, torch_module

SHAPE = (2, 8, 8)
lava_needed = pytest.mark.skipif(importlib.util.find_spec("lava") is None, reason="lava-nc is not installed")


class Starved(nn.Module):
    """Two tensors whose weights into the same neurons are of very different size."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.a, self.b = (
            nn.Conv2d(2, 6, 3, padding=1),
            nn.Conv2d(6, 6, 3, padding=1),
            nn.Conv2d(12, 6, 3, padding=1),
        )
        self.image, self.fc = nn.Conv2d(2, 6, 1), nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.middle(x, torch.relu(self.first(x))).mean((2, 3)))


class Shortcut(Starved):
    def middle(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.relu(y + 0.02 * self.a(y))


class ShortcutOfALinearTensor(Starved):
    """Both are relays, as in an inverted residual."""

    def middle(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        z = self.a(y)
        return torch.relu(self.a(torch.relu(z + 0.02 * self.a(torch.relu(z)))))


class Concatenated(Starved):
    def middle(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.b(torch.cat([y, 0.01 * torch.relu(self.a(y))], 1)))


class Enlarged(Starved):
    def middle(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        small = torch.relu(self.a(F.max_pool2d(y, 2)))
        return torch.relu(self.a(y) + self.a(F.interpolate(small, scale_factor=2, mode="bicubic")))


class Pooled(Starved):
    def middle(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.relu(30 * self.a(y)[:, :, ::2, ::2] + F.avg_pool2d(y, 2))


class WithTheImage(Starved):
    def middle(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.a(y) + 0.01 * self.image(x))


KINDS = [Shortcut, ShortcutOfALinearTensor, Concatenated, Enlarged, Pooled, WithTheImage]


def made(
    kind: type[Starved], seed: int = 0, **dials: object
) -> tuple[dn.AnalogGraph, recipes.Networks, np.ndarray]:
    x = images(16, SHAPE, seed)
    analog = dn.from_torch(randomized(kind(), seed), x[0])
    recipe = replace(recipes.BEST, **{"steps": 3, **dials})  # type: ignore[arg-type]
    return analog, follow(recipe, analog, dn.calibrate(analog, x), x), x


def without_exponents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dnisnm_lava.stages.units.LARGEST_EXPONENT", 0)


def beside(graph: SpikingGraph) -> list[Projection]:
    """Projections that share their neurons with others."""
    return [q for p in (*graph.of(SNM), *graph.readouts) if len(p.projections) > 1 for q in p.projections]


@pytest.mark.parametrize("rounding", ["nearest", "compensated"])
@pytest.mark.parametrize("kind", KINDS)
def test_no_tensor_starves_another(
    kind: type[Starved], rounding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With exponents, the largest code of every projection has 5 bits beside its sign, or 4 where the state's
    range holds no more; without, that of one has fewer than 4."""
    _, networks, _ = made(kind, rounding=rounding)
    assert min(int(np.abs(q.weight).max()) for q in beside(networks.integer)) >= 16
    without_exponents(monkeypatch)
    starved = dn.quantize(networks.spiking, readings=networks.readings)
    assert all(q.exponent == 0 for q in beside(starved))
    assert min(int(np.abs(q.weight).max()) for q in beside(starved)) < 0.7 * min(
        int(np.abs(q.weight).max()) for q in beside(networks.integer)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_starved_tensors_currents_are_right(kind: type[Starved], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the float network's own spikes: the error of each projection's currents, by their spread. The worst
    is half at most of what it is without exponents."""
    _, networks, x = made(kind)
    spikes = batched.run(networks.spiking, x, record=True).spikes

    def errors(graph: SpikingGraph) -> list[float]:
        worth = {p.name: p.spike_unit for p in graph.of(SNM)} | {graph.input.name: graph.input.scale}
        found = []
        for p, before in zip(graph.of(SNM), networks.spiking.of(SNM), strict=True):
            for q, original in (
                zip(p.projections, before.projections, strict=True) if len(p.projections) > 1 else ()
            ):
                sent = spikes[q.source].reshape(-1, *graph[q.source].shape) if q.source in spikes else x
                floats = replace(q, weight=q.weight * 2.0**q.exponent, exponent=0)
                wanted = original(sent)
                got = floats(sent / worth[q.source.removesuffix(".pool")].reshape(-1, 1, 1)) * p.unit.reshape(
                    -1, 1, 1
                )
                found.append(float((got - wanted).std() / wanted.std()))
        return found

    with_them = errors(networks.integer)
    without_exponents(monkeypatch)
    without = errors(dn.quantize(networks.spiking, readings=networks.readings))
    assert max(with_them) < max(without) / 2
    assert max(with_them) < 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_every_way_of_integers_takes_them(kind: type[Starved], tmp_path: Path) -> None:
    """Reference, batched by bytes and by floats, compiled and stepped; the file; the torch module."""
    _, networks, x = made(kind)
    graph, x = networks.integer, x[:3]
    assert max(q.exponent for q in beside(graph)) > 0
    exact = reference.run(graph, x)
    for synapses in ("auto", "int8", "float64"):
        for neurons in ("compiled", "stepped"):
            assert_same(exact, batched.run(graph, x, record=True, synapses=synapses, neurons=neurons))
    netx.write(tmp_path / "net.net", graph)
    assert netx.read(tmp_path / "net.net") == graph
    np.testing.assert_array_equal(torch_module.module(graph)(torch.tensor(x)).numpy(), exact.logits)


def test_a_shortcut_with_an_exponent_is_read_in_the_neurons_pass() -> None:
    graph = made(Shortcut)[1].integer
    (p,) = [p for p in graph.of(SNM) if len(p.projections) == 2]
    identity = next(q for q in p.projections if q.weight[0].size == 1)
    assert identity.exponent > 2
    plan = planned(graph)[p.name]
    assert plan.shortcut is not None
    np.testing.assert_array_equal(
        plan.shortcut[1], identity.weight.ravel().astype(np.int64) * 2**identity.exponent
    )
    assert paths(planned(graph))["synapses"]["shortcut"] == 1


@lava_needed
@pytest.mark.parametrize("kind", [Shortcut, Enlarged])
def test_lava_takes_them(kind: type[Starved]) -> None:
    _, networks, x = made(kind)
    fast = batched.run(networks.integer, x[:2], record=True)
    assert (
        difference("batched", fast, "Lava", lava_cpu.run(networks.integer, x[:2], deadline=300)).different
        == 0
    )


def test_a_narrow_state_decides_before_exponents() -> None:
    """Where the range of v sets the unit, finer weights would be lost: exponents are small or none, and v
    still fits."""
    _, networks, _ = made(Shortcut)
    narrow = dn.quantize(networks.spiking, state_bits=10, readings=networks.readings)
    assert max(q.exponent for q in beside(narrow)) < max(q.exponent for q in beside(networks.integer))
    for p in narrow.of(SNM):
        assert p.v_range is not None
        assert (1.25 * p.v_range <= p.unit * 511 * (1 + 1e-12)).all()


def test_a_step_of_a_current_fits_what_lava_sums() -> None:
    for kind in KINDS:
        graph = made(kind)[1].integer
        sent = integers.largest_spikes(graph)
        assert all(
            sum(q.bound(sent[q.source]) for q in p.projections) < 1 << 31
            for p in (*graph.of(SNM), *graph.readouts)
        )


class PictureEnlarged(nn.Module):
    """Super-resolution: what convolutions add to the picture itself, enlarged."""

    def __init__(self, mode: str) -> None:
        super().__init__()
        self.mode, self.first, self.last = mode, nn.Conv2d(2, 6, 3, padding=1), nn.Conv2d(6, 8, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        large = F.interpolate(
            x, scale_factor=2, mode=self.mode, align_corners=None if self.mode == "nearest" else False
        )
        return F.pixel_shuffle(0.02 * self.last(torch.relu(self.first(x))), 2) + large


@pytest.mark.parametrize("recipe", ["best", "paper"])
@pytest.mark.parametrize("mode", ["bicubic", "bilinear", "nearest"])
def test_an_enlarged_picture_reaches_the_output(mode: str, recipe: str) -> None:
    """No projection's integers are all 0, and the output is right to a twenty-fifth of its spread."""
    x = images(16, SHAPE, 0)
    analog = dn.from_torch(randomized(PictureEnlarged(mode), 0), x[0])
    networks = follow(replace(recipes.RECIPES[recipe], steps=8), analog, dn.calibrate(analog, x), x)
    assert all(q.weight.any() for p in networks.integer.readouts for q in p.projections)
    wanted, got = analog.ann(x), batched.run(networks.integer, x).values(8)
    floats = batched.run(networks.spiking, x).values(8)
    assert (
        np.sqrt(np.mean((got - floats) ** 2)) < 0.04 * wanted.std()
    )  # eight steps of an image through 24 bits leave a bicubic matrix 5 bits


class MapEnlarged(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.interpolate(torch.relu(x), size=26, mode="bicubic")


@pytest.mark.parametrize("recipe", ["best", "paper"])
def test_an_enlargement_does_not_amplify(recipe: str) -> None:
    """Bright pictures of 13x13: the mean of the output is the ANN's, to half a percent."""
    x = np.random.default_rng(0).uniform(0.8, 1, (8, 1, 13, 13)).astype(np.float32)
    analog = dn.from_torch(MapEnlarged(), x[0])
    networks = follow(
        replace(recipes.RECIPES[recipe], steps=32, levels=4), analog, dn.calibrate(analog, x), x
    )
    assert batched.run(networks.integer, x).values(32).mean() == pytest.approx(
        analog.ann(x).mean(), rel=0.005
    )


def test_weights_that_all_become_0_are_told() -> None:
    """The image adds a millionth to what a state of 6 bits holds."""
    x = images(8, SHAPE, 0)
    model = randomized(WithTheImage(), 0)
    with torch.no_grad():
        model.image.weight *= 1e-4
    analog = dn.from_torch(model, x[0])
    spiking = dn.convert(analog, dn.calibrate(analog, x), steps=3)
    with pytest.warns(
        UserWarning,
        match=r"a: its weights from input are all 0 as integers, .* are lost; give the state more bits",
    ):
        dn.quantize(spiking, state_bits=6)


@pytest.mark.parametrize("recipe", ["best", "paper", "lead", "binary"])
@pytest.mark.parametrize("kind", [ShortcutOfALinearTensor, Enlarged])
def test_the_state_holds_what_every_recipe_makes(kind: type[Starved], recipe: str) -> None:
    """On calibration images nothing saturates, and the range told fits with its margin: also of fitted and
    compensated networks."""
    dials: dict[str, object] = {
        "best": {},
        "paper": {f: getattr(recipes.PAPER, f) for f in ("threshold", "correct", "levels", "rounding")},
        "lead": {"lead": 2, "levels": 2},
        "binary": {"spikes": "binary", "levels": 1, "granularity": "channel", "share": "channel"},
    }[recipe]
    _, networks, x = made(kind, steps=8, **dials)
    assert all(r.expected * 1.2 < r.limit for r in dn.state_ranges(networks.integer))
    assert sum(batched.run(networks.integer, x).saturations.values()) == 0


# ---------------------------------------------------------------- the dead, and what a threshold is worth


@pytest.mark.parametrize(
    "dials", [{}, {"levels": 4, "granularity": "neuron", "share": "neuron"}], ids=["channels", "neurons"]
)
def test_weights_that_read_a_dead_channel_decide_no_unit(dials: dict[str, object]) -> None:
    """A channel that never sends is read with weights a thousand times the others': they become 0, and the
    others keep their bits."""

    def codes(dead: float) -> np.ndarray:
        model = randomized(Chain(), 2)
        with torch.no_grad():
            model.fc1.bias[3] = -1e4
            model.fc2.weight[:, 3] = dead
        x = images(24, (6,), 2)
        analog = dn.from_torch(model, x[0])
        graph = follow(replace(recipes.BEST, **dials), analog, dn.calibrate(analog, x), x).integer  # type: ignore[arg-type]
        return graph.of(SNM)[1].projections[0].weight

    loud, silent = codes(1e3), codes(0.0)
    np.testing.assert_array_equal(loud, silent)
    assert (loud[:, 3] == 0).all()
    assert np.abs(loud).max() >= 100


def test_a_spike_is_worth_what_is_subtracted_for_it_where_thresholds_are_shared() -> None:
    """Or as many times that as `fit` found, to the last bit. And a threshold is 64 units at least, so that
    initial potentials and biases round to a small part of it."""
    for kind in KINDS:
        _, networks, _ = made(kind)
        for p in networks.integer.of(SNM):
            thresholds, payloads = (a.reshape(p.shape[0], -1).max(axis=1) for a in (p.vth, p.payload))
            of_float = networks.spiking[p.name]
            assert isinstance(of_float, SNM)
            worth = (of_float.payload / np.where(of_float.vth > 0, of_float.vth, 1)).reshape(p.shape[0], -1)
            np.testing.assert_allclose(
                thresholds * p.unit * worth.max(axis=1), payloads * p.spike_unit, rtol=1e-12
            )  # both products of a few float64
            assert thresholds[thresholds > 0].min() >= 64
