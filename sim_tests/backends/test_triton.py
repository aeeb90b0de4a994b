"""Triton's kernels: on CUDA where it is, and without a device by Triton's interpreter and its compiler."""

from __future__ import annotations

import importlib.util
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
import triton_checks
from children import in_child
from graphs import small

from dnisnm_lava.backends import batched
from dnisnm_lava.backends.batched import device, planning, triton_here
from dnisnm_lava.errors import OutOfRange

NAMES = [check.__name__ for check in triton_checks.CHECKS]
triton_needed = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None,
    reason="Triton is not here; it comes with torch on Linux",
)


@pytest.fixture(scope="module")
def interpreted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return in_child(triton_checks.__file__, "interpreted", tmp_path_factory.mktemp("triton"), 600)


@triton_needed
@pytest.mark.parametrize("check", NAMES)
def test_by_the_interpreter(interpreted: dict[str, str], check: str) -> None:
    assert interpreted[check] == ""


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("check", triton_checks.CHECKS, ids=NAMES)
def test_on_cuda(check: triton_checks.Check) -> None:
    check("cuda")


@pytest.mark.campaign
@triton_needed
def test_kernels_compile_for_cards_whose_tensor_cores_multiply_8_bit_integers(tmp_path: Path) -> None:
    """For compute capability 8.0 and 9.0, down to machine code; products of integers with sums of 32 bits."""
    found = in_child(triton_checks.__file__, "compiled", tmp_path, 600)
    assert {name for name, count in found.items() if count} == {"products 80", "products 90"}
    assert len(found) == 4 * len(triton_checks.CARDS)


@pytest.mark.parametrize("dial", ["synapses", "neurons"])
def test_without_a_device_and_without_the_interpreter_it_is_refused(
    monkeypatch: pytest.MonkeyPatch, dial: str
) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    graph, x = small()
    told = rf"{dial}: triton asked for, and there is none for cpu here; .* 8\.0 or later, .*: choose auto"
    with pytest.raises(OutOfRange, match=told):
        batched.run(graph, x, **{dial: "triton"})
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    with pytest.raises(OutOfRange, match=told):
        batched.run(graph, x, **{dial: "triton"})


def test_it_is_tried_only_on_cards_that_multiply_8_bit_integers(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the compute capability alone: on others a compiler may end the process, which no one can catch."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    for capability, tried in (((7, 5), False), ((8, 0), True), ((9, 0), True)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda name, it=capability: it)
        assert triton_here.is_here("cuda") is tried
    assert not triton_here.is_here("cpu")
    monkeypatch.setattr(torch.version, "hip", "6.0")
    assert not triton_here.is_here("cuda")


def test_ways_that_do_not_go_together_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, x = small()
    monkeypatch.setattr(triton_here, "require", lambda what, device: None)
    with pytest.raises(OutOfRange, match="compiled asked for, and synapses: triton, which read no bytes"):
        batched.run(graph, x, synapses="triton", neurons="compiled")
    with pytest.raises(OutOfRange, match="neurons: triton asked for, and observe; triton ones keep no v"):
        batched.run(graph, x, neurons="triton", observe=lambda *_: None)


def test_on_a_cpu_auto_takes_what_it_took() -> None:
    graph, _ = small()
    taken = planning.paths(planning.planned(graph))
    assert "triton" not in {*taken["synapses"], *taken["neurons"]}


def test_memory_is_that_of_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    current: list[str] = []
    monkeypatch.setattr(device, "current_device", lambda name: nullcontext(current.append(name)))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (12, 100))
    assert device.free_bytes("cuda") == 12
    assert current == ["cuda"]
    assert device.free_bytes("cpu") > 1 << 24
