"""The estimate of cores: against tables that Intel's compiler printed, by hand, and what must hold of any
cut."""

from __future__ import annotations

import importlib.util
import itertools
import math
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import h5py
import lava_dl
import numpy as np
import pytest
from graphs import curved_snm, gated, images, randomized, readout, small, snm, weights
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import dnisnm_lava as dn
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir import SNM, Input, MaxPool, Projection, Resample, SpikingGraph
from dnisnm_lava.ir.arithmetic import NO_PADDING, Window
from dnisnm_lava.studies.loihi2 import layers as resources
from dnisnm_lava.studies.loihi2.cores import Layer, Row, Shared, Single, placed, weight_bits
from dnisnm_lava.studies.loihi2.limits import LOIHI2
from dnisnm_lava.views import checks

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("measure_resources", ROOT / "tools/measure_resources.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["measure_resources"] = module
    spec.loader.exec_module(module)
    return module


# ---------------------------------------------------------------- what was published


def test_docs_are_what_the_generator_writes(tool: ModuleType) -> None:
    assert (ROOT / "docs/resources.md").read_text() == tool.page(), "run python tools/measure_resources.py"


def test_pilotnet_lif_is_cut_as_published_layer_by_layer(tool: ModuleType) -> None:
    """Its weights are public, so that nothing is assumed."""
    network = next(n for n in tool.PUBLISHED if n.known)
    rows = tool.rows_of(network)
    assert [row.cores for row in rows] == [13, 25, 13, 3, 3, 2, 12, 1, 1, 1]
    convolutions = [row for row in rows if row.kind == "conv"]
    assert [row.words for row in convolutions] == [81, 864, 1620, 2160, 2880]
    assert [row.neurons_on_core for row in convolutions] == [3072, 2160, 2688, 2048, 2048]
    assert [row.words for row in rows[-3:]] == [1300, 150, 10]


def test_pilotnet_lifs_bits_are_those_of_the_file_in_lava_dls_wheel(tool: ModuleType) -> None:
    file_of_the_wheel = (
        lava_dl.files() / "gts/pilotnet_lif/network.net" if importlib.util.find_spec("lava") else Path()
    )
    if not file_of_the_wheel.is_file():
        pytest.skip("lava-dl, whose wheel brings the file, is not installed")
    with h5py.File(file_of_the_wheel) as file:
        layers = [file[f"layer/{i}"] for i in range(len(file["layer"]))]
        found = [
            weight_bits(int(np.abs(layer["weight"][()]).max()))
            for layer in layers
            if layer["type"][0] in (b"conv", b"dense")
        ]
    told = [
        line.layer.inputs[0].bits
        for line in next(n for n in tool.PUBLISHED if n.known).lines
        if line.layer.inputs
    ]
    assert found == told


def test_totals_are_near_the_published_ones(tool: ModuleType) -> None:
    totals = {n.name: (n.total, sum(row.cores for row in tool.rows_of(n))) for n in tool.PUBLISHED}
    assert len(totals) == 5
    assert all(abs(estimated - published) <= 0.05 * published for published, estimated in totals.values()), (
        totals
    )


def test_the_words_of_oxford_follow_from_nine_bits_in_both_layers(tool: ModuleType) -> None:
    """Even weights up to 254, as lava-dl trains them."""
    oxford = next(n for n in tool.PUBLISHED if n.name == "Oxford")
    assert [[bits for bits in range(1, 13) if tool._explains(line, bits)] for line in oxford.lines] == [
        [9],
        [9],
    ]
    assert [row.cores for row in tool.rows_of(oxford)] == [3, 2]


def test_a_dense_layer_of_another_notebook_is_cut_as_published() -> None:
    """S4D of loihi2.toml: 3 cores, and of the fullest 3.10 % of 4,096 neurons, 51.20 % and 1.60 % of 16,000
    words and axons."""
    row = placed(Layer("ff", "dense", (256,), (Single(256, 256 * 256, 256, weight_bits(9)),)))
    found = [
        100 * n / of for n, of in ((row.neurons_on_core, 4_096), (row.words, 16_000), (row.axons, 16_000))
    ]
    assert (row.cores, [round(share, 2) for share in found]) == (3, [3.10, 51.20, 1.60])


def test_the_words_of_yolo_kp_follow_from_one_width_a_layer(tool: ModuleType) -> None:
    yolo = next(n for n in tool.PUBLISHED if n.name.startswith("YOLO"))
    assert all(any(tool._explains(line, bits) for bits in range(1, 9)) for line in yolo.lines)


# ---------------------------------------------------------------- by hand


@pytest.mark.parametrize("largest", [2, 3, 4, 5, 8, 9, 64, 65, 127, 128, 129])
def test_weight_bits_are_the_logarithm_of_the_largest_and_a_sign(largest: int) -> None:
    assert weight_bits(largest) == math.ceil(math.log2(largest)) + 1


def test_words_of_a_shared_kernel() -> None:
    kernel = Shared(taps=9, read=36, rows=48, groups=1, bits=5)
    assert kernel.words(48, 0) == 9 * 36 * 5  # 240 + 21 bits: 5 words
    assert kernel.words(24, 0) == 9 * 36 * 3  # 120 + 21 bits
    depthwise = Shared(taps=9, read=32, rows=32, groups=32, bits=8)
    assert depthwise.words(32, 0) == 9 * 32  # one weight a list, one word each
    assert depthwise.words(8, 0) == 9 * 8


def test_words_of_single_synapses() -> None:
    dense = Single(axons=2560, synapses=256_000, targets=100, bits=4)
    assert [dense.words(0, n) // 2560 for n in (100, 17, 9, 1)] == [24, 5, 3, 1]  # 1512, 267, 147 and 27 bits
    sparse = Single(axons=100, synapses=100, targets=100, bits=8)
    assert sparse.words(0, 100) == 100
    assert sparse.words(0, 10) == 10


def test_a_list_of_single_synapses_is_not_longer_than_127() -> None:
    """Of a dense layer, each axon has a synapse into each neuron of a core; of a sparse one, few."""
    assert [
        placed(Layer("a", "dense", (n,), (Single(10, 10 * n, n, 1),))).cores for n in (127, 128, 254, 255)
    ] == [1, 2, 2, 3]
    assert placed(Layer("a", "dense", (256,), (Single(4096, 4096, 256, 1),))).cores == 1
    onto_a_map = placed(Layer("a", "map", (4, 8, 8), (Single(10, 10 * 256, 256, 1),)))
    assert (onto_a_map.cores, onto_a_map.neurons_on_core) == (4, 64)


def test_a_neuron_takes_words_for_what_differs() -> None:
    rng = np.random.default_rng(0)
    (q,) = _into_two(rng)
    p = snm(
        "a", (2, 4, 4), (q,), rng, levels=2
    )  # 24 v, 24 vth, 24 bias, 5 payload, 5 memory (6 steps of 2 levels: 0 ... 12)
    assert resources.state_bits(p, 6) == 24 + 24 + 24 + int(p.payload.max()).bit_length() + 4
    even = _even(p)
    assert resources.state_bits(even, 6) == 24 + 4
    assert resources.state_bits(replace(even, v_init=even.v_init + 1), 6) == 24 + 4 + 24
    assert resources.state_bits(readout("out", (3,), (), rng), 6) == 24 + 24
    words = {
        down: resources.state_bits(replace(p, down=down), 6) - resources.state_bits(p, 6)
        for down in (0.0, 0.3, 1.0)
    }
    assert words == {0.0: 0, 0.3: 24, 1.0: 0}  # lower thresholds: 1, each neuron's own, or vth
    assert resources.state_bits(replace(even, down=0.3), 6) == 24 + 4  # one for all
    relay = replace(even, two_sided=True)
    assert [
        resources.state_bits(replace(relay, v_init=v), 6)
        for v in (0 * even.v_init, even.v_init, even.v_init + 1)
    ] == [24, 24, 48]


def test_a_curve_takes_a_table_of_each_channel_on_the_core() -> None:
    rng = np.random.default_rng(0)
    (q,) = _into_two(rng)
    p = curved_snm("a", (2, 4, 4), (q,), rng, levels=2, knots=3)
    assert p.curve is not None
    assert resources.state_bits(p, 6) == 24 + 24 + 4 + 1  # v, bias, memory, and who is dead
    assert resources.state_bits(replace(p, two_sided=True), 6) == 24 + 24 + 4 + 1 + 1  # a sign
    lines = int(np.abs(p.curve.slopes).max()).bit_length() + int(np.abs(p.curve.offsets).max()).bit_length()
    assert resources.table_bits(p.curve) == 3 * 24 + 4 * (lines + 2) + 5
    layer = Layer("a", "SNM", (8, 4, 4), (), 1, table_words=3, tables=8)
    assert [layer.kept(channels, 16 * channels) for channels in (1, 8)] == [16 + 3, 128 + 24]
    assert replace(layer, tables=1).kept(8, 128) == 128 + 3
    large = placed(replace(layer, shape=(64, 8, 8), table_words=65, tables=64))
    assert large.fits
    assert large.kept == large.neurons_on_core + 65 * large.tile[0] <= LOIHI2.state_words


def test_what_a_gate_takes_is_said_to_be_a_guess() -> None:
    graph, _ = gated()
    (row,) = [r for r in resources.estimate(graph) if r.kind == "Gate"]
    assert (row.synapses, row.state_words, row.table_words) == (2 * row.neurons, 1, row.tile[0])
    told = checks.basis(dn.check(graph))
    assert "curves, whose tables a core keeps beside its neurons, and gates are guesses" in told
    assert not [v for v in dn.check(graph).violations if v.rule == "thresholds fit the state"]


def test_a_max_pool_keeps_a_sum_for_each_input() -> None:
    row = resources.estimate(_pooled((3, 3)))[1]
    assert row.state_words == math.ceil(10 * 24 / 64)
    assert (row.synapses, row.words) == (9 * 4 * 2 * 2, 9 * 4)


def test_a_float_graph_is_refused() -> None:
    with pytest.raises(OutOfRange, match="quantize it first"):
        resources.estimate(small(quantize=False)[0])


# ---------------------------------------------------------------- synapses, against those that carry current


def _projections() -> list[Projection]:
    ones = Resample(np.array([[1, 0], [1, 1], [0, 1], [0, 3]]), np.array([[1, 0, 0], [1, 2, 0], [0, 1, 1]]))
    return [
        Projection("x", np.ones((5, 4, 3, 3), np.int8)),
        Projection("x", np.ones((6, 2, 3, 2), np.int8), stride=(2, 1), groups=2),
        Projection("x", np.ones((4, 1, 2, 2), np.int8), dilation=(2, 3), groups=4),
        Projection("x", np.ones((5, 4, 3, 3), np.int8), sum_pool=Window((2, 2), (2, 2))),
        Projection("x", np.ones((5, 4, 2, 2), np.int8), sum_pool=Window((3, 3), (2, 2)), dilation=(2, 1)),
        Projection("x", np.ones((3, 4 * 16), np.int8), sum_pool=Window((2, 2), (2, 2))),
        Projection("x", np.ones((3, 256), np.int8)),
        Projection(
            "x",
            np.ones((3, 2, 3, 3), np.int8),
            source_channels=np.array([3, 0]),
            target_channels=np.array([4, 1, 0]),
            targets=5,
        ),
        Projection("y", np.ones((2, 4, 1, 1), np.int8), resample=ones),
        Projection(
            "y",
            np.ones((4, 2, 3, 2), np.int8),
            padding=((1, 1), (1, 0)),
            stride=(2, 1),
            groups=2,
            resample=ones,
        ),
    ]


@pytest.mark.parametrize("number", range(len(_projections())))
def test_synapses_are_the_pairs_of_neurons_that_a_projection_joins(number: int) -> None:
    q = _projections()[number]
    source = {"x": (4, 8, 8), "y": (4, 2, 3)}[q.source]
    impulses = np.eye(math.prod(source)).reshape(-1, *source)
    joined = np.count_nonzero(q(impulses))
    target = q.output_shape(source)
    graph = SpikingGraph(
        (Input(q.source, source, np.ones(4), 8), readout("out", target, (q,), np.random.default_rng(0))),
        steps=1,
    )
    row = resources.estimate(graph)[1]
    assert row.synapses == joined
    assert row.weights <= row.synapses


def test_a_mean_over_2x2_makes_6x6_of_3x3() -> None:
    q = Projection("x", weights(np.random.default_rng(0), 5, 4, 3, 3), sum_pool=Window((2, 2), (2, 2)))
    graph = SpikingGraph(
        (Input("x", (4, 8, 8), np.ones(4), 8), readout("out", (5, 2, 2), (q,), np.random.default_rng(0))),
        steps=1,
    )
    assert resources.estimate(graph)[1].words == 36 * 4  # 5 rows of 5 bits and a header: one word


UPWARD = {  # layer, weights that are stored, synapses of a neuron in the middle of the map
    "transposed 2x2 by 2": (nn.ConvTranspose2d(8, 4, 2, 2), 4 * 8 * 4, 8),
    "transposed 3x3 by 2": (nn.ConvTranspose2d(8, 4, 3, 2, 1), 9 * 8 * 4, None),
    "transposed 4x4 by 2": (nn.ConvTranspose2d(8, 4, 4, 2, 1), 16 * 8 * 4, 4 * 8),
    "transposed 3x3 by 1": (nn.ConvTranspose2d(8, 4, 3, 1), 9 * 8 * 4, 9 * 8),
    "transposed 2x2 by 3, with gaps": (nn.ConvTranspose2d(8, 4, 2, 3), 4 * 8 * 4, None),
    "transposed, dilated": (nn.ConvTranspose2d(8, 4, 2, 2, dilation=2), 4 * 8 * 4, None),
    "transposed, depthwise": (nn.ConvTranspose2d(8, 8, 2, 2, groups=8), 4 * 8, 1),
    "transposed, in groups": (nn.ConvTranspose2d(8, 4, 2, 2, groups=2), 4 * 4 * 4, 4),
    "nearest by 2, then 3x3": (
        nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(8, 4, 3, padding=1)),
        16 * 8 * 4,
        4 * 8,
    ),
    "nearest by 2, then 1x1": (nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(8, 4, 1)), 4 * 8 * 4, 8),
}


@pytest.mark.parametrize("name", UPWARD)
def test_what_pixels_share_is_stored_once(name: str) -> None:
    layer, stored, heard = UPWARD[name]
    model = randomized(
        nn.Sequential(nn.Conv2d(1, 8, 1), nn.ReLU(), layer, nn.ReLU(), nn.AdaptiveAvgPool2d(1)), 1
    )
    x = images(4, (1, 6, 7), 1)
    analog = dn.from_torch(model, x)
    row = resources.estimate(dn.quantize(dn.convert(analog, dn.calibrate(analog, x), steps=2)))[2]
    assert (row.weights, row.axons) == (stored, 2)
    if heard is not None:
        assert row.synapses <= heard * row.neurons < 1.7 * row.synapses  # fewer at the borders
    assert row.words < 4 * stored


def test_pixels_of_one_window_share_the_lists_of_a_dense_layer() -> None:
    pooled, plain = _projections()[5:7]
    graphs = [
        SpikingGraph(
            (Input("x", (4, 8, 8), np.ones(4), 8), readout("out", (3,), (q,), np.random.default_rng(0))),
            steps=1,
        )
        for q in (pooled, plain)
    ]
    rows = [resources.estimate(graph)[1] for graph in graphs]
    assert [(row.axons, row.weights, row.synapses) for row in rows] == [(64, 192, 768), (256, 768, 768)]


# ---------------------------------------------------------------- any layer

shared = st.builds(
    Shared, st.integers(1, 25), st.just(24), st.just(12), st.sampled_from([1, 2, 3, 4, 12]), st.integers(1, 8)
)
single = st.integers(1, 3000).flatmap(
    lambda n: st.builds(Single, st.just(n), st.just(n * 12), st.just(12), st.integers(1, 8))
)


@given(st.one_of(shared, single), st.integers(1, 12), st.integers(1, 12))
def test_more_bits_and_more_neurons_never_take_fewer_words(synapses: Shared | Single, a: int, b: int) -> None:
    fewer, more = sorted((a, b))
    assert synapses.words(fewer, fewer) <= synapses.words(more, more)
    finer = replace(synapses, bits=synapses.bits + 1)
    assert synapses.words(a, a) <= finer.words(a, a)


@st.composite
def layers(draw: st.DrawFn) -> Layer:
    shape = (
        tuple(draw(st.lists(st.integers(1, 70), min_size=3, max_size=3)))
        if draw(st.booleans())
        else (draw(st.integers(1, 9000)),)
    )
    bits, state, read = draw(st.integers(1, 8)), draw(st.integers(1, 4)), draw(st.integers(1, 400))
    neurons = math.prod(shape)
    synapses = (
        Shared(9, read, shape[0], 1, bits) if len(shape) == 3 else Single(read, read * neurons, neurons, bits)
    )
    return Layer("a", "any", shape, (synapses,), state)


@given(layers())
def test_the_cores_hold_every_neuron_exactly_once(layer: Layer) -> None:
    row = placed(layer)
    found = np.zeros(layer.shape, np.int8)
    count = 0
    for block in _blocks(row):
        found[block] += 1
        count += 1
        assert found[block].size <= row.neurons_on_core
    assert (found == 1).all()
    assert count == row.cores
    assert row.fits
    assert row.neurons_on_core * row.state_words <= LOIHI2.state_words
    assert row.words <= LOIHI2.synapse_words


@given(layers())
def test_no_core_is_filled_beyond_what_the_compiler_named_where_a_smaller_part_exists(layer: Layer) -> None:
    row = placed(layer)
    assert row.words <= LOIHI2.synapse_words_cut or layer.words(1, 1) > LOIHI2.synapse_words_cut


@pytest.mark.parametrize("shape", [(1, 5, 5), (4, 7, 7), (2, 14, 14), (64, 1, 3)])
def test_a_small_map_of_uneven_width_takes_one_core(shape: tuple[int, int, int]) -> None:
    neurons = math.prod(shape)
    image, kernel = Layer("a", "any", shape), Layer("a", "any", shape, (Shared(9, 4, shape[0], 1, 8),), 2)
    assert [placed(layer).cores for layer in (image, kernel)] == [1, 1]
    single = placed(Layer("a", "any", shape, (Single(10, 10 * neurons, neurons, 8),)))
    assert (single.cores == 1) == (neurons <= 127)


def test_channels_stay_together_where_they_can() -> None:
    """36 channels of 15 x 49: parting the channels would save a core; the compiler did not."""
    row = placed(Layer("conv2", "conv", (36, 15, 49), (Shared(9, 24, 36, 1, 5),)))
    assert (row.tile, row.cores) == ((36, 15, 4), 13)


def test_a_layer_between_the_two_budgets_goes_up_to_the_memory() -> None:
    wide = Layer("dense", "dense", (100,), (Single(13_000, 1_300_000, 100, 8),))
    row = placed(wide)
    assert (row.neurons_on_core, row.words, row.fits) == (
        2,
        13_000,
        True,
    )  # 2 * 19 + 12 bits: a word for each axon
    assert not placed(Layer("dense", "dense", (100,), (Single(16_001, 1_600_100, 100, 8),))).fits


# ---------------------------------------------------------------- helpers


def _blocks(row: Row) -> Iterator[tuple[slice, ...]]:
    starts = [range(0, size, part) for size, part in zip(row.shape, row.tile, strict=True)]
    return (
        tuple(slice(a, a + part) for a, part in zip(corner, row.tile, strict=True))
        for corner in itertools.product(*starts)
    )


def _into_two(rng: np.random.Generator) -> tuple[Projection]:
    return (Projection("input", weights(rng, 2, 1, 3, 3), padding=((1, 1), (1, 1))),)


def _even(p: SNM) -> SNM:
    return replace(
        p,
        vth=np.full_like(p.vth, 9),
        v_init=np.full_like(p.vth, 4),
        payload=np.full_like(p.vth, 3),
        bias=p.bias * 0,
    )


def _pooled(kernel: tuple[int, int]) -> SpikingGraph:
    rng = np.random.default_rng(0)
    size = Window(kernel, kernel, NO_PADDING).output_size((6, 6))
    return SpikingGraph(
        (
            Input("input", (4, 6, 6), np.ones(4), 8),
            MaxPool("pool", (4, *size), "input", Window(kernel, kernel)),
            readout("out", (3,), (Projection("pool", weights(rng, 3, 4 * math.prod(size))),), rng),
        ),
        steps=4,
    )
