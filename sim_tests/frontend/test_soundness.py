"""Models that no trace can help: quantized already, of other numbers, or with another input than one
image."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import dnisnm_lava as dn
from dnisnm_lava.errors import UnsupportedModel
from dnisnm_lava.frontend import trace

X = np.zeros((1, 8, 8), np.float32)


def floats() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3))


def dynamic() -> nn.Module:
    return torch.ao.quantization.quantize_dynamic(floats().eval(), {nn.Linear})


def eager(stage: str) -> nn.Module:
    ao = torch.ao.quantization
    model = nn.Sequential(ao.QuantStub(), *floats(), ao.DeQuantStub()).eval()
    model.qconfig = (
        ao.get_default_qat_qconfig("fbgemm") if stage == "qat" else ao.get_default_qconfig("fbgemm")
    )  # type: ignore[assignment]
    prepared = ao.prepare_qat(model.train()).eval() if stage == "qat" else ao.prepare(model)
    prepared(torch.rand(2, 1, 8, 8))
    return ao.convert(prepared) if stage == "static" else prepared


def by_fx(stage: str) -> nn.Module:
    from torch.ao.quantization import (
        get_default_qat_qconfig_mapping,
        get_default_qconfig_mapping,
        quantize_fx,
    )

    x = (torch.zeros(2, 1, 8, 8),)
    if stage == "qat":
        return quantize_fx.prepare_qat_fx(floats().train(), get_default_qat_qconfig_mapping("x86"), x).eval()
    prepared = quantize_fx.prepare_fx(floats().eval(), get_default_qconfig_mapping("x86"), x)
    prepared(*x)
    return quantize_fx.convert_fx(prepared)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            dynamic,
            "3: a Linear of torch.ao.nn.quantized.dynamic.modules.linear, quantized to integers; give "
            "the float network from before",
        ),
        (lambda: eager("static"), "of torch.ao.nn.quantized.modules"),
        (lambda: eager("qat"), "which rounds floats as quantization would (quantization-aware training"),
        (lambda: eager("observed"), "for it); give the network as it was before torch.ao's prepare"),
        (
            lambda: by_fx("qat"),
            "activation_post_process_0: a FusedMovingAvgObsFakeQuantize, which rounds floats as "
            "quantization would",
        ),
        (lambda: by_fx("static"), "quantized to integers; give the float network from before quantization"),
    ],
    ids=["dynamic", "static", "eager QAT", "observed", "fx QAT", "fx static"],
)
def test_a_network_of_torchs_quantization_is_told_and_what_to_give(make: Any, said: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = make()
    with pytest.raises(UnsupportedModel) as error:
        dn.inspect(model, X)
    assert said in str(error.value)
    with pytest.raises(UnsupportedModel):
        dn.from_torch(model, X)


def test_floats_added_for_quantization_convert() -> None:
    """torchvision's quantizable networks, before they are quantized."""

    class Adds(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(1, 2, 3), nn.Conv2d(1, 2, 3)
            self.add = torch.ao.nn.quantized.FloatFunctional()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.add.add_relu(self.a(x), self.b(x)).flatten(1)

    model, x = Adds().eval(), np.random.default_rng(0).normal(size=(2, 1, 8, 8)).astype(np.float32)
    found = dn.from_torch(model, x[0]).ann(x)
    np.testing.assert_allclose(
        found, model(torch.from_numpy(x)).detach().numpy(), rtol=0, atol=1e-5
    )  # float32 sums of 9 terms below 10


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (lambda w: w.to(torch.complex64), "3.weight: of complex64; give the network with float weights"),
        (lambda w: w.to_sparse(), "3.weight: a sparse_coo tensor; make it dense with to_dense()"),
    ],
    ids=["complex", "sparse"],
)
def test_weights_of_other_numbers_are_told(number: Any, said: str) -> None:
    model = copy.deepcopy(floats())
    model[3].weight = nn.Parameter(number(model[3].weight.detach()))
    with pytest.raises(UnsupportedModel) as error:
        dn.inspect(model, X)
    assert said in str(error.value)


# ---------------------------------------------------------------- what forward takes


class Inner(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = floats()


class TakesDict(Inner):
    def forward(self, batch: Any) -> Any:
        return {"logits": self.net(batch["image"])}


class GetsFromDict(Inner):
    def forward(self, batch: Any) -> Any:
        return self.net(batch.get("image") * batch["mask"])


class TakesTwo(Inner):
    def forward(self, x: torch.Tensor, scale: torch.Tensor) -> Any:
        return self.net(x * scale)


class TakesNamed(Inner):
    def forward(self, *, pixel_values: torch.Tensor) -> Any:
        return self.net(pixel_values)


class TakesKeywords(Inner):
    def forward(self, **batch: torch.Tensor) -> Any:
        return self.net(batch["image"])


class TakesList(Inner):
    def forward(self, xs: Any) -> Any:
        if not isinstance(xs, list):
            raise TypeError("a list is needed")
        return self.net(torch.stack([x.reshape(1, 8, 8) for x in xs]))


class TakesTuple(Inner):
    def forward(self, xs: Any) -> Any:
        (x,) = xs
        return self.net(x)


class TakesNothing(Inner):
    def forward(self) -> Any:
        return torch.zeros(1)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (
            TakesDict(),
            "TakesDict: forward takes a dict (it reads 'image'), and one batch of images is given; wrap "
            "it in a Module with "
            "`def forward(self, x): return self.net({'image': x})`",
        ),
        (GetsFromDict(), "forward takes a dict (it reads 'image', 'mask')"),
        (
            TakesTwo(),
            "forward takes 2 inputs (x, scale), and one batch of images is given; wrap it in a Module with "
            "`def forward(self, x): return self.net(x, scale=...)`",
        ),
        (TakesNamed(), "forward takes its input by name alone (pixel_values)"),
        (TakesKeywords(), "forward takes no input by place"),
        (TakesList(), "forward takes a list of images"),
        (TakesTuple(), "forward takes a list of batches"),
        (TakesNothing(), "forward takes no input by place"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_a_model_of_other_inputs_is_told_what_it_takes_and_how_to_wrap_it(
    model: nn.Module, said: str
) -> None:
    with pytest.raises(UnsupportedModel) as error:
        dn.inspect(model, X)
    assert said in str(error.value)
    assert model.training


def test_the_wrapper_that_is_told_converts() -> None:
    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = TakesDict()

        def forward(self, x: torch.Tensor) -> Any:
            return self.net({"image": x})["logits"]

    model = Wrapped().eval()
    x = np.random.default_rng(0).normal(size=(2, 1, 8, 8)).astype(np.float32)
    found = dn.from_torch(model, x[0]).ann(x)
    np.testing.assert_allclose(
        found, model(torch.from_numpy(x)).detach().numpy(), rtol=0, atol=1e-5
    )  # float32 sums of 72 terms below 10


def test_one_input_with_options_is_traced() -> None:
    class Optional(Inner):
        def forward(self, x: torch.Tensor, scale: float = 1.0, targets: Any = None) -> Any:
            return self.net(x * scale)

    assert dn.from_torch(Optional(), X).readout.shape == (3,)


def test_text_beside_tensors_is_told() -> None:
    class Named(Inner):
        def forward(self, x: torch.Tensor) -> Any:
            return {"logits": self.net(x), "name": "mine"}

    with pytest.raises(UnsupportedModel, match=r"forward returns 'mine' \(str\) beside its tensors"):
        dn.inspect(Named(), X)


def test_a_model_that_fails_of_itself_is_told_as_before() -> None:
    class Fails(Inner):
        def forward(self, x: torch.Tensor) -> Any:
            return self.net(x[:, :, :5])

    with pytest.raises(UnsupportedModel, match=r"Fails: torch\.export cannot trace it for an input of shape"):
        dn.inspect(Fails(), X)


class Tails(nn.Module):
    """Of 6 features, those from a place on come first, scaled."""

    def __init__(self, begin: int, scale: float = 1.0) -> None:
        super().__init__()
        self.begin, self.scale = begin, scale
        self.linear, self.head = nn.Linear(6, 4), nn.Linear(4, 2)
        for layer in (self.linear, self.head):
            nn.init.constant_(layer.bias, 0.0)
            layer.weight.data = (3.0 * torch.arange(layer.weight.numel()) + 1).sin().reshape_as(layer.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tail = x[:, self.begin :] * self.scale
        return self.head(self.linear(torch.cat([tail, x[:, : self.begin]], dim=1)).relu())  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (Tails(2), "other values"),
        (Tails(4, 1.2), "other values"),
        (nn.Linear(6, 3), "shape .2, 3. for .2, 2."),
    ],
)
def test_a_trace_of_another_network_than_forward_is_refused(
    monkeypatch: pytest.MonkeyPatch, other: nn.Module, said: str
) -> None:
    """As torch 2.3's, which takes the last place of a range that falls for another."""
    model = Tails(4)
    dn.from_torch(model, np.zeros((1, 6), np.float32))
    real = trace._exported
    monkeypatch.setattr(trace, "_exported", lambda _, example: real(other, example))
    with pytest.raises(UnsupportedModel, match=f"traces another network than forward computes.*{said}"):
        dn.from_torch(model, np.zeros((1, 6), np.float32))


def test_a_model_without_numbers_on_random_images_or_that_writes_into_them_is_traced() -> None:
    class Writes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(6, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.linear(x.mul_(2)) * torch.tensor(np.inf).log().reciprocal()  # type: ignore[no-any-return]

    dn.from_torch(Writes(), np.zeros((1, 6), np.float32))
