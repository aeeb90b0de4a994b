"""The integers, or the floats, on N images, population by population: `run`.

May import what `backends` may. `currents` weighs spikes, `neurons` and `max_pool` are compiled, `triton_*` do
both on CUDA, `stepped` goes step by step, `planning` chooses the way.
"""

from __future__ import annotations

from dnisnm_lava.backends.batched.executor import run

__all__ = ["run"]
