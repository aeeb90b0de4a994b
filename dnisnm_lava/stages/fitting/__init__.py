"""Thresholds, weights, biases, payloads, initial potentials from what each population hears, untrained.

May import `backends.batched`, which tells what is heard, and every file of `stages` but `networks`, the door.
"""

THRESHOLDS = (
    "max",
    "subset-max",
    "percentile",
    "ltb",
    "mmse",
    "sequential",
    "gauss",
)  # thresholds.RULES, told without importing torch
CORRECTIONS = ("weights", "bias", "payload", "v_init")
WITHOUT_IMAGES = ("gauss", "max")  # of these, those that mean and variance tell
PERCENTILE = 99.9
SUBSET = 200  # images, of subset-max
