"""What networks say of labelled images: tallies that add up, in blocks; comparisons, early exit, alarms.

May import `stages` and what stands above it.
"""
