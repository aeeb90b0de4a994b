"""The buffered convolution: the same integers as the projection's, and as Lava's own Conv."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from children import in_child, main
from hypothesis import given, settings
from hypothesis import strategies as st

from dnisnm_lava.ir import Projection, Resample
from dnisnm_lava.ir.arithmetic import Window
from dnisnm_lava.procs.im2col import BufferedConv2d

pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
border = st.tuples(st.integers(0, 2), st.integers(0, 2))


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[Projection, tuple[int, ...]]:
    """A projection and its source's shape; channels are chosen and placed, now and then pooled."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    groups, inputs, outputs = (
        draw(st.sampled_from([1, 2, 4])),
        draw(st.integers(1, 2)),
        draw(st.integers(1, 3)),
    )
    kernel, dilation, size = draw(pair), draw(pair), draw(st.tuples(st.integers(7, 10), st.integers(7, 10)))
    largest = draw(st.sampled_from([1, 127, 1 << 30]))
    weight = rng.integers(-largest, largest + 1, (outputs * groups, inputs, *kernel)).astype(np.int32)
    options: dict[str, Any] = {}
    if draw(st.booleans()):
        options["source_channels"] = rng.permutation(inputs * groups + 2)[: inputs * groups]
    if draw(st.booleans()):
        options |= {
            "targets": outputs * groups + 3,
            "target_channels": rng.permutation(outputs * groups + 3)[: outputs * groups],
        }
    if draw(st.integers(0, 5)) == 0:
        options["sum_pool"] = Window((1, 1), (1, 1))
    projection = Projection(
        "a",
        weight,
        draw(pair),
        (draw(border), draw(border)),
        dilation,
        groups,
        exponent=draw(st.integers(0, 3)),
        **options,
    )
    return projection, (inputs * groups + (2 if "source_channels" in options else 0), *size)


def stream(rng: np.random.Generator, shape: tuple[int, ...], largest: int) -> list[np.ndarray]:
    """Spikes of several steps: dense, silent, sparse, repeated, one alone."""
    dense = rng.integers(-largest, largest + 1, shape)
    sparse = rng.integers(-1, 2, shape) * (rng.random(shape) < 0.1)
    alone = np.zeros(shape, int)
    alone.flat[rng.integers(alone.size)] = -largest
    silence = np.zeros(shape, int)
    return [
        x.astype(np.int32)
        for x in (dense, silence, dense, sparse, sparse, dense, dense, silence, silence, alone, silence)
    ]


def model(
    projection: Projection, steps: list[np.ndarray], *, tag: str = "Fixed"
) -> tuple[Any, list[np.ndarray]]:
    """The process model of Conv without Lava around it, and what it sends when it receives `steps`."""
    from dnisnm_lava.procs.conv import models

    dtype = np.int32 if tag == "Fixed" else np.float64
    sent: list[np.ndarray] = []
    inputs = iter([x.astype(dtype) for x in steps])
    m = getattr(models, f"PyConvModel{tag}")({"projection": projection})
    m.a_out, m.s_in = (
        SimpleNamespace(send=lambda a: sent.append(a.copy())),
        SimpleNamespace(recv=lambda: next(inputs)),
    )
    m.current = np.zeros(projection.output_shape(steps[0].shape), dtype)
    for _ in steps:
        m.run_spk()
    return m, [*sent[1:], m.current]


@settings(max_examples=80)
@given(convolutions(), st.integers(0, 1000), st.sampled_from([1, 31, 1 << 12, 1 << 20]))
def test_the_buffered_conv_equals_the_projection(
    given: tuple[Projection, tuple[int, ...]], seed: int, largest: int
) -> None:
    pytest.importorskip("lava", reason="lava-nc is not installed")
    projection, shape = given
    steps = stream(np.random.default_rng(seed), shape, largest)
    _, currents = model(projection, steps)
    if projection.bound(largest) < 1 << 53:
        for x, current in zip(steps, currents, strict=True):
            assert np.array_equal(projection(x[None])[0].astype(np.int32), current)


@pytest.mark.parametrize(("x", "largest"), [([0, 5], 5), ([-7, 5], 7), ([2, 3], 3), ([-4, -6], 6)])
def test_the_bound_is_that_of_the_largest_magnitude(x: list[int], largest: int) -> None:
    conv = BufferedConv2d(np.array([[[[3, -4]]], [[[-2, 2]]]]), (1, 2), (1, 1), ((0, 0), (0, 0)), (1, 1), 1)
    assert conv.bound(np.array([[x]])) == 7 * largest


@pytest.mark.parametrize(
    ("weight", "spike"),
    [((1 << 23) - 1, 1), ((1 << 24) + 1, 1), ((1 << 31) - 1, (1 << 30) + 1)],
    ids=["float32", "float64", "int64"],
)
def test_it_is_exact_in_every_dtype(weight: int, spike: int) -> None:
    """Odd sums that a narrower dtype would round."""
    conv = BufferedConv2d(np.array([[[[weight]], [[2]]]]), (1, 2), (1, 1), ((0, 0), (0, 0)), (1, 1), 1)
    x = np.array([[[spike, -spike]], [[0, 1]]])
    assert conv(x).astype(np.int64).tolist() == [[[weight * spike, 2 - weight * spike]]]


@pytest.mark.parametrize(
    ("options", "buffered"),
    [
        ({}, True),
        ({"sum_pool": Window((2, 2), (2, 2))}, False),
        ({"resample": Resample(np.eye(3, 6, dtype=int), np.eye(4, 6, dtype=int))}, False),
    ],
    ids=["plain", "sum-pool", "resample"],
)
def test_what_it_does_not_cover_goes_through_the_projection(options: dict[str, Any], buffered: bool) -> None:
    pytest.importorskip("lava", reason="lava-nc is not installed")
    rng = np.random.default_rng(0)
    projection = Projection("a", rng.integers(-9, 10, (3, 2, 2, 2)).astype(np.int8), exponent=1, **options)
    steps = stream(rng, (2, 6, 6), 5)
    m, currents = model(projection, steps)
    assert (m.conv is not None) is buffered
    assert all(
        np.array_equal(projection(x[None])[0], current) for x, current in zip(steps, currents, strict=True)
    )


@pytest.mark.parametrize("tag", ["Float", "Fixed"])
def test_float_weights_go_through_the_projection(tag: str) -> None:
    pytest.importorskip("lava", reason="lava-nc is not installed")
    rng = np.random.default_rng(0)
    projection = Projection("a", rng.normal(size=(3, 2, 3, 3)), padding=((1, 1), (1, 1)))
    steps = stream(rng, (2, 6, 6), 5)
    m, currents = model(projection, steps, tag=tag)
    assert m.conv is None
    for x, current in zip(steps, currents, strict=True):
        assert np.array_equal(projection(x[None])[0].astype(current.dtype), current)


def test_silence_and_repeated_spikes_cost_nothing() -> None:
    pytest.importorskip("lava", reason="lava-nc is not installed")
    calls = []

    class Counted(BufferedConv2d):
        def __call__(self, x: np.ndarray) -> np.ndarray:
            calls.append(1)
            return super().__call__(x)

    rng = np.random.default_rng(0)
    projection = Projection("a", rng.integers(-9, 10, (3, 2, 3, 3)).astype(np.int8))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dnisnm_lava.procs.synapses.BufferedConv2d", Counted)
        model(projection, stream(rng, (2, 6, 6), 5))
    assert len(calls) == 5  # dense, dense behind a silence, sparse, dense, alone


# ---------------------------------------------------------------- Lava's own Conv


def in_lava(tmp_path: Path, what: str, seconds: float) -> dict[str, Any]:
    pytest.importorskip("lava", reason="lava-nc is not installed")
    return in_child(__file__, what, tmp_path, seconds)


def test_the_fast_model_equals_lavas_conv(tmp_path: Path) -> None:
    result = in_lava(tmp_path, "convs", 60)
    assert len(result) == len(CONVS)
    for name, row in result.items():
        assert row["different"] == 0, name
        assert row["nonzero"] > 0, name
    assert result["wraps"]["largest"] > 1 << 22


def test_what_lavas_conv_gets_wrong_is_computed_right(tmp_path: Path) -> None:
    """128 groups are zeros there, and sums beyond 32 bits are undefined."""
    result = in_lava(tmp_path, "accidents", 60)
    assert result["128 groups"] == {"stock": [0] * 128, "fast": list(range(1, 129))}
    assert result["beyond 32 bits"]["fast"] == [(5 * 1_000_000_007 + (1 << 23)) % (1 << 24) - (1 << 23)]


def test_a_weight_that_is_set_while_it_runs_holds(tmp_path: Path) -> None:
    result = in_lava(tmp_path, "new_weight", 60)
    assert result["fast"] == result["stock"]
    assert len({str(step) for step in result["fast"]}) >= 3  # nothing yet, the old weight, the new one


@pytest.mark.campaign
def test_pilotnet_of_lava_dl_is_spike_for_spike_the_same(tmp_path: Path) -> None:
    """Every layer, against Lava's own Conv and against the spikes that lava-dl recorded."""
    pytest.importorskip("lava.lib.dl", reason="lava-dl is not installed")
    result = in_lava(tmp_path, "pilotnet", 100)
    assert len(result) == 10
    for layer in result:
        assert layer["different"] == 0, layer
        assert layer["from_recorded"] in (0, None), layer
    assert sum(layer["spikes"] > 0 for layer in result) >= 9


# ---------------------------------------------------------------- what runs in the child


CONVS: dict[str, dict[str, Any]] = {  # Lava's order: input (W, H, C), weight (O, kW, kH, C / groups)
    "plain": {"shape": (6, 5, 2), "kernel": (3, 3, 2, 2), "options": {"num_message_bits": 8}},
    "everything": {
        "shape": (9, 11, 4),
        "kernel": (6, 3, 2, 2),
        "options": {
            "stride": (2, 1),
            "padding": (1, 2),
            "dilation": (2, 3),
            "groups": 2,
            "num_message_bits": 16,
        },
    },
    "bool": {"shape": (6, 5, 2), "kernel": (3, 2, 2, 2), "options": {}},
    "wraps": {
        "shape": (5, 5, 3),
        "kernel": (2, 3, 3, 3),
        "largest": 1 << 13,
        "options": {"num_message_bits": 24},
    },
    "the edge of the wrap": {
        "shape": (2, 2, 1),
        "weight": np.full((1, 1, 1, 1), -1),
        "largest": 1 << 23,
        "options": {"num_message_bits": 24},
    },
    "depthwise": {
        "shape": (5, 5, 4),
        "kernel": (4, 3, 3, 1),
        "options": {"groups": 4, "num_message_bits": 8},
    },
}


def convolved(process: dict[str, Any], x: np.ndarray, model: Any, after: Any = None) -> np.ndarray:
    """(*output shape, steps) of Lava's Conv for spikes (*input shape, steps); after(conv) before the last two
    steps."""
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg
    from lava.proc import io
    from lava.proc.conv.process import Conv

    source, conv = io.source.RingBuffer(data=x), Conv(**process)
    sink = io.sink.RingBuffer(shape=conv.a_out.shape, buffer=x.shape[-1])
    source.s_out.connect(conv.s_in)
    conv.a_out.connect(sink.a_in)
    config = Loihi2SimCfg(select_tag="fixed_pt", exception_proc_model_map={Conv: model})
    rest = 2 if after else 0
    sink.run(condition=RunSteps(num_steps=x.shape[-1] - rest), run_cfg=config)
    if after:
        after(conv)
        sink.run(condition=RunSteps(num_steps=rest), run_cfg=config)
    found = sink.data.get()
    sink.stop()
    return found.astype(np.int64)


def models() -> tuple[Any, Any]:
    from lava.proc.conv.models import PyConvModelFixed

    from dnisnm_lava.procs.stock_conv import PyConvModelFast

    return PyConvModelFixed, PyConvModelFast


def convs() -> dict[str, Any]:
    rows, rng = {}, np.random.default_rng(0)
    for name, case in CONVS.items():
        x = np.stack(stream(rng, case["shape"], case.get("largest", 30)), axis=-1)
        largest = case.get("largest", 127)
        weight = case["weight"] if "weight" in case else rng.integers(-largest, largest, case["kernel"])
        process = {"weight": weight, "input_shape": case["shape"], **case["options"]}
        stock, fast = (convolved(process, x, model) for model in models())
        rows[name] = {
            "different": int((stock != fast).sum()),
            "nonzero": int((stock != 0).sum()),
            "largest": int(np.abs(stock).max()),
        }
    return rows


def accidents() -> dict[str, Any]:
    weight = np.arange(1, 129).reshape(128, 1, 1, 1)
    grouped = {"weight": weight, "input_shape": (1, 1, 128), "groups": 128, "num_message_bits": 8}
    large = {"weight": np.full((1, 1, 1, 1), 1_000_000_007), "input_shape": (1, 1, 1), "num_message_bits": 8}
    found = {}
    for name, process, value in (("128 groups", grouped, 1), ("beyond 32 bits", large, 5)):
        x = np.full((*process["input_shape"], 2), value)  # type: ignore[misc]
        stock, fast = (convolved(process, x, model)[0, 0, :, 1].tolist() for model in models())
        found[name] = {"stock": stock, "fast": fast}
    return found


def new_weight() -> dict[str, Any]:
    process = {"weight": np.full((1, 1, 1, 1), 3), "input_shape": (2, 1, 1), "num_message_bits": 8}
    x = np.full((2, 1, 1, 5), 7)
    stock, fast = (
        convolved(process, x, model, after=lambda conv: conv.weight.set(np.full((1, 1, 1, 1), 5)))
        for model in models()
    )
    return {"stock": stock[0, 0, 0].tolist(), "fast": fast[0, 0, 0].tolist()}


def pilotnet() -> list[dict[str, Any]]:
    from benchmarks.lava import layers

    return layers()


if __name__ == "__main__":
    main(convs, accidents, new_weight, pilotnet)
