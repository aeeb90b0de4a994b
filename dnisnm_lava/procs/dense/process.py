from __future__ import annotations

from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess, LogConfig
from lava.magma.core.process.variable import Var

from dnisnm_lava.ir import Projection


class Dense(AbstractProcess):
    """A dense projection of a flattened source (C, H, W order) -> (O,), one step late, exact in integers.

    Replaces lava.proc.dense, whose fixed-point model drops the lowest bit of odd weights. projection:
    weights (O, I), sum-pool and exponent. input_shape: of its source.
    """

    def __init__(
        self,
        *,
        projection: Projection,
        input_shape: tuple[int, ...],
        name: str | None = None,
        log_config: LogConfig | None = None,
    ) -> None:
        if projection.is_conv:
            raise ValueError(
                f"Dense: weight of shape {projection.weight.shape} given; give (O, I), or use Conv"
            )
        super().__init__(projection=projection, name=name, log_config=log_config)
        shape = projection.output_shape(input_shape)
        self.s_in = InPort(shape=input_shape)
        self.a_out = OutPort(shape=shape)
        self.current = Var(shape=shape, init=0)
