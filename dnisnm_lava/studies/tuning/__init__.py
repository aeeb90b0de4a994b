"""The recipe that serves a target best. `dnisnm tune` runs `tune.tune`; `phases` are what it tries. `streams`
searches the dials of a stream.

May import what `studies` may, and `studies.streams`.
"""
