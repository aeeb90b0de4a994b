"""Event cameras: their files, chunk by chunk, and frames of counts.

`files` finds the reader; `binning.events` makes frames. Only AEDAT 4 needs a package (extra `events`).
"""
