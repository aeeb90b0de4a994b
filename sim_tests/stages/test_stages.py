"""Calibration, conversion and quantization: what each number is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from graphs import Chain, ResidualPoolNet, analog_chain, images, randomized, small
from hypothesis import given, settings
from hypothesis import strategies as st

import dnisnm_lava as dn
from dnisnm_lava.backends import batched, reference
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir import SNM, ReadOut, Rectifier
from dnisnm_lava.ir.fixedpoint import STATE
from dnisnm_lava.ir.integers import encode_images
from dnisnm_lava.stages.calibration import Statistics

SHAPE = (2, 6, 6)


def calibrated(seed: int = 0) -> tuple[dn.AnalogGraph, Statistics, np.ndarray]:
    x = images(24, SHAPE, seed)
    analog = dn.from_torch(randomized(ResidualPoolNet(), seed), x[0])
    return analog, dn.calibrate(analog, [x]), x


# ---------------------------------------------------------------- calibration


def test_maxima_are_those_of_the_models_own_activations() -> None:
    """By forward hooks on the torch model, and by the graph in float64."""
    model, (_, stats, x) = randomized(ResidualPoolNet(), 0), calibrated()
    seen: list[torch.Tensor] = []
    model.conv3.register_forward_hook(lambda *args: seen.append(torch.relu(args[2])))
    with torch.no_grad():
        model(torch.from_numpy(x))
    hooked = torch.cat(seen).amax(0).numpy()
    # float32 sums of 16 products: 16 * 2**-24 of the largest
    np.testing.assert_allclose(stats.maxima("conv3"), hooked, rtol=0, atol=16 * 2**-24 * hooked.max())
    assert stats.images == 24


def test_batches_of_any_kind_give_the_same_statistics() -> None:
    analog, stats, x = calibrated()

    def stream() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for start in range(0, 24, 5):
            yield torch.from_numpy(x[start : start + 5]), torch.zeros(5)

    again = dn.calibrate(analog, stream())
    assert again.images == stats.images
    for name in stats.high:
        # one batch or five: oneDNN may sum in another order, in float32
        np.testing.assert_allclose(again.high[name], stats.high[name], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(again.input_magnitude, np.abs(x).max((0, 2, 3)))


@pytest.mark.parametrize(("granularity", "axes"), [("channel", (1, 2)), ("layer", (0, 1, 2))])
def test_shared_thresholds_are_the_maximum_over_who_shares(granularity: str, axes: tuple[int, ...]) -> None:
    _, stats, _ = calibrated()
    own, shared = stats.maxima("conv1"), stats.maxima("conv1", granularity)
    assert shared.shape == own.shape
    np.testing.assert_array_equal(shared, np.broadcast_to(own.max(axis=axes, keepdims=True), own.shape))


def test_neurons_that_were_never_active_are_dead_and_counted() -> None:
    analog = analog_chain(np.array([[1.0], [-1.0], [2.0]]), np.array([0.0, -1.0, 0.5]))
    x = np.array([[0.25], [1.0]])
    spiking = dn.convert(analog, dn.calibrate(analog, [x]), steps=4)
    assert spiking.dead_neurons == {"hidden": 1}
    assert spiking["hidden"].vth.tolist() == [1.0, 0.0, 2.5]
    integer = dn.quantize(spiking)
    assert (integer["hidden"].vth[1], integer["hidden"].payload[1]) == (0, 0)
    assert reference.run(integer, x).spikes["hidden"][:, :, 1].any() == np.False_


@pytest.mark.parametrize(
    ("batches", "match"),
    [
        ([], "calibration: 0 images given"),
        ([np.zeros((0, *SHAPE))], "images: 0 given"),
        ([np.zeros((3, 2, 6, 5))], r"images: shape \(3, 2, 6, 5\) given, \(N, 2, 6, 6\) needed"),
        ([np.full((1, *SHAPE), np.nan)], "images: 72 of 72 values are NaN or infinite"),
    ],
)
def test_bad_calibration_images_are_refused(batches: list[np.ndarray], match: str) -> None:
    analog, _, _ = calibrated()
    with pytest.raises(OutOfRange, match=match):
        dn.calibrate(analog, batches)


# ---------------------------------------------------------------- conversion


def test_thresholds_initial_potentials_and_levels() -> None:
    analog, stats, _ = calibrated()
    for levels in (1, 3):
        p = dn.convert(analog, stats, steps=5, levels=levels)["conv2"]
        np.testing.assert_array_equal(p.vth, stats.maxima("conv2") / levels)
        np.testing.assert_array_equal(p.v_init, p.vth / 2)
        np.testing.assert_array_equal(p.payload, p.vth)
        assert p.levels == levels


def test_leads_may_differ_by_population() -> None:
    analog, stats, _ = calibrated()
    spiking = dn.convert(analog, stats, steps=5, lead={"conv2": 3})
    assert [p.lead for p in spiking.of(SNM)] == [0, 3, 0]
    # o = 1 + max over sources (o + lead): conv2 waits for conv1, the pool for conv2's three steps of lead
    assert spiking.window_starts() == {
        "input": 0,
        "conv1": 1,
        "conv2": 2,
        "conv2.pool": 6,
        "conv3": 7,
        "fc": 8,
    }


@settings(max_examples=15)
@given(seed=st.integers(0, 50), steps=st.integers(1, 6), levels=st.integers(1, 3))
def test_with_the_largest_lead_a_network_is_its_own_quantized_activation(
    seed: int, steps: int, levels: int
) -> None:
    """At lead = T - 1 every neuron has heard all before it fires (paper, 3.3: no asynchronism error), so its
    spikes sum to min(T * K, floor(V / vth)), V = v_init + all currents; no simulation needed."""
    graph, x = small(Chain(), (6,), seed=seed, steps=steps, levels=levels, lead=steps - 1)
    run = batched.run(graph, x, steps=steps, record=True)
    codes, _ = encode_images(graph, x)
    total = {"input": codes.astype(np.int64) * steps}
    for p in graph.of(SNM):
        v = (
            p.v_init
            + steps * p.bias.astype(np.int64)
            + total[p.projections[0].source] @ p.projections[0].weight.astype(np.int64).T
        )
        fired = np.minimum(v // np.maximum(p.vth, 1), steps * levels)
        total[p.name] = np.where((p.vth > 0) & (v > 0), fired, 0) * p.payload
        np.testing.assert_array_equal(run.spikes[p.name].sum(1), total[p.name], err_msg=p.name)


def powers_of_two(stats: Statistics, granularity: str) -> Statistics:
    """The statistics with every maximum rounded up to a power of two, so that scaling by it is exact."""
    high = {}
    for name in stats.high:
        largest = stats.maxima(name, granularity)
        high[name] = np.where(largest > 0, 2.0 ** np.ceil(np.log2(np.maximum(largest, 1e-30))), 0)
    return replace(stats, high=high)


@pytest.mark.parametrize(
    ("model", "shape", "granularity"),
    [
        (Chain, (6,), "neuron"),
        (ResidualPoolNet, SHAPE, "channel"),
        (ResidualPoolNet, SHAPE, "layer"),
    ],
)
def test_the_two_branches_of_algorithm_1_are_the_same_network(
    model: type, shape: tuple[int, ...], granularity: str
) -> None:
    """Balancing sends theta where normalizing (18) sends 1: spike for spike, where theta is a power of two
    and dividing by it rounds nothing; the potentials differ by exactly theta."""
    x = images(20, shape, 1)
    analog = dn.from_torch(randomized(model(), 1), x[0])
    stats = powers_of_two(dn.calibrate(analog, [x]), granularity)
    balanced = dn.convert(analog, stats, steps=9, granularity=granularity)
    normalized = dn.normalize_weights(dn.convert(analog, stats, steps=9, granularity=granularity))
    assert all(set(np.unique(p.payload)) <= {0.0, 1.0} for p in normalized.of(SNM))
    a, b = reference.run(balanced, x), reference.run(normalized, x)
    for p in balanced.of(SNM):
        np.testing.assert_array_equal(a.spikes[p.name], b.spikes[p.name] * p.vth, err_msg=p.name)
    np.testing.assert_array_equal(a.logits, b.logits)
    assert sum(sum(c) for c in a.spike_counts.values()) > 100


def kernel_3x3(p: Any) -> np.ndarray:
    return next(q.weight for q in p.projections if q.weight.shape[-1] == 3)


def test_normalized_weights_are_equation_18() -> None:
    analog, stats, _ = calibrated()
    spiking = dn.normalize_weights(dn.convert(analog, stats, steps=4, granularity="layer"))
    lambda1, lambda2 = stats.maxima("conv1", "layer").max(), stats.maxima("conv2", "layer").max()
    own, new = kernel_3x3(analog["conv2"]), kernel_3x3(spiking["conv2"])
    np.testing.assert_allclose(new, own * lambda1 / lambda2, rtol=1e-15)  # two roundings


def test_weight_normalization_refuses_a_kernel_whose_positions_differ() -> None:
    analog, stats, _ = calibrated()
    with pytest.raises(OutOfRange, match=r"conv1: thresholds differ within a channel.*\(18\)"):
        dn.normalize_weights(dn.convert(analog, stats, steps=4))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"steps": 0}, "steps: 0 given; give 1 or more"),
        ({"steps": 4, "levels": 0}, "levels: 0 given"),
        ({"steps": 4, "lead": -1}, "lead: -1 .*negative"),
        ({"steps": 4, "lead": {"nobody": 1}}, "names no population"),
        ({"steps": 4, "granularity": "pixel"}, "granularity: 'pixel' given; choose neuron, channel or layer"),
    ],
)
def test_bad_options_are_refused(options: dict[str, object], match: str) -> None:
    analog, stats, _ = calibrated()
    with pytest.raises(OutOfRange, match=match):
        dn.convert(analog, stats, **options)  # type: ignore[arg-type]


# ---------------------------------------------------------------- quantization


def test_every_integer_is_the_nearest_in_its_unit() -> None:
    analog, stats, _ = calibrated()
    spiking = dn.convert(analog, stats, steps=8)
    integer = dn.quantize(spiking)
    worth = {p.name: p.spike_unit for p in integer.of(SNM)} | {"input": integer.input.scale}
    worth["conv2.pool"] = worth["conv2"]
    p, before = integer["conv3"], spiking["conv3"]
    q, original = p.projections[0], before.projections[0]
    value = q.weight * p.unit[:, None, None, None] / worth[q.source][None, :, None, None]
    half_step = p.unit[:, None, None, None] / worth[q.source][None, :, None, None] / 2
    assert (np.abs(value - original.weight) <= half_step * (1 + 1e-12)).all()
    assert np.abs(q.weight).max() <= 127
    np.testing.assert_array_equal(p.v_init, p.vth // 2)
    theta = p.payload * p.spike_unit[:, None, None]
    assert (np.abs(p.vth * p.unit[:, None, None] - theta) <= p.unit[:, None, None] / 2 * (1 + 1e-12))[
        p.vth > 1
    ].all()
    assert (np.abs(theta - before.vth) <= p.spike_unit[:, None, None] / 2 * (1 + 1e-12))[p.payload > 1].all()
    assert 1 <= p.payload[before.vth > 0].min() <= p.payload.max() == 31


def test_the_measured_range_with_its_margin_fits_the_state() -> None:
    integer, x = small(steps=64)
    assert all(r.expected * 1.2 < r.limit for r in dn.state_ranges(integer))
    assert sum(batched.run(integer, x).saturations.values()) == 0


def with_neurons(spiking: dn.SpikingGraph, vth: np.ndarray, v_init: np.ndarray) -> dn.SpikingGraph:
    changed = replace(spiking["conv2"], vth=vth, payload=vth, v_init=v_init)
    return replace(spiking, populations=tuple(changed if p.name == "conv2" else p for p in spiking))


@pytest.mark.filterwarnings("error")
def test_a_tiny_threshold_still_sends_one_and_a_dead_channel_nothing() -> None:
    analog, stats, _ = calibrated()
    spiking = dn.convert(analog, stats, steps=8)
    vth = np.full(spiking["conv2"].shape, 2.0)
    vth[0, 0, 0], vth[1] = 2 / 1000, 0
    p = dn.quantize(with_neurons(spiking, vth, vth / 2))["conv2"]
    assert (p.payload[0, 0, 0], p.payload[0, 1, 1], p.payload[2, 0, 0]) == (1, 31, 31)
    assert p.vth[0, 0, 0] >= 1
    assert not p.payload[1].any()
    assert not p.vth[1].any()
    assert (p.spike_unit > 0).all()


def test_an_initial_potential_is_half_the_snapped_threshold_and_what_was_added() -> None:
    analog, stats, _ = calibrated()
    spiking = dn.convert(analog, stats, steps=8)
    vth = spiking["conv2"].vth.copy()
    vth[0, 0, 0] = 0  # dead: whatever was added, it starts at 0
    p = dn.quantize(with_neurons(spiking, vth, np.where(vth > 0, 0.8 * vth, 1.0)))["conv2"]
    u = p.unit / spiking["conv2"].unit
    for at in np.ndindex(vth.shape):
        added = round((0.8 * vth[at] - vth[at] / 2) / u[at[0]])
        assert p.v_init[at] == (p.vth[at] // 2 + added if p.vth[at] else 0)


def test_where_the_range_decides_a_unit_it_has_a_quarter_of_room() -> None:
    """With weights of 30 bits, no unit is theirs."""
    analog, stats, _ = calibrated()
    spiking = dn.convert(analog, stats, steps=64)
    integer = dn.quantize(spiking, weight_bits={"conv1": 30})
    before, p = spiking["conv1"], integer["conv1"]
    bias = np.abs(np.broadcast_to(before.bias, before.shape)).max(axis=(1, 2))
    expected = [1.25 * max(r, b) / 8_388_607 for r, b in zip(before.v_range, bias, strict=True)]
    np.testing.assert_allclose(p.unit / before.unit, expected, rtol=1e-15)


def test_an_images_unit_is_its_channels_largest_magnitude_by_127() -> None:
    analog, _, x = calibrated()
    x = x * np.array([0.01, 100], np.float32)[None, :, None, None]
    integer = dn.quantize(dn.convert(analog, dn.calibrate(analog, [x]), steps=4))
    np.testing.assert_array_equal(integer.input.scale, np.abs(x).max(axis=(0, 2, 3)).astype(np.float64) / 127)


def test_the_static_bound_is_reached_by_the_worst_input_and_never_passed() -> None:
    integer, _ = small(Chain(), (6,))
    p = integer["fc1"]
    w = p.projections[0].weight.astype(int)
    worst = max(abs(w[i]).sum() for i in range(len(w))) * 127
    assert p.projections[0].bound(127) == worst
    row = int(np.argmax(np.abs(w).sum(1)))
    assert p.projections[0]((np.sign(w[row]) * 127)[None])[0, row] == worst
    told = next(r for r in dn.state_ranges(integer) if r.name == "fc1")
    assert told.current == worst + max(map(abs, p.bias.reshape(-1).tolist()))
    assert told.expected == max(int(np.ceil(r / u)) for r, u in zip(p.v_range, p.unit, strict=True))


def test_binary_spikes_carry_one() -> None:
    integer, x = small(granularity="channel", quantize=False), images(1, SHAPE, 0)
    graph = dn.quantize(integer[0], spikes="binary")
    assert all(set(np.unique(p.payload)) <= {0, 1} for p in graph.of(SNM))
    assert set(np.unique(reference.run(graph, x).spikes["conv1"])) <= {-1, 0, 1}


def test_binary_spikes_need_one_threshold_a_channel() -> None:
    spiking, _ = small(quantize=False)
    with pytest.raises(OutOfRange, match="conv1: binary spikes need one threshold per channel"):
        dn.quantize(spiking, spikes="binary")


@pytest.mark.parametrize(
    ("payload_bits", "levels", "fits"),
    [(23, 1, True), (22, 2, True), (22, 3, False), (23, 2, False), (1, 1 << 23, False)],
)
def test_the_largest_spike_fits_a_message_of_24_bits(payload_bits: int, levels: int, fits: bool) -> None:
    spiking, _ = small(Chain(), (6,), quantize=False, levels=levels)
    if fits:
        largest = max(
            int(p.payload.max()) * p.levels
            for p in dn.quantize(spiking, payload_bits=payload_bits, weight_bits=4).of(SNM)
        )
        assert (1 << 22) < largest < (1 << 23)
        return
    with pytest.raises(
        OutOfRange,
        match=rf"fc1: {levels} levels of {payload_bits}-bit payloads exceed 24-bit messages; use fewer",
    ):
        dn.quantize(spiking, payload_bits=payload_bits)


def test_quantizing_twice_is_refused() -> None:
    integer, _ = small()
    with pytest.raises(OutOfRange, match="holds integers already"):
        dn.quantize(integer)


def test_images_beyond_the_calibrated_range_are_clipped_and_counted() -> None:
    integer, x = small()
    big = x[:2].copy()
    big[0, 0, 0, 0] = 100.0
    codes, clipped = encode_images(integer, big)
    assert (clipped, codes[0, 0, 0, 0]) == (1, 127)
    assert batched.run(integer, big).clipped_inputs == 1
    assert encode_images(small(quantize=False)[0], big)[1] == 0  # floats hold them


def test_more_weight_bits_come_closer() -> None:
    """With a full lead no spike's timing matters, so what is left is rounding, and it shrinks with the
    bits."""
    spiking, x = small(quantize=False, steps=16, lead=15)
    exact = batched.run(spiking, x).logits[:, -1]
    distance = []
    for weight_bits, payload_bits in (
        (4, 4),
        (8, 5),
        (12, 8),
    ):  # 12 and 12 would not fit the 24-bit state: coarser weights
        integer = dn.quantize(spiking, weight_bits=weight_bits, payload_bits=payload_bits)
        value = batched.run(integer, x).logits[:, -1] * integer.readout.unit
        distance.append(np.abs(value - exact).mean())
    assert distance[0] > distance[1] > distance[2]


def test_populations_are_frozen() -> None:
    integer, _ = small()
    with pytest.raises(ValueError, match="read-only"):
        integer["conv1"].vth[0] = 1


def test_state_constants() -> None:
    assert (STATE.limit, STATE.bits) == (2**23 - 1, 24)
    assert {type(p) for p in calibrated()[0].populations} >= {Rectifier, ReadOut}


@pytest.mark.parametrize("told", [False, True])
def test_what_is_always_0_takes_no_bits_from_the_rest(told: bool) -> None:
    """Features that no image shows, and channels that none wakes, decide no unit: the integers of the rest
    are those of the network without them."""
    rng = np.random.default_rng(0)
    silent = np.pad(rng.random((40, 6)), ((0, 0), (0, 3))).astype(np.float32)
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(9, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3)).eval()
    with torch.no_grad():
        model[0].weight.mul_(0.02)
        model[0].bias[:] = torch.tensor([0.02] * 6 + [-1.0] * 2)  # the last two never wake
        model[2].bias.zero_()  # which the state must hold, too
    wanted = model(torch.from_numpy(silent)).detach().numpy()
    analog = dn.from_torch(model, silent[:2])
    spiking = dn.convert(analog, dn.calibrate(analog, silent), steps=32, levels=15)
    integer = dn.quantize(spiking, readings=dn.readings(spiking, silent) if told else None)
    hidden, readout = integer.populations[1:]
    assert (np.abs(hidden.projections[0].weight[:6, :6]).max(axis=1) > 60).all()
    assert (np.abs(readout.projections[0].weight[:, :6]).max(axis=1) > 60).all()
    error = batched.run(integer, silent).values(32) - wanted
    assert np.sqrt((error**2).mean()) < 0.1 * wanted.std()
