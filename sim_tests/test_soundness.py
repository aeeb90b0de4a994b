"""Models that no trace can help: quantized already, of other numbers, or with another input than one image."""

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

X = np.zeros((1, 8, 8), np.float32)


def floats() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3))


def dynamic() -> nn.Module:
    return torch.ao.quantization.quantize_dynamic(floats().eval(), {nn.Linear})


def eager(stage: str) -> nn.Module:
    ao = torch.ao.quantization
    model = nn.Sequential(ao.QuantStub(), *floats(), ao.DeQuantStub()).eval()
    model.qconfig = ao.get_default_qat_qconfig("fbgemm") if stage == "qat" else ao.get_default_qconfig("fbgemm")  # type: ignore[assignment]
    prepared = ao.prepare_qat(model.train()).eval() if stage == "qat" else ao.prepare(model)
    prepared(torch.rand(2, 1, 8, 8))
    return ao.convert(prepared) if stage == "static" else prepared


def by_fx(stage: str) -> nn.Module:
    from torch.ao.quantization import get_default_qat_qconfig_mapping, get_default_qconfig_mapping, quantize_fx

    x = (torch.zeros(2, 1, 8, 8),)
    if stage == "qat":
        return quantize_fx.prepare_qat_fx(floats().train(), get_default_qat_qconfig_mapping("x86"), x).eval()
    prepared = quantize_fx.prepare_fx(floats().eval(), get_default_qconfig_mapping("x86"), x)
    prepared(*x)
    return quantize_fx.convert_fx(prepared)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (dynamic, "3: a Linear of torch.ao.nn.quantized.dynamic.modules.linear, quantized to integers; give the float network from before"),
        (lambda: eager("static"), "of torch.ao.nn.quantized.modules"),
        (lambda: eager("qat"), "which rounds floats as quantization would (quantization-aware training"),
        (lambda: eager("observed"), "for it); give the network as it was before torch.ao's prepare"),
        (lambda: by_fx("qat"), "activation_post_process_0: a FusedMovingAvgObsFakeQuantize, which rounds floats as quantization would"),
        (lambda: by_fx("static"), "quantized to integers; give the float network from before quantization"),
    ],
    ids=["dynamic", "static", "eager QAT", "observed", "fx QAT", "fx static"],
)  # fmt: skip
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
    np.testing.assert_allclose(found, model(torch.from_numpy(x)).detach().numpy(), rtol=0, atol=1e-5)  # float32 sums of 9 terms below 10


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
