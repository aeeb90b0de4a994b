from __future__ import annotations

from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess, LogConfig
from lava.magma.core.process.variable import Var


class Delay(AbstractProcess):
    """Passes on what arrives, `delay` >= 1 steps later: aligns a shortcut with its main path."""

    def __init__(
        self,
        *,
        shape: tuple[int, ...],
        delay: int,
        name: str | None = None,
        log_config: LogConfig | None = None,
    ) -> None:
        if delay < 1:
            raise ValueError(f"Delay: {delay} steps given; give 1 or more, or connect directly")
        super().__init__(shape=shape, name=name, log_config=log_config)
        self.a_in = InPort(shape=shape)
        self.s_out = OutPort(shape=shape)
        self.queue = Var(shape=(delay, *shape), init=0)
