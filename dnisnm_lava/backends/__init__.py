"""Executors of one graph: reference (NumPy), batched (torch) and lava_cpu (Lava). They must agree."""
