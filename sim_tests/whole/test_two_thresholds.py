"""The lower threshold as a dial: with the smallest, a network of spikes is a quantized ANN."""

from __future__ import annotations

import io
import json
from dataclasses import asdict, fields, replace
from pathlib import Path

import numpy as np
import pytest
from graphs import ResidualPoolNet, images, integer_graphs, randomized, small
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from oracle import current, seen
from rich.console import Console

import dnisnm_lava as dn
from dnisnm_lava.backends import batched, reference
from dnisnm_lava.backends.results import Run
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir import SNM, Input, MaxPool, SpikingGraph
from dnisnm_lava.ir.integers import encode_images
from dnisnm_lava.stages import recipes
from dnisnm_lava.stages.fitting import THRESHOLDS
from dnisnm_lava.stages.networks import follow
from dnisnm_lava.views import network

MANY = 1 << 20  # levels: more than any step of these networks asks for


def unlimited(graph: SpikingGraph) -> SpikingGraph:
    """With the smallest lower threshold, no limit to the levels of a step and no lead."""
    return SpikingGraph(
        tuple(
            replace(p, down=0.0, levels=MANY, lead=0) if isinstance(p, SNM) else p for p in graph.populations
        ),
        steps=graph.steps,
    )


def quantized_ann(graph: SpikingGraph, codes: np.ndarray, steps: int) -> dict[str, np.ndarray]:
    """Layer by layer, with no time in it: each neuron rounds its whole input to whole thresholds, and a
    rectifier's are 0 at least."""
    totals: dict[str, np.ndarray] = {}
    for p in graph:
        if isinstance(p, Input):
            totals[p.name] = codes.astype(object) * steps
        elif isinstance(p, MaxPool):
            source, best = totals[p.source], np.zeros(p.shape, dtype=object)
            for c, y, x in np.ndindex(*p.shape):
                best[c, y, x] = max(
                    source[c, iy, ix] for _, _, iy, ix in seen(p.window, source.shape[1:], y, x)
                )
            totals[p.name] = best
        else:
            heard = (
                sum(
                    (current(q, totals[q.source]) for q in p.projections),
                    start=np.zeros(p.shape, dtype=object),
                )
                + p.bias * steps
            )
            if isinstance(p, SNM):
                levels = (heard + p.v_init) // np.where(p.vth > 0, p.vth, 1).astype(object)
                heard = (levels if p.two_sided else np.maximum(levels, 0)) * p.payload
            totals[p.name] = heard
    return totals


def assert_is_a_quantized_ann(graph: SpikingGraph, run: Run, x: np.ndarray, image: int) -> None:
    """run: of the images x, with its spikes."""
    wanted = quantized_ann(graph, encode_images(graph, x)[0][image], graph.steps)
    for p in graph:
        if isinstance(p, SNM | MaxPool):
            np.testing.assert_array_equal(
                run.spikes[p.name][image].sum(axis=0), wanted[p.name].astype(np.int64), err_msg=p.name
            )
        elif not isinstance(p, Input):
            sums = run.logits if p.name == graph.readout.name else run.further[p.name]
            np.testing.assert_array_equal(
                sums[image, -1].ravel(), wanted[p.name].astype(np.int64).ravel(), err_msg=p.name
            )


@settings(max_examples=40)
@given(graph=integer_graphs(), seed=st.integers(0, 2**32 - 1))
def test_what_is_sent_is_the_rounded_sum_of_what_is_heard_in_every_population(
    graph: SpikingGraph, seed: int
) -> None:
    """Whatever the order in which it arrives, and in which populations wait; as long as 24 bits of state hold
    it."""
    graph = unlimited(graph)
    x = np.random.default_rng(seed).integers(-1, 2, (1, *graph.input.shape)).astype(np.float32)
    run = reference.run(graph, x)
    assume(not any(run.saturations.values()))
    assert_is_a_quantized_ann(graph, run, x, 0)


@pytest.mark.parametrize(
    "recipe", [recipes.BEST, recipes.BINARY, replace(recipes.PAPER, steps=8)], ids=["best", "binary", "paper"]
)
def test_a_fitted_network_without_limits_is_a_quantized_ann(recipe: recipes.Recipe) -> None:
    """Residual, pooled, grouped: the read-outs of our executor against layers with no time in them."""
    model, x = randomized(ResidualPoolNet(), 3), images(24, (2, 6, 6), 3)
    analog = dn.from_torch(model, x[0])
    graph = unlimited(follow(recipe, analog, dn.calibrate(analog, [x]), x).integer)
    run = reference.run(graph, x[:4])
    for i in range(4):
        assert_is_a_quantized_ann(graph, run, x[:4], i)


def test_only_levels_that_are_held_back_tell_spikes_from_the_quantized_ann() -> None:
    """With K levels a step, a difference from the quantized ANN begins at a neuron that had more to send."""
    graph, x = small(levels=2, down=0.0, steps=6)
    run, free = (batched.run(g, x, record=True) for g in (graph, unlimited(graph)))
    first = graph.of(SNM)[0]
    limited, whole = (r.spikes[first.name].sum(axis=1) for r in (run, free))
    most = graph.steps * first.levels * first.payload
    assert (limited <= most).all()
    np.testing.assert_array_equal(limited, np.minimum(whole, most))  # its input is constant, so it catches up
    assert any(
        (run.spikes[p.name].sum(axis=1) != free.spikes[p.name].sum(axis=1)).any() for p in graph.of(SNM)
    )


# ---------------------------------------------------------------- the dial


def test_the_default_of_convert_is_the_papers() -> None:
    graph, _ = small(quantize=False)
    assert {p.down for p in graph.of(SNM)} == {1.0}
    assert (
        graph.digest()
        == small(quantize=False, down=1.0)[0].digest()
        != small(quantize=False, down=0.0)[0].digest()
    )


@pytest.mark.parametrize("down", [-0.1, 1.5, float("nan")])
def test_a_lower_threshold_is_a_share(down: float) -> None:
    with pytest.raises(OutOfRange, match=f"down: {down} given; give 0 to 1, a share of the threshold"):
        small(down=down)
    with pytest.raises(OutOfRange, match="down: "):
        recipes.check(replace(recipes.BEST, down=down))


def test_levels_of_each_population() -> None:
    graph, _ = small(quantize=False)
    names = [p.name for p in graph.of(SNM)]
    own = dict(zip(names, (1, 3, 2), strict=True))
    mixed, _ = small(quantize=False, levels=own)
    for p, before in zip(mixed.of(SNM), graph.of(SNM), strict=True):
        assert p.levels == own[p.name]
        np.testing.assert_array_equal(p.vth, before.vth / p.levels)
    for wrong in ({names[0]: 2}, {**own, "nobody": 1}):
        with pytest.raises(OutOfRange, match="levels: given by name, but not for each rectifier once"):
            small(levels=wrong)
    with pytest.raises(OutOfRange, match="levels: 0 given; give 1 or more"):
        small(levels={**own, names[1]: 0})


@pytest.mark.parametrize(
    ("levels", "bits"),
    [(1, 5), (4, 5), (5, 4), (8, 4), (9, 3), (15, 3), (18, 3), (19, 2), (42, 2), (43, 1), (127, 1), (200, 1)],
)
def test_payloads_leave_a_spike_a_signed_byte(levels: int, bits: int) -> None:
    assert recipes.payload_bits(levels) == recipes.payload_bits({"a": 1, "b": levels}) == bits
    assert levels * (2**bits - 1) <= 127 or bits == 1
    assert bits == 5 or levels * (2 ** (bits + 1) - 1) > 127
    own = replace(recipes.BEST, levels=levels, granularity="neuron")
    assert (
        own.payloads,
        replace(own, payload_bits=6).payloads,
        replace(own, granularity="channel").payloads,
    ) == (bits, 6, 1)


def test_binary_spikes_are_1_and_minus_1_alone() -> None:
    model, x = randomized(ResidualPoolNet(), 1), images(24, (2, 6, 6), 1)
    analog = dn.from_torch(model, x[0])
    graph = follow(recipes.BINARY, analog, dn.calibrate(analog, [x]), x).integer
    run = batched.run(graph, x, record=True)
    assert {int(s) for p in graph.of(SNM) for s in np.unique(run.spikes[p.name])} == {-1, 0, 1}
    for p in graph.of(SNM):
        assert p.down == 0
        assert all(len(set(channel[channel > 0].tolist())) <= 1 for channel in p.vth.reshape(len(p.vth), -1))


# ---------------------------------------------------------------- recipes of before


def test_a_record_of_before_keeps_the_papers_lower_threshold(tmp_path: Path) -> None:
    """A record names every dial that there was; a few dials, written by hand, are changes of `best`."""
    before = {
        name: value for name, value in asdict(recipes.BEST).items() if name not in ("down", "relay_levels")
    }
    assert recipes.parsed({**before, "payload_bits": 5}).down == 1
    assert recipes.parsed({"steps": 4}).down == recipes.BEST.down == 0
    assert recipes.parsed(json.loads(json.dumps(asdict(recipes.BEST)))) == recipes.BEST
    path = tmp_path / "own.json"
    path.write_text(json.dumps({"recipe": {**before, "levels": 4, "payload_bits": 5}}))
    assert recipes.named(str(path)) == replace(
        recipes.BEST, levels=4, payload_bits=5, down=1.0, relay_levels=31
    )


def test_each_recipe_is_named_and_checked() -> None:
    assert set(recipes.RECIPES) == {"best", "binary", "paper"}
    for recipe in recipes.RECIPES.values():
        recipes.check(recipe)
        assert recipe.threshold in THRESHOLDS
        assert set(asdict(recipe)) == {f.name for f in fields(recipes.Recipe)}


def test_inspect_tells_the_lower_thresholds() -> None:
    def shown(**dials: float) -> str:
        console = Console(width=140, file=io.StringIO())
        console.print(network.network_table(small(**dials)[0], ""))
        return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]

    assert "lower threshold, where a level is taken back: 0.25 of the threshold in 3 populations" in shown(
        down=0.25
    )
    assert "lower threshold" not in shown()
