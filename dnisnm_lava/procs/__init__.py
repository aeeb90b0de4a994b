"""Lava processes, each alone in its folder: Lava executes every file beside a Process.

Maps are (C, H, W), as in torch. Float models are tagged `floating_pt`, integer models `fixed_pt`.
"""
