"""Functions other than ReLU, and products, in every spelling: the graph is the model in float64, with the
populations that the function takes and no other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from graphs import images, randomized
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import dnisnm_lava as dn
from dnisnm_lava.backends.batched.curves import FUNCTIONS
from dnisnm_lava.errors import OutOfRange, UnsupportedModel
from dnisnm_lava.frontend.fusion import LINES
from dnisnm_lava.frontend.pieces import ONE, Pieces
from dnisnm_lava.ir import SNM, Activation, AnalogGraph, Curve, Input, ReadOut, Smooth
from dnisnm_lava.ir.activations import ACTIVATIONS, near
from dnisnm_lava.ir.curves import above, jumping, through

SHAPE = (3, 4, 4)
ROUNDING = 2.0**-53


class Between(nn.Module):
    """A convolution of 4 channels, `body`, a convolution. No ReLU in front: values of either sign come in."""

    def __init__(self, body: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.body, self.last = nn.Conv2d(3, 4, 1), body, nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.body(self.first(x)))


class Own(nn.Module):
    """`forward` with constants and layers of its own."""

    def __init__(self, forward: Callable[..., Tensor], **parts: Tensor | nn.Module) -> None:
        super().__init__()
        for name, part in parts.items():
            if isinstance(part, nn.Module):
                self.add_module(name, part)
            else:
                self.register_buffer(name, part)
        self.own = forward

    def forward(self, x: Tensor) -> Tensor:
        return self.own(self, x)


def shown(analog: AnalogGraph) -> list[str]:
    """The populations between input and read-outs: functions by their names, others by their kinds."""
    inner = [p for p in analog if not isinstance(p, Input | ReadOut)]
    return [p.function.name if isinstance(p, Activation) else type(p).__name__ for p in inner]


def converted(
    model: nn.Module, shape: tuple[int, ...] = SHAPE, scale: float = 1.5
) -> tuple[AnalogGraph, Any, Any]:
    """(graph, the model's outputs, the graph's), the model in float64."""
    x = scale * images(4, shape, 5)
    analog = dn.from_torch(model, x[0])
    assert max(float(p.abs().max()) for p in model.parameters()) <= 2
    assert np.abs(x).max() < 2**3
    with torch.no_grad():
        wanted = model.double()(torch.from_numpy(x).double())
    return analog, wanted, analog.outputs(x.astype(np.float64))


def hold(got: np.ndarray, wanted: Tensor, terms: int = 4, steepest: float = 4.0) -> None:
    """Both sum the same products of float64 in other orders, and compute a function by other formulas.

    u = 2^-53. A sum of n = `terms` products errs by less than n u S, S the sum of their magnitudes: weights
    are up to 2, images below 2^3 and functions below 2^5, so that S is below 2^4 n in front of a function and
    below 2^6 n behind it; and a formula's 2^4 operations err by less than 2^4 u 2^5. An error passes a
    function with its slope, `steepest` at most, and the next sum n times with a weight below 2. Both sides
    err.
    """
    before, formula, behind = terms * 2**4 * terms, 2**9, terms * 2**6 * terms
    bound = 2 * (terms * 2 * (before * steepest + formula) + behind) * ROUNDING
    assert got.size == wanted.numel()
    assert np.abs(got.reshape(wanted.shape) - wanted.numpy()).max() <= bound
    assert float(wanted.std()) > 1e-3  # no comparison of constants


def sloped(function: Callable[..., Tensor], slopes: list[float]) -> nn.Module:
    return Own(function, a=torch.tensor(slopes).reshape(-1, 1, 1))


def with_slopes(slopes: list[float]) -> nn.Module:
    layer = nn.PReLU(len(slopes))
    layer.weight.data = torch.tensor(slopes, dtype=torch.float32)
    return layer


@dataclass(frozen=True)
class Spelling:
    """body: what is written. made: the populations that it takes. exact: is the function piecewise linear?"""

    body: Callable[[Tensor], Tensor]
    made: tuple[str, ...]
    exact: bool = True


LEAKY, RELU = ("leaky_relu",), ("Rectifier",)


def exactly(made: tuple[str, ...], **bodies: Callable[[Tensor], Tensor]) -> dict[str, Spelling]:
    return {name: Spelling(body, made) for name, body in bodies.items()}


def nearly(function: str, **bodies: Callable[[Tensor], Tensor]) -> dict[str, Spelling]:
    return {name: Spelling(body, (function,), exact=False) for name, body in bodies.items()}


ROOT = (2 / torch.pi) ** 0.5
SPELLINGS: dict[str, Spelling] = {
    **exactly(
        LEAKY,
        leaky_relu=nn.LeakyReLU(0.1),
        leaky_relu_inplace=nn.LeakyReLU(0.1, inplace=True),
        f_leaky_relu=lambda x: F.leaky_relu(x, 0.2),
        f_leaky_relu_inplace=lambda x: F.leaky_relu_(x, 0.2),
        leaky_relu_above_1=nn.LeakyReLU(1.5),
        leaky_relu_negative=nn.LeakyReLU(-0.3),
        prelu=nn.PReLU(),
        prelu_of_channels=with_slopes([0.1, -0.5, 1.0, 2.0]),
        f_prelu=Own(lambda n, x: F.prelu(x, n.a), a=torch.tensor([0.3])),
        rrelu=nn.RReLU(0.1, 0.3),
        f_rrelu=lambda x: F.rrelu(x, 0.1, 0.3),
        where_above=lambda x: torch.where(x > 0, x, 0.1 * x),
        where_from=lambda x: torch.where(x >= 0, x, 0.1 * x),
        where_below=lambda x: torch.where(x < 0, 0.1 * x, x),
        where_up_to=lambda x: torch.where(x <= 0, x / 8, x),
        where_negated=lambda x: torch.where(~(x > 0), 0.1 * x, x),
        tensor_where=lambda x: x.where(x > 0, x * 0.1),
        where_of_channels=sloped(lambda n, x: torch.where(x > 0, x, n.a * x), [0.1, -0.5, 1.0, 2.0]),
        largest=lambda x: torch.max(x, 0.1 * x),
        maximum=lambda x: torch.maximum(0.1 * x, x),
        minimum=lambda x: torch.minimum(x, 2 * x),
        largest_of_channels=sloped(lambda n, x: torch.max(x, n.a * x), [0.1, 0.5, 0.9, 0.2]),
    ),
    **exactly(
        RELU,
        where_zero=lambda x: torch.where(x > 0, x, 0.0),
        where_zeros_like=lambda x: torch.where(x > 0, x, torch.zeros_like(x)),
        masked_fill=lambda x: x.masked_fill(x < 0, 0.0),
        masked_fill_inplace=lambda x: x.clone().masked_fill_(x <= 0, 0.0),
        times_mask=lambda x: x * (x > 0),
        times_float_mask=lambda x: (x > 0).float() * x,
        hardtanh=nn.Hardtanh(-0.4, 0.7),
        hardtanh_inplace=nn.Hardtanh(-0.4, 0.7, inplace=True),
        clamp=lambda x: x.clamp(-0.2, 0.5),
        clip=lambda x: torch.clip(x, 0.1, 0.5),
        clamp_above=lambda x: x.clamp(max=0.3),
        clamp_below=lambda x: x.clamp_(min=-0.3),
        hardsigmoid=nn.Hardsigmoid(),
        f_hardsigmoid=F.hardsigmoid,
        relu6_shifted=lambda x: F.relu6(x + 3) / 6,
        largest_of_constant=lambda x: torch.maximum(x, torch.tensor(-0.2)),
        smallest_of_constant=lambda x: torch.minimum(x, torch.tensor(0.2)),
        clamp_at_threshold=nn.Threshold(-0.2, -0.2),
        largest_of_two=lambda x: torch.maximum(x, x.flip(1)),
        smallest_of_two=lambda x: torch.min(x, x.flip(1)),
    ),
    **exactly(("Rectifier", "Rectifier"), of_two_relus=lambda x: F.relu(x) - 0.1 * F.relu(-x)),
    **exactly(("softshrink",), softshrink=nn.Softshrink(0.3)),
    **exactly(("hardshrink",), hardshrink=nn.Hardshrink(0.3)),
    **exactly(("abs",), absolute=torch.abs, method_abs=lambda x: x.abs_(), sign=lambda x: x * torch.sign(x)),
    **exactly(
        ("threshold",), threshold=nn.Threshold(0.1, -0.7), f_threshold=lambda x: F.threshold(x, -0.1, 2.0)
    ),
    **exactly(
        ("where",),
        f_softshrink=lambda x: F.softshrink(x, 0.3),
        other_lines=lambda x: torch.where(x <= 0.5, 0.1 * x - 1, 2 * x + 0.25),
        between=lambda x: torch.where((x > -0.5) & (x < 0.5), 0 * x, x),
        outside=lambda x: torch.where((x < -0.5) | (x > 0.5), x, -x),
        of_two_steps=lambda x: torch.where(x > 0.5, x, torch.where(x < -0.5, -x, 0.1 * x)),
    ),
    **nearly("silu", silu=nn.SiLU(), silu_inplace=nn.SiLU(inplace=True), f_silu=F.silu),
    **nearly(
        "silu",
        x_sigmoid=lambda x: x * torch.sigmoid(x),
        sigmoid_x=lambda x: x.sigmoid().mul(x),
        x_sigmoid_inplace=lambda x: x.clone().mul_(x.sigmoid()),
        x_sigmoid_scaled=lambda x: x * torch.sigmoid(1.702 * x),
        x_sigmoid_trained=Own(lambda n, x: x * torch.sigmoid(n.beta * x), beta=torch.tensor(1.3)),
        x_sigmoid_turned=lambda x: x * torch.sigmoid(-x),
        x_over=lambda x: x / (1 + torch.exp(-x)),
    ),
    **nearly(
        "hardswish",
        hardswish=nn.Hardswish(),
        hardswish_inplace=nn.Hardswish(inplace=True),
        f_hardswish=F.hardswish,
        x_hardsigmoid=lambda x: x * F.hardsigmoid(x),
        x_relu6=lambda x: x * F.relu6(x + 3) / 6,
        x_relu6_first=lambda x: x * (F.relu6(x + 3) / 6),
        x_clamp=lambda x: x * (x + 3).clamp(0, 6) * (1 / 6),
    ),
    **nearly("mish", mish=nn.Mish(), f_mish=F.mish, x_tanh_softplus=lambda x: x * torch.tanh(F.softplus(x))),
    **nearly(
        "gelu",
        gelu=nn.GELU(),
        f_gelu=F.gelu,
        gelu_erf=lambda x: 0.5 * x * (1 + torch.erf(x / 2**0.5)),
        gelu_erf_last=lambda x: x * (0.5 * (1.0 + torch.erf(x * 0.7071067811865476))),
    ),
    **nearly(
        "gelu_tanh",
        gelu_tanh=nn.GELU("tanh"),
        gelu_cube=lambda x: 0.5 * x * (1 + torch.tanh(ROOT * (x + 0.044715 * x**3))),
        gelu_pow=lambda x: 0.5 * x * (1 + torch.tanh(ROOT * (x + 0.044715 * torch.pow(x, 3)))),
        gelu_squares=lambda x: x * 0.5 * (1 + torch.tanh(ROOT * x * (1 + 0.044715 * x * x))),
    ),
    **nearly(
        "sigmoid", sigmoid=nn.Sigmoid(), f_sigmoid=torch.sigmoid, sigmoid_inplace=lambda x: x.sigmoid_()
    ),
    **nearly("tanh", tanh=nn.Tanh(), f_tanh=torch.tanh, tanh_inplace=lambda x: x.tanh_()),
    **nearly("softplus", softplus=nn.Softplus(), softplus_scaled=nn.Softplus(2, 5)),
    **nearly(
        "elu",
        elu=nn.ELU(),
        elu_inplace=nn.ELU(0.7, inplace=True),
        celu=nn.CELU(0.5),
        f_celu=lambda x: F.celu(x, 2.0),
        selu=nn.SELU(),
        selu_inplace=nn.SELU(inplace=True),
        elu_where=lambda x: torch.where(x > 0, x, 1.5 * (torch.exp(x) - 1)),
    ),
    **nearly("log_sigmoid", log_sigmoid=nn.LogSigmoid(), f_log_sigmoid=F.logsigmoid),
    **nearly("exp", exp=torch.exp, exp_method=lambda x: x.exp()),
    **nearly("softsign", softsign=nn.Softsign(), f_softsign=F.softsign),
    **nearly("tanh", tanhshrink=nn.Tanhshrink()),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_each_spelling_is_the_model_and_takes_no_population_besides(name: str) -> None:
    said = SPELLINGS[name]
    analog, wanted, got = converted(randomized_between(said.body))
    assert tuple(shown(analog)) == said.made
    hold(next(iter(got.values())), wanted, steepest=64.0 if said.made == ("exp",) else 4.0)
    functions = [p.function for p in analog.of(Activation)]
    assert said.exact == all(isinstance(f, Curve) and f.is_exact for f in functions)


def randomized_between(body: Callable[[Tensor], Tensor]) -> nn.Module:
    """Weights of the two convolutions alone: slopes stay what they were given."""
    model = Between(body).eval()
    for seed, layer in enumerate((model.first, model.last)):
        randomized(layer, seed)
    return model


def test_the_rows_say_exact_approximated_and_which_function_they_are_a_part_of() -> None:
    def body(x: Tensor) -> Tensor:
        return torch.where(x > 0, x, 0.1 * x)

    rows = {r.shown: r for r in dn.inspect(randomized_between(body), images(1, SHAPE, 0)[0]).rows}
    assert [rows[n].how for n in ("gt", "mul", "where")] == ["exact"] * 3
    assert rows["gt"].became == rows["mul"].became == "part of the function of first"
    assert rows["where"].became == "population first"
    smooth = dn.inspect(randomized_between(lambda x: x * torch.sigmoid(x)), images(1, SHAPE, 0)[0])
    assert [r.how for r in smooth.rows if r.shown in ("sigmoid", "mul")] == ["approximated"] * 2
    assert (smooth.count("dropped"), smooth.populations["Activation"], smooth.depth) == (0, 1, 2)


# ---------------------------------------------------------------- knots, at which functions jump


@pytest.mark.parametrize(
    "body",
    [
        lambda x: F.threshold(x, 0.0, -1.0),
        lambda x: F.threshold(x, 1.0, 0.5),
        lambda x: torch.where(x > 0, x + 1, x),
        lambda x: torch.where(x >= 0, x + 1, x),
        lambda x: torch.where(x < 1, x - 1, x),
        lambda x: torch.where(x <= 1, x - 1, x),
        lambda x: F.hardshrink(x, 1.0),
        lambda x: torch.where(x.abs() >= 1, x, 0 * x),
        lambda x: x * (x > -1),
    ],
)
def test_a_number_at_a_knot_is_on_the_side_that_the_model_says(body: Callable[[Tensor], Tensor]) -> None:
    """Whole numbers, which all are exact."""

    class Whole(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return body(2 * x) * 3

    x = np.arange(-2, 3, dtype=np.float32).reshape(1, 1, 1, 5) / 2
    analog = dn.from_torch(Whole(), np.broadcast_to(x[0], (1, 1, 5)))
    np.testing.assert_array_equal(analog.ann(x), Whole()(torch.from_numpy(x)).numpy())


def test_a_sum_of_0_is_on_its_side_of_a_jump_in_integers_too() -> None:
    """x > 0 begins at the sum 1, x >= 0 at the sum 0."""
    knots = []
    for body in (lambda x: F.threshold(x, 0.0, -1.0), lambda x: torch.where(x >= 0, x, -1.0)):
        model, x = randomized_between(body), images(4, SHAPE, 5)
        analog = dn.from_torch(model, x[0])
        integer = dn.quantize(dn.convert(analog, dn.calibrate(analog, [x]), steps=2))
        (curve,) = (p.curve for p in integer.of(SNM))
        assert curve is not None
        knots.append(set(curve.knots.reshape(-1).tolist()))
    assert knots == [{1}, {0}]


# ---------------------------------------------------------------- where they stand

SLOPES = torch.tensor([0.1, -0.5, 1.0, 2.0])
PLACES: dict[str, tuple[nn.Module, tuple[int, ...], list[str]]] = {
    "one behind another": (
        nn.Sequential(nn.Conv2d(3, 4, 1), nn.SiLU(), nn.LeakyReLU(0.1), nn.Conv2d(4, 2, 1)),
        SHAPE,
        ["silu", "leaky_relu"],
    ),
    "in front of a max-pool": (
        nn.Sequential(nn.Conv2d(3, 4, 1), nn.SiLU(), nn.MaxPool2d(2), nn.Conv2d(4, 2, 1)),
        SHAPE,
        ["silu", "MaxPool"],
    ),
    "behind a max-pool": (
        nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.MaxPool2d(2), nn.LeakyReLU(), nn.Conv2d(4, 2, 1)),
        SHAPE,
        ["Rectifier", "MaxPool", "leaky_relu"],
    ),
    "behind flatten": (
        nn.Sequential(nn.Conv2d(3, 4, 1), nn.Flatten(), nn.PReLU(), nn.Linear(64, 2)),
        SHAPE,
        ["leaky_relu"],
    ),
    "slopes of pixels, behind flatten": (
        nn.Sequential(
            nn.Conv2d(3, 1, 1), nn.Flatten(), with_slopes(list(np.linspace(-1, 2, 16))), nn.Linear(16, 2)
        ),
        SHAPE,
        ["Relay", "leaky_relu"],
    ),
    "on vectors": (
        nn.Sequential(nn.Linear(5, 4), with_slopes([0.1, -0.5, 1.0, 2.0]), nn.Linear(4, 2)),
        (5,),
        ["leaky_relu"],
    ),
    "on sequences": (
        nn.Sequential(nn.Conv1d(3, 4, 3), with_slopes([0.1, -0.5, 1.0, 2.0]), nn.GELU(), nn.Conv1d(4, 2, 1)),
        (3, 8),
        ["leaky_relu", "gelu"],
    ),
    "on the image": (nn.Sequential(nn.PReLU(3), nn.Conv2d(3, 2, 1)), SHAPE, ["leaky_relu"]),
    "on the image, smooth": (nn.Sequential(nn.Tanh(), nn.Conv2d(3, 2, 1)), SHAPE, ["tanh"]),
    "channels last": (
        Own(
            lambda n, x: n.b(torch.where((y := n.a(x.permute(0, 2, 3, 1))) > 0, y, n.slopes * y)),
            a=nn.Linear(3, 4),
            b=nn.Linear(4, 2),
            slopes=SLOPES,
        ),
        SHAPE,
        ["leaky_relu"],
    ),
    "channels last, of the image": (
        Own(
            lambda n, x: n.b(F.prelu(n.a(x.permute(0, 3, 1, 2)), n.slopes)),
            a=nn.Conv2d(3, 4, 1),
            b=nn.Conv2d(4, 2, 1),
            slopes=SLOPES,
        ),
        (4, 4, 3),
        ["leaky_relu"],
    ),
    "behind batch norm": (
        nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Hardswish(), nn.Conv2d(4, 2, 1)),
        SHAPE,
        ["hardswish"],
    ),
    "of a sum": (
        Own(
            lambda n, x: n.c(F.silu(n.a(x) + n.b(x))),
            a=nn.Conv2d(3, 4, 1),
            b=nn.Conv2d(3, 4, 1),
            c=nn.Conv2d(4, 2, 1),
        ),
        SHAPE,
        ["silu"],
    ),
    "several readers": (
        Own(
            lambda n, x: n.b(y := n.a(x)) + n.c(torch.where(y > 0, y, 0.1 * y)) + n.b(torch.sigmoid(y)),
            a=nn.Conv2d(3, 4, 1),
            b=nn.Conv2d(4, 2, 1),
            c=nn.Conv2d(4, 2, 1),
        ),
        SHAPE,
        ["leaky_relu", "sigmoid"],
    ),
    "a part that something else reads": (
        Own(
            lambda n, x: n.b(torch.where((y := n.a(x)) > 0, y, z := 0.1 * y) + z),
            a=nn.Conv2d(3, 4, 1),
            b=nn.Conv2d(4, 2, 1),
        ),
        SHAPE,
        ["leaky_relu"],
    ),
    "of a constant": (
        Own(
            lambda n, x: n.b(n.a(x) * F.silu(n.k) + F.leaky_relu(n.k)),
            a=nn.Conv2d(3, 4, 1),
            b=nn.Conv2d(4, 2, 1),
            k=SLOPES.reshape(4, 1, 1),
        ),
        SHAPE,
        [],
    ),
    "of tokens of a map": (
        Own(
            lambda n, x: n.b(F.gelu(n.a(x.flatten(2).transpose(1, 2)))), a=nn.Linear(3, 4), b=nn.Linear(4, 2)
        ),
        SHAPE,
        ["gelu"],
    ),
}


@pytest.mark.parametrize("name", PLACES)
def test_functions_stand_anywhere(name: str) -> None:
    model, shape, made = PLACES[name]
    kept = {k: v.clone() for k, v in model.state_dict().items() if v.numel() in (3, 4, 16) and v.ndim == 1}
    randomized(model, 0)
    model.load_state_dict(
        {**model.state_dict(), **{k: v for k, v in kept.items() if ".bias" not in k and "running" not in k}}
    )
    analog, wanted, got = converted(model, shape)
    assert shown(analog) == made
    hold(next(iter(got.values())), wanted, terms=64 if "flatten" in name else 4)


def test_a_sigmoid_behind_the_last_layer_is_left_out_and_one_in_the_body_is_not() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            y = torch.sigmoid(self.a(x))
            return torch.sigmoid(self.b(y)), y

    with pytest.warns(UserWarning, match="sigmoid .* was left out"):
        analog, (last, body), got = converted(randomized(Two(), 0))
    assert shown(analog) == ["sigmoid"]
    assert [p.function for p in analog.of(ReadOut)] == ["sigmoid", ""]
    first, second = got.values()
    hold(first, last)
    hold(second, body)


# ---------------------------------------------------------------- refused

OTHERS: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "a mask of another tensor": (
        lambda x: torch.where(x.flip(1) > 0, x, 0.1 * x),
        r"gt.*: a comparison makes a mask",
    ),
    "a mask alone": (lambda x: (x > 0).float(), r"gt.*: a comparison makes a mask"),
    "a sign alone": (torch.sign, r"sign.*: a comparison makes a mask"),
    "a mask between functions": (
        lambda x: torch.where(x > 0, F.silu(x), -x),
        r"gt.*: a comparison makes a mask",
    ),
    "a mask of pixels": (
        lambda x: torch.where(x > torch.arange(16.0).reshape(4, 4), x, 0 * x),
        r"gt.*: a comparison",
    ),
    "a quotient of two": (lambda x: x / (1 + x.flip(1).abs()), r"div.*: a quotient whose divisor depends"),
    "a slope that is infinite": (lambda x: F.leaky_relu(x, float("inf")), "a slope of it is NaN or infinite"),
    "a slope that is no number": (
        lambda x: F.leaky_relu(x, float("nan")),
        "a slope of it is NaN or infinite",
    ),
    "a threshold that is infinite": (
        lambda x: F.threshold(x, 0.0, float("-inf")),
        "is not finite; give numbers",
    ),
    "a constant that is infinite": (
        lambda x: torch.where(x > 0, x, float("-inf")),
        "gt.*: a comparison makes",
    ),
    "erf": (torch.erf, "erf.*: it has no meaning as spiking"),
    "a cube": (lambda x: x**3, "pow.*: a power other than a square"),
    "softmax": (lambda x: F.softmax(x, 1) * 2, "softmax.*: a softmax in the body"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_function_of_one_tensor_is_refused_by_name(name: str) -> None:
    body, match = OTHERS[name]
    with pytest.raises(UnsupportedModel, match=match) as caught:
        dn.from_torch(randomized_between(body), images(1, SHAPE, 0)[0])
    assert "test_activations.py" in str(caught.value)


def test_slopes_that_are_not_numbers_are_refused_by_name() -> None:
    with pytest.raises(OutOfRange, match="NaN or infinite"):
        dn.from_torch(randomized_between(with_slopes([0.1, float("nan"), 1.0, 2.0])), images(1, SHAPE, 0)[0])


# ---------------------------------------------------------------- the functions themselves, against torch's

TORCH: dict[str, tuple[tuple[float, ...], Callable[[Tensor], Tensor]]] = {
    "silu": ((), F.silu),
    "gelu": ((), F.gelu),
    "gelu_tanh": ((), lambda x: F.gelu(x, approximate="tanh")),
    "hardswish": ((), F.hardswish),
    "sigmoid": ((), torch.sigmoid),
    "tanh": ((), torch.tanh),
    "softplus": ((2.0, 5.0), lambda x: F.softplus(x, 2.0, 5.0)),
    "elu": ((0.7, 1.0, 1 / 0.7), lambda x: F.celu(x, 0.7)),
    "mish": ((), F.mish),
    "softsign": ((), F.softsign),
    "log_sigmoid": ((), F.logsigmoid),
    "exp": ((), torch.exp),
}


def test_all_functions_are_held_against_torchs() -> None:
    assert set(TORCH) == set(ACTIVATIONS) == set(FUNCTIONS)


@pytest.mark.parametrize("name", TORCH)
def test_a_smooth_function_is_torchs(name: str) -> None:
    """Formulas of at most 2^4 operations, each of which errs by 2^-53 of what passes it, 2^6 at most (of exp
    2^29): the same in batches of float32, 2^-24."""
    parameters, of_torch = TORCH[name]
    x = np.concatenate([np.linspace(-20, 20, 4001), np.random.default_rng(0).normal(size=1000), [0.0]])
    got, wanted = Smooth(name, parameters).at(x), of_torch(torch.from_numpy(x)).numpy()
    largest = 2.0**6 * np.maximum(1, np.abs(wanted))
    assert (np.abs(got - wanted) <= 2**4 * ROUNDING * largest).all()
    single = FUNCTIONS[name](torch.from_numpy(x).float(), *parameters).numpy()
    assert (np.abs(single - wanted) <= 2**4 * 2.0**-24 * largest).all()


CURVES: dict[str, tuple[Curve, Callable[[Tensor], Tensor]]] = {
    "leaky_relu": (through("leaky_relu", [0.0], [0.1, 1.0]), lambda x: F.leaky_relu(x, 0.1)),
    "softshrink": (through("softshrink", [-0.5, 0.0, 0.5], [1.0, 0.0, 0.0, 1.0]), F.softshrink),
    "hardshrink": (
        jumping("hardshrink", [-0.5, above(0.5)], [1.0, 0.0, 1.0], [0.0, 0.0, 0.0]),
        F.hardshrink,
    ),
    "threshold": (
        jumping("threshold", [above(0.0)], [0.0, 1.0], [-2.0, 0.0]),
        lambda x: F.threshold(x, 0.0, -2.0),
    ),
    "abs": (through("abs", [0.0], [-1.0, 1.0]), torch.abs),
}


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize("steps", [1, 3])
def test_a_curve_is_torchs_function_of_the_mean(name: str, steps: int) -> None:
    """steps * f(x / steps) for sums x of as many steps; at knots too. A product and a sum for each, 2^-53 of
    at most 2^4 three times."""
    curve, of_torch = CURVES[name]
    mean = np.concatenate([np.linspace(-4, 4, 1025), np.random.default_rng(0).normal(size=500)])
    wanted = steps * of_torch(torch.from_numpy(mean)).numpy()
    got = curve.at((steps * mean)[:, None], steps)[:, 0]
    assert (np.abs(got - wanted) <= 3 * 2**4 * ROUNDING).all() or steps > 1  # 3 x / 3 is not x at a knot
    if steps == 1:
        np.testing.assert_array_equal(got == 0, wanted == 0)


@pytest.mark.parametrize("name", TORCH)
@pytest.mark.parametrize("share", [0.1, 0.01])
def test_a_near_curve_errs_by_no_more_than_it_says(name: str, share: float) -> None:
    """At 20,000 random points of the range of each of three channels, and a tenth beyond. `near` measures at
    every 32nd part of a piece. Between two of those a chord's error grows by less than a 16th of its largest:
    by its curvature ((1 / 32)^2 of it), or where the function has a kink (a jump of its slope by j in a piece
    w wide errs by up to j w / 4, of which j w / 64 lie between two points)."""
    parameters, of_torch = TORCH[name]
    low, high = np.array([-3.0, -0.5, 0.2]), np.array([3.0, 4.0, 1.0])
    error = share * np.array([1.0, 0.5, 0.25]) * (10 if name == "exp" else 1)
    curve = near(Smooth(name, parameters), low, high, error, 0.5)
    assert (curve.error <= error).all()
    rng, span = np.random.default_rng(1), high - low
    x = rng.uniform(low - 0.1 * span, high + 0.1 * span, size=(20_000, 3))
    apart = np.abs(curve.at(x) - of_torch(torch.from_numpy(x)).numpy()).max(axis=0)
    assert (apart <= curve.error * (1 + 1 / 16) + 2.0**-40).all()


def test_a_function_that_64_pieces_do_not_reach_is_refused_with_what_to_give() -> None:
    with pytest.raises(
        OutOfRange, match=r"exp: 64 pieces differ by .* give a larger function_error, or fewer"
    ):
        near(Smooth("exp"), np.array([-1.0]), np.array([5.0]), np.array([1e-9]))


# ---------------------------------------------------------------- the algebra of lines


X, HALF = Pieces.identity(), Pieces.constant(np.array(0.5))
STEPS: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], Callable[[Pieces], Pieces]]] = {
    "abs": (lambda f, x: f.abs(), LINES["abs"]),
    "relu": (lambda f, x: F.relu(f), LINES["relu"]),
    "add": (lambda f, x: f + 0.5, lambda f: f + HALF),
    "mul": (lambda f, x: f * -0.5, lambda f: LINES["neg"](f * HALF)),
    "where": (lambda f, x: torch.where(x > 0.5, f, x), lambda f: X.exceeds(HALF).where(f, X)),
    "from": (lambda f, x: torch.where(f >= 0.5, f, -x), lambda f: f.reaches(HALF).where(f, LINES["neg"](X))),
    "max": (lambda f, x: torch.maximum(f, 0.5 - x), lambda f: f.largest(HALF - X)),
    "min": (lambda f, x: torch.minimum(f, x), lambda f: f.smallest(X)),
    "sign": (lambda f, x: f - torch.sign(x - 0.5), lambda f: f - LINES["sign"](X - HALF)),
    "clamp": (lambda f, x: f.clamp(-1, 0.5), lambda f: LINES["clamp"](f, HALF - ONE - HALF, HALF)),
}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(sorted(STEPS)), max_size=4))
def test_lines_are_what_torch_computes(operations: list[str]) -> None:
    """Of small dyadic numbers, which float64 holds exactly: equal, at knots and between them."""
    x = torch.arange(-64, 65).double() / 8
    value, pieces = x, X
    for name in operations:
        value, pieces = STEPS[name][0](value, x), STEPS[name][1](pieces)
    np.testing.assert_array_equal(pieces.curve("all").at(x[:, None].numpy())[:, 0], value.numpy())
