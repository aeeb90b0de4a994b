"""A run that is watched, or recorded: by `batched` where torch is installed, else by the reference."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np

from dnisnm_lava.backends import reference
from dnisnm_lava.backends.observing import Observe
from dnisnm_lava.backends.results import Run
from dnisnm_lava.ir import SpikingGraph
from dnisnm_lava.system.progress import Progress, tell


def run(
    graph: SpikingGraph, x: np.ndarray, *, steps: int, observe: Observe, progress: Progress | None = None
) -> None:
    """Run images x (N, *input shape). The reference takes them one by one, so that its spikes of one image
    alone are held."""
    if find_spec("torch") is not None:
        from dnisnm_lava.backends import batched

        batched.run(graph, x, steps=steps, observe=observe, progress=progress)
        return
    for i in range(len(x)):
        reference.run(graph, x[i : i + 1], steps=steps, observe=observe)
        tell(progress, i + 1, len(x))


def recorded(graph: SpikingGraph, x: np.ndarray, steps: int) -> Run:
    """The run of images, or of a stream's frames, x (N, *input shape), with every spike."""
    if find_spec("torch") is None:
        return reference.run(graph, x, steps=steps)
    from dnisnm_lava.backends import batched

    return batched.run(graph, x, steps=steps, record=True)
