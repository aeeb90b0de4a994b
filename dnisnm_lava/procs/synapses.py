"""What Conv and Dense share: one projection, one step late."""

from __future__ import annotations

from typing import Any

import numpy as np
from lava.magma.core.model.py.model import PyLoihiProcessModel


class AbstractPyProjection(PyLoihiProcessModel):
    """Sends the current of the step before, then computes this step's; nothing for silence, and nothing
    new for the same spikes as before (a constant image)."""

    s_in: Any
    a_out: Any
    current: np.ndarray

    def __init__(self, proc_params: dict[str, Any]) -> None:
        super().__init__(proc_params)
        self.before: np.ndarray | None = None

    def run_spk(self) -> None:
        self.a_out.send(self.current)
        spikes = self.s_in.recv()
        if self.before is not None and np.array_equal(spikes, self.before):
            return
        self.before = np.array(spikes)
        if spikes.any():
            self.current = self.proc_params["projection"](spikes[None])[0].astype(self.current.dtype)
        else:
            self.current = np.zeros_like(self.current)
