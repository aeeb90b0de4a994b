"""A whole network in a Lava network of one's own: a stock source in front of it, stock processes behind it.

    python examples/network_in_lava.py network.net

`Network` is one process with an in-port and an out-port, whatever the file holds: shortcuts, pools, gates.
Here a stock RingBuffer sends three images, one after the other; the read-out goes through a stock Dense into
a stock LIF, which could drive something, and into a sink. What Lava sends is compared with the specification
in NumPy.
Needs lava-nc, NumPy and h5py: the Python of `dnisnm lava-env` has them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.dense.process import Dense
from lava.proc.io.sink import RingBuffer as Sink
from lava.proc.io.source import RingBuffer as Source
from lava.proc.lif.process import LIF

from dnisnm_lava.backends import reference
from dnisnm_lava.ir import SpikingGraph
from dnisnm_lava.ir.integers import encode_images
from dnisnm_lava.procs.network.process import Network
from exporters import netx

IMAGES, PAUSE = 3, 2  # PAUSE: steps of silence behind each image


def some_images(graph: SpikingGraph) -> np.ndarray:
    """As large as calibration's were: a scale is what one of 127 steps is worth."""
    assert graph.input.scale is not None
    shape = (IMAGES, *graph.input.image_shape)
    return np.random.default_rng(0).normal(size=shape) * 40 * float(graph.input.scale.mean())


def in_lava(graph: SpikingGraph, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, classes): what the read-out has summed of each image; and what the LIFs sent in all steps."""
    codes, _ = encode_images(graph, images)  # integers, as the network's image is
    lead = max(getattr(p, "lead", 0) for p in graph)
    period = graph.steps + lead + PAUSE
    sent = np.zeros((len(codes) * period, *codes.shape[1:]), np.int32)
    for n, image in enumerate(codes):
        sent[n * period : n * period + graph.steps] = image

    network = Network(graph=graph, period=period)
    last = network.answer(len(codes) - 1)
    source = Source(
        data=np.moveaxis(np.concatenate([sent, np.zeros((last, *codes.shape[1:]), np.int32)]), 0, -1)
    )
    classes = graph.readout.shape[0]
    sink, drive = Sink(shape=graph.readout.shape, buffer=last + 2), Sink(shape=(classes,), buffer=last + 2)
    synapses, motors = Dense(weights=np.eye(classes) * 2, num_message_bits=24), LIF(shape=(classes,), vth=100)
    source.s_out.connect(network.a_in)
    network.s_out.connect(sink.a_in)
    network.s_out.flatten().connect(synapses.s_in)
    synapses.a_out.connect(motors.a_in)
    motors.s_out.connect(drive.a_in)
    network.run(condition=RunSteps(num_steps=last + 2), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
    heard, spikes = sink.data.get().astype(np.int64), drive.data.get()
    network.stop()
    return np.stack(
        [heard[..., network.answer(n) - 1] for n in range(len(codes))]
    ), spikes  # steps begin at 1


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("net", type=Path, help="a netx file")
    graph = netx.read(parser.parse_args().net)
    images = some_images(graph)
    by_lava, spikes = in_lava(graph, images)
    by_numpy = reference.run(graph, images).logits[:, -1]
    print("classes", by_lava.reshape(len(images), -1).argmax(axis=1).tolist())
    print("spikes of the LIFs", int(spikes.sum()))
    print("equal" if np.array_equal(by_lava, by_numpy) else "NOT EQUAL")


if __name__ == "__main__":
    main()
