"""Lava processes, each alone in its folder: Lava executes every file beside a Process.

May import `frontend` and what stands above it, and lava; what is here needs `ir` alone. Maps are (C, H, W),
as in torch. Float models are tagged `floating_pt`, integer models `fixed_pt`.
"""
