from __future__ import annotations

import numpy as np
import numpy.typing as npt
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import LogConfig
from lava.magma.core.process.variable import Var

from dnisnm_lava.procs.whole import Whole


class ReadOut(Whole):
    """Neurons that never fire: v sums a_in + bias over each window and leaves through s_out.

    steps, period, offset, carry: as in SNM. Between windows v keeps its last value. A bias with fractions is
    for `floating_pt`, as there.
    """

    constants = ("bias",)

    def __init__(
        self,
        *,
        shape: tuple[int, ...],
        steps: int,
        period: int,
        bias: npt.ArrayLike = 0,
        offset: int = 0,
        carry: bool = False,
        name: str | None = None,
        log_config: LogConfig | None = None,
    ) -> None:
        super().__init__(shape=shape, name=name, log_config=log_config)
        self.a_in = InPort(shape=shape)
        self.s_out = OutPort(shape=shape)
        self.v = Var(shape=shape, init=0)
        self.bias = Var(shape=shape, init=np.broadcast_to(bias, shape).copy())
        self.steps = Var(shape=(1,), init=steps)
        self.period = Var(shape=(1,), init=period)
        self.offset = Var(shape=(1,), init=offset)
        self.carry = Var(shape=(1,), init=int(carry))
        self.saturations = Var(shape=(1,), init=0)
