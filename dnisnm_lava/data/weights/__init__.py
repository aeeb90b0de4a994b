"""Weights as users have them: files of many kinds, of which nothing runs; checkpoints; weights in parts.

May import what `data` may, torch too; a model is built, and its weights put into it, in `data.models`.
"""
