"""What is measured of a network's output: shares of right answers, and values.

May import what stands above it: `errors`, `system`, `data`, `ir`. Needs NumPy alone.
"""

from __future__ import annotations

from dnisnm_lava.measures.asked import Ask, Asked, ask, asked, of, of_own
from dnisnm_lava.measures.choosing import accuracy, chosen, named_output
from dnisnm_lava.measures.measure import AUTO, KINDS, Counts, Measure, classes, exact
from dnisnm_lava.measures.quality import Quality, Scale, quality, scale
from dnisnm_lava.measures.scores import Fit, Score, Share, Z, wilson

__all__ = [
    "AUTO",
    "KINDS",
    "Ask",
    "Asked",
    "Counts",
    "Fit",
    "Measure",
    "Quality",
    "Scale",
    "Score",
    "Share",
    "Z",
    "accuracy",
    "ask",
    "asked",
    "chosen",
    "classes",
    "exact",
    "named_output",
    "of",
    "of_own",
    "quality",
    "scale",
    "wilson",
]
