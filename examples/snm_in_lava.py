"""SNM in a Lava network of one's own: two stock Dense layers, wired by hand.

    python examples/snm_in_lava.py

An input of three values drives two layers of SNM neurons. Each Dense adds one step, so the second layer's
window begins one step after the first's; `offset` says so. What Lava sends is printed beside the same
arithmetic in plain Python.
"""

from __future__ import annotations

import numpy as np
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.dense.process import Dense
from lava.proc.io.sink import RingBuffer as Sink
from lava.proc.io.source import RingBuffer as Source

from dnisnm_lava.procs.snm.process import SNM

STEPS = 8
IMAGE = np.array([40, -10, 25])
W1 = np.array([[3, 1, -2], [-1, 2, 4], [2, 2, 2], [1, -3, 1]])
W2 = np.array([[2, -1, 1, 0], [-1, 1, 0, 3]])
VTH1, VTH2 = np.array([90, 110, 130, 60]), np.array([140, 120])  # one threshold a neuron
PAYLOAD1, PAYLOAD2 = np.array([27, 31, 19, 12]), np.array([10, 10])  # what a spike is worth to its readers


def dense(weights: np.ndarray) -> Dense:
    """Stock Dense, exact: its fixed-point model drops the lowest bit of a weight, so 2 * w with exponent -1;
    24 message bits, as spikes carry payloads."""
    return Dense(weights=2 * weights, weight_exp=-1, num_message_bits=24)


def in_lava() -> np.ndarray:
    """(2, STEPS): what the second layer sends."""
    source = Source(data=np.repeat(IMAGE[:, None], STEPS + 2, axis=1))
    first = SNM(shape=(4,), vth=VTH1, payload=PAYLOAD1, steps=STEPS, offset=1)
    second = SNM(shape=(2,), vth=VTH2, payload=PAYLOAD2, steps=STEPS, offset=2)
    sink = Sink(shape=(2,), buffer=STEPS + 2)
    synapses1, synapses2 = dense(W1), dense(W2)
    source.s_out.connect(synapses1.s_in)
    synapses1.a_out.connect(first.a_in)
    first.s_out.connect(synapses2.s_in)
    synapses2.a_out.connect(second.a_in)
    second.s_out.connect(sink.a_in)
    second.run(condition=RunSteps(num_steps=STEPS + 2), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
    spikes: np.ndarray = sink.data.get().astype(int)
    second.stop()
    return spikes[:, 2:]


def layer(
    weights: np.ndarray, vth: np.ndarray, payload: np.ndarray, arriving: list[list[int]]
) -> list[list[int]]:
    """The same neurons, one integer at a time (paper, Eq. 19 to 23)."""
    v, m = [int(t) >> 1 for t in vth], [0] * len(vth)
    sent = []
    for spikes in arriving:
        row = []
        for i in range(len(vth)):
            v[i] += sum(int(w) * s for w, s in zip(weights[i], spikes, strict=True))
            k = 1 if v[i] >= vth[i] else -1 if v[i] <= -vth[i] and m[i] > 0 else 0
            v[i] -= k * int(vth[i])
            m[i] += k
            row.append(k * int(payload[i]))
        sent.append(row)
    return sent


def main() -> None:
    by_lava = in_lava()
    hidden = layer(W1, VTH1, PAYLOAD1, [IMAGE.tolist()] * STEPS)
    by_hand = np.array(layer(W2, VTH2, PAYLOAD2, hidden)).T
    print("Lava   ", by_lava.tolist())
    print("by hand", by_hand.tolist())
    print("equal" if np.array_equal(by_lava, by_hand) else "NOT EQUAL")


if __name__ == "__main__":
    main()
