"""Extreme numbers: one sentence or the right answer; and a state that saturates on purpose, in every executor
alike."""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from graphs import Chain, ResidualPoolNet, images, randomized, readout, snm, weights
from oracle import LARGEST, Neuron

import dnisnm_lava as dn
from dnisnm_lava.backends import batched, lava_cpu, reference
from dnisnm_lava.backends.results import Run, difference
from dnisnm_lava.errors import DnisnmError
from dnisnm_lava.ir import SNM, Input, Projection, SpikingGraph
from dnisnm_lava.stages import recipes
from dnisnm_lava.stages.networks import follow
from exporters import torch_module

STEPS = 6
Change = Callable[[Any], object]  # of a model
lava_needed = pytest.mark.skipif(importlib.util.find_spec("lava") is None, reason="lava-nc is not installed")


def changed(change: Change, model: torch.nn.Module | None = None) -> torch.nn.Module:
    model = randomized(ResidualPoolNet() if model is None else model, 0)
    with torch.no_grad():
        change(model)
    return model


def road(model: torch.nn.Module, x: np.ndarray, **options: Any) -> tuple[SpikingGraph, SpikingGraph]:
    analog = dn.from_torch(model, x[0])
    spiking = dn.convert(analog, dn.calibrate(analog, [x]), steps=STEPS, **options)
    return spiking, dn.quantize(spiking)


def assert_equal(a: Run, b: Run) -> None:
    rows = difference("a", a, "b", b)
    assert rows.different == 0, rows.first
    assert a.saturations == b.saturations


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    return images(24, (2, 6, 6), 0)


# ---------------------------------------------------------------- what is refused

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("value", [NAN, INF, -INF])
@pytest.mark.parametrize(
    "name", ["conv3.weight", "conv1.bias", "fc.bias", "bn1.weight", "bn2.running_mean", "bn1.running_var"]
)
def test_no_number_among_the_weights_is_told_by_name(x: np.ndarray, name: str, value: float) -> None:
    model = changed(lambda m: m.state_dict()[name].view(-1)[:1].fill_(value))
    with pytest.raises(
        DnisnmError, match=rf"{name}: 1 of \d+ weights are NaN or infinite; load sound weights"
    ):
        dn.from_torch(model, x[0])


def test_a_negative_variance_is_told(x: np.ndarray) -> None:
    with pytest.raises(
        DnisnmError, match=r"layer bn1\): its running variance is negative; load sound weights"
    ):
        dn.from_torch(changed(lambda m: m.bn1.running_var[0].fill_(-0.5)), x[0])


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_no_number_in_an_image_is_told_by_every_stage(x: np.ndarray, value: float) -> None:
    model = changed(lambda m: None)
    analog, (_, integer) = dn.from_torch(model, x[0]), road(model, x)
    broken = x.copy()
    broken[3, 1, 2, 2] = value
    for stage in (
        lambda: dn.calibrate(analog, [broken]),
        lambda: reference.run(integer, broken),
        lambda: batched.run(integer, broken),
    ):
        with pytest.raises(
            DnisnmError, match=r"images: 1 of 1728 values are NaN or infinite; clean the data first"
        ):
            stage()


@pytest.mark.parametrize(
    ("change", "scale", "match"),
    [
        (
            lambda m: m.conv3.weight[0].fill_(3e38),
            1.0,
            "conv3: 4 of 24 neurons overflow on the calibration images",
        ),
        (lambda m: m.bn1.weight[0].fill_(3e38), 1.0, "conv1: 36 of 144 neurons overflow"),
        (
            lambda m: None,
            1e300,
            "conv1: 144 of 144 neurons overflow on the calibration images; scale these, or the weights, down",
        ),
    ],
)
def test_what_overflows_in_the_ann_is_told(x: np.ndarray, change: Change, scale: float, match: str) -> None:
    with pytest.raises(DnisnmError, match=match):
        road(changed(change), x.astype(np.float64) * scale)


def test_what_overflows_in_fit_is_told_and_the_paper_s_way_takes_it(x: np.ndarray) -> None:
    """Its squares do not fit float32, in which fit works."""
    model = changed(lambda m: m.conv3.weight[0].fill_(1e30))
    analog = dn.from_torch(model, x[0])
    stats = dn.calibrate(analog, [x])
    with pytest.raises(
        DnisnmError,
        match=r"conv3: values up to \S+e\+3\d, whose squares fit's float32 does not hold beyond 1e\+15; "
        r"scale",
    ):
        follow(recipes.BEST, analog, stats, [x], lambda _: None)
    run = reference.run(road(model, x)[1], x)
    meant = copy.deepcopy(model).double()(torch.as_tensor(x).double()).argmax(1).numpy()
    assert run.accuracy(meant, STEPS) > 0.7  # of three classes


# ---------------------------------------------------------------- what has a right answer


def nothing(m: Any) -> None:
    pass


def tiny(value: float) -> Change:
    """Rows of weights, a bias and a whole batch norm's scale."""

    def change(m: Any) -> None:
        m.conv3.weight[0].fill_(value)
        m.conv3.bias[:2].fill_(value)
        m.bn2.weight[1].fill_(value)
        m.fc.bias[0].fill_(value)

    return change


@pytest.mark.parametrize("value", [1e-45, 1e-42, 1e-30, -1e-42])
def test_denormals_are_as_good_as_zeros(x: np.ndarray, value: float) -> None:
    """The same spikes as with zeros, wherever a neuron is not all of them."""
    _, tiny_ones = road(changed(tiny(value)), x)
    _, zeros = road(changed(tiny(0.0)), x)
    a, b = reference.run(tiny_ones, x[:4]), reference.run(zeros, x[:4])
    np.testing.assert_array_equal(a.logits, b.logits)
    assert_equal(a, batched.run(tiny_ones, x[:4], record=True))


@pytest.mark.parametrize("scale", [1e-42, 1e-310, 5e-324, 0.0])
@pytest.mark.parametrize("recipe", ["paper", "best"])
def test_images_that_are_nearly_nothing_are_as_good_as_nothing(
    x: np.ndarray, scale: float, recipe: str
) -> None:
    """What the network says of no image; the least float of all included."""
    model, faint = changed(nothing), x.astype(np.float64) * scale
    analog = dn.from_torch(model, x[0])
    made = follow(
        recipes.named(recipe), analog, dn.calibrate(analog, [faint]), [faint], lambda _: None
    ).integer
    run = reference.run(made, faint[:3])
    assert_equal(run, batched.run(made, faint[:3], record=True))
    said = run.logits[:, -1] * made.readout.unit[0] / made.steps
    meant = copy.deepcopy(model).double()(torch.zeros(1, *x.shape[1:]).double()).detach().numpy()
    np.testing.assert_allclose(
        said, np.broadcast_to(meant, said.shape), atol=0.1
    )  # spikes of some steps; logits are of size 1


@pytest.mark.parametrize("variance", [0.0, 1e-42, -1e-6])
def test_a_variance_of_nothing_leaves_its_epsilon(x: np.ndarray, variance: float) -> None:
    """As torch divides: by sqrt(variance + eps), eps = 1e-5."""
    model = changed(lambda m: m.bn1.running_var[0].fill_(variance))
    double = copy.deepcopy(model).double()
    np.testing.assert_allclose(
        dn.from_torch(model, x[0]).ann(x), double(torch.as_tensor(x).double()).detach().numpy(), rtol=1e-5
    )
    _, integer = road(model, x)
    assert_equal(reference.run(integer, x[:4]), batched.run(integer, x[:4], record=True))


@pytest.mark.parametrize("recipe", ["paper", "best"])
@pytest.mark.parametrize(
    ("change", "silent"),
    [
        (lambda m: (m.conv3.weight.zero_(), m.conv3.bias.zero_()), ["conv3"]),
        (lambda m: [p.zero_() for p in m.parameters()], ["conv1", "conv2", "conv3"]),
        (
            lambda m: (
                m.conv1.weight.zero_(),
                m.conv1.bias.zero_(),
                m.bn1.bias.zero_(),
                m.bn1.running_mean.zero_(),
            ),
            ["conv1"],
        ),
    ],
)
def test_layers_of_zeros_are_silent(x: np.ndarray, change: Change, silent: list[str], recipe: str) -> None:
    model = changed(change)
    analog = dn.from_torch(model, x[0])
    made = follow(recipes.named(recipe), analog, dn.calibrate(analog, [x]), [x], lambda _: None).integer
    run = reference.run(made, x[:4])
    assert_equal(run, batched.run(made, x[:4], record=True))
    for name in silent:
        assert run.spike_counts[name] == (0, 0)
        assert made.dead_neurons[name] == np.prod(made[name].shape)
    assert silent != ["conv3"] or len(np.unique(run.logits, axis=0)) == 1  # nothing of the image arrives


def test_one_channel_of_huge_thresholds_leaves_the_others_as_they_are(x: np.ndarray) -> None:
    """Units are each channel's own."""
    _, plain = road(changed(nothing), x)
    _, huge = road(changed(lambda m: m.conv3.bias[0].fill_(1e6)), x)
    a, b = plain["conv3"], huge["conv3"]
    assert isinstance(a, SNM)
    assert isinstance(b, SNM)
    assert b.vth[0].max() * b.unit[0] > 1e5
    for before, after in (
        (a.vth, b.vth),
        (a.payload, b.payload),
        (a.v_init, b.v_init),
        (a.projections[0].weight, b.projections[0].weight),
    ):
        np.testing.assert_array_equal(before[1:], after[1:])
    assert_equal(reference.run(huge, x[:4]), batched.run(huge, x[:4], record=True))


def test_one_neuron_of_a_huge_threshold_leaves_the_others_alive() -> None:
    """In a channel of three others, which share its scale: their payloads and thresholds are the least, not
    nothing."""
    pixels = np.abs(images(16, (1, 2, 2), 3))
    pixels[:, 0, 0, 0] *= 1e6
    model = torch.nn.Sequential(
        torch.nn.Conv2d(1, 1, 1), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(4, 2)
    )
    spiking, integer = road(randomized_positive(model), pixels)
    hidden = next(iter(integer.of(SNM)))
    theta = next(iter(spiking.of(SNM))).vth
    assert theta.max() > 1e5 * np.median(theta)
    assert (hidden.payload >= 1).all()
    assert (hidden.vth >= 1).all()
    run = reference.run(integer, pixels)
    assert_equal(run, batched.run(integer, pixels, record=True))
    assert run.spikes[hidden.name][:, :, 0, 0, 0].any()


def randomized_positive(model: torch.nn.Module) -> torch.nn.Module:
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(p.abs() + 0.1)
    return model.eval()


@pytest.fixture(scope="module")
def spread() -> tuple[torch.nn.Module, np.ndarray]:
    """A layer whose neurons' activations, and so thresholds, span 10^6 and more; the next layer makes up for
    it."""

    def change(m: Any) -> None:
        factors = torch.logspace(-7, 0, 8)
        m.fc1.weight.mul_(factors[:, None])
        m.fc1.bias.mul_(factors)
        m.fc2.weight.div_(factors)

    return changed(change, Chain()), images(24, (6,), 1)


@pytest.mark.parametrize("granularity", ["neuron", "layer"])
def test_thresholds_that_span_a_million(spread: tuple[torch.nn.Module, np.ndarray], granularity: str) -> None:
    model, x = spread
    spiking, integer = road(model, x, granularity=granularity)
    floats, codes = (next(iter(g.of(SNM))) for g in (spiking, integer))
    living = floats.vth[floats.vth > 0]
    assert granularity == "layer" or living.max() / living.min() > 1e6
    worth = codes.vth * codes.unit  # of a dense layer, units are each neuron's own
    assert (
        np.abs(worth - floats.vth) <= 0.500001 * codes.unit
    ).all()  # to the nearest, and floats' own rounding
    assert_equal(reference.run(integer, x), batched.run(integer, x, record=True))


@lava_needed
def test_thresholds_that_span_a_million_in_lava(spread: tuple[torch.nn.Module, np.ndarray]) -> None:
    model, x = spread
    _, integer = road(model, x)
    assert_equal(batched.run(integer, x[:2], record=True), lava_cpu.run(integer, x[:2]))


# ---------------------------------------------------------------- saturation


@pytest.fixture(scope="module")
def saturating() -> tuple[SpikingGraph, np.ndarray]:
    """Neurons that are driven far beyond 24 bits, up and down; two-sided ones, some with a lead, and the
    read-out too."""
    rng = np.random.default_rng(7)
    rows = np.array([[127] * 64, [-127] * 64, [127, -127] * 32, [127] * 40 + [-127] * 24], np.int8)
    drive = Projection("input", rows, exponent=3)
    a = snm("a", (4,), (drive,), rng, levels=2)
    b = snm("b", (4,), (drive, Projection("a", weights(rng, 4, 4))), rng, two_sided=True, levels=3, lead=2)
    out = readout(
        "out", (3,), (Projection("b", weights(rng, 3, 4)), Projection("input", rows[:3], exponent=4)), rng
    )
    x = np.stack(
        [np.full(64, 127), np.full(64, -127), np.tile([127, -127], 32), rng.integers(-127, 128, 64)]
    ).astype(float)
    return SpikingGraph((Input("input", (64,), np.ones(64), 8), a, b, out), steps=7), x


def test_saturations_are_those_of_python_integers(saturating: tuple[SpikingGraph, np.ndarray]) -> None:
    """Counted one neuron, step and integer at a time."""
    graph, x = saturating
    run = reference.run(graph, x)
    p = graph["a"]
    assert isinstance(p, SNM)
    bias = np.broadcast_to(p.bias, p.shape)
    count, reached = 0, set()
    for image in x.astype(int).tolist():
        for i, row in enumerate(p.projections[0].weight.tolist()):
            z = sum(w * value for w, value in zip(row, image, strict=True)) << 3
            neuron = Neuron(int(p.vth[i]), int(p.payload[i]), int(p.v_init[i]), int(bias[i]), p.levels)
            for _ in range(graph.steps):
                count += neuron.integrate(z)
                reached.add(neuron.v)
                neuron.fire()
    assert {LARGEST, -LARGEST} <= reached
    assert run.saturations["a"] == count
    assert min(run.saturations.values()) > 20


@pytest.mark.parametrize("neurons", ["compiled", "stepped"])
@pytest.mark.parametrize("synapses", ["int8", "float32", "float64"])
def test_saturation_is_equal_in_every_way_of_the_batched_executor(
    saturating: tuple[SpikingGraph, np.ndarray], synapses: str, neurons: str
) -> None:
    graph, x = saturating
    assert_equal(
        reference.run(graph, x), batched.run(graph, x, record=True, synapses=synapses, neurons=neurons)
    )


def test_saturation_is_equal_in_the_torch_module(saturating: tuple[SpikingGraph, np.ndarray]) -> None:
    graph, x = saturating
    with torch.inference_mode():
        said = torch_module.module(graph)(torch.as_tensor(x, dtype=torch.float32))
    np.testing.assert_array_equal(np.asarray(said).astype(int), reference.run(graph, x).logits)


@lava_needed
def test_saturation_is_equal_in_lava(saturating: tuple[SpikingGraph, np.ndarray]) -> None:
    graph, x = saturating
    assert_equal(reference.run(graph, x), lava_cpu.run(graph, x))


def test_denormal_weights_are_0() -> None:
    """Of float32's denormal numbers, and of what is lost beside its row: sums stay what they are, and take no
    longer for it."""
    model = torch.nn.Linear(3, 3, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, 1e-29, 1e-31], [1e-39, 1e-40, 0.0], [3e-36, 1e-20, -1e-37]]))
    weight = dn.from_torch(model.eval(), np.zeros(3, np.float32)).readout.projections[0].weight
    assert (weight != 0).tolist() == [[True, True, False], [False, False, False], [True, True, True]]
    np.testing.assert_array_equal(
        weight[weight != 0], model.weight.detach().numpy().astype(np.float64)[weight != 0]
    )
