"""Faults on purpose, and what is left behind after them: docs/testing.md lists each with its outcome.

python -m sim_tests.faults --help      the long campaign: interruptions at random times, 50 Lava runs in a row
"""
