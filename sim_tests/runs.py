"""Two runs, equal in all that they tell."""

from __future__ import annotations

from dnisnm_lava.backends.results import Run, difference


def assert_same(a: Run, b: Run) -> None:
    rows = difference("a", a, "b", b)
    assert rows.different == 0, rows.first
    assert rows.spikes_compared > 0
    assert a.saturations == b.saturations
    assert a.spike_counts == b.spike_counts
    assert a.clipped_inputs == b.clipped_inputs
