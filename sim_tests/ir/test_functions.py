"""What stands behind the last layer is left out of the spikes, and applied to values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from graphs import images, randomized
from pieces import Net
from torch import Tensor, nn

import dnisnm_lava as dn
from dnisnm_lava.backends import batched, reference
from dnisnm_lava.errors import OutOfRange, UnsupportedModel
from dnisnm_lava.ir import Activation, MaxPool, Rectifier
from dnisnm_lava.ir.functions import FUNCTIONS
from exporters import netx, torch_module

Last = Callable[[Tensor], object]


def mapped(last: Last) -> nn.Module:
    """Maps (3, 4, 5), then `last`."""
    return randomized(
        Net(lambda n, x: last(n.b(F.relu(n.a(x)))), a=nn.Conv2d(2, 4, 3, padding=1), b=nn.Conv2d(4, 3, 1)), 1
    )


MODELS = {
    "sigmoid": (mapped(torch.sigmoid), "sigmoid"),
    "sigmoid in place": (mapped(torch.sigmoid_), "sigmoid"),
    "tanh": (mapped(torch.tanh), "tanh"),
    "tanh, in place": (mapped(torch.tanh_), "tanh"),
    "logsigmoid": (mapped(F.logsigmoid), "log_sigmoid"),
    "softplus": (mapped(F.softplus), "softplus"),
    "exp": (mapped(torch.exp), "exp"),
    "softmax of maps": (mapped(lambda x: F.softmax(x, 1)), "softmax"),
    "softmin": (mapped(lambda x: F.softmin(x, 1)), "softmax"),
    "log_softmax, axis from behind": (mapped(lambda x: F.log_softmax(x, -3)), "log_softmax"),
    "log_softmax of (N, 1, C)": (mapped(lambda x: F.log_softmax(x.mean((2, 3))[:, None], 2)), "log_softmax"),
    "softmax of (N, C, 1, 1), squeezed": (
        mapped(lambda x: F.softmax(x.mean((2, 3), keepdim=True), 1).flatten(1)),
        "softmax",
    ),
    "softmax, then an axis": (mapped(lambda x: F.softmax(x.mean((2, 3)), 1)[:, None]), "softmax"),
    "sigmoid, then moves": (mapped(lambda x: torch.sigmoid(x).permute(0, 2, 3, 1).flatten(1)), "sigmoid"),
    "tanh of some channels": (mapped(lambda x: torch.tanh(x)[:, 1:]), "tanh"),
}


@pytest.mark.filterwarnings("ignore:.*was left out")
@pytest.mark.parametrize("name", MODELS)
def test_values_are_the_model_s_own(name: str, tmp_path: Path) -> None:
    model, function = MODELS[name]
    x = images(8, (2, 4, 5), 3)
    with torch.no_grad():
        expected = model(torch.from_numpy(x)).numpy()
    analog = dn.from_torch(model, x)
    assert (analog.readout.function, analog.readout.view or analog.readout.shape) == (
        function,
        expected.shape[1:],
    )
    # float32 products of 22 terms below 10, before functions of slope 1, or exp of numbers below 3: 22 * 10 *
    # e**3 * 2**-24
    np.testing.assert_allclose(analog.ann(x), expected, rtol=0, atol=2**-11)
    integer = dn.quantize(dn.convert(analog, dn.calibrate(analog, x), steps=64, levels=8))
    run = batched.run(integer, x)
    assert np.array_equal(run.logits, reference.run(integer, x).logits)
    assert np.array_equal(run.logits, torch_module.module(integer)(torch.from_numpy(x)).numpy())
    sums = run.logits[:, -1] * run.units[integer.readout.name] / 64
    assert np.array_equal(run.values(64), FUNCTIONS[function](sums, 1 + integer.readout.axis))
    assert np.abs(run.values(64) - expected).max() < 0.1 * max(
        1, np.abs(expected).max()
    )  # 64 steps of 8 levels, in 8 bits
    file = netx.write(tmp_path / "network.net", integer)
    assert netx.read(file) == integer
    assert netx.read(file).digest() == integer.digest()


def test_hardsigmoid_is_relu6_in_another_spelling() -> None:
    one, other = mapped(F.hardsigmoid), mapped(lambda x: F.relu6(x + 3) / 6)
    x = images(4, (2, 4, 5), 3)
    a, b = dn.from_torch(one, x), dn.from_torch(other, x)
    assert np.array_equal(a.ann(x), b.ann(x))
    assert [p.ceiling for p in a.of(Rectifier)] == [np.inf, 6.0]
    assert not a.of(MaxPool)
    with torch.no_grad():
        np.testing.assert_allclose(
            a.ann(x), one(torch.from_numpy(x)).numpy(), rtol=0, atol=2**-18
        )  # as above, times 1 / 6


INSIDE = {
    "sigmoid that another layer reads": lambda x: torch.sigmoid(x) * 2,
    "sigmoid, padded with zeros": lambda x: F.pad(torch.sigmoid(x), (1, 1)),
    "softplus of another slope": lambda x: F.softplus(x, beta=2),
    "sigmoid of a part": lambda x: torch.cat([torch.sigmoid(x[:, :1]), x[:, 1:]], 1),
}


@pytest.mark.parametrize("name", INSIDE)
def test_a_function_that_is_read_inside_is_a_population(name: str) -> None:
    model, x = mapped(INSIDE[name]), images(2, (2, 4, 5), 3)
    analog = dn.from_torch(model, x)
    assert len(analog.of(Activation)) == 1
    assert not analog.readout.function
    expected = model.double()(torch.from_numpy(x).double()).detach().numpy()
    # sums of 22 terms below 10 in float64, before a function of slope 1 at most: 22 * 10 * 2**-53, twice
    np.testing.assert_allclose(analog.ann(x), expected, rtol=0, atol=2**-43)


REFUSED = {
    "softmax over rows": (lambda x: F.softmax(x, 2), "a softmax over axis 2"),
    "softmax over one": (lambda x: F.softmax(x[:, :1], 1), "a softmax over axis 1"),
    "softmax over the batch": (lambda x: F.softmax(x, 0), "a softmax over axis 0"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_change_the_class_or_is_read_inside_is_refused(name: str) -> None:
    last, match = REFUSED[name]
    with pytest.raises(UnsupportedModel, match=match):
        dn.from_torch(mapped(last), images(2, (2, 4, 5), 3))  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore:.*was left out")
def test_each_output_has_its_own() -> None:
    x = images(3, (2, 4, 5), 3)
    model = mapped(lambda x: (x, torch.tanh(x), F.softmax(x.mean((2, 3)), 1)))
    analog = dn.from_torch(model, x)
    assert [p.function for p in analog.readouts] == ["", "tanh", "softmax"]
    with torch.no_grad():
        for found, expected in zip(analog.outputs(x).values(), model(torch.from_numpy(x)), strict=True):
            np.testing.assert_allclose(
                found, expected.numpy(), rtol=0, atol=2**-14
            )  # 22 terms below 10: 22 * 10 * 2**-24
    integer = dn.quantize(dn.convert(analog, dn.calibrate(analog, x), steps=4))
    run = batched.run(integer, x)
    assert np.abs(run.values(4, integer.readouts[1].name)).max() < 1
    np.testing.assert_allclose(
        run.values(4, integer.readouts[2].name).sum(1), 1, rtol=1e-15 * 3
    )  # three roundings of 2**-53


@pytest.mark.filterwarnings("ignore:.*was left out")
def test_a_saturated_sigmoid_does_not_change_the_class() -> None:
    """In doubles, the sigmoids of 40 and 50 are both 1; classes, and thresholds, are those of what goes into
    it."""
    model = nn.Sequential(nn.Linear(1, 2), nn.Sigmoid())
    with torch.no_grad():
        model[0].weight[:] = torch.tensor([[40.0], [50.0]])
        model[0].bias[:] = 0
    x = np.ones((2, 1), np.float32)
    analog = dn.from_torch(model, x)
    integer = dn.quantize(dn.convert(analog, dn.calibrate(analog, x), steps=2))
    run = batched.run(integer, x)
    assert run.predictions(2).tolist() == [1, 1]
    assert run.values(2).tolist() == [[1, 1], [1, 1]]


@pytest.mark.filterwarnings("ignore:.*was left out")
def test_accuracy_behind_a_last_sigmoid_is_that_of_its_logits() -> None:
    """Two classes, and one value against 0: a threshold at 0 of the logit, not of the sigmoid, which never is
    below 0."""
    x = images(16, (2, 4, 5), 3)
    plain, last = mapped(lambda x: x.mean((2, 3))), mapped(lambda x: torch.sigmoid(x.mean((2, 3))))
    runs = []
    for model in (plain, last):
        analog = dn.from_torch(model, x)
        runs.append(batched.run(dn.quantize(dn.convert(analog, dn.calibrate(analog, x), steps=4)), x))
    assert np.array_equal(runs[0].scores, runs[1].scores)
    assert np.array_equal(runs[0].predictions(4), runs[1].predictions(4))


@pytest.mark.filterwarnings("ignore:.*was left out")
@pytest.mark.parametrize("channels", [1, 3])
def test_what_compare_says_is_the_same_behind_a_last_sigmoid(channels: int) -> None:
    x = images(12, (2, 4, 5), 3)
    labels = np.arange(12) % min(2, channels)
    told = []
    for last in (
        lambda x: x.mean((2, 3))[:, :channels],
        lambda x: torch.sigmoid(x.mean((2, 3))[:, :channels]),
    ):
        analog = dn.from_torch(mapped(last), x)
        spiking = dn.convert(analog, dn.calibrate(analog, x), steps=4)
        found = dn.compare(
            dn.Networks(analog, spiking, dn.quantize(spiking)), x, labels, steps=(4,), lava=dn.Lava(images=0)
        )
        told.append((found.accuracy, found.agreement))
    assert told[0] == told[1]


@pytest.mark.filterwarnings("ignore:.*was left out")
def test_a_graph_without_a_function_keeps_its_digest_and_a_foreign_function_is_refused() -> None:
    from dataclasses import replace

    analog = dn.from_torch(mapped(torch.sigmoid), images(1, (2, 4, 5), 0))
    without = replace(analog, populations=(*analog.populations[:-1], replace(analog.readout, function="")))
    assert (
        without.digest()
        == dn.from_torch(mapped(lambda x: x), images(1, (2, 4, 5), 0)).digest()
        != analog.digest()
    )
    with pytest.raises(OutOfRange, match="function 'sine' along axis 0 is none of sigmoid"):
        replace(analog, populations=(*analog.populations[:-1], replace(analog.readout, function="sine")))
