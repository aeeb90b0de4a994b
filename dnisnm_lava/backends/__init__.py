"""Executors of one graph, which must agree: reference (NumPy), batched (torch), lava_cpu (Lava); and the ANN
itself.

May import `exporters` and what stands above it: `procs`, `frontend`, `measures`, `ir`. No executor knows a
stage.
"""
