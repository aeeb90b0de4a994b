from __future__ import annotations

from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess, LogConfig
from lava.magma.core.process.variable import Var

from dnisnm_lava.ir import Projection


class Conv(AbstractProcess):
    """A convolutional projection (C, H, W) -> (O, y, x), one step late, exact in integers.

    Replaces lava.proc.conv, whose fixed-point model wraps at 24 bits, returns zeros for 128 or more
    groups, and convolves channel pair by channel pair. projection: weights, stride, padding, dilation,
    groups, sum-pool and exponent. input_shape: of its source.
    """

    def __init__(
        self,
        *,
        projection: Projection,
        input_shape: tuple[int, ...],
        name: str | None = None,
        log_config: LogConfig | None = None,
    ) -> None:
        if not projection.is_conv:
            raise ValueError(
                f"Conv: weight of shape {projection.weight.shape} given; give (O, I / groups, ky, kx), "
                f"or use Dense"
            )
        super().__init__(projection=projection, name=name, log_config=log_config)
        shape = projection.output_shape(input_shape)
        self.s_in = InPort(shape=input_shape)
        self.a_out = OutPort(shape=shape)
        self.current = Var(shape=shape, init=0)
