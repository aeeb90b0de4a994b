"""Least squares, and rounding with error compensation."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from graphs import ResidualPoolNet, images, integer_graphs, randomized
from hypothesis import given, settings
from hypothesis import strategies as st

import dnisnm_lava as dn
from dnisnm_lava.backends import batched, reference
from dnisnm_lava.ir import SNM, Input, Projection, ReadOut, Resample, SpikingGraph
from dnisnm_lava.ir.fixedpoint import FixedPointFormat
from dnisnm_lava.ir.integers import with_state_bits
from dnisnm_lava.stages import compensation, quantization, resampling, units
from dnisnm_lava.stages.compensation import Reads
from dnisnm_lava.stages.fitting import least_squares, shares
from dnisnm_lava.stages.units import Drive, Units, Widths

WIDTHS = Widths(FixedPointFormat(8), FixedPointFormat(24))

# ---------------------------------------------------------------- what weights read


@settings(max_examples=60)
@given(graph=integer_graphs())
def test_patches_times_weights_are_the_projection(graph: SpikingGraph) -> None:
    """Small integers: float32 holds every sum."""
    rng = np.random.default_rng(0)
    for p in (*graph.of(SNM), *graph.readouts):
        for q in p.projections:
            x = rng.integers(-3, 4, (2, *graph[q.source].shape))
            expected = least_squares.driven(q, torch.tensor(q(x), dtype=torch.float32))
            u = least_squares.patches(q, torch.tensor(x, dtype=torch.float32))
            weight = (
                torch.tensor(q.weight, dtype=torch.float32).reshape(len(u), -1, u.shape[2]) * 2.0**q.exponent
            )
            assert torch.equal(u @ weight.transpose(1, 2), expected)


@settings(max_examples=20)
@given(graph=integer_graphs(), seed=st.integers(0, 1000))
def test_places_that_are_looked_at_are_those_of_all(graph: SpikingGraph, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for p in graph.of(SNM):
        for q in p.projections:
            if not q.is_conv:
                continue
            x = torch.tensor(rng.normal(size=(3, *graph[q.source].shape)), dtype=torch.float32)
            z = torch.tensor(rng.normal(size=(3, *p.shape)), dtype=torch.float32)
            size = int(np.prod(q.given_shape(graph[q.source].shape)[1:]))
            places = torch.tensor(np.stack([rng.permutation(size)[: 1 + size // 3] for _ in range(3)]))
            rows = (torch.arange(3)[:, None] * size + places).reshape(-1)
            there = z.flatten(2).gather(2, places[:, None].expand(-1, z.shape[1], -1))
            for one, all_of in (
                (least_squares.patches(q, x, places), least_squares.patches(q, x)),
                (least_squares.driven(q, there), least_squares.driven(q, z)),
            ):
                assert torch.equal(one, all_of[:, rows])
            codes = torch.tensor(rng.integers(-3, 4, x.shape), dtype=torch.float32)  # float32 holds every sum
            q = replace(q, exponent=0)
            current = torch.tensor(q(codes.numpy()), dtype=torch.float32).flatten(2)
            heard = least_squares.heard(q, least_squares.patches(q, codes, places), 3, p.shape[0])
            assert torch.equal(heard, current.gather(2, places[:, None].expand(-1, p.shape[0], -1)))


def test_as_many_places_as_tell_the_moments() -> None:
    q = Projection("a", np.zeros((4, 2, 3, 3)), padding=((1, 1), (1, 1)))
    few = least_squares.Places(q, (2, 32, 32), 512)  # 128 for each of 18 numbers, over 512 images
    at = few.of(3, 5)
    assert at is not None
    assert at.shape == (5, -(-least_squares.SAMPLES * 18 // 512))
    assert all(len(set(row.tolist())) == at.shape[1] for row in at)  # no place twice
    assert torch.equal(at, few.of(3, 5))  # whoever asks
    assert not torch.equal(at, few.of(4, 5))
    assert least_squares.Places(q, (2, 4, 4), 32).of(0, 5) is None  # a map that has no more


@pytest.mark.parametrize(("groups", "rows", "columns"), [(1, 200, 140), (3, 30, 5), (1, 40, 257)])
def test_a_product_with_itself_in_parts_is_the_product(groups: int, rows: int, columns: int) -> None:
    """Small integers: float32 holds every sum."""
    u = torch.randint(-5, 6, (groups, rows, columns), generator=torch.Generator().manual_seed(0)).float()
    assert torch.equal(least_squares.gram(u), u.transpose(1, 2) @ u)


def regression(
    rng: np.random.Generator, count: int, inputs: int, outputs: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What is read, (count, inputs), correlated; what it should give; and weights that do not quite give
    it."""
    x = rng.normal(size=(count, inputs)) @ rng.normal(size=(inputs, inputs)) + rng.normal(size=inputs)
    truth = rng.normal(size=(outputs, inputs))
    return x, x @ truth.T + rng.normal(size=outputs), truth + 0.3 * rng.normal(size=truth.shape)


def improved(q: Projection, x: np.ndarray, lacking: np.ndarray, chunks: list[int]) -> np.ndarray:
    """q's weights by least squares, of what is read and what lacks, in so many chunks."""
    columns, share = slice(0, x.shape[1]), shares.dealt(chunks)
    ends = np.cumsum([0, *chunks])
    parts = [slice(ends[number], ends[number + 1]) for number in share.numbers]
    single = [torch.tensor(a, dtype=torch.float32) for a in (x, lacking)]
    samples: list[least_squares.Sample] = [
        (single[0][part], lambda u, at, part=part: single[1][part][None])  # type: ignore[misc]
        for part in parts
    ]
    places = least_squares.Places(q, (x.shape[1],), len(x))
    return least_squares.improved(q, least_squares.halves(q, share, places, columns, samples), columns)


def test_least_squares_is_ridge_regression() -> None:
    """Against numpy's least squares, with the penalty as further equations; the penalty is the best of all on
    the judges."""
    x, wanted, weight = regression(np.random.default_rng(0), 400, 7, 3)
    lacking = wanted - x @ weight.T
    q = Projection("a", weight)
    found = improved(q, x, lacking, [150, 250])

    def ridge(rows: np.ndarray, penalty: float) -> np.ndarray:
        u, r = (a[rows] - a[rows].mean(axis=0) for a in (x, lacking))
        extra = np.sqrt(penalty * u.var(axis=0).mean() * len(u)) * np.eye(7)
        solution, *_ = np.linalg.lstsq(np.vstack([u, extra]), np.vstack([r, np.zeros((7, 3))]), rcond=None)
        return solution.T

    judges = np.arange(400) % 4 == 3
    u, r = (a[judges] - a[judges].mean(axis=0) for a in (x, lacking))
    best = min(
        least_squares.PENALTIES, key=lambda penalty: float(((u @ ridge(~judges, penalty).T - r) ** 2).sum())
    )
    # float32 products of 400 values of magnitude 10: 400 * 2**-24 of them, through a matrix of condition
    # below 1e3
    np.testing.assert_allclose(found, weight + ridge(np.ones(400, bool), best), atol=1e-2)


def test_what_does_not_help_those_held_back_is_left_alone() -> None:
    rng = np.random.default_rng(1)
    q = Projection("a", rng.normal(size=(2, 30)))
    noise = rng.normal(size=(24, 30)), rng.normal(size=(24, 2))
    np.testing.assert_array_equal(improved(q, *noise, [24]), q.weight)


def test_wide_layers_go_block_by_block() -> None:
    assert least_squares.blocks(Projection("a", np.zeros((1, 1152)))) == [slice(0, 1152)]
    assert least_squares.blocks(Projection("a", np.zeros((1, 2501)))) == [
        slice(0, 833),
        slice(833, 1667),
        slice(1667, 2501),
    ]


# ---------------------------------------------------------------- rounding


def reads(x: np.ndarray) -> tuple[Reads, ...]:
    return (Reads(slice(0, x.shape[1]), x.mean(axis=0)[None], np.cov(x.T, bias=True)[None]),)


def test_where_nothing_is_correlated_it_is_the_nearest_code() -> None:
    weight = np.random.default_rng(0).uniform(-7, 7, (5, 6))
    independent = (Reads(slice(0, 6), np.zeros((1, 6)), np.diag(np.arange(1.0, 7))[None]),)
    codes, _ = compensation.compensated(weight, independent, FixedPointFormat(4))
    np.testing.assert_array_equal(codes, np.rint(weight))


def test_errors_reach_later_columns_together_or_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums of another order: 2**-53 of them, and no code of this seed lies so near a tie."""
    rng = np.random.default_rng(4)
    weight, x = rng.uniform(-60, 60, (5, 200)), rng.normal(size=(400, 200)) @ rng.normal(size=(200, 200))
    together = compensation.compensated(weight, reads(x), FixedPointFormat(8))
    monkeypatch.setattr(compensation, "LAZY", 1)
    alone = compensation.compensated(weight, reads(x), FixedPointFormat(8))
    np.testing.assert_array_equal(together[0], alone[0])
    assert np.count_nonzero(together[0] != np.rint(weight)) > 200  # and it was not the nearest


def test_it_is_nearer_than_the_nearest_codes() -> None:
    """And not far from the best of all codes next to the weights, found by trying them."""
    rng = np.random.default_rng(2)
    nearest, compensated, best = 0.0, 0.0, 0.0
    for _ in range(20):
        x, _, _ = regression(rng, 200, 6, 1)
        weight = rng.uniform(-6.5, 6.5, (1, 6))
        r = reads(x)
        codes, _ = compensation.compensated(weight, r, FixedPointFormat(4))
        nearest += float(compensation.error(weight, np.rint(weight), r).sum())
        compensated += float(compensation.error(weight, codes, r).sum())
        options = itertools.product(*[(np.floor(w), np.ceil(w)) for w in weight[0]])
        best += min(float(compensation.error(weight, np.array([o]), r).sum()) for o in options)
    assert best < compensated < 0.5 * nearest


def test_the_error_is_that_of_the_currents() -> None:
    rng = np.random.default_rng(3)
    x, _, _ = regression(rng, 50, 4, 2)
    weight = rng.uniform(-7, 7, (2, 4))
    codes, lost = compensation.compensated(weight, reads(x), FixedPointFormat(4))
    gap = x @ (weight - codes).T
    np.testing.assert_allclose(lost, gap.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(compensation.error(weight, codes, reads(x)), gap.var(axis=0), rtol=1e-9)


def test_groups_are_rounded_each_by_what_it_reads() -> None:
    rng = np.random.default_rng(4)
    inputs = [regression(rng, 60, 9, 1)[0] for _ in range(2)]
    weight = rng.uniform(-7, 7, (4, 1, 3, 3))
    both = (
        Reads(
            slice(0, 9),
            np.stack([x.mean(axis=0) for x in inputs]),
            np.stack([np.cov(x.T, bias=True) for x in inputs]),
        ),
    )
    codes, lost = compensation.compensated(weight, both, FixedPointFormat(4))
    for g, x in enumerate(inputs):
        own, gone = compensation.compensated(
            weight[2 * g : 2 * g + 2].reshape(2, 9), reads(x), FixedPointFormat(4)
        )
        np.testing.assert_array_equal(codes[2 * g : 2 * g + 2].reshape(2, 9), own)
        np.testing.assert_array_equal(lost[2 * g : 2 * g + 2], gone)


@pytest.fixture(scope="module")
def network() -> tuple[SpikingGraph, np.ndarray]:
    x = images(64, (2, 6, 6), 5)
    analog = dn.from_torch(randomized(ResidualPoolNet(), 5), x[0])
    return dn.convert(analog, dn.calibrate(analog, [x]), steps=8), x


def logits_error(spiking: SpikingGraph, integer: SpikingGraph, x: np.ndarray) -> float:
    """Of the read-out, in the network's own unit."""
    unit = integer.readout.unit
    assert unit is not None
    gap = batched.run(integer, x).logits[:, -1] * unit - batched.run(spiking, x).logits[:, -1]
    return float((gap**2).mean())


def test_four_bits_with_compensation_are_nearer(network: tuple[SpikingGraph, np.ndarray]) -> None:
    spiking, x = network
    found = dn.readings(spiking, x)
    plain, compensated = (
        dn.quantize(spiking, weight_bits=3),
        dn.quantize(spiking, weight_bits=3, readings=found),
    )
    assert logits_error(spiking, compensated, x) < logits_error(spiking, plain, x)
    assert (
        compensated["conv2"].unit < plain["conv2"].unit
    ).any()  # clipped, though its shortcut's weights are not compensated
    for p in compensated:
        for q in p.projections if isinstance(p, SNM | ReadOut) else ():
            assert np.abs(q.weight).max() <= (127 if q.weight[0].size == 1 else 3)
    run = batched.run(compensated, x[:4], record=True)
    expected = reference.run(compensated, x[:4])
    for name, spikes in run.spikes.items():
        np.testing.assert_array_equal(spikes, expected.spikes[name])


def test_readings_are_what_the_network_sends(network: tuple[SpikingGraph, np.ndarray]) -> None:
    """Of a dense layer behind a pool, by numpy; float32 sums of 64 images: 64 * 2**-24 of the largest, and
    products."""
    spiking, x = network
    name = spiking.readout.name
    (q,) = spiking.readout.projections
    sent = batched.run(spiking, x, record=True).spikes[q.source].mean(axis=1)
    identity = replace(q, weight=np.eye(q.weight.shape[1]))
    u = identity(sent)
    ((found,),) = dn.readings(spiking, x)[name]
    np.testing.assert_allclose(found.mean[0], u.mean(axis=0), atol=1e-5 * np.abs(u).max())
    np.testing.assert_allclose(found.covariance[0], np.cov(u.T, bias=True), atol=1e-4 * np.abs(u).max() ** 2)


# ---------------------------------------------------------------- narrower states


def test_a_narrow_state_saturates_and_says_so(network: tuple[SpikingGraph, np.ndarray]) -> None:
    """Both ways of the neurons agree, and a state in which all fits says none."""
    spiking, x = network
    integer = dn.quantize(spiking)
    wide = batched.run(integer, x, record=True)
    peak = max(int(np.abs(p.vth).max()) for p in integer.of(SNM))
    bits = peak.bit_length() - 1  # not even the largest threshold fits
    narrow = [
        batched.run(with_state_bits(integer, bits), x, record=True, neurons=way)
        for way in ("compiled", "stepped")
    ]
    assert sum(wide.saturations.values()) == 0 < sum(narrow[0].saturations.values())
    assert narrow[0].saturations == narrow[1].saturations
    for name in wide.spikes:
        np.testing.assert_array_equal(narrow[0].spikes[name], narrow[1].spikes[name])
    with pytest.raises(dn.OutOfRange, match="state_bits: 25 given; give 2 to 24"):
        with_state_bits(integer, 25)


def test_a_network_quantized_for_a_narrow_state_nearly_fits_it(
    network: tuple[SpikingGraph, np.ndarray],
) -> None:
    """The ANN's range says nothing of spikes that come in bursts: a few potentials go further."""
    spiking, x = network
    integer = dn.quantize(spiking, state_bits=12)
    assert max(int(np.abs(p.vth).max()) for p in integer.of(SNM)) < 1 << 11
    few, many = (
        sum(batched.run(with_state_bits(g, 12), x).saturations.values())
        for g in (integer, dn.quantize(spiking))
    )
    assert few < 0.01 * many


def test_what_rounding_takes_from_the_mean_goes_into_the_bias_of_each_channel() -> None:
    """A dense of 6 rows that fills 2 channels of 3 neurons, and one of 2 rows, row by row: a channel gets
    what its rows lack on average."""
    rng = np.random.default_rng(0)
    into = (
        Projection("i", rng.normal(size=(6, 4)), target_shape=(2, 3, 1)),
        Projection("j", rng.normal(size=(2, 4, 1, 1))),
    )
    zeros, ones = np.zeros((2, 3, 1)), np.ones(2)
    p = SNM(
        "a",
        (2, 3, 1),
        into,
        bias=np.zeros((2, 1, 1)),
        vth=zeros,
        payload=zeros,
        v_init=zeros,
        unit=ones,
        spike_unit=ones,
        v_range=ones,
    )
    mean, unit = rng.normal(size=(2, 4)) * 50, np.array([0.02, 0.05])
    blocks = [(Reads(slice(0, 4), mean[i : i + 1], np.eye(4)[None]),) for i in range(2)]
    drives = [Drive(q, q.weight, own, 1) for q, own in zip(into, blocks, strict=True)]
    encoded, lacking = quantization._encode_weights(
        p, drives, Units((0, 2), unit), Widths(FixedPointFormat(8), FixedPointFormat(24))
    )
    expected = [0.0, 0.0]
    for q, before, read, channels in zip(encoded, into, mean, ([0, 0, 0, 1, 1, 1], [0, 1]), strict=True):
        for row, channel in enumerate(channels):
            for code, weight, value in zip(
                q.weight[row].ravel(), before.weight[row].ravel(), read, strict=True
            ):
                expected[channel] += (
                    (weight / unit[channel] - int(code) * 2**q.exponent) * value / channels.count(channel)
                )
    assert [q.exponent for q in encoded] == [0, 2]
    np.testing.assert_allclose(
        lacking[:, 0, 0], expected, rtol=0, atol=1e-10
    )  # float64 sums of 32 terms below 100
    assert np.abs(lacking).min() > 1


@pytest.mark.parametrize(
    ("matrix", "limit", "codes", "unit", "error"),
    [
        ([[0.25, 0.75], [0.5, 0.5]], 127, [[1, 3], [2, 2]], 1 / 4, 0.0),
        ([[1, 1 / 3]], 3, [[3, 1]], 1 / 3, 0.0),  # the denominator that just fits
        ([[1, 0.25]], 3, [[3, 1]], 1 / 3, 1 / 3 - 1 / 4),  # the one that does not any more
        ([[2, 0.5]], 3, [[2, 0]], 1.0, 0.25),
        ([[0.3, 0.3, 0.4]], 3, [[2, 2, 3]], 1 / 7, 1 / 14),
        (
            [[-0.07, 0.315, 0.755], [0.0, 0.09, 0.21]],
            31,
            [[-3, 13, 31], [0, 4, 8]],
            1 / 41,
            (0.21 - 8 / 41) / 0.755,
        ),
        ([[0.5, 0.3]], 7, [[5, 3]], 1 / 10, 0.0),  # small entries leave room for larger denominators
        ([[2, -1]], 127, [[2, -1]], 1.0, 0.0),
        ([[0, 0]], 127, [[0, 0]], 1.0, 0.0),
    ],
)
def test_a_matrix_becomes_the_integers_of_a_small_denominator_or_the_nearest(
    matrix: list[list[float]], limit: int, codes: list[list[int]], unit: float, error: float
) -> None:
    found = resampling._matrix(np.array(matrix, np.float64), limit)
    assert found[0].tolist() == codes
    np.testing.assert_allclose(found[1:], (unit, error), rtol=1e-14, atol=1e-16)


def test_the_units_of_both_matrices_move_into_the_weights() -> None:
    weight = np.array([[[[3.0]]]])
    plain = Projection("a", weight)
    assert resampling.integer(plain, 7) == (plain, 0.0)
    rows, cols = np.array([[0.25, 0.75]]), np.array([[1, 0.3]])
    found, error = resampling.integer(replace(plain, resample=Resample(rows, cols)), 7)
    assert found.resample is not None
    assert (found.resample.rows.tolist(), found.resample.cols.tolist()) == ([[1, 3]], [[7, 2]])
    np.testing.assert_allclose(found.weight, weight / 4 / 7, rtol=1e-15)
    assert error == pytest.approx(0.3 - 2 / 7, rel=1e-12)


# ---------------------------------------------------------------- choices: each is the best of its
# candidates, tried one by one


def in_units(row: np.ndarray, units: list[float], covariance: np.ndarray) -> list[float]:
    """The error of a row's currents in each of `units`, with the nearest codes of three bits."""
    gaps = [row - unit * np.array([min(max(round(w / unit), -3), 3) for w in row.tolist()]) for unit in units]
    return [float(gap @ covariance @ gap) for gap in gaps]


@pytest.mark.parametrize("kind", ["hidden", "readout"])
@pytest.mark.parametrize("exponent", [0, 3])
def test_a_clipping_unit_is_the_best_of_six(kind: str, exponent: int) -> None:
    """Each channel's own, in a read-out one for all; and none in which the state, or weights that nothing
    compensates, do not fit."""
    rng, clips, taken = np.random.default_rng(6), (1.0, 0.9, 0.8, 0.7, 0.6, 0.5), []
    zeros, ones, state = np.zeros(4), np.ones(4), FixedPointFormat(16)
    for _ in range(40):
        weight, x = rng.standard_t(3, size=(4, 9)), rng.normal(size=(9, 30)) * rng.uniform(0.2, 3, (9, 1))
        unit = np.abs(weight).max(axis=1) / 3
        unit = unit if kind == "hidden" else np.full(4, unit.max())
        single, v_range = (
            rng.uniform(0, 0.9, (2, 4)) * unit * ((127,), (state.limit / 1.25,))
        )  # one synapse a row keeps 8 bits
        single *= 2**exponent
        into = Projection("i", weight), Projection("j", single[:, None])
        p = (
            SNM(
                "a",
                (4,),
                into,
                bias=zeros,
                vth=zeros,
                payload=zeros,
                v_init=zeros,
                unit=ones,
                spike_unit=ones,
                v_range=v_range,
            )
            if kind == "hidden"
            else ReadOut("a", (4,), into, bias=zeros, unit=ones, v_range=v_range)
        )
        covariance = np.cov(x, bias=True)
        drives = [
            Drive(into[0], weight, (Reads(slice(0, 9), np.zeros((1, 9)), covariance[None]),), 1),
            Drive(into[1], single[:, None], (), 1),
        ]
        widths = Widths(FixedPointFormat(3), state)
        found = units._of_least_error(p, drives, (0, exponent), widths, units.least_unit(p, drives, widths))[
            1
        ].unit

        least = np.maximum(single / 127 / 2**exponent, v_range * 1.25 / state.limit)
        least = least if kind == "hidden" else np.full(4, least.max())
        smallest = [max(u, floor) for u, floor in zip(unit, least, strict=True)]
        whole = [
            max(w / 2**exponent / int(w / 2**exponent / u), u) if w / 2**exponent >= u else u
            for w, u in zip(single, smallest, strict=True)
        ]
        wholes = [[u] for u in whole] if kind == "hidden" else [sorted(whole)] * 4
        tried = [
            [*(max(u * c, floor) for c in clips), *more]
            for u, floor, more in zip(unit, least, wholes, strict=True)
        ]
        errors = np.array([in_units(row, some, covariance) for row, some in zip(weight, tried, strict=True)])
        steps = np.array(tried) * 2**exponent
        errors += (
            single[:, None] - steps * np.rint(single[:, None] / steps)
        ) ** 2  # of a spike of 1, the largest
        best = errors.argmin(axis=1) if kind == "hidden" else [int(errors.sum(axis=0).argmin())] * 4
        np.testing.assert_allclose(found, [some[i] for some, i in zip(tried, best, strict=True)], rtol=1e-12)
        taken += list(best)
    assert len(set(taken)) > 3


def test_a_shortcuts_weight_is_a_whole_number_where_that_costs_little() -> None:
    """Beside a convolution, and alone: then it is exact, as a pool's weight and that of an enlarged map
    are."""
    rng, zeros, ones = np.random.default_rng(9), np.zeros((5, 1, 1)), np.ones(5)
    conv, shortcut = (
        Projection("i", rng.normal(size=(5, 4, 1, 1))),
        Projection("j", rng.uniform(20, 60, (5, 1, 1, 1)), groups=5),
    )
    for into in ((conv, shortcut), (shortcut,)):
        p = SNM(
            "a",
            (5, 1, 1),
            into,
            bias=zeros,
            vth=zeros + 9,
            payload=zeros,
            v_init=zeros,
            unit=ones,
            spike_unit=ones,
            v_range=1e3 * ones,
        )
        drives = [Drive(q, q.weight, (), 31) for q in into]
        found = units.chosen(p, drives, WIDTHS)
        codes = shortcut.weight[:, 0, 0, 0] / found.unit / 2.0 ** found.exponents[-1]
        np.testing.assert_allclose(codes, np.rint(codes), rtol=1e-12)
        assert codes.min() >= 32


@pytest.mark.parametrize("kind", ["hidden", "readout"])
def test_exponents_are_the_best_of_all(kind: str) -> None:
    """Of weights of very different size into the same channels, by trying all of 0 to 9. The error: a step's
    square by 12 for each weight, times the mean square of what it reads, and in a hidden channel by the
    threshold's square."""
    rng, taken = np.random.default_rng(3), set()
    for _ in range(12):
        size, theta = 2.0 ** rng.uniform(-8, 0, 3), rng.uniform(0.5, 20, 4)
        into = [
            Projection(name, rng.normal(size=(4, n)) * s)
            for name, n, s in zip("ijk", (9, 5, 1), size, strict=True)
        ]
        variances = [rng.uniform(0.1, 40, q.weight.shape[1]) for q in into]
        zeros, ones, v_range = np.zeros(4), np.ones(4), np.full(4, 2.0 ** rng.uniform(-4, 16))
        p: SNM | ReadOut = SNM(
            "a",
            (4,),
            tuple(into),
            bias=zeros,
            vth=theta,
            payload=theta,
            v_init=theta,
            unit=ones,
            spike_unit=ones,
            v_range=v_range,
        )
        if kind == "readout":
            p = ReadOut("a", (4,), tuple(into), bias=zeros, unit=ones, v_range=v_range)
        drives = [
            Drive(q, q.weight, (Reads(slice(0, len(v)), np.zeros((1, len(v))), np.diag(v)[None]),), 9)
            for q, v in zip(into, variances, strict=True)
        ]
        found = units.by_expected_error(p, drives, WIDTHS, units.least_unit(p, drives, WIDTHS))

        def error_of(
            exponents: tuple[int, ...],
            into: list[Projection] = into,
            variances: list = variances,
            theta: np.ndarray = theta,
            v_range: np.ndarray = v_range,
        ) -> float:
            unit = [
                max(
                    1.25 * max(v_range[c], theta[c] if kind == "hidden" else 0) / 8_388_607,
                    sum(9 * np.abs(q.weight[c]).sum() for q in into) / 2**30,
                    *(np.abs(q.weight[c]).max() / 127 / 2**e for q, e in zip(into, exponents, strict=True)),
                )
                for c in range(4)
            ]
            if kind == "readout":
                unit = [max(unit)] * 4
            importance = [1 / t**2 if kind == "hidden" else 1 for t in theta]
            return sum(
                i * (u * 2**e) ** 2 / 12 * v.sum()
                for u, i in zip(unit, importance, strict=True)
                for e, v in zip(exponents, variances, strict=True)
            )

        best = min(itertools.product(range(10), repeat=3), key=error_of)
        assert min(found.exponents) == 0
        assert error_of(found.exponents) <= error_of(best) * (1 + 1e-9)  # sums of other orders
        taken.add(found.exponents)
    assert len(taken) > 8


def test_exponents_are_found_where_nothing_that_is_read_varies() -> None:
    """Float32's noise leaves a variance below 0: the more error, the better, without end."""
    into = [Projection(name, np.eye(3) * size) for name, size in (("i", 1.0), ("j", 0.01))]
    noise = (Reads(slice(0, 3), np.ones((1, 3)), -1e-7 * np.eye(3)[None]),)
    p = ReadOut("a", (3,), tuple(into), bias=np.zeros(3), unit=np.ones(3), v_range=np.ones(3))
    drives = [Drive(q, q.weight, noise, 9) for q in into]
    found = units.chosen(p, drives, WIDTHS)
    assert min(found.exponents) == 0
    assert (found.unit > 0).all()


def test_a_resamplings_integers_are_the_best_of_six_limits() -> None:
    """The squared error of the matrices, as a share of what their weights carry, and that of a step for each
    weight."""
    rng, taken, state, ones = np.random.default_rng(7), set(), FixedPointFormat(24), np.ones(2)
    alpha, zeros = np.array([0.5, 1.0, 2.0]), np.zeros((2, 5, 5))
    for _ in range(40):
        rows, cols, weight = (rng.uniform(0, 1, s) for s in ((5, 4), (5, 4), (2, 3, 1, 1)))
        v_range = 2.0 ** rng.uniform(0, 24, 2)
        q = Projection("i", weight, resample=Resample(rows, cols))
        p = SNM(
            "a",
            (2, 5, 5),
            (q,),
            bias=zeros[:, :1, :1],
            vth=zeros + 3,
            payload=zeros,
            v_init=zeros,
            unit=ones,
            spike_unit=ones,
            v_range=v_range,
        )
        changed, (drive,) = quantization._with_integer_matrices(
            p,
            WIDTHS,
            lambda projections, p: [
                Drive(q, q.weight * alpha[None, :, None, None], (), 127) for q in projections
            ],
        )

        options = []
        for limit in (127, 63, 31, 15, 7, 3):
            (r, r_unit, r_error), (c, c_unit, c_error) = (resampling._matrix(a, limit) for a in (rows, cols))
            worth = weight[:, :, 0, 0] * r_unit * c_unit * alpha
            largest = 127 * int(np.abs(r).sum(axis=1).max() * np.abs(c).sum(axis=1).max())
            lost = (r_error + c_error) ** 2 * float((worth**2).mean(axis=1).sum()) * 3 * largest**2
            for w, v in zip(worth, v_range, strict=True):
                step = max(w.max() / 127, 1.25 * max(v, 3) / state.limit, w.sum() * largest / 2**30)
                lost += float(((w - step * np.rint(w / step)) ** 2).sum()) * largest**2
            options.append((lost, limit, r, c, worth))
        _, limit, r, c, worth = min(options, key=lambda option: option[0])
        resample = changed.projections[0].resample
        assert resample is not None
        assert (resample.rows.tolist(), resample.cols.tolist()) == (r.tolist(), c.tolist())
        np.testing.assert_allclose(drive.weight[:, :, 0, 0], worth, rtol=1e-14)
        taken.add(limit)
    assert len(taken) > 1


@given(
    size=st.tuples(st.integers(2, 9), st.integers(2, 20)),
    mode=st.sampled_from(["bilinear", "bicubic", "area", "nearest"]),
    aligned=st.booleans(),
    limit=st.sampled_from(quantization.MATRIX_LIMITS),
)
def test_a_constant_picture_stays_what_it_was(
    size: tuple[int, int], mode: str, aligned: bool, limit: int
) -> None:
    """Every row of a resampling's integers adds up to what it did, in torch's own enlargements and
    reductions."""
    options = {"align_corners": aligned} if mode in ("bilinear", "bicubic") else {}
    eye = torch.eye(size[0], dtype=torch.float64)[:, None, :, None].expand(
        -1, -1, -1, 2
    )  # a row of ones at each place
    rows = torch.nn.functional.interpolate(eye, (size[1], 2), mode=mode, **options)[:, 0, :, 0].T.numpy()
    codes, unit, error = resampling._matrix(rows, limit)
    assert np.abs(codes).max() <= limit + 1
    np.testing.assert_allclose(
        codes.sum(axis=1) * unit, 1, rtol=1e-12
    )  # torch's own rows: float64 sums of at most 9
    np.testing.assert_allclose(codes * unit, rows, rtol=0, atol=error * np.abs(rows).max() + 1e-12)


def test_what_weights_read_is_told_in_the_units_of_their_integers() -> None:
    """Spikes count in what each channel's spike is worth, and a resampling in its matrices' units; weights of
    0 read the same."""
    rng, alpha, ones = np.random.default_rng(8), {"i": np.array([0.5, 3.0])}, np.ones(3)
    x = rng.normal(size=(40, 2, 2, 2))
    matrix = Resample(
        np.array([[0.75, 0.25], [0.25, 0.75]]), np.array([[1.0, 0.0], [0.5, 0.5]])
    )  # exact in eighths
    weight = rng.normal(size=(3, 2, 1, 1))
    into = (
        Projection("i", weight),
        Projection("i", weight, resample=matrix),
        Projection("i", np.zeros((3, 2, 1, 1)), resample=matrix),
    )
    zeros = np.zeros((3, 2, 2))
    p = SNM(
        "a",
        (3, 2, 2),
        into,
        bias=zeros[:, :1, :1],
        vth=zeros,
        payload=zeros,
        v_init=zeros,
        unit=ones,
        spike_unit=ones,
        v_range=ones,
    )
    graph = SpikingGraph(
        (
            Input("i", (2, 2, 2), np.ones(2), 8),
            p,
            ReadOut("o", (2,), (Projection("a", np.ones((2, 12))),), bias=np.zeros(2)),
        ),
        steps=1,
    )

    def heard(q: Projection, spikes: np.ndarray) -> np.ndarray:
        """(images and places, channels)"""
        return np.moveaxis(spikes if q.resample is None else q.resample(spikes), 1, -1).reshape(-1, 2)

    read = [heard(q, x) for q in into]
    readings = {
        "a": tuple((Reads(slice(0, 2), h.mean(axis=0)[None], np.cov(h.T, bias=True)[None]),) for h in read)
    }
    drives_of = partial(quantization._drives, graph=graph, alpha=alpha, sent={"i": 127})
    changed, drives = quantization._with_integer_matrices(p, WIDTHS, partial(drives_of, readings=readings))
    found = [d.blocks for d in drives]
    for q, blocks in zip(changed.projections, found, strict=True):
        h = heard(q, x / alpha["i"][:, None, None])
        if not q.weight.any():  # which unit the matrices have does not matter
            assert all(np.isfinite(b.mean).all() and np.isfinite(b.covariance).all() for b in blocks)
            continue
        np.testing.assert_allclose(blocks[0].mean[0], h.mean(axis=0), rtol=1e-9)
        np.testing.assert_allclose(blocks[0].covariance[0], np.cov(h.T, bias=True), rtol=1e-9)
    assert [
        d.blocks for d in quantization._with_integer_matrices(p, WIDTHS, partial(drives_of, readings=None))[1]
    ] == [(), (), ()]
