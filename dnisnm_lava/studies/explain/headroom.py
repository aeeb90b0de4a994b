"""How far the 24-bit state of an integer network goes: potentials and memories, from a watched run."""

from __future__ import annotations

import numpy as np

from dnisnm_lava.ir import SNM, Population, ReadOut


class Reached:
    """An observer (`backends.observing`) of a run of `steps` steps. largest: {population that integrates:
    (largest |v|, largest m)} that any neuron reached so far: of v as it is before a spike, while currents
    arrive; of m, its magnitude, 0 of a read-out."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.largest: dict[str, tuple[int, int]] = {}

    def __call__(self, p: Population, step: int, v: np.ndarray, m: np.ndarray, k: np.ndarray) -> None:
        if not isinstance(p, SNM | ReadOut):
            return
        before = v + k * p.vth if isinstance(p, SNM) and p.curve is None else v  # a curve takes nothing
        largest_v, largest_m = self.largest.get(p.name, (0, 0))
        if step <= self.steps:
            largest_v = max(largest_v, int(np.abs(before).max()))
        self.largest[p.name] = (largest_v, max(largest_m, int(np.abs(m).max())))
