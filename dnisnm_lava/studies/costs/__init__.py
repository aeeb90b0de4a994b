"""What an image costs: operations counted one by one, energies by cited rules. `dnisnm costs` runs
`energy.energy`.

May import what `studies` may, and `studies.loihi2`.
"""
