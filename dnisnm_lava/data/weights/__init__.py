"""Weights as users have them: files of many kinds, of which nothing runs; checkpoints; weights in parts."""
