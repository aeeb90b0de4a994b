"""What the front-end makes of linear tensors: composed where that costs little, relayed where it would cost
much."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from graphs import images, randomized
from hypothesis import given
from hypothesis import strategies as st
from one_layer import Net, c
from torch import nn

import dnisnm_lava as dn
from dnisnm_lava.backends import batched, reference
from dnisnm_lava.frontend.layout import Layout
from dnisnm_lava.frontend.windows import window_of
from dnisnm_lava.ir import SNM, AnalogGraph, MaxPool, Rectifier, Relay
from dnisnm_lava.ir.arithmetic import Window, sum_pool
from dnisnm_lava.ir.integers import encode_images


def traced(forward: Callable[..., torch.Tensor], **layers: nn.Module) -> AnalogGraph:
    return dn.from_torch(randomized(Net(forward, **layers), 0), images(1, (3, 8, 8), 0)[0])


def kinds(analog: AnalogGraph) -> dict[str, int]:
    return {k.__name__: len(analog.of(k)) for k in (Rectifier, Relay, MaxPool)}


# ---------------------------------------------------------------- compose, or relay


def test_a_pointwise_convolution_is_composed_with_the_kernel_behind_it() -> None:
    """(8 x 8 + 8 x 8 x 9) multiplications a pixel one by one, 8 x 8 x 9 in one."""
    analog = traced(lambda n, x: F.relu(n.b(n.a(x))), a=c(8, 8), b=c(8, 8, 3, padding=1))
    assert kinds(analog) == {"Rectifier": 2, "Relay": 0, "MaxPool": 0}
    (projection,) = analog["b"].projections
    assert projection.weight.shape == (8, 8, 3, 3)


def test_a_narrow_waist_is_relayed() -> None:
    """8 to 1 to 8 channels: composing would cost 64 x 9 for 8 + 8 x 9."""
    analog = traced(lambda n, x: F.relu(n.b(n.a(x))), a=c(8, 1), b=c(1, 8, 3, padding=1))
    assert kinds(analog) == {"Rectifier": 2, "Relay": 1, "MaxPool": 0}


def test_a_depthwise_convolution_before_a_pointwise_one_is_relayed() -> None:
    assert (
        kinds(traced(lambda n, x: F.relu(n.b(n.a(x))), a=c(8, 8, 3, padding=1, groups=8), b=c(8, 8)))["Relay"]
        == 1
    )


def test_two_padded_kernels_are_never_composed() -> None:
    """Between them, the border is zero: one kernel over both would see the first one's bias and reach
    there."""
    assert (
        kinds(traced(lambda n, x: F.relu(n.b(n.a(x))), a=c(8, 2, 3, padding=1), b=c(2, 8, 3, padding=1)))[
            "Relay"
        ]
        == 1
    )


@pytest.mark.parametrize(("readers", "relays"), [(2, 0), (3, 1)])
def test_a_linear_tensor_is_relayed_when_composing_would_cost_more_than_twice(
    readers: int, relays: int
) -> None:
    """Each rectifier that reads a 3x3 convolution would compute it anew: n times, for once and a relay."""

    def forward(n: Net, x: torch.Tensor) -> torch.Tensor:
        y = n.a(x)  # type: ignore[operator]
        return torch.cat([F.relu(y + i) for i in range(readers)], 1)

    assert kinds(traced(forward, a=c(8, 8, 3, padding=1)))["Relay"] == relays


def test_an_average_pool_behind_a_pointwise_convolution_moves_in_front_of_it() -> None:
    analog = traced(lambda n, x: F.relu(F.avg_pool2d(n.a(x), 2)), a=c(8, 4))
    (projection,) = analog["a"].projections
    assert projection.sum_pool == Window((2, 2), (2, 2))
    assert projection.weight.shape == (4, 8, 1, 1)


def test_a_channel_shuffle_costs_nothing_and_keeps_groups() -> None:
    def forward(n: Net, x: torch.Tensor) -> torch.Tensor:
        return F.relu(n.a(x.view(-1, 2, 4, 8, 8).transpose(1, 2).reshape(-1, 8, 8, 8)))  # type: ignore[operator]

    (projection,) = traced(forward, a=c(8, 8, 3, groups=4))["a"].projections
    assert projection.groups == 4
    assert projection.source_channels is not None
    assert projection.source_channels.tolist() == [0, 4, 1, 5, 2, 6, 3, 7]


def test_a_max_pool_of_a_concat_is_a_pool_for_each_part() -> None:
    analog = traced(
        lambda n, x: F.relu(n.b(F.max_pool2d(torch.cat([x, F.relu(n.a(x))], 1), 2))), a=c(8, 2), b=c(10, 3)
    )
    assert [p.source for p in analog.of(MaxPool)] == ["first", "a"]
    assert kinds(analog)["Relay"] == 0


def test_an_upsampled_map_reaches_a_convolution_with_no_population_between() -> None:
    analog = traced(lambda n, x: F.relu(n.a(F.interpolate(x, scale_factor=2))), a=c(8, 4, 3, padding=1))
    assert kinds(analog) == {"Rectifier": 2, "Relay": 0, "MaxPool": 0}
    assert analog["a"].projections[0].resample is not None


# ---------------------------------------------------------------- relays and rectifiers as neurons


def converted(model: nn.Module, **options: object) -> tuple[dn.SpikingGraph, np.ndarray]:
    x = images(16, (3, 8, 8), 0)
    analog = dn.from_torch(randomized(model, 0), x[0])
    return dn.convert(analog, dn.calibrate(analog, [x]), steps=8, **options), x  # type: ignore[arg-type]


WAIST = {"a": c(8, 1), "b": c(1, 8, 3, padding=1)}


def test_a_relay_passes_on_sums_to_the_nearest_level() -> None:
    """It carries its residue: after every step that its levels cover, what it sent is what it heard,
    rounded."""
    spiking, x = converted(nn.Sequential(c(3, 1), c(1, 8, 3, padding=1), nn.ReLU(), c(8, 2)))
    (relay,) = [p for p in spiking.of(SNM) if p.two_sided]
    assert relay.levels == 31
    run = reference.run(spiking, x[:4])
    (projection,) = relay.projections
    heard = (
        np.arange(1, spiking.steps + 1).reshape(1, -1, 1, 1, 1) * (projection(x[:4]) + relay.bias)[:, None]
    )
    sent = run.spikes[relay.name].cumsum(axis=1)
    assert (sent < 0).any()
    assert (np.abs(heard - sent) <= relay.vth / 2 + 1e-9).all()  # float64 sums of 8 steps below 1e3


def test_a_relay_rounds_to_the_nearest_in_every_form() -> None:
    """Half a level at the start, and nothing held back: with its weights normalized, and in integers, where a
    relay of before keeps its start at 0."""
    net = Net(lambda n, x: F.relu(n.b(n.a(x))), **WAIST)
    for spiking in (converted(net)[0], dn.normalize_weights(converted(net, granularity="channel")[0])):
        (relay,) = [p for p in spiking.of(SNM) if p.two_sided]
        assert relay.down == 0
        np.testing.assert_array_equal(relay.v_init, relay.vth / 2)
        integer = dn.quantize(spiking)[relay.name]
        assert integer.down == 0
        np.testing.assert_array_equal(integer.v_init, integer.vth >> 1)
        assert {p.down for p in spiking.of(SNM) if not p.two_sided} == {1.0}
        before = replace(relay, v_init=np.zeros(relay.shape), down=1)
        old = dn.quantize(replace(spiking, populations=tuple(before if p is relay else p for p in spiking)))[
            relay.name
        ]
        assert (old.down, old.v_init.any()) == (1, False)
        np.testing.assert_array_equal(old.vth, integer.vth)


def test_an_integer_relay_sends_the_rounded_sum_after_every_step() -> None:
    spiking, x = converted(nn.Sequential(c(3, 1), c(1, 8, 3, padding=1), nn.ReLU(), c(8, 2)))
    graph = dn.quantize(spiking)
    (relay,) = [p for p in graph.of(SNM) if p.two_sided]
    codes, _ = encode_images(graph, x[:4])
    heard = (
        np.arange(1, graph.steps + 1).reshape(1, -1, 1, 1, 1)
        * (relay.projections[0](codes) + relay.bias)[:, None]
    )
    sent = reference.run(graph, x[:4]).spikes[relay.name].cumsum(axis=1)
    np.testing.assert_array_equal(sent, (2 * heard + relay.vth) // (2 * relay.vth))
    assert (sent < 0).any()


def test_the_levels_of_relays_are_a_choice() -> None:
    spiking, _ = converted(Net(lambda n, x: F.relu(n.b(n.a(x))), **WAIST), relay_levels=7)
    assert [p.levels for p in spiking.of(SNM) if p.two_sided] == [7]


@pytest.mark.parametrize("levels", [1, 3])
def test_a_ceiling_bounds_thresholds_and_so_what_is_sent(levels: int) -> None:
    spiking, x = converted(Net(lambda n, x: n.b(F.relu6(4 * n.a(x))), a=c(8, 8), b=c(8, 2)), levels=levels)
    neurons = spiking["a"]
    assert isinstance(neurons, SNM)
    assert neurons.vth.max() * levels == pytest.approx(6, rel=1e-12)  # 6 / levels in float64
    sent = batched.run(spiking, x, record=["a"]).spikes["a"].sum(axis=1)
    assert sent.max() == pytest.approx(6 * spiking.steps, rel=1e-12)  # T * K thresholds of 6 / K, and no more


def test_the_first_read_out_is_the_models_first_output() -> None:
    spiking, x = converted(Net(lambda n, x: (n.b(x).mean((2, 3)), n.a(x)), a=c(8, 2), b=c(8, 5)))
    assert [p.shape for p in spiking.readouts] == [(5, 1, 1), (2, 8, 8)]
    run = reference.run(dn.quantize(spiking), x[:3])
    assert run.predictions(8).shape == (3,)
    assert run.further["a"].shape == (3, 8, 2, 8, 8)


def test_a_channels_last_model_is_the_same_network() -> None:
    """torch then writes its global average with as_strided."""
    model = randomized(
        Net(
            lambda n, x: n.b(F.adaptive_avg_pool2d(F.relu(n.a(x)), 1).flatten(1)),
            a=c(8, 4, 3),
            b=nn.Linear(4, 2),
        ),
        0,
    )
    x = images(4, (3, 8, 8), 0)
    there = dn.from_torch(model, x[0])
    assert dn.from_torch(model.to(memory_format=torch.channels_last), x[0]) == there


# ---------------------------------------------------------------- what a user is told


def test_a_softmax_behind_the_last_layer_is_left_out_with_a_notice() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 4), nn.ReLU(), nn.Linear(4, 3), nn.Softmax(1))
    with pytest.warns(
        UserWarning, match=r"aten\._?softmax at layer 4 was left out: .* does not change the class"
    ):
        dn.from_torch(model, images(1, (3, 2, 2), 0)[0])


def test_coverage_tells_of_each_operation_what_it_became() -> None:
    model = randomized(
        Net(
            lambda n, x: F.softmax(n.b(F.relu(n.bn(n.a(x)))).mean((2, 3)), 1),
            a=c(8, 1),
            bn=nn.BatchNorm2d(1),
            b=c(1, 3),
        ),
        0,
    )
    found = dn.inspect(model, images(1, (3, 8, 8), 0)[0])
    became = {row.name.lstrip("_"): (row.how, row.became) for row in found.rows}
    names = [row.operation for row in found.rows if row.name in ("a", "bn")]
    assert names in (
        ["aten.convolution", "aten._native_batch_norm_legit_no_training"],
        ["aten.conv2d", "aten.batch_norm"],
    )  # torch 2.3, newer
    assert became["a"] == ("exact", "projection into a")
    assert became["bn"] == ("exact", "part of the projection into a")
    assert became["relu_1"] == ("exact", "population a")
    assert became["mean"] == ("exact", "part of the projection into b")
    assert became["softmax"][0] == "dropped"
    assert all(re.search(r"(test_composition|one_layer)\.py:\d+ `", row.line) for row in found.rows)
    assert (found.projections, found.depth, found.populations["Rectifier"]) == (3, 3, 2)
    assert found.parameters == sum(p.numel() for p in model.parameters())
    assert found.macs == 27 * 8 * 64 + 8 * 64 + 3 * 64  # multiplications of three convolutions
    assert found.graph_macs == 27 * 8 * 64 + 8 * 64 + 3  # the mean moved in front of the last


def test_a_relay_is_told_in_the_coverage() -> None:
    found = dn.inspect(
        randomized(Net(lambda n, x: F.relu(n.b(n.a(x))), **WAIST), 0), images(1, (3, 8, 8), 0)[0]
    )
    assert "projection into a.relay (two-sided relay)" in [row.became for row in found.rows]


# ---------------------------------------------------------------- layouts and windows


@given(st.data())
def test_a_layout_says_where_each_element_came_from(data: st.DataObject) -> None:
    """Moves of a random array, against the same moves of its layout."""
    shape = tuple(data.draw(st.integers(1, 4)) for _ in range(3))
    values = np.random.default_rng(0).permutation(int(np.prod(shape))).reshape(shape) + 1
    layout, moved = Layout.identity(shape), values
    for _ in range(data.draw(st.integers(1, 3))):
        move = data.draw(st.sampled_from(["flip", "roll", "drop", "pad", "view"]))
        axis = data.draw(st.integers(0, 2))
        step = {
            "flip": lambda a, axis=axis: np.flip(a, axis),
            "roll": lambda a, axis=axis: np.roll(a, 1, axis),
            "drop": lambda a, axis=axis: (
                np.take(a, range(1, max(2, a.shape[axis])), axis) if a.shape[axis] > 1 else a
            ),
            "pad": lambda a, axis=axis: np.pad(a, [(1, 0) if i == axis else (0, 0) for i in range(3)]),
            "view": lambda a: a.reshape(a.shape[0], a.shape[2], a.shape[1]),
        }[move]
        moved = step(moved)
        layout = Layout.of(shape, step(layout.flat().astype(np.int64) + 1) - 1)
    flat = layout.flat()
    np.testing.assert_array_equal(np.where(flat >= 0, values.ravel()[np.maximum(flat, 0)], 0), moved)
    blocks = layout.blocks(moved.shape)
    if blocks is not None:
        total = sum((b.flat() + 1 for b in blocks), start=np.zeros(moved.shape, int))
        np.testing.assert_array_equal(total, flat + 1)


@given(
    st.integers(1, 9),
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(0, 2),
    st.integers(0, 2),
    st.sampled_from([1.0, 0.25]),
)
def test_a_matrix_of_a_window_is_found_to_be_one(
    size: int, kernel: int, stride: int, before: int, behind: int, value: float
) -> None:
    """Sums over windows, once as a matrix built here and once by the window that is found for it."""
    if size + before + behind < kernel or before >= kernel or behind >= kernel:
        return
    starts = range(-before, size + behind - kernel + 1, stride)
    matrix = np.array([[value * (s <= i < s + kernel) for i in range(size)] for s in starts])
    found = window_of(matrix, None, (size, 1))
    x = np.random.default_rng(1).integers(-9, 10, (1, 1, size, 1)).astype(float)
    if found is not None:
        window, factor = found
        np.testing.assert_allclose(
            factor * sum_pool(x, window)[0, 0, :, 0], matrix @ x[0, 0, :, 0], atol=1e-12
        )  # below 9 * 4 * 4
    assert found is not None or before or behind or (size - kernel) % stride, "a plain window was not found"
