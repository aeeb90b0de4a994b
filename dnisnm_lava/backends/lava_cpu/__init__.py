"""Lava's simulator, in a child process with a deadline: `run`.

May import what `backends` may. `parent` starts, watches and ends the process, `child` is that process,
`interpreter` its Python.
"""

from __future__ import annotations

from dnisnm_lava.backends.lava_cpu.parent import DEADLINE, LAVA, Lava, require_lava, run

__all__ = ["DEADLINE", "LAVA", "Lava", "require_lava", "run"]
