"""The machine below everything: files that appear whole, interrupts, memory, processes of a job, progress.

May import `errors` and the standard library; torch where it is asked for.
"""
