"""Recipes, drawn."""

from __future__ import annotations

from dataclasses import fields

from hypothesis import strategies as st

from dnisnm_lava.stages import recipes
from dnisnm_lava.stages.calibration import GRANULARITIES
from dnisnm_lava.stages.fitting import CORRECTIONS, THRESHOLDS
from dnisnm_lava.stages.recipes import Recipe

NAMES = ("conv1", "conv2", "conv3")


@st.composite
def drawn(draw: st.DrawFn, names: tuple[str, ...] = NAMES) -> Recipe:
    """names: of all rectifiers, where each may have a lead and levels of its own."""
    spikes = draw(st.sampled_from(["graded", "graded", "binary"]))
    shared = GRANULARITIES if spikes == "graded" else ("channel", "layer")  # binary spikes tell of no neuron
    levels = st.one_of(
        st.sampled_from([1, 2, 3, 4, 15]),
        st.fixed_dictionaries({name: st.sampled_from([1, 2, 15]) for name in names}),
    )
    leads = st.one_of(st.integers(0, 3), st.fixed_dictionaries({name: st.integers(0, 3) for name in names}))
    dials = {
        "steps": draw(st.integers(1, 6)),
        "threshold": draw(st.sampled_from(THRESHOLDS)),
        "correct": tuple(draw(st.lists(st.sampled_from(CORRECTIONS), unique=True))),
        "share": draw(st.sampled_from(shared)),
        "granularity": draw(st.sampled_from(shared)),
        "levels": draw(levels if names else st.integers(1, 31)),
        "lead": draw(leads),
        "down": draw(st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0, 1))),
        "relay_levels": draw(st.sampled_from([1, 31, 127])),
        "weight_bits": draw(st.integers(2, 8)),
        "payload_bits": draw(st.one_of(st.none(), st.integers(1, 8))),
        "spikes": spikes,
        "rounding": draw(st.sampled_from(recipes.ROUNDINGS)),
        "percentile": draw(st.sampled_from([90.0, 99.9, 100.0])),
        "subset": draw(st.sampled_from([1, 200])),
        "function_error": draw(st.sampled_from([0.1, 0.5, 2.0])),
    }
    assert set(dials) == {f.name for f in fields(Recipe)}, "a new dial must be drawn too"
    return Recipe(**dials)
