"""What Triton's kernels must give: on CUDA in the process of the test, and on CPUs in a child, by Triton's
interpreter. And what their compiler makes of them for cards that are not here."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from children import main
from graphs import (
    BEYOND,
    EDGES,
    curved_graphs,
    edged,
    gated_graphs,
    integer_graphs,
    readout,
    small,
    snm,
    weights,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from runs import assert_same

from dnisnm_lava.backends import batched, reference
from dnisnm_lava.backends.batched import currents, planning, storage, triton_here
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir import SNM, Input, Projection, Resample, SpikingGraph
from dnisnm_lava.ir.arithmetic import Window

Check = Callable[[str], None]
WAYS = (("triton", "triton"), ("triton", "stepped"), ("int8", "triton"), ("float64", "triton"))
CARDS = (80, 90)


def drawn_graphs(device: str) -> None:
    """Every spike, count, saturation and read-out is the reference's, whichever way is Triton's."""
    graphs = st.one_of(integer_graphs(), integer_graphs(), curved_graphs(), gated_graphs())

    @settings(max_examples=16, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(graph=graphs, seed=st.integers(0, 1000), ways=st.sampled_from(WAYS))
    def check(graph: SpikingGraph, seed: int, ways: tuple[str, str]) -> None:
        x = np.random.default_rng(seed).integers(-140, 141, (3, *graph.input.shape)).astype(float)
        _same(graph, x, device, *ways)

    check()


def converted_networks(device: str) -> None:
    """Whose convolutions and neurons go Triton's way, and whose shortcut the neurons read."""
    for options in ({}, {"levels": 3}, {"lead": 2}, {"levels": 2, "lead": 3}):
        graph, x = small(**options)  # type: ignore[arg-type]
        _same(graph, x[:5], device, "triton", "triton")
        taken = planning.paths(planning.planned(graph, "triton", "triton", device))
        assert taken["synapses"]["triton"] >= 3
        assert taken["synapses"]["shortcut"] == 1
        assert set(taken["neurons"]) == {"triton"}
    late, x = small(steps=2, lead=5)  # all steps are summed before the first spike
    _same(late, x[:2], device, "triton", "triton")
    if device.startswith("cuda"):
        assert planning.paths(planning.planned(graph, device=device)) == taken


def thresholds_up_to_the_state_and_beyond(device: str) -> None:
    """In 32 bits, and in 64 where a level that is taken back leaves v beyond them."""
    for exponent, edges in ((10, EDGES), (10, EDGES + BEYOND), (14, EDGES)):
        for levels, two_sided, down in ((1, False, 0.0), (5, False, 0.25), (5, True, 1e-3), (1, True, 1.0)):
            graph, x = edged(exponent, edges, levels=levels, two_sided=two_sided, down=down)
            _same(graph, x, device, "triton", "triton")
            plan = planning.planned(graph, "triton", "triton", device)["a"]
            assert plan.dtype == (torch.int64 if BEYOND[1] in edges else torch.int32)


def levels_and_steps_whose_sum_leaves_32_bits(device: str) -> None:
    rng = np.random.default_rng(4)
    a = snm("a", (5,), (Projection("input", weights(rng, 5, 4), exponent=12),), rng, levels=1 << 24)
    a = replace(a, vth=a.vth // 60 + 1, payload=a.payload * 0 + 1)
    out = readout("out", (2,), (Projection("a", weights(rng, 2, 5)),), rng)
    graph = SpikingGraph((Input("input", (4,), np.ones(4), 8), a, out), steps=200)
    x = rng.integers(-127, 128, (2, 4)).astype(float)
    assert planning.planned(graph, "triton", "triton", device)["a"].dtype == torch.int32
    _same(graph, x, device, "triton", "triton")


def levels_of_larger_payloads(device: str) -> None:
    """What 8 bits hold are the levels, and weights times payloads two digits; in one step, and in several."""
    for steps, levels, granularity, two_sided in (
        (1, 15, "channel", False),
        (4, 15, "channel", True),
        (3, 127, "layer", False),
        (1, 15, "neuron", False),
        (2, 300, "channel", False),
    ):
        graph, x = small(steps=steps, levels=levels, granularity=granularity, down=0.25)
        sided = [replace(p, two_sided=two_sided) if isinstance(p, SNM) else p for p in graph]
        graph = replace(graph, populations=tuple(sided))
        for ways in (*WAYS, ("float32", "triton")):
            _same(graph, x[:3], device, *ways)
        plan = planning.planned(graph, "triton", "triton", device)
        by_level = levels < 128 and granularity != "neuron"
        assert any(p.code.units is not None for p in plan.values()) == by_level
        assert (planning.paths(plan)["synapses"].get("triton", 0) > 2) == by_level


def projections_of_every_kind(device: str) -> None:
    """Beside the projection itself, in NumPy: each way of the kernels, and all that stands around weights."""
    rng = np.random.default_rng(5)

    def w(*shape: int) -> np.ndarray:
        return rng.integers(-128, 128, shape).astype(np.int8)

    wide = ((2, 0), (1, 3))
    some = np.array([5, 0, 3], np.int32)
    fits: tuple[tuple[Projection, tuple[int, ...]], ...] = (
        (Projection("a", w(20, 6, 3, 2), (2, 1), wide, (1, 2), exponent=3), (6, 7, 6)),
        (Projection("a", w(70, 40, 1, 1)), (40, 3, 3)),
        (Projection("a", w(36, 9, 3, 3), padding=((1, 1), (1, 1)), groups=4), (36, 4, 4)),
        (Projection("a", w(12, 2, 3, 3), (1, 2), wide, groups=4, exponent=1), (8, 5, 5)),
        (Projection("a", w(6, 1, 3, 3), (2, 2), ((0, 1), (0, 1)), (2, 2), groups=6), (6, 9, 8)),
        (Projection("a", w(4, 3, 2, 2), source_channels=some), (6, 4, 4)),
        (Projection("a", w(3, 6, 1, 1), target_channels=some, targets=7), (6, 4, 4)),
        (Projection("a", w(3, 90, 1, 1), target_channels=some, targets=7), (90, 2, 2)),
        (Projection("a", w(5, 6, 2, 2), sum_pool=Window((2, 2), (2, 1), wide)), (6, 6, 6)),
        (Projection("a", w(18, 24), target_shape=(2, 3, 3)), (6, 2, 2)),
        (Projection("a", w(7, 30), sum_pool=Window((2, 2), (1, 1))), (30, 2, 2)),
        (Projection("a", w(6, 5), target_shape=(2, 5, 1), target_order=rng.permutation(10)[:6]), (5,)),
    )
    for projection, source in fits:
        spikes = rng.integers(-31, 32, (3, *source))
        assert _way(projection, 31, spikes, device) == "triton"
    far = 2**31 // (127 * 127 * 2)
    extreme = Projection("a", np.full((2, far), 127, np.int8), exponent=1)
    assert 2**31 - 127 * 127 * 2 < extreme.bound(127) < 2**31
    for sign in (1, -1):
        assert _way(extreme, 127, np.full((1, far), 127 * sign), device) == "triton"
    rows = Resample(w(4, 4), w(4, 4))
    pool = Window((5, 5), (5, 5))
    floats = (
        (replace(extreme, weight=np.full((2, far + 1), 127, np.int8)), (far + 1,), "float64"),
        (Projection("a", w(3, 2, 1, 1), sum_pool=pool), (2, 5, 5), "float32"),  # 25 * 31 is beyond 8 bits
        (Projection("a", w(3, 2, 1, 1), resample=rows), (2, 4, 4), None),
    )
    for projection, source, way in floats:
        spikes = rng.integers(-31, 32, (2, *source))
        taken = _way(projection, 127 if way == "float64" else 31, spikes, device)
        assert taken == way or (way is None and taken != "triton")


def what_is_not_exact_is_not_taken(device: str) -> None:
    """A product that keeps 24 bits of its sums, as floats would; a kernel that does not compile; neurons that
    lose a step."""
    from dnisnm_lava.backends.batched import triton_currents, triton_neurons

    graph, _ = small()
    launch, run = triton_currents._launch, triton_neurons.run

    def rounded(x: torch.Tensor, weight: torch.Tensor, out: torch.Tensor, *rest: Any) -> None:
        launch(x, weight, out, *rest)
        out.copy_(out.double().float().to(torch.int32))

    def refuses(*_: Any) -> None:
        raise RuntimeError("no compiler")

    def short(p: Any, current: torch.Tensor, shortcut: None, steps: int) -> Any:
        return run(p, torch.cat([current[:, :-1], current[:, -1:] * 0], dim=1), shortcut, steps)

    for launched, ran in ((rounded, run), (refuses, run), (launch, short)):
        triton_currents._launch, triton_neurons.run = launched, ran
        triton_here.is_exact.cache_clear()
        try:
            assert not triton_here.is_exact(device)
            for ways in ({"synapses": "triton"}, {"neurons": "triton"}):
                with pytest.raises(OutOfRange, match="or not with NumPy's integers: choose auto"):
                    planning.planned(graph, device=device, **ways)
            taken = planning.paths(planning.planned(graph, device=device))
            assert "triton" not in {*taken["synapses"], *taken["neurons"]}
        finally:
            triton_currents._launch, triton_neurons.run = launch, run
            triton_here.is_exact.cache_clear()
            planning._PLANS.clear()
    assert triton_here.is_exact(device)


def _same(graph: SpikingGraph, x: np.ndarray, device: str, synapses: str, neurons: str) -> None:
    run = batched.run(graph, x, record=True, synapses=synapses, neurons=neurons, device=device)
    assert_same(reference.run(graph, x), run)


def _way(projection: Projection, largest: int, spikes: np.ndarray, device: str) -> str:
    """Of a projection whose currents of the spikes are the reference's."""
    code = storage.code_of(largest, signed=True)
    way = currents.synapses(projection, code, largest, spikes.shape[1:], "triton", device)
    x = storage.channels_last(torch.tensor(spikes, dtype=code.dtype, device=device))
    found = way.apply(x).cpu().numpy()
    assert found.shape[1:] == projection.output_shape(spikes.shape[1:])
    np.testing.assert_array_equal(found, projection(spikes))
    return way.way


CHECKS: tuple[Check, ...] = (
    drawn_graphs,
    converted_networks,
    thresholds_up_to_the_state_and_beyond,
    levels_and_steps_whose_sum_leaves_32_bits,
    levels_of_larger_payloads,
    projections_of_every_kind,
    what_is_not_exact_is_not_taken,
)


# ---------------------------------------------------------------- in the child


def interpreted() -> dict[str, str]:
    """{check: what it said, nothing where it passed}, by the interpreter."""
    import traceback

    import triton

    if triton.__version__ < "3":
        from triton_interpreter import mend

        mend()
    said = {}
    for check in CHECKS:
        try:
            check("cpu")
            said[check.__name__] = ""
        except Exception:
            said[check.__name__] = traceback.format_exc()
    return said


def compiled() -> dict[str, int]:
    """{kernel and card: how many of its instructions multiply matrices of 8-bit integers into sums of 32
    bits}."""
    from triton_interpreter import compiled_for

    from dnisnm_lava.backends.batched import triton_kernels

    bytes_ = {"x": "*i8", "weight": "*i8", "out": "*i32"}
    found = {}
    for card in CARDS:
        tile = {"BM": 128, "BN": 64, "BK": 64}
        ptx = {"products": compiled_for(card, triton_kernels.products, bytes_, tile)}
        ptx["taps"] = compiled_for(card, triton_kernels.taps, bytes_, {"BLOCK": 256})
        for width in ("i32", "i64"):
            types = {"current": f"*{width}", "extra": "*i8", "table": f"*{width}", "out": "*i8"}
            way = {"SHORTCUT": True, "ONCE": width == "i32", "TWO_SIDED": False, "BLOCK": 512}
            ptx[f"neurons {width}"] = compiled_for(
                card, triton_kernels.neurons, {**types, "counts": "*i32"}, way
            )
        for name, text in ptx.items():
            lines = [line for line in text.splitlines() if "mma" in line and "s32.s8.s8" in line]
            found[f"{name} {card}"] = len(lines)
    return found


if __name__ == "__main__":
    if sys.argv[1] == "interpreted":
        os.environ["TRITON_INTERPRET"] = "1"  # before anyone imports Triton
    main(interpreted, compiled)
