"""Three layers of SNM behind stock Dense layers, in Lava.

`python -m hw_tests.network simulator | board images | stream FILE.npy`. The first layer is the paper's, the
second has a lower threshold of its own, the third a curve (a leaky rectifier, whose spikes may go below 0).
As a stream, their windows are frames: state goes on, biases act in the first alone, and the second layer has
a dead band and a bound. The test runs it in a process of its own, since Lava may hang. The image is constant
long before the first window begins, so that adapters between host and chip may take what steps they need;
what comes back is the third layer's spikes, (2, steps in all).
"""

from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np

STEPS, LEAD, LEVELS, OFFSET, PERIOD, FRAMES = 12, 2, 2, 8, 16, 2
STEPS_IN_ALL = 56  # of which a stream's last frame takes the first 8 + 3 * 3 + 2 * 16
IMAGE = np.array([40, -10, 25])
W1 = np.array([[2, 3, 2], [-2, -2, -3], [3, -2, -3], [2, 4, 3]])
W2 = np.array([[1, -3, 4, -4], [4, 0, -1, -3]])
W3 = np.array([[6, -9], [-5, 4]])
WEIGHTS = (W1, W2, W3)
VTH = (np.array([90, 110, 130, 1500]), np.array([60, 45]), np.array([256, 128]))
PAYLOAD = (np.array([7, 9, 5, 31]), np.array([10, 10]), np.array([6, 11]))
DOWN = (1.0, 0.3, 1.0)  # the second layer takes back earlier than the paper's neuron
BIAS = (np.array([-5, 3, 0, 9]), np.array([4, -7]), np.array([5, -9]))
BAND, MOST = 0.25, 9  # of the second layer as a stream's
SLOPES = (4, 16)  # of the third layer, below 0 and above


def spikes(on_board: bool, stream: bool) -> np.ndarray:
    """Of the last layer, on the simulator, or with Loihi2HwCfg on the board that the environment names."""
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2HwCfg, Loihi2SimCfg
    from lava.proc.dense.process import Dense
    from lava.proc.io.sink import RingBuffer as Sink
    from lava.proc.io.source import RingBuffer as Source

    from dnisnm_lava.ir import Curve
    from dnisnm_lava.procs.snm.process import SNM

    source = Source(data=np.repeat(IMAGE[:, None], STEPS_IN_ALL, axis=1))
    sink = Sink(shape=(2,), buffer=STEPS_IN_ALL)
    curve = Curve("leaky_relu", np.zeros((1, 1), np.int64), np.array([SLOPES]), np.zeros((1, 2), np.int64))
    more: tuple[dict[str, Any], ...] = ({}, {}, {"curve": curve, "two_sided": True})
    if stream:
        more = (more[0], {"band": BAND, "most": MOST}, more[2])
    layers = [
        SNM(
            shape=VTH[i].shape,
            vth=VTH[i],
            payload=PAYLOAD[i],
            bias=BIAS[i],
            down=DOWN[i],
            offset=OFFSET + i * (LEAD + 1),
            steps=STEPS,
            lead=LEAD,
            levels=LEVELS,
            period=PERIOD if stream else STEPS_IN_ALL,  # frame by frame, or one window
            carry=stream,
            **more[i],
        )
        for i in range(3)
    ]
    # Dense's fixed-point model drops the lowest bit of a weight, so 2 * w with exponent -1
    synapses = [Dense(weights=2 * w, weight_exp=-1, num_message_bits=24) for w in WEIGHTS]
    image, out = source.s_out, sink.a_in
    if on_board:
        from lava.proc import embedded_io

        onto_chip = embedded_io.spike.PyToNxAdapter(shape=IMAGE.shape, num_message_bits=24)
        off_chip = embedded_io.spike.NxToPyAdapter(shape=(2,), num_message_bits=24)
        image.connect(onto_chip.inp)
        off_chip.out.connect(out)
        image, out = onto_chip.out, off_chip.inp
    for dense, snm in zip(synapses, layers, strict=True):
        image.connect(dense.s_in)
        dense.a_out.connect(snm.a_in)
        image = snm.s_out
    image.connect(out)
    config = Loihi2HwCfg() if on_board else Loihi2SimCfg(select_tag="fixed_pt")
    layers[-1].run(condition=RunSteps(num_steps=STEPS_IN_ALL), run_cfg=config)
    sent = sink.data.get().astype(np.int32)
    layers[-1].stop()
    return (
        sent << 8
    ) >> 8  # a chip's messages are 24 bits: their sign, as lava.networks.gradedvecnetwork restores it


def main(where: str, what: str, path: str) -> None:
    if where == "board":
        from hw_tests import boards

        boards.connect(boards.select(os.environ, boards.probe()))
    np.save(path, spikes(where == "board", what == "stream"))


if __name__ == "__main__":
    main(*sys.argv[1:])
