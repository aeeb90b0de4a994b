"""A faster process model for Lava's own Conv: the same integers, by im2col and one matrix product.

    from lava.magma.core.run_configs import Loihi2SimCfg
    from lava.proc.conv.process import Conv
    config = Loihi2SimCfg(select_tag="fixed_pt", exception_proc_model_map={Conv: PyConvModelFast})

Set OPENBLAS_NUM_THREADS=1 before NumPy is imported: Lava runs one OS process per Lava process. (This file
stands in no folder of a Process, where Lava would execute it.)
"""

from __future__ import annotations

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from lava.proc.conv import utils
from lava.proc.conv.models import PyConvModelFixed
from lava.proc.conv.process import Conv

from dnisnm_lava.procs.im2col import BufferedConv2d

WRAP_BITS = 24


@implements(proc=Conv, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyConvModelFast(PyConvModelFixed):
    """lava/proc/conv/models.py, PyConvModelFixed, and what it computes (utils.py, conv_scipy, signed_clamp).

    s_in: (W, H, C), read as bool where num_message_bits is 0; weight: (O, kW, kH, C / groups), a true
    convolution; a_out: (W', H', O), the sums of the step before, wrapped into 24 signed bits; weight_exp
    and num_weight_bits are ignored, as there. Nothing is computed for an input of zeros. A weight that is
    set from outside holds from the next step on.

    Two accidents of Lava's model are not imitated. It keeps groups, kernel, stride, padding and dilation in
    8 bits (so that it answers 128 or more groups with zeros), and it turns a sum beyond 32 bits into an
    undefined integer before the wrap: here both are computed right, modulo 2**24. ValueError where the
    weights read fewer channels than a group has.
    """

    kernel_size: np.ndarray = LavaPyType(np.ndarray, np.int32)
    stride: np.ndarray = LavaPyType(np.ndarray, np.int32)
    padding: np.ndarray = LavaPyType(np.ndarray, np.int32)
    dilation: np.ndarray = LavaPyType(np.ndarray, np.int32)
    groups: np.ndarray = LavaPyType(np.ndarray, np.int32)

    conv: BufferedConv2d | None = None
    built_of: np.ndarray | None = None

    def run_spk(self) -> None:
        self.a_out.send(self.a_buf)
        spikes = self.s_in.recv()
        if not spikes.any():
            self.a_buf.fill(0)
            return
        if self.num_message_bits.item() <= 0:
            spikes = spikes.astype(bool)
        if self.conv is None or self.built_of is None or not np.array_equal(self.weight, self.built_of):
            self.built_of = self.weight.copy()
            self.conv = self._build(self.built_of, spikes.shape)
        sums = self.conv(spikes.transpose(2, 0, 1)).transpose(1, 2, 0)
        if self.conv.bound(spikes) < 1 << (WRAP_BITS - 1):
            np.copyto(self.a_buf, sums, casting="unsafe")
        else:
            np.copyto(self.a_buf, utils.signed_clamp(sums.astype(np.int64), WRAP_BITS), casting="unsafe")

    def _build(self, weight: np.ndarray, shape: tuple[int, ...]) -> BufferedConv2d:
        """The correlation (C, W, H) -> (O, W', H') that Lava's convolution is."""
        width, height, channels = shape
        groups = int(self.groups[0])
        read = channels // groups  # the stock model ignores weights of further channels
        if weight.shape[3] < read:
            raise ValueError(
                f"Conv: weight of shape {weight.shape} given; {read} channels a group needed, in its "
                f"last dimension"
            )
        weight = weight[:, ::-1, ::-1, :read].transpose(0, 3, 1, 2)
        stride, (left, top), dilation = (
            (int(pair[0]), int(pair[1])) for pair in (self.stride, self.padding, self.dilation)
        )
        return BufferedConv2d(weight, (width, height), stride, ((left, left), (top, top)), dilation, groups)
