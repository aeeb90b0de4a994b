"""What must equal what (docs/design.md, 1.4), on graphs of every shape that the IR allows."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import oracle
import pytest
import torch
from graphs import (
    BEYOND,
    EDGES,
    Chain,
    curved,
    curved_graphs,
    curved_snm,
    edged,
    gated_graphs,
    integer_graphs,
    readout,
    small,
    snm,
    weights,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import assert_same

from dnisnm_lava.backends import batched, reference
from dnisnm_lava.backends.batched import chunks, currents, onednn, planning, storage
from dnisnm_lava.backends.batched import neurons as compiled
from dnisnm_lava.backends.results import Run, difference
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir import SNM, Input, Projection, SpikingGraph, dynamics
from dnisnm_lava.ir.arithmetic import Window
from dnisnm_lava.ir.fixedpoint import STATE
from dnisnm_lava.ir.integers import with_state_bits

GRAPHS = st.one_of(integer_graphs(), curved_graphs(), gated_graphs())


@settings(max_examples=40)
@given(graph=GRAPHS, seed=st.integers(0, 1000))
def test_the_integer_reference_equals_python_integers(graph: SpikingGraph, seed: int) -> None:
    codes = np.random.default_rng(seed).integers(-127, 128, (1, *graph.input.shape))
    run = reference.run(graph, codes.astype(float), steps=graph.steps)
    expected = oracle.simulate(graph, codes[0], graph.steps)
    for name, trace in run.spikes.items():
        np.testing.assert_array_equal(trace[0], expected[name], err_msg=name)
    np.testing.assert_array_equal(run.logits[0], expected[graph.readout.name])
    for name, trace in run.further.items():
        np.testing.assert_array_equal(trace[0], expected[name])


@settings(max_examples=40)
@given(graph=GRAPHS, seed=st.integers(0, 1000))
def test_batched_equals_the_integer_reference(graph: SpikingGraph, seed: int) -> None:
    x = np.random.default_rng(seed).integers(-140, 141, (3, *graph.input.shape)).astype(float)  # some clip
    assert_same(reference.run(graph, x), batched.run(graph, x, record=True))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"levels": 3},
        {"lead": 2},
        {"levels": 2, "lead": 3},
        {"granularity": "channel"},
        {"granularity": "layer"},
    ],
)
def test_batched_equals_the_reference_on_a_converted_network(options: dict[str, object]) -> None:
    graph, x = small(**options)
    assert_same(reference.run(graph, x[:5]), batched.run(graph, x[:5], record=True))


@pytest.mark.parametrize(
    "options", [{}, {"levels": 31, "steps": 1}, {"levels": 2, "lead": 3}, {"function_error": 2.0, "steps": 4}]
)
def test_batched_equals_the_reference_on_a_converted_network_with_curves(options: dict[str, Any]) -> None:
    graph, x = curved(**options)
    for neurons in ("compiled", "stepped"):
        assert_same(reference.run(graph, x[:5]), batched.run(graph, x[:5], record=True, neurons=neurons))


@pytest.mark.parametrize("two_sided", [False, True])
@pytest.mark.parametrize("exponent", [0, 12], ids=["within", "saturates"])
def test_curves_are_exact_wherever_24_bits_and_30_of_a_level_go(two_sided: bool, exponent: int) -> None:
    """The largest multipliers and shifts, and sums that the state clips: on the way of floats of 32 bits."""
    rng = np.random.default_rng(3)
    into = (Projection("input", weights(rng, 6, 4), exponent=exponent),)
    a = curved_snm("a", (6,), into, rng, knots=3, shift=30, levels=31, two_sided=two_sided, lead=1)
    out = readout("out", (2,), (Projection("a", weights(rng, 2, 6)),), rng)
    graph = SpikingGraph((Input("input", (4,), np.ones(4), 8), a, out), steps=24)
    x = rng.integers(-127, 128, (6, 4)).astype(float)
    expected = reference.run(graph, x)
    assert bool(expected.saturations["a"]) == (exponent > 0)
    single = oracle.simulate(graph, x[0].astype(int), graph.steps)
    np.testing.assert_array_equal(single["a"], expected.spikes["a"][0])
    for neurons in ("compiled", "stepped"):
        assert_same(expected, batched.run(graph, x, record=True, neurons=neurons))


def test_curves_in_fewer_bits_of_state_are_the_same_compiled_and_stepped() -> None:
    graph, x = curved(levels=7)
    narrow = with_state_bits(graph, 10)
    runs = [batched.run(narrow, x, record=True, neurons=neurons) for neurons in ("compiled", "stepped")]
    assert sum(runs[0].saturations.values()) > 0
    assert_same(*runs)


def test_the_cut_into_chunks_changes_nothing() -> None:
    graph, x = small()
    assert chunks.chunks(graph, 6, memory=1, images=len(x), threads=2) == (1, 1)
    assert_same(batched.run(graph, x, record=True), batched.run(graph, x, record=True, memory=1))


def test_a_run_is_the_beginning_of_every_longer_one() -> None:
    graph, x = small()
    np.testing.assert_array_equal(
        batched.run(graph, x, steps=3).logits, batched.run(graph, x, steps=6).logits[:, :3]
    )


FLOATS: list[tuple[dict[str, str], float]] = [
    ({}, 2.0**-24),
    ({"synapses": "float64"}, 2.0**-53),
    ({"neurons": "stepped"}, 2.0**-53),
]


@pytest.mark.parametrize(("ways", "eps"), FLOATS, ids=["float32", "float64", "stepped"])
@pytest.mark.parametrize("dials", [{}, {"levels": 7, "down": 0.0}], ids=["paper", "best"])
@pytest.mark.parametrize("made", [small, curved])
def test_float_batched_makes_the_same_decisions_as_the_float_reference(
    ways: dict[str, str], eps: float, dials: dict[str, float], made: Any
) -> None:
    """Sums of another order, and of float32: logits differ by rounding alone. Of n terms, each rounded once
    and added, by at most (n + 1) eps sum |terms|; here n = 6 steps of the read-out's row and its bias. Spikes
    may in principle flip at a tie, and none does."""
    graph, x = made(quantize=False, **dials)
    a, b = reference.run(graph, x), batched.run(graph, x, record=True, **ways)
    assert a.spike_counts == b.spike_counts
    (q,) = graph.readout.projections
    sizes = replace(q, weight=np.abs(q.weight))(
        np.abs(a.spikes[q.source]).reshape(-1, *graph[q.source].shape)
    )
    terms = sizes.reshape(len(x), 6, -1).sum(axis=1) + 6 * np.abs(graph.readout.bias)
    n = 6 * (int(np.prod(graph[q.source].shape)) + 1)
    assert (np.abs(a.logits[:, -1] - b.logits[:, -1]) <= (n + 1) * eps * terms).all()


@settings(max_examples=45)
@given(
    graph=GRAPHS,
    seed=st.integers(0, 1000),
    way=st.sampled_from(["int8", "float32", "float64"]),
    neurons=st.sampled_from(["compiled", "stepped"]),
)
def test_every_path_gives_the_same_spikes(graph: SpikingGraph, seed: int, way: str, neurons: str) -> None:
    x = np.random.default_rng(seed).integers(-127, 128, (3, *graph.input.shape)).astype(float)
    assert_same(reference.run(graph, x), batched.run(graph, x, record=True, synapses=way, neurons=neurons))


@pytest.mark.parametrize(
    ("exponent", "edges"),
    [(10, EDGES), (10, EDGES + BEYOND), (14, EDGES)],
    ids=["float32", "beyond", "float64"],
)
@pytest.mark.parametrize("levels", [1, 5])
@pytest.mark.parametrize("two_sided", [False, True])
@pytest.mark.parametrize("down", [0.0, 1e-3, 0.25, 0.999, 1.0])
def test_lower_thresholds_are_exact_up_to_the_states_limit_and_beyond(
    exponent: int, edges: tuple[int, ...], levels: int, two_sided: bool, down: float
) -> None:
    """Where a threshold is beyond the state, its lower one may be within: then a level taken back leaves v
    beyond it, and float32 would not hold it."""
    graph, x = edged(exponent, edges, levels=levels, two_sided=two_sided, down=down)
    expected = reference.run(graph, x)
    assert (expected.spikes["a"] < 0).any()
    plan = planning.planned(graph)["a"]
    assert plan.dtype == (
        torch.float32 if exponent == 10 and (edges == EDGES or down == 1) else torch.float64
    )
    for neurons in ("compiled", "stepped"):
        assert_same(expected, batched.run(graph, x, record=True, neurons=neurons))
    single = oracle.simulate(graph, x[0].astype(int), graph.steps)
    np.testing.assert_array_equal(single["a"], expected.spikes["a"][0])


@pytest.mark.parametrize(("levels", "two_sided"), [(1, False), (3, False), (1, True), (3, True)])
@pytest.mark.parametrize("down", [0.0, 0.5, 1.0])
def test_what_fit_runs_and_tries_has_the_lower_threshold(levels: int, two_sided: bool, down: float) -> None:
    """Numbers in 64ths of thresholds that are powers of two: exact in float32, and potentials are often 0 or
    a threshold."""
    rng, scales, steps = np.random.default_rng(levels), np.array([0.5, 1.0, 2.0]), 8
    vth = 2.0 ** rng.integers(-2, 2, 40)
    current = rng.integers(-16, 17, (5, steps, 40)) / 8
    flat = np.zeros(40)
    p = compiled.neurons(
        flat,
        vth,
        flat + 1,
        flat,
        dynamics.lower_threshold(vth, down),
        vth / 2,
        dtype=np.dtype(np.float32),
        levels=levels,
        lead=0,
        two_sided=two_sided,
        limit=1 << 62,
        out=np.dtype(np.int8),
        offset=0,
    )
    sent = []
    for scale in scales:
        theta = scale * vth
        v, m, spikes = np.broadcast_to(theta / 2, (5, 40)), np.zeros((5, 40), np.int64), []
        for t in range(steps):
            k, v, m = dynamics.fire(
                v + current[:, t], m, theta, levels, two_sided, dynamics.lower_threshold(theta, down)
            )
            spikes.append(k)
        sent.append(np.stack(spikes, axis=1))
    found = np.zeros((5, steps, 40), np.int8)
    compiled.run(p, current.astype(np.float32), None, found)
    np.testing.assert_array_equal(found, sent[1])
    sums, activation = np.zeros((compiled.SUMS, 3, 40)), rng.integers(0, 9, (5, 40)).astype(np.float32)
    compiled.try_scales(p, vth, scales, current.astype(np.float32), activation, sums, 1)
    means = np.stack(
        [s.sum(axis=1) * theta / steps for s, theta in zip(sent, scales[:, None] * vth, strict=True)]
    )
    gaps = activation - means
    each = (gaps, np.square(gaps), means, np.square(means), gaps * means)
    np.testing.assert_array_equal(sums, [a.sum(axis=1) for a in each])


@pytest.mark.parametrize(
    ("levels", "two_sided", "down"), itertools.product((1, 3), (False, True), (0.0, 0.25, 1.0))
)
def test_floats_take_back_what_the_reference_does(levels: int, two_sided: bool, down: float) -> None:
    """Currents, thresholds and their shares in binary fractions: every sum is exact, so every spike is
    equal."""
    rng = np.random.default_rng(2)

    def neurons(name: str, *projections: Projection, **dials: Any) -> SNM:
        made = snm(name, (30,), projections, rng, **dials)
        theta = 2.0 ** rng.integers(-1, 3, 30) * (rng.random(30) > 0.1)
        return replace(made, bias=made.bias / 4, vth=theta, payload=theta, v_init=theta / 2)

    late = neurons("late", Projection("input", rng.integers(-2, 3, (30, 4)) / 8))
    into = (
        Projection("input", rng.integers(-8, 9, (30, 4)) / 8),
        Projection("late", rng.integers(-4, 5, (30, 30)) / 2),
    )
    a = neurons("a", *into, levels=levels, two_sided=two_sided, down=down)
    out = readout("out", (2,), (Projection("a", rng.integers(-2, 3, (2, 30)) / 2),), rng)
    graph = SpikingGraph(
        (Input("input", (4,), np.ones(4)), late, a, replace(out, bias=out.bias / 2)), steps=12
    )
    x = rng.integers(-6, 7, (5, 4)) / 2
    run = reference.run(graph, x)
    assert (run.spikes["a"] < 0).any()
    for ways, _ in FLOATS:
        assert_same(run, batched.run(graph, x, record=True, **ways))


def test_a_path_that_is_asked_for_is_taken() -> None:
    graph, _ = small()
    for way in ("float32", "float64"):
        assert set(planning.paths(planning.planned(graph, way))["synapses"]) == {way}
    taken = planning.paths(planning.planned(graph))
    assert ("int8" in taken["synapses"]) == onednn.int8_is_exact()
    assert taken["neurons"] == {"compiled": len(graph.of(SNM)) + 1}
    assert planning.paths(planning.planned(graph, neurons="stepped"))["neurons"] == {
        "stepped": len(graph.of(SNM)) + 1
    }


def test_without_exact_8_bit_synapses_floats_take_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(currents, "int8_is_exact", lambda: False)
    graph, x = small()
    assert set(planning.paths(planning.planned(graph))["synapses"]) <= {"float32", "float64", "shortcut"}
    assert_same(reference.run(graph, x[:3]), batched.run(graph, x[:3], record=True))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@settings(max_examples=40)
@given(
    graph=GRAPHS,
    seed=st.integers(0, 1000),
    way=st.sampled_from(["auto", "int8", "float32", "float64"]),
    neurons=st.sampled_from(["auto", "stepped"]),
)
def test_cuda_gives_the_same_spikes(graph: SpikingGraph, seed: int, way: str, neurons: str) -> None:
    """With Triton's kernels where they are exact, and without; `test_triton` asks for them."""
    x = np.random.default_rng(seed).integers(-127, 128, (3, *graph.input.shape)).astype(float)
    run = batched.run(graph, x, record=True, synapses=way, neurons=neurons, device="cuda")
    assert_same(reference.run(graph, x), run)


@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
def test_what_the_user_allows_floats_elsewhere_rounds_no_integer(precision: str) -> None:
    graph, x = small()
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision(precision)
        assert_same(reference.run(graph, x[:3]), batched.run(graph, x[:3], record=True, synapses="float32"))
        assert torch.get_float32_matmul_precision() == precision
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("images", [1, 2, 7, 100, 1001])
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_every_image_has_its_chunk_and_every_worker_its_share(images: int, threads: int) -> None:
    graph, _ = small()
    for memory in (1, 10**5, 10**6, 10**9):
        chunk, workers = chunks.chunks(graph, 6, memory, images, threads)
        count = -(-images // chunk)
        assert 1 <= workers <= min(threads, images)
        assert chunk == 1 or count % workers == 0 or count * chunk - images < workers * chunk
        assert chunk * workers * 6 * 4 <= memory or chunk == workers == 1


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("images", [1, 2, 5])
def test_the_number_of_threads_changes_nothing(threads: int, images: int) -> None:
    graph, x = small()
    before = torch.get_num_threads()
    expected = reference.run(graph, x[:images])
    try:
        torch.set_num_threads(threads)
        assert_same(expected, batched.run(graph, x[:images], record=True))
    finally:
        torch.set_num_threads(before)
    assert torch.get_num_threads() == before


def test_8_bit_synapses_are_chosen_for_what_they_hold_exactly() -> None:
    small, large = (Projection("a", np.full((4, inputs, 3, 3), 127, np.int8)) for inputs in (16, 512))
    pooled = Projection("a", np.full((4, 16, 1, 1), 127, np.int8), sum_pool=Window((2, 2), (2, 2)))
    bytes_ = "int8" if onednn.int8_is_exact() else "float32"

    def way(projection: Projection, largest: int, asked: str = "auto", device: str = "cpu") -> str:
        shape = (projection.weight.shape[1], 4, 4) if projection.is_conv else (projection.weight.shape[1],)
        return currents.way_of(projection, storage.code_of(largest), largest, shape, asked, device)

    assert way(small, 31) == bytes_
    assert way(small, 128) == "float32"  # a spike that 8 bits do not hold
    assert way(large, 127) == "float64"  # 127 * 127 * 9 * 512 > 2**24
    assert way(small, 31, device="cuda") == "float32"
    assert way(Projection("a", np.ones((2, 8), np.int8)), 31) == bytes_  # dense
    assert way(pooled, 31) == bytes_  # 4 * 62 = 248
    assert way(pooled, 32) == "float32"  # 4 * 64 = 256
    with pytest.raises(
        OutOfRange, match=r"sums from a may reach 74322432, beyond float32's 2\*\*24; use float64"
    ):
        way(large, 127, "float32")


def test_a_path_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, x = small()
    with pytest.raises(OutOfRange, match="neurons: 'fast' given; choose auto, compiled, stepped"):
        batched.run(graph, x, neurons="fast")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(OutOfRange, match="neurons: compiled asked for; that needs the CPU and numba"):
        batched.run(small(seed=1)[0], x, neurons="compiled")
    with pytest.raises(OutOfRange, match="synapses: 'int4' given; choose auto, int8, float32, float64"):
        batched.run(graph, x, synapses="int4")


@pytest.mark.parametrize("fault", ["saturates", "refuses", "is elsewhere"])
def test_8_bits_are_taken_only_where_they_prove_exact(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    """A processor that saturates a sum, a torch with another signature, or one with another name for it."""
    quantized = onednn.quantized

    def faulty(*arguments: Any) -> Any:
        if fault == "is elsewhere":
            raise AttributeError("no overload")
        convolve = quantized(*arguments)
        if fault == "refuses":
            return lambda x: convolve(x, "another argument")
        return lambda x: convolve(x).clamp(max=(1 << 23) - 1.0)

    monkeypatch.setattr(onednn, "quantized", faulty)
    onednn.int8_is_exact.cache_clear()
    try:
        assert not onednn.int8_is_exact()
    finally:
        onednn.int8_is_exact.cache_clear()


def test_8_bit_sums_are_exact_up_to_the_last_one_that_float32_holds() -> None:
    """Bytes up to 254: 254 * 127 * 9 * 57 = 16,548,354 < 2**24, every product of the same sign; then of
    alternating signs."""
    if not onednn.int8_is_exact():
        pytest.skip("this CPU's oneDNN has no exact 8-bit convolution")
    signs = np.where(np.arange(57) % 2, 1, -1).reshape(1, -1, 1, 1)
    code = storage.code_of(127)
    for weight in (
        np.full((3, 57, 3, 3), 127),
        np.full((3, 57, 3, 3), 127) * signs,
        np.full((3, 57, 3, 3), -127),
    ):
        projection = Projection("a", weight.astype(np.int8), padding=((1, 1), (1, 1)))
        assert storage.EXACT_FLOAT32 - projection.bound(254) in range(127 * 254 * 9)
        x = np.random.default_rng(0).integers(120, 128, (2, 57, 5, 5)).astype(np.int16)
        for spikes in (x, -x):
            way = currents.synapses(projection, code, 127, (57, 5, 5), "int8", "cpu")
            found = way.apply(code.encode(torch.from_numpy(spikes))).numpy() - way.silence
            np.testing.assert_array_equal(found, projection(spikes))


def test_integers_beyond_2_to_24_are_still_exact() -> None:
    """A population whose static bound passes float32's integers must take float64: 127 * 127 * 4096."""
    rng = np.random.default_rng(1)
    wide = Projection("input", np.full((2, 4096), 127, np.int8))
    hidden = snm("a", (2,), (wide,), rng)
    graph = SpikingGraph(
        (
            Input("input", (4096,), np.ones(4096), 8),
            hidden,
            readout("out", (2,), (Projection("a", weights(rng, 2, 2)),), rng),
        ),
        steps=4,
    )
    assert wide.bound(127) > storage.EXACT_FLOAT32
    x = np.zeros((1, 4096))
    x[0, :1001] = 127
    x[0, 0] = 126  # an odd total that float32 cannot hold: 16145001
    a, b = reference.run(graph, x), batched.run(graph, x, record=True)
    assert_same(a, b)
    assert a.saturations["a"] > 0  # 16 million is beyond the 24-bit state: counted


def test_saturation_is_counted_alike_and_clips_alike() -> None:
    rng = np.random.default_rng(2)
    down = Projection("input", np.full((1, 64), -127, np.int8), exponent=3)
    dead = snm("a", (1,), (down,), rng)
    graph = SpikingGraph(
        (
            Input("input", (64,), np.ones(64), 8),
            dead,
            readout("out", (1,), (Projection("a", weights(rng, 1, 1)),), rng),
        ),
        steps=5,
    )
    x = np.full((2, 64), 127.0)
    a, b = reference.run(graph, x), batched.run(graph, x, record=True)
    assert_same(a, b)
    per_step = 64 * 127 * 127 * 8
    steps_over = sum(1 for t in range(1, 6) if t * per_step > STATE.limit + int(dead.v_init[0]) + 5 * t)
    assert a.saturations["a"] == 2 * steps_over > 0


def test_a_read_out_sums_what_its_projections_bring() -> None:
    """With a dense chain, the last potentials are W * (what was sent) + T * b."""
    graph, x = small(Chain(), (6,))
    run = reference.run(graph, x[:3])
    sent = run.spikes["fc2"].sum(axis=1).astype(np.int64)
    out = graph.readout
    expected = sent @ out.projections[0].weight.astype(np.int64).T + graph.steps * out.bias.astype(np.int64)
    np.testing.assert_array_equal(run.logits[:, -1], expected)


def test_a_difference_is_found_counted_and_located() -> None:
    graph, x = small()
    a = reference.run(graph, x[:2])
    spikes = {name: trace.copy() for name, trace in a.spikes.items()}
    spikes["conv3"][1, 4, 2, 0, 0] += 1
    row = difference("a", a, "b", Run(a.logits, spikes))
    assert (row.different, row.first) == (1, "conv3, image 1, step 5, neuron (2, 0, 0)")
