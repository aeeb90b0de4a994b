"""SANA-FE, a simulator of neuromorphic chips kept by others, in a child process: `verify`.

SANA-FE (Boyle, Plagge, Cardwell, Chance, Gerstlauer, "SANA-FE: Simulating advanced neuromorphic architectures
for fast exploration", IEEE TCAD 2025, 10.1109/TCAD.2025.3537971) is GPL-3 and an optional extra: none of it
is here, it is asked through its Python interface alone. `parent` starts, watches and ends the process;
`child`, `preset` and `replaying` run in it; `neurons` runs networks of binary spikes neuron for neuron.
`studies.costs.replay` sends any network's spikes over its chip. May import what `backends` may.
"""

from __future__ import annotations

from dnisnm_lava.backends.sanafe.neurons import verify
from dnisnm_lava.backends.sanafe.parent import require_sanafe

__all__ = ["require_sanafe", "verify"]
