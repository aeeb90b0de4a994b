from __future__ import annotations

import numpy as np
from lava.magma.core.process.ports.ports import OutPort
from lava.magma.core.process.process import AbstractProcess, LogConfig


class Source(AbstractProcess):
    """Sends image n (of `images`, (N, *shape)) in steps n * period + 1 ... n * period + steps; else zeros.
    carry: of a stream, by how much image n differs from the one before."""

    def __init__(
        self,
        *,
        images: np.ndarray,
        steps: int,
        period: int,
        carry: bool = False,
        name: str | None = None,
        log_config: LogConfig | None = None,
    ) -> None:
        super().__init__(
            images=images, steps=steps, period=period, carry=carry, name=name, log_config=log_config
        )
        self.s_out = OutPort(shape=images.shape[1:])
