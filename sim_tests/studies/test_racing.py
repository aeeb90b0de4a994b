"""What `tune` prunes: nothing that could win, and with how much confidence."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from searched import analog as analog
from searched import images as images

import dnisnm_lava as dn
from dnisnm_lava.stages.networks import follow
from dnisnm_lava.stages.recipes import BEST
from dnisnm_lava.studies.tuning import pareto, racing, tune
from dnisnm_lava.studies.tuning.pareto import Target, Trial
from dnisnm_lava.system.ranks import ALONE

ANN = 0.9  # its own score


def trial(score: float, latency: int, spikes: float, steps: int) -> Trial:
    return Trial("", replace(BEST, steps=steps), score, 100 * (ANN - score), latency, spikes)


@given(
    st.sampled_from([0.5, 0.9, 1.0]),
    st.integers(3, 5),
    st.integers(1, 2),
    st.sampled_from([Target("latency", 6), Target("steps", 2), Target("spikes", 30), Target("drop", 1)]),
)
def test_what_is_hopeless_wins_with_no_score_and_no_spikes(
    score: float, latency: int, steps: int, target: Target
) -> None:
    """By brute force: of all trials of a latency and T, is there one that would be chosen?"""
    best = trial(score, latency, 20.0, steps)
    for took, t in product((3, 4, 5, 6), (1, 2)):
        could = any(
            pareto.best(target, [best, other]) is other
            for other in (trial(s, took, n, t) for s in (0.0, 0.5, 0.9, 1.0) for n in (0.0, 10.0, 40.0))
        )
        assert (racing.hopeless(target, best, took, t) == "") == could


@given(st.integers(0, 30), st.integers(0, 30))
def test_the_sign_test_is_scipys(won: int, lost: int) -> None:
    expected = stats.binomtest(won, won + lost, 0.5, alternative="less").pvalue if won + lost else 1.0
    assert racing.sign_test(won, lost) == pytest.approx(expected, rel=1e-9)


@given(st.lists(st.booleans(), min_size=4, max_size=9), st.integers(1, 3), st.integers(0, 2**9 - 1))
def test_what_is_certain_is_so_whatever_follows(best: list[bool], after: int, answers: int) -> None:
    """By brute force: every way to go on has fewer right answers than the best."""
    own = np.array([bool(answers >> i & 1) for i in range(after)])
    why, certain = racing.beaten(own, np.array(best))
    ways = product((False, True), repeat=len(best) - after)
    hopeless = all(own.sum() + sum(way) < sum(best) for way in ways)
    assert (bool(why) and certain) == hopeless


def test_images_that_part_are_tossed_for() -> None:
    """Of 40 images the best alone is right of 12, the trial alone of 1: (1 + 13) / 2^13 = 0.0017 is too much,
    and without that one 1 / 2^12 is enough."""
    best = np.repeat([True, False], [39, 161])
    own = best[:40].copy()
    own[:12], own[39] = False, True
    assert racing.beaten(own, best) == ("", False)
    own[39] = False
    why, certain = racing.beaten(own, best)
    assert (why.split(" (")[0], certain) == (
        "of the first 40 images the best alone is right of 12, it alone of 0",
        False,
    )


def test_a_search_prunes_what_cannot_win_and_tells_it(analog: dn.AnalogGraph, images: np.ndarray) -> None:
    """The same winner as of a search that prunes nothing, of the same held-back images."""
    space = dn.Space(levels=(1, 31), vary=("steps", "levels", "lead", "threshold"), images=20)
    found = dn.tune(analog, images, Target("latency", 40), space=space)
    assert found.best.score == 1.0  # else nothing is certain from the latency alone
    by_latency = [p for p in found.pruned if p.images == 0]
    assert by_latency
    for p in by_latency:
        assert p.certain
        assert p.latency >= found.best.latency
        assert p.why in " ".join(found.story)
    tried = {repr(t.recipe) for t in found.trials}
    assert not tried & {repr(p.recipe) for p in found.pruned}
    held = tune.split(len(images), space.held_back, space.seed)
    for p in by_latency[:2]:
        nets = follow(p.recipe, analog, tune.maxima(analog, images[held[0]], "cpu"), images[held[0][:20]])
        own = tune._held(analog, found.measure, images[held[1]], None, "cpu")
        measured, _ = tune._measured(nets, p.recipe, own, "", "cpu", ALONE)
        assert isinstance(measured, Trial)
        assert measured.latency == p.latency
        assert pareto.best(found.target, [found.best, measured]) is found.best


def test_a_trial_that_is_worse_is_measured_no_further(analog: dn.AnalogGraph, images: np.ndarray) -> None:
    """Against a best that is right of all images, as cheap: K = 1 in one step is wrong of too many."""
    held = tune._held(
        analog,
        dn.tune(
            analog, images, Target("steps", 1), space=dn.Space(levels=(31,), vary=("steps",), images=20)
        ).measure,
        images[:80],
        None,
        "cpu",
    )
    recipe = replace(BEST, levels=1, correct=(), threshold="max")
    nets = dn.build(analog, images[80:], recipe)
    whole, right = tune._measured(nets, recipe, held, "", "cpu", ALONE)
    assert isinstance(whole, Trial)
    assert whole.score < 0.9
    best = replace(whole, score=1.0, spikes=0.0)
    found, _ = tune._measured(nets, recipe, held, "", "cpu", ALONE, (best, np.ones(80, bool)))
    assert isinstance(found, racing.Pruned)
    assert found.images in (20, 40)
    assert found.certain == (found.images - right[: found.images].sum() > 0)
    dearer = replace(whole, score=1.0, spikes=whole.spikes + 1e9)
    assert tune._measured(nets, recipe, held, "", "cpu", ALONE, (dearer, np.ones(80, bool)))[0] == whole
