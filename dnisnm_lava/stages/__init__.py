"""From the ANN's graph to integers: calibration, conversion, fitting, rounding, quantization; a recipe is a
value of every dial.

May import `backends` and what stands above it. `quantization` and `units` decide what integers count in.
"""
