"""What is measured of a network's output: shares of right answers, and values.

May import what stands above it: `errors`, `system`, `data`, `ir`. Needs NumPy alone.
"""

from __future__ import annotations

from dnisnm_lava.measures.measure import (
    AUTO,
    KINDS,
    Counts,
    Fit,
    Measure,
    Score,
    Share,
    Z,
    accuracy,
    chosen,
    classes,
    exact,
    named_output,
    wilson,
)  # fmt: skip

__all__ = [
    "AUTO", "KINDS", "Counts", "Fit", "Measure", "Score", "Share", "Z", "accuracy", "chosen", "classes", "exact", "named_output", "wilson",
]  # fmt: skip
