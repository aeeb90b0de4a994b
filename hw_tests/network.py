"""Two layers of SNM between stock Dense layers, in Lava: `python hw_tests/network.py simulator | board
FILE.npy`.

The test runs it in a process of its own, since Lava may hang. The image is constant long before the first
window begins, so that adapters between host and chip may take what steps they need; what comes back is the
second layer's spikes, (2, STEPS_IN_ALL).
"""

from __future__ import annotations

import os
import sys

import numpy as np

STEPS, LEAD, LEVELS, OFFSET, STEPS_IN_ALL = 12, 2, 2, 8, 48
IMAGE = np.array([40, -10, 25])
W1 = np.array([[2, 3, 2], [-2, -2, -3], [3, -2, -3], [2, 4, 3]])
W2 = np.array([[1, -3, 4, -4], [4, 0, -1, -3]])
VTH = (np.array([90, 110, 130, 1500]), np.array([60, 45]))
PAYLOAD = (np.array([7, 9, 5, 31]), np.array([10, 10]))
DOWN = (1.0, 0.3)  # the second layer takes back earlier than the paper's neuron
BIAS = (np.array([-5, 3, 0, 9]), np.array([4, -7]))


def spikes(on_board: bool) -> np.ndarray:
    """Of the second layer, on the simulator, or with Loihi2HwCfg on the board that the environment names."""
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2HwCfg, Loihi2SimCfg
    from lava.proc.dense.process import Dense
    from lava.proc.io.sink import RingBuffer as Sink
    from lava.proc.io.source import RingBuffer as Source

    from dnisnm_lava.procs.snm.process import SNM

    source = Source(data=np.repeat(IMAGE[:, None], STEPS_IN_ALL, axis=1))
    sink = Sink(shape=(2,), buffer=STEPS_IN_ALL)
    windows = {"steps": STEPS, "lead": LEAD, "levels": LEVELS, "period": STEPS_IN_ALL}  # one window
    first, second = (
        SNM(
            shape=VTH[i].shape,
            vth=VTH[i],
            payload=PAYLOAD[i],
            bias=BIAS[i],
            down=DOWN[i],
            offset=OFFSET + i * (LEAD + 1),
            **windows,
        )
        for i in range(2)
    )
    # Dense's fixed-point model drops the lowest bit of a weight, so 2 * w with exponent -1
    into_first, into_second = (Dense(weights=2 * w, weight_exp=-1, num_message_bits=24) for w in (W1, W2))
    image, out = source.s_out, sink.a_in
    if on_board:
        from lava.proc import embedded_io

        onto_chip = embedded_io.spike.PyToNxAdapter(shape=IMAGE.shape, num_message_bits=24)
        off_chip = embedded_io.spike.NxToPyAdapter(shape=(2,), num_message_bits=24)
        image.connect(onto_chip.inp)
        off_chip.out.connect(out)
        image, out = onto_chip.out, off_chip.inp
    image.connect(into_first.s_in)
    into_first.a_out.connect(first.a_in)
    first.s_out.connect(into_second.s_in)
    into_second.a_out.connect(second.a_in)
    second.s_out.connect(out)
    config = Loihi2HwCfg() if on_board else Loihi2SimCfg(select_tag="fixed_pt")
    second.run(condition=RunSteps(num_steps=STEPS_IN_ALL), run_cfg=config)
    sent = sink.data.get().astype(np.int32)
    second.stop()
    return (
        sent << 8
    ) >> 8  # a chip's messages are 24 bits: their sign, as lava.networks.gradedvecnetwork restores it


def main(where: str, path: str) -> None:
    if where == "board":
        from hw_tests import boards

        boards.connect(boards.select(os.environ, boards.probe()))
    np.save(path, spikes(where == "board"))


if __name__ == "__main__":
    main(*sys.argv[1:])
