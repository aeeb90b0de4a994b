"""Frames one after another, of which one is in memory at a time: clips, folders of pictures, arrays, events.

May import what `data` may. `sources.frames` is the one door. What comes is a `stream.Frames`, which reads
anew each time it is iterated.
"""
