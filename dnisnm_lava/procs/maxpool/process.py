from __future__ import annotations

from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess, LogConfig
from lava.magma.core.process.variable import Var

from dnisnm_lava.ir.arithmetic import Window


class MaxPool(AbstractProcess):
    """Sends, one step late, the change of the windows' maximum of the running sums of what arrived.

    input_shape: (C, H, W). window: kernel, stride, padding, dilation. offset: steps before the source's first
    window of spikes; the sums restart every `period` steps from there, but for `carry`: in a stream they go
    on.
    """

    def __init__(
        self,
        *,
        input_shape: tuple[int, int, int],
        window: Window,
        period: int,
        offset: int = 0,
        carry: bool = False,
        name: str | None = None,
        log_config: LogConfig | None = None,
    ) -> None:
        shape = (input_shape[0], *window.output_size(input_shape[1:]))
        super().__init__(shape=shape, name=name, log_config=log_config, window=window)
        self.a_in = InPort(shape=input_shape)
        self.s_out = OutPort(shape=shape)
        self.total = Var(shape=input_shape, init=0)
        self.largest = Var(shape=shape, init=0)
        self.change = Var(shape=shape, init=0)
        self.period = Var(shape=(1,), init=period)
        self.offset = Var(shape=(1,), init=offset)
        self.carry = Var(shape=(1,), init=int(carry))
