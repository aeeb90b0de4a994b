"""What Conv and Dense share: one projection, one step late."""

from __future__ import annotations

from typing import Any

import numpy as np
from lava.magma.core.model.py.model import PyLoihiProcessModel

from dnisnm_lava.ir import Projection
from dnisnm_lava.procs.im2col import BufferedConv2d


class AbstractPyProjection(PyLoihiProcessModel):
    """Sends the current of the step before, then computes this step's; nothing for silence, and nothing
    new for the same spikes as before (a constant image)."""

    s_in: Any
    a_out: Any
    current: np.ndarray

    def __init__(self, proc_params: dict[str, Any]) -> None:
        super().__init__(proc_params)
        self.before: np.ndarray | None = None
        self.conv: BufferedConv2d | None = None

    def run_spk(self) -> None:
        self.a_out.send(self.current)
        spikes = self.s_in.recv()
        if self.before is not None and np.array_equal(spikes, self.before):
            return
        self.before = spikes
        if not spikes.any():
            self.current = np.zeros_like(self.current)
            return
        projection = self.proc_params["projection"]
        if is_buffered(projection) and self.current.dtype.kind == "i":
            self._convolve(projection, spikes)
        else:
            self.current = projection(spikes[None])[0].astype(self.current.dtype)

    def _convolve(self, projection: Projection, spikes: np.ndarray) -> None:
        """projection(spikes) into `current`, by a product that reuses its buffers."""
        if self.conv is None:
            self.conv = buffered(projection, spikes.shape)
        read, written = projection.source_channels, projection.target_channels
        z = self.conv(spikes if read is None else spikes[read])
        z = (
            z if z.dtype == np.float32 else z.astype(np.int64)
        )  # beyond int32, as the projection: modulo 2**32
        if projection.target_order is not None:
            self.current.fill(0)
            self.current.reshape(-1)[projection.target_order] = z.reshape(-1)
        elif written is None:
            np.copyto(self.current, z, casting="unsafe")
        else:
            self.current.fill(0)
            self.current[written] = z
        if projection.exponent:
            np.left_shift(self.current, projection.exponent, out=self.current)


def is_buffered(projection: Projection) -> bool:
    """Does `buffered` hold for it? A convolution of integers, with no sum-pool or resampling in front."""
    return projection.is_conv and projection.weight.dtype.kind in "iu" and projection.spatial is None


def buffered(projection: Projection, source_shape: tuple[int, ...]) -> BufferedConv2d:
    """The convolution of the weights alone: of the channels that are read, before the exponent."""
    _, height, width = projection.read_shape(source_shape)
    p = projection
    return BufferedConv2d(p.weight, (height, width), p.stride, p.padding, p.dilation, p.groups)
