"""Small networks that show one thing each, and Hypothesis strategies for graphs."""

from __future__ import annotations

import inspect
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from hypothesis import strategies as st
from torch import nn

import dnisnm_lava as dn
from dnisnm_lava.ir import (
    SNM,
    AnalogGraph,
    Curve,
    Gate,
    Input,
    MaxPool,
    Population,
    Projection,
    ReadOut,
    Rectifier,
    Resample,
    SpikingGraph,
)
from dnisnm_lava.ir.arithmetic import NO_PADDING, Window
from dnisnm_lava.ir.curves import MULTIPLIER
from dnisnm_lava.ir.fixedpoint import STATE


class ResidualPoolNet(nn.Module):
    """Every kind of population and projection: residual, max-pool, average pool, groups, batch norm,
    biases."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(2, 4, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(4)
        self.conv2 = nn.Conv2d(4, 4, 3, padding=1, groups=2, bias=False)
        self.bn2 = nn.BatchNorm2d(4)
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.conv3 = nn.Conv2d(4, 6, 2, stride=2, padding=1)
        self.avg = nn.AvgPool2d(2)
        self.fc = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.bn1(self.conv1(x)))
        x = torch.relu(x + self.bn2(self.conv2(x)))
        x = self.pool(x)
        x = torch.relu(self.conv3(x))
        return self.fc(self.avg(x).flatten(1))


class Chain(nn.Module):
    """Dense, convolution-free: weights are not shared, so (18) is exact per neuron."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(6, 8), nn.Linear(8, 5), nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc3(torch.relu(self.fc2(torch.relu(self.fc1(x)))))


class CurvedNet(nn.Module):
    """A leaky rectifier whose slope is each channel's own, a max-pool, and SiLU."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.leaky, self.pool = nn.Conv2d(2, 4, 3, padding=1), nn.PReLU(4), nn.MaxPool2d(2, 1)
        self.conv2, self.silu, self.fc = nn.Conv2d(4, 3, 2, stride=2), nn.SiLU(), nn.Linear(12, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(self.leaky(self.conv1(x)))
        return self.fc(self.silu(self.conv2(x)).flatten(1))


class GatedNet(nn.Module):
    """Squeeze and excitation: a map times a sigmoid of what its mean says, one number a channel."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.down, self.up = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 2, 1), nn.Conv2d(2, 4, 1)
        self.mean, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(144, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.silu(self.conv(x))
        gate = torch.sigmoid(self.up(torch.relu(self.down(self.mean(x)))))
        return self.fc((x * gate).flatten(1))


def randomized(model: nn.Module, seed: int) -> nn.Module:
    """The model in eval mode with seeded weights and batch-norm statistics that matter."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.endswith("running_var"):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
            elif tensor.is_floating_point():
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.5)
    return model.eval()


def images(count: int, shape: tuple[int, ...], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, *shape)).astype(np.float32)


def to_onnx(model: nn.Module, x: torch.Tensor, path: Path, **options: object) -> None:
    """Through the exporter that needs no further package, as newer torch's does."""
    kind = {"dynamo": False} if "dynamo" in inspect.signature(torch.onnx.export).parameters else {}
    torch.onnx.export(model, (x,), str(path), **kind, **options)


def small(
    model: nn.Module | None = None,
    shape: tuple[int, ...] = (2, 6, 6),
    *,
    seed: int = 0,
    steps: int = 6,
    quantize: bool = True,
    **options: object,
) -> tuple[SpikingGraph, np.ndarray]:
    """A converted (and quantized) network, and the images that it was calibrated on."""
    model = randomized(ResidualPoolNet() if model is None else model, seed)
    x = images(24, shape, seed)
    analog = dn.from_torch(model, x[0])
    spiking = dn.convert(analog, dn.calibrate(analog, [x]), steps=steps, **options)  # type: ignore[arg-type]
    return (dn.quantize(spiking) if quantize else spiking), x


def curved(**options: object) -> tuple[SpikingGraph, np.ndarray]:
    """`small` of CurvedNet: a population with a curve of one knot, four slopes and no error, and one with a
    curve that approximates."""
    return small(CurvedNet(), (2, 6, 6), **options)  # type: ignore[arg-type]


def gated(**options: object) -> tuple[SpikingGraph, np.ndarray]:
    """`small` of GatedNet: a gate of one number a channel, three populations behind its map."""
    return small(GatedNet(), (2, 6, 6), **options)  # type: ignore[arg-type]


# ---------------------------------------------------------------- hand-made integer graphs


def snm(
    name: str,
    shape: tuple[int, ...],
    projections: tuple[Projection, ...],
    rng: np.random.Generator,
    *,
    levels: int = 1,
    lead: int = 0,
    two_sided: bool = False,
    down: float = 1.0,
    shared: bool = False,
) -> SNM:
    """Integer neurons with small thresholds, so that they fire often, up and down; some are dead. shared:
    within each channel."""
    vth = rng.integers(1, 60, shape).astype(np.int32) * (rng.random(shape) > 0.1)
    vth = vth.astype(np.int32)
    payload = (rng.integers(1, 32, shape) * (vth > 0)).astype(np.int32)
    if shared:
        vth, payload = (a[(slice(None), *(slice(1),) * (len(shape) - 1))] for a in (vth, payload))
    ones = np.ones(shape[0])
    bias = rng.integers(-5, 6, (shape[0], *(1,) * (len(shape) - 1))).astype(np.int32)
    return SNM(
        name,
        shape,
        projections,
        bias=bias,
        vth=vth,
        payload=payload,
        v_init=vth >> 1,
        unit=ones,
        spike_unit=ones,
        v_range=ones,
        levels=levels,
        lead=lead,
        two_sided=two_sided,
        down=down,
    )


def loud(exponent: int) -> SpikingGraph:
    """Currents that leave 24 bits within the window, upwards and downwards."""
    rng = np.random.default_rng(0)
    into_a = Projection("input", weights(rng, 4, 3), exponent=exponent)
    into_out = Projection("a", weights(rng, 2, 4), exponent=exponent)
    a = snm("a", (4,), (into_a,), rng, levels=4)
    return SpikingGraph(
        (Input("input", (3,), np.ones(3), 8), a, readout("out", (2,), (into_out,), rng)), steps=6
    )


def curved_snm(
    name: str,
    shape: tuple[int, ...],
    projections: tuple[Projection, ...],
    rng: np.random.Generator,
    *,
    knots: int = 2,
    own: bool = True,
    shift: int = 12,
    levels: int = 1,
    lead: int = 0,
    two_sided: bool = False,
) -> SNM:
    """Integer neurons with a curve of lines that need not meet, of which a level is 2**shift; some are dead.
    own: a curve for each channel, else one for all."""
    p = snm(name, shape, projections, rng, levels=levels, lead=lead, two_sided=two_sided, down=0.0)
    rows, steep = shape[0] if own else 1, min(MULTIPLIER, max(2, (1 << shift) // 400))
    curve = Curve(
        "drawn",
        np.sort(rng.integers(-3000, 3001, (rows, knots)), axis=1),
        rng.integers(-steep, steep + 1, (rows, knots + 1)),
        rng.integers(-3, 4, (rows, knots + 1)) << shift,
        low=np.full(shape[0], -3000.0),
        high=np.full(shape[0], 3000.0),
        error=np.full(shape[0], 0.25),
        worst=np.full(shape[0], -7.5),
        tolerance=0.5,
    )
    alive = (p.vth > 0).astype(np.int32)
    return replace(p, vth=alive << shift, payload=alive, v_init=np.zeros_like(alive), curve=curve)


def gate_of(
    name: str,
    shape: tuple[int, ...],
    sources: tuple[str, str],
    rng: np.random.Generator,
    *,
    shift: int = 12,
    levels: int = 1,
    two_sided: bool = False,
) -> Gate:
    """An integer gate, of which a level is 2**shift; one of its channels is dead."""
    alive = np.ones((shape[0], *(1,) * (len(shape) - 1)), np.int32)
    alive[-1] = 0
    gain = rng.integers(1, max(3, (1 << shift) // 300), shape[0])
    unit = np.full(shape[0], 0.5)
    return Gate(
        name,
        shape,
        *sources,
        vth=alive << shift,
        payload=alive,
        gain=gain,
        spike_unit=unit,
        levels=levels,
        two_sided=two_sided,
    )


def readout(
    name: str, shape: tuple[int, ...], projections: tuple[Projection, ...], rng: np.random.Generator
) -> ReadOut:
    return ReadOut(
        name,
        shape,
        projections,
        bias=rng.integers(-5, 6, shape).astype(np.int32),
        unit=np.ones(shape[0]),
        v_range=np.ones(shape[0]),
    )


def weights(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.integers(-9, 10, shape).astype(np.int8)


@st.composite
def integer_graphs(draw: st.DrawFn) -> SpikingGraph:
    """Maps, an optional max-pool, an optional early shortcut, an optional sum-pool, then a read-out."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = draw(st.integers(4, 6))
    levels, lead = draw(st.sampled_from([1, 2, 4])), draw(st.sampled_from([0, 1, 3]))
    kernel, dilation = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    pad = (
        (draw(st.integers(0, 2)), draw(st.integers(0, 2))),
        (draw(st.integers(0, 2)), draw(st.integers(0, 2))),
    )
    populations: list[Population] = [Input("input", (2, size, size), np.ones(2), 8)]
    first = Projection(
        "input", weights(rng, 4, 2, 3, 3), padding=((1, 1), (1, 1)), exponent=draw(st.integers(0, 2))
    )
    downs = st.sampled_from([1.0, 1.0, 0.0, 0.25, 0.6])
    dials = {"two_sided": draw(st.booleans()), "down": draw(downs), "shared": draw(st.booleans())}
    populations.append(snm("a", (4, size, size), (first,), rng, levels=levels, **dials))
    second = Projection("a", weights(rng, 4, 2, kernel, kernel), (1, 1), pad, (dilation, dilation), groups=2)
    shape = second.output_shape((4, size, size))
    if min(shape) < 1:
        second, shape = replace_padding(second), (4, size, size)
    into_b = [second]
    if shape == (4, size, size) and draw(st.booleans()):
        into_b.append(Projection("a", np.ones((4, 1, 1, 1), np.int8) * 3, groups=4))
        into_b.append(Projection("input", weights(rng, 4, 2, 1, 1)))
    if draw(st.booleans()):
        into_b.append(irregular("a", 4, (size, size), shape, rng))
    if draw(st.booleans()):
        into_b.append(
            Projection("input", weights(rng, int(np.prod(shape)), 2 * size * size), target_shape=shape)
        )
    populations.append(snm("b", shape, tuple(into_b), rng, levels=1, lead=lead, down=draw(downs)))
    last, pool = "b", None
    if draw(st.booleans()):
        window = Window((2, 3), (2, 1), ((1, 1), (1, 1)))
        populations.append(MaxPool("pool", (4, *window.output_size((shape[1], shape[2]))), "b", window))
        last = "pool"
    elif min(shape[1:]) >= 2:
        pool = Window((2, 2), (1, 1), NO_PADDING)
    features = populations[-1].shape if pool is None else (4, *pool.output_size((shape[1], shape[2])))
    dense = Projection(last, weights(rng, 3, int(np.prod(features))), sum_pool=pool)
    populations.append(readout("out", (3,), (dense,), rng))
    if draw(st.booleans()):
        populations.append(readout("map", (3, *shape[1:]), (Projection("b", weights(rng, 3, 4, 1, 1)),), rng))
    return SpikingGraph(tuple(populations), steps=draw(st.integers(1, 7)))


@st.composite
def curved_graphs(draw: st.DrawFn) -> SpikingGraph:
    """Two populations with curves of any kind, the second with a shortcut from the image, and a read-out."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = st.fixed_dictionaries(
        {
            "knots": st.integers(0, 3),
            "own": st.booleans(),
            "shift": st.sampled_from([0, 3, 12, 20, 30]),
            "levels": st.sampled_from([1, 3, 15]),
            "lead": st.sampled_from([0, 1, 3]),
            "two_sided": st.booleans(),
        }
    )
    first = Projection("input", weights(rng, 3, 2, 3, 3), padding=((1, 1), (1, 1)))
    a = curved_snm("a", (3, 3, 4), (first,), rng, **draw(kind))
    second = (
        Projection("a", weights(rng, 2, 3, 2, 2), exponent=draw(st.integers(0, 6))),
        Projection("input", weights(rng, 2, 2, 2, 2)),
    )
    b = curved_snm("b", (2, 2, 3), second, rng, **draw(kind))
    out = readout("out", (3,), (Projection("b", weights(rng, 3, 12)),), rng)
    return SpikingGraph((Input("input", (2, 3, 4), np.ones(2), 8), a, b, out), steps=draw(st.integers(1, 5)))


@st.composite
def gated_graphs(draw: st.DrawFn) -> SpikingGraph:
    """A map, a gate of one neuron a channel that comes later or earlier than the map, and a gate of that
    product and of the map."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    leads, levels = st.sampled_from([0, 1, 3]), st.sampled_from([1, 3, 15])
    kind = st.fixed_dictionaries(
        {"shift": st.sampled_from([0, 3, 12, 30]), "levels": levels, "two_sided": st.booleans()}
    )
    both = {"levels": draw(levels), "two_sided": draw(st.booleans())}
    a = snm("a", (3, 2, 3), (Projection("input", weights(rng, 3, 2, 2, 2)),), rng, lead=draw(leads), **both)
    heard = draw(st.sampled_from(["input", "a"]))
    whole = Projection("input", weights(rng, 3, 2, 3, 4)) if heard == "input" else None
    into = Projection("a", weights(rng, 3, 3, 2, 3), exponent=2) if whole is None else whole
    b = curved_snm("b", (3, 1, 1), (into,), rng, lead=draw(leads), levels=draw(levels))
    first = gate_of("first", (3, 2, 3), ("a", "b"), rng, **draw(kind))
    second = gate_of("second", (3, 2, 3), ("first", "a"), rng, **draw(kind))
    last = (Projection("second", weights(rng, 3, 18)), Projection("first", weights(rng, 3, 18)))
    populations = (Input("input", (2, 3, 4), np.ones(2), 8), a, b, first, second)
    return SpikingGraph((*populations, readout("out", (3,), last, rng)), steps=draw(st.integers(1, 5)))


EDGES = (0, 1, 2, 3, 60, 4_999_999, STATE.limit - 1, STATE.limit)
BEYOND = (STATE.limit + 1, 2**31 - 1)


def edged(
    exponent: int, edges: tuple[int, ...], *, levels: int, two_sided: bool, down: float
) -> tuple[SpikingGraph, np.ndarray]:
    """Neurons with the thresholds `edges`, among currents that reach far beyond the state, and images. `late`
    fires now and then, so that currents change."""
    rng = np.random.default_rng(exponent)
    vth = np.array(edges * 3, np.int32)
    late = replace(
        snm("late", (8,), (Projection("input", weights(rng, 8, 4)),), rng),
        vth=rng.integers(500, 4000, 8).astype(np.int32),
    )
    into = (
        Projection("input", weights(rng, len(vth), 4), exponent=exponent),
        Projection("late", weights(rng, len(vth), 8), exponent=exponent + 1),
    )
    a = snm("a", vth.shape, into, rng, levels=levels, two_sided=two_sided, down=down)
    a = replace(a, vth=vth, payload=(vth > 0).astype(np.int32), v_init=np.minimum(vth >> 1, STATE.limit))
    out = readout("out", (2,), (Projection("a", weights(rng, 2, len(vth))),), rng)
    graph = SpikingGraph(
        (Input("input", (4,), np.ones(4), 8), replace(late, payload=late.payload * 0 + 31), a, out), steps=16
    )
    return graph, rng.integers(-127, 128, (6, 4)).astype(float)


def irregular(
    source: str, channels: int, size: tuple[int, int], shape: tuple[int, ...], rng: np.random.Generator
) -> Projection:
    """Some channels of the source in a new order, resampled, into some channels of a population of
    `shape`."""
    rows, cols = (rng.integers(-2, 3, (n, m)).astype(np.int8) for n, m in zip(shape[1:], size, strict=True))
    read, driven = (
        rng.permutation(channels)[:3].astype(np.int32),
        rng.permutation(shape[0])[:2].astype(np.int32),
    )
    return Projection(
        source,
        weights(rng, 2, 3, 1, 1),
        resample=Resample(rows, cols),
        source_channels=read,
        target_channels=driven,
        targets=shape[0],
    )


def replace_padding(projection: Projection) -> Projection:
    """The same projection with a 1x1 kernel: keeps the map's size."""
    return Projection(projection.source, projection.weight[:, :, :1, :1], groups=projection.groups)


def analog_chain(weight: np.ndarray, bias: np.ndarray) -> AnalogGraph:
    """Input, one rectifier, read-out: identity weights behind it."""
    n = len(bias)
    return AnalogGraph(
        (
            Input("input", (weight.shape[1],)),
            Rectifier("hidden", (n,), (Projection("input", weight),), bias),
            ReadOut("out", (n,), (Projection("hidden", np.eye(n)),), bias=np.zeros(n)),
        )
    )


# the file of a user: 250 images, and a network
IMAGES_AND_NETWORK = """
import torch

class Images:
    def __len__(self):
        return 250
    def __getitem__(self, i):
        return torch.randn(2, 6, 6, generator=torch.Generator().manual_seed(i)), i % 3

def data():
    return Images()

def net():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv2d(2, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(64, 3))
"""
