"""torch.nn.Module to AnalogGraph, through torch.export (ATen).

Every tensor of the traced graph is a sum of linear maps of populations plus a bias. Rectifiers, max-pools and
outputs turn such sums into populations. What has no exact meaning is refused, by name and line.
"""
