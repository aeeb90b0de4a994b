"""torch.nn.Module to AnalogGraph, through torch.export (ATen). An operation gets its meaning where `table` is
filled: `layers`, `rectifiers`, `activations`, `spatial`, `neutral`, `moves`, `writes`; `walk` goes over the
graph.

May import `measures` and what stands above it: `errors`, `system`, `data`, `ir`. Every tensor is a sum of
linear maps of populations plus a bias; what has no exact meaning is refused, by name and line.
"""
