"""Event cameras: their files, chunk by chunk, and frames of counts.

May import `data.streams` and what `data` may. `files` finds the reader; `binning.events` makes frames. Only
AEDAT 4 needs a package (extra `events`).
"""
