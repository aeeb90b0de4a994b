"""Calibration without images: closed forms against sampled numbers, batch norm's statistics where they
belong, and what comes of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from graphs import CurvedNet, GatedNet, ResidualPoolNet, images, randomized
from torch import Tensor, nn
from torch.nn import functional

import dnisnm_lava as dn
from dnisnm_lava import cli
from dnisnm_lava.backends import ann, batched
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir import SNM, AnalogGraph, Rectifier, Relay
from dnisnm_lava.stages import recipes
from dnisnm_lava.stages.fitting import normal, without_images
from dnisnm_lava.stages.networks import follow
from dnisnm_lava.stages.recipes import Recipe
from exporters import netx

SAMPLES = 200_000
GAUSS = replace(recipes.BEST, threshold="gauss").without_images


def assert_moments(sample: np.ndarray, mean: np.ndarray, variance: np.ndarray, own: float = 0.0) -> None:
    """A sample (N, ...) has this mean and this variance, within 5 standard errors of each, and `own` of the
    mean."""
    n, deviation = len(sample), sample - sample.mean(0)
    squares = deviation**2
    assert (np.abs(sample.mean(0) - mean) <= own + 5 * np.sqrt(squares.mean(0) / n) + 1e-12).all()
    if not own:
        assert (np.abs(squares.mean(0) - variance) <= 5 * squares.std(0) / np.sqrt(n) + 1e-12).all()


def double(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


# ---------------------------------------------------------------- closed forms


@pytest.mark.parametrize("ceiling", [None, 6.0, 0.5, 0.0])
@pytest.mark.parametrize(("mean", "deviation"), [(0.0, 1.0), (2.0, 0.5), (-1.5, 1.0), (0.3, 0.0), (5.0, 3.0)])
def test_moments_of_clipped_normal_numbers(mean: float, deviation: float, ceiling: float | None) -> None:
    sample = np.clip(np.random.default_rng(0).normal(mean, deviation, (SAMPLES, 1)), 0, ceiling)
    found = normal.clipped(double(mean), double(deviation**2), None if ceiling is None else double(ceiling))
    assert_moments(sample, *(m.numpy() for m in found))


@pytest.mark.parametrize(
    ("a", "b"),
    [((0.0, 1.0), (0.0, 1.0)), ((1.0, 0.5), (-1.0, 2.0)), ((3.0, 0.0), (2.0, 0.0)), ((0.0, 0.0), (0.2, 1.0))],
)
def test_moments_of_the_larger_of_two(a: tuple[float, float], b: tuple[float, float]) -> None:
    rng = np.random.default_rng(1)
    sample = np.maximum(rng.normal(*a, (SAMPLES, 1)), rng.normal(*b, (SAMPLES, 1)))
    (m, v), (n, w) = a, b
    found = normal.larger((double(m), double(v**2)), (double(n), double(w**2)))
    assert_moments(sample, *(x.numpy() for x in found))


@pytest.mark.parametrize(
    "function", [functional.silu, torch.tanh, torch.sigmoid], ids=["silu", "tanh", "sigmoid"]
)
def test_moments_of_functions_of_normal_numbers(function: Callable[[Tensor], Tensor]) -> None:
    for mean, deviation in ((0.0, 1.0), (-1.5, 2.0), (0.3, 0.0)):
        z = np.random.default_rng(0).normal(mean, deviation, (SAMPLES, 1))
        found = normal.of_function(function, double(mean), double(deviation**2))
        assert_moments(function(torch.tensor(z)).numpy(), *(m.numpy() for m in found))


@pytest.mark.parametrize(("model", "shape"), [(CurvedNet(), (2, 6, 6)), (GatedNet(), (2, 6, 6))])
def test_curves_and_gates_need_no_image(model: nn.Module, shape: tuple[int, ...]) -> None:
    """Thresholds of what moments tell are at most what their extrema say; integers run."""
    x = images(4, shape, 0)
    analog = dn.from_torch(randomized(model, 0), x[0])
    stats = dn.calibrate_without_images(analog)
    nets = follow(GAUSS, analog, stats, None)
    plain = dn.convert(analog, stats, steps=1, levels=31, function_error=GAUSS.function_error)
    for p in nets.spiking.of(SNM):
        if p.curve is not None:
            widest = plain[p.name]
            assert isinstance(widest, SNM)
            assert (p.vth <= widest.vth).all()
            assert (p.vth > 0).all()
    assert batched.run(nets.integer, x).logits.shape[:2] == (4, 1)


class Independent(nn.Module):
    """Every element that is read depends on pixels of its own: what is propagated is exact, but that maxima
    are taken for normal."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.pool = nn.Conv2d(2, 2, 1, groups=2), nn.MaxPool2d(2, 2, 1)
        self.mix, self.out = nn.Conv2d(2, 3, 3, stride=3), nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.relu(self.mix(self.pool(torch.relu(self.scale(x))))).flatten(1))


def test_moments_are_those_of_normal_images() -> None:
    """A pooled pre-activation is the largest of up to four: its mean by Clark is within 1 % of a standard
    deviation (his table 1), and weights of the layer behind add up at most so many of them."""
    analog = dn.from_torch(randomized(Independent(), 3), np.zeros((2, 10, 10), np.float32))
    stats = dn.calibrate_without_images(analog, image_mean=0.3, image_std=(1.0, 2.0))
    x = (
        np.random.default_rng(2)
        .normal(0.3, np.array([1.0, 2.0]).reshape(2, 1, 1), (20_000, 2, 10, 10))
        .astype(np.float32)
    )
    found = dict(ann.preactivations(analog, x))
    assert stats.moments is not None
    first, second, last = (p.name for p in analog.populations if p.name in found)
    assert_moments(found[first].astype(np.float64), *stats.moments[first])
    weight = analog[second].projections[0].weight  # type: ignore[union-attr]
    bound = (
        0.01 * float(np.abs(weight).sum(axis=(1, 2, 3)).max()) * float(np.sqrt(stats.moments[first][1].max()))
    )
    assert_moments(found[second].astype(np.float64), *stats.moments[second], own=bound)
    assert stats.moments[last][0].shape == (4,)
    np.testing.assert_allclose(stats.high[first] - stats.low[first], 12 * np.sqrt(stats.moments[first][1]))


# ---------------------------------------------------------------- batch norm's statistics


class Net(nn.Module):
    """`between` a convolution with its batch norm and a linear layer."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.conv, self.norm = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.first, self.deep, self.out = nn.Conv2d(2, 4, 1), nn.Conv2d(4, 4, 3, groups=4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "plain":
            y = torch.relu(self.norm(self.conv(x)))
        elif self.kind == "behind a sum":
            y = torch.relu(self.norm(self.conv(x) + self.first(x)))
        elif self.kind == "in a sum":
            y = torch.relu(self.norm(self.conv(x)) + torch.relu(self.first(x)))
        elif self.kind == "in front of a pool":
            y = torch.relu(torch.max_pool2d(self.norm(self.conv(x)), 2))
        elif self.kind == "depthwise":
            y = nn.functional.relu6(self.norm(self.deep(torch.relu(self.first(x)))))
        elif self.kind == "scaled":
            y = torch.relu(2 * self.norm(self.conv(x)) + 1)
        elif self.kind == "averaged":
            y = torch.relu(nn.functional.avg_pool2d(self.norm(self.conv(x)), 2))
        else:
            y = torch.relu(self.conv(x))
        return self.out(y.mean((2, 3)))


def traced(kind: str) -> tuple[Net, AnalogGraph]:
    model = Net(kind)
    randomized(model, 4)
    return model, dn.from_torch(model, np.zeros((2, 6, 6), np.float32))


@pytest.mark.parametrize(
    ("kind", "covered"),
    [
        ("plain", 1),
        ("behind a sum", 2),
        ("in a sum", 1),
        ("in front of a pool", 1),
        ("depthwise", 1),
        ("scaled", 1),
    ],
)
def test_batch_norm_tells_the_population_behind_it(kind: str, covered: int) -> None:
    model, analog = traced(kind)
    (p,) = (p for p in analog.of(Rectifier) if p.batch_norm is not None)
    norm, (gain, shift) = model.norm, (2.0, 1.0) if kind == "scaled" else (1.0, 0.0)
    beta, gamma, variance = (a.detach().double().numpy() for a in (norm.bias, norm.weight, norm.running_var))
    assert p.batch_norm is not None
    assert len(p.batch_norm.projections) == covered
    np.testing.assert_allclose(p.batch_norm.mean.reshape(-1), gain * beta + shift)
    np.testing.assert_allclose(
        p.batch_norm.variance.reshape(-1), gain**2 * gamma**2 * variance / (variance + norm.eps)
    )
    origins = without_images.origins(analog)
    assert origins[p.name] == ("both" if kind == "in a sum" else "batch norm")
    stats = dn.calibrate_without_images(analog)
    assert stats.moments is not None
    mean, deviation = stats.moments[p.name][0], np.sqrt(stats.moments[p.name][1])
    if kind == "in a sum":  # of another rectifier, more than nothing is added
        assert (mean > p.batch_norm.mean).all()
    else:
        np.testing.assert_array_equal(mean, np.broadcast_to(p.batch_norm.mean, p.shape))
    np.testing.assert_allclose(stats.high[p.name], mean + 6 * deviation)


@pytest.mark.parametrize("kind", ["none", "averaged"])
def test_what_batch_norm_does_not_tell_is_propagated(kind: str) -> None:
    """No batch norm, or something between it and the rectifier: of its elements it tells no variance of their
    mean."""
    _, analog = traced(kind)
    assert all(p.batch_norm is None for p in analog.of(Rectifier))
    assert set(without_images.origins(analog).values()) == {"propagated"}


def test_a_relay_behind_batch_norm_knows_it() -> None:
    class Maxima(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm, self.out = nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Linear(16, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(torch.max_pool2d(self.norm(self.conv(x)), 2).flatten(1))

    analog = dn.from_torch(randomized(Maxima(), 5), np.zeros((2, 6, 6), np.float32))
    assert [p.batch_norm is not None for p in analog.of(Relay)] == [True]


def test_features_and_sequences_have_batch_norm_too() -> None:
    dense = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3))
    line = nn.Sequential(nn.Conv1d(2, 5, 3), nn.BatchNorm1d(5), nn.ReLU(), nn.Flatten(), nn.Linear(20, 3))
    for model, shape in ((dense, (6,)), (line, (2, 6))):
        analog = dn.from_torch(randomized(model, 6), np.zeros(shape, np.float32))
        (p,) = analog.of(Rectifier)
        assert p.batch_norm is not None
        np.testing.assert_allclose(p.batch_norm.mean.reshape(-1), model[1].bias.detach().numpy(), rtol=1e-6)


def test_no_digest_and_no_equality_depends_on_it() -> None:
    _, analog = traced("plain")
    bare = AnalogGraph(tuple(replace(p, batch_norm=None) if isinstance(p, Rectifier) else p for p in analog))
    assert any(p.batch_norm is not None for p in analog.of(Rectifier))
    assert analog.digest() == bare.digest()
    assert analog == bare


# ---------------------------------------------------------------- networks


def test_what_weights_read_is_what_the_spikes_are() -> None:
    """Against the network's own spikes on normal images: a spike is within half a threshold of the clipped
    pre-activation."""
    analog = dn.from_torch(randomized(Independent(), 3), np.zeros((2, 10, 10), np.float32))
    stats = dn.calibrate_without_images(analog)
    spiking = dn.fit_without_images(
        analog, dn.convert(analog, stats, steps=1, levels=31, granularity="channel", down=0.0), stats
    )
    x = images(4000, (2, 10, 10), 7)
    told, seen = dn.readings_without_images(spiking, stats), dn.readings(spiking, x)
    name = spiking.of(SNM)[1].name
    (a,), (b,) = told[name][0], seen[name][0]
    half = spiking.of(SNM)[0].vth.max() / 2
    error = 5 * np.sqrt(b.covariance[0].diagonal() / (len(x) * 4))
    assert (np.abs(a.mean - b.mean)[0] <= half + error + 0.01 * np.sqrt(b.covariance[0].diagonal())).all()
    variances = a.covariance[0].diagonal(), b.covariance[0].diagonal()
    assert (
        np.abs(variances[0] - variances[1]) <= 0.1 * variances[1].max()
    ).all()  # spikes are rounded, and maxima taken for normal


@pytest.mark.parametrize(
    "recipe",
    [GAUSS, replace(GAUSS, threshold="max"), replace(GAUSS, share="layer", granularity="neuron", steps=4)],
)
def test_networks_need_no_image(recipe: Recipe) -> None:
    analog = dn.from_torch(randomized(ResidualPoolNet(), 1), np.zeros((2, 6, 6), np.float32))
    stats = dn.calibrate_without_images(analog)
    made = follow(recipe, analog, stats, None)
    x = images(200, (2, 6, 6), 8)
    wanted = analog.ann(x).argmax(1)
    assert (
        np.mean(batched.run(made.integer, x).predictions(recipe.steps) == wanted) > 0.8
    )  # a guess has a third
    assert stats.images == 0


def test_what_needs_images_is_refused() -> None:
    analog = dn.from_torch(randomized(ResidualPoolNet(), 1), np.zeros((2, 6, 6), np.float32))
    stats, seen = dn.calibrate_without_images(analog), dn.calibrate(analog, [images(4, (2, 6, 6), 9)])
    with pytest.raises(
        OutOfRange, match="sequential reads images, and none are given; give some, or threshold gauss or max"
    ):
        follow(recipes.BEST, analog, stats, None)
    with pytest.raises(OutOfRange, match="correct: bias given, which need images"):
        follow(replace(GAUSS, correct=("bias",)), analog, stats, None)
    spiking = dn.convert(analog, seen, steps=1)
    for refuse in (
        lambda: dn.fit_without_images(analog, spiking, seen),
        lambda: dn.readings_without_images(spiking, seen),
    ):
        with pytest.raises(OutOfRange, match="hold no moments; make them by calibrate_without_images"):
            refuse()
    with pytest.raises(
        OutOfRange, match=r"image_std: .* give one finite number, or one for each of 2 channels"
    ):
        dn.calibrate_without_images(analog, image_std=(1.0, 1.0, 1.0))
    with pytest.raises(OutOfRange, match="negative numbers given"):
        dn.calibrate_without_images(analog, image_std=-1.0)
    with pytest.raises(OutOfRange, match="input: its mean or variance overflows"):
        dn.calibrate_without_images(analog, image_std=1e160)


NETWORK = """
import sys
sys.path.insert(0, {tests!r})
from graphs import CurvedNet, GatedNet, ResidualPoolNet, randomized
from torch import nn

def net():
    return randomized(ResidualPoolNet(), 1)

def bare():
    return randomized(nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)), 1)
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NETWORK.format(tests=str(Path(__file__).parents[1])))
    np.savez(
        "data.npz",
        x_test=images(20, (2, 6, 6), 1),
        y_test=np.arange(20) % 3,
        x_train=images(20, (2, 6, 6), 2),
        y_train=np.arange(20) % 3,
    )


@pytest.mark.usefixtures("place")
def test_convert_without_data(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["convert", "--model", "net.py:net", "--input-shape", "2,6,6", "--threshold", "gauss"]
    assert cli.main([*options, "--json", "-o", "a.net"]) == 0
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert (told["calibration_images"], told["ann"], told["recipe"]["correct"]) == (0, None, [])
    assert told["moments"] == {
        "conv1": "batch norm",
        "conv2": "both",
        "conv3": "propagated",
        "fc": "propagated",
    }
    assert (
        "no image was used: of 4 populations, 1 have mean and variance from batch norm, 1 from batch "
        "norm and what is added to it" in err
    )
    assert "corrections (weights, bias, payload, v_init) need images, and are left out" in err
    assert "biases take up what weights lose" in err
    analog = dn.from_torch(randomized(ResidualPoolNet(), 1), np.zeros((2, 6, 6), np.float32))
    assert netx.read("a.net") == follow(GAUSS, analog, dn.calibrate_without_images(analog), None).integer
    assert cli.main(["simulate", "a.net", "--data", "data.npz", "--anyway", "--quiet"]) == 0
    assert (
        cli.main([*options, "--mean", "0.5,0.4", "--std", "0.25,0.2", "--range", "0,1", "-o", "b.net"]) == 0
    )
    scale = netx.read("b.net").input.scale
    assert scale is not None
    np.testing.assert_allclose(
        scale * 127, [2.0, 3.0]
    )  # of pixels 0 ... 1, (0 - 0.5) / 0.25 and (1 - 0.4) / 0.2
    assert (
        cli.main(["convert", "--model", "net.py:bare", *options[3:], "--fit-images", "8", "-o", "c.net"]) == 0
    )
    said = capsys.readouterr().err
    assert "has no batch norm in front of a ReLU" in said
    assert "--fit-images: without effect where there is no --data" in said


@pytest.mark.usefixtures("place")
def test_a_large_network_s_size_is_told_without_data_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("dnisnm_lava.cli.sizes.MANY_NEURONS", 1)
    assert cli.main(["convert", "--model", "net.py:net", "--input-shape", "2,6,6", "--threshold", "max"]) == 0
    said = capsys.readouterr().err
    assert said.index("neurons: about 0.0 GB") < said.index("propagate")
    assert "time grows alike: smaller images take less" in said
    assert "--fit-images or" not in said


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            ["--input-shape", "2,6,6"],
            "threshold: sequential reads images, and none are given; give some, or threshold gauss or max",
        ),
        (
            ["--threshold", "gauss"],
            "net.py:net: the shape of an image is not known; give it as --input-shape C,H,W, or images "
            "as --data",
        ),
        (
            ["--threshold", "gauss", "--input-shape", "2,6,6", "--correct", "bias"],
            "--correct bias: needs images, and none are given",
        ),
        (
            ["--threshold", "gauss", "--input-shape", "2,6,6", "--data", "data.npz"],
            "give either --input-shape or --data, not both",
        ),
        (
            ["--threshold", "gauss", "--input-shape", "2,6,6", "--mean", "1,2"],
            "mean and std: 2 and 0 values given",
        ),
    ],
)
def test_convert_without_data_refuses(
    options: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["convert", "--model", "net.py:net", *options]) == 1
    assert sentence in capsys.readouterr().err
    assert not Path("network.net").exists()


def test_resnet20_needs_no_image(shared: Path) -> None:
    """300 test images of lossless CIFAR-10, of which the ANN knows 91 %: with batch norm's statistics alone,
    at T = 1, over 85."""
    weights, data = shared / "weights/resnet20-12fca82f.th", shared / "cifar10-lossless-subset.npz"
    if not weights.is_file() or not data.is_file():
        pytest.skip("shared/data has no ResNet-20 or no lossless CIFAR-10")
    model = dn.load_model(str(Path(__file__).parents[2] / "examples/resnet20.py:resnet20"), weights)
    mean, std = (np.array(a).reshape(3, 1, 1) for a in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with np.load(data) as arrays:
        x, y = (
            ((arrays["x_test"][:300].transpose(0, 3, 1, 2) / 255 - mean) / std).astype(np.float32),
            arrays["y_test"][:300],
        )
    analog = dn.from_torch(model, x[0])
    stats = dn.calibrate_without_images(analog, image_magnitude=(np.maximum(mean, 1 - mean) / std).reshape(3))
    for threshold in ("gauss", "max"):
        made = follow(replace(GAUSS, threshold=threshold), analog, stats, None)
        assert np.mean(batched.run(made.integer, x).predictions(1) == y) > 0.85
