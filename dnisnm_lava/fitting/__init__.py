"""Thresholds, weights, biases and initial potentials from what each population really hears, without training."""
