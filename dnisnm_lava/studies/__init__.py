"""Questions about a network, a folder or a file each: why it errs, what it costs, whether Loihi 2 holds it,
which recipe.

May import `evaluation` and what stands above it.
"""
