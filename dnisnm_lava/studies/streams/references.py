"""What else could be said of a frame: by its integers alone, without a past, and by the ANN."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from dnisnm_lava.backends import ann, batched
from dnisnm_lava.ir import SNM, AnalogGraph, Gate, Population, SpikingGraph
from dnisnm_lava.ir.integers import encode_images
from dnisnm_lava.measures import Measure
from dnisnm_lava.stages.networks import Networks
from dnisnm_lava.studies.streams.bills import Bill, Energy
from dnisnm_lava.studies.streams.work import Counter, Work


@dataclass(frozen=True)
class Alone:
    """What the frame-wise integers say of a frame. said: answers of the measure, (*spots). skipping, skipped:
    the work and the energy of the quantized ANN that skips the zeros of these very activations."""

    said: np.ndarray
    work: Work
    energy: Energy
    skipping: Work
    skipped: Energy


class FrameWise:
    """The integers of images on each frame alone. graph: theirs; steps: of each frame."""

    def __init__(self, graph: SpikingGraph, steps: int, measure: Measure) -> None:
        self.graph, self.steps, self._measure = graph, steps, measure
        self.bill, self._counter = Bill(graph, steps), Counter(graph)

    def __call__(self, image: np.ndarray) -> Alone:
        """What the integers say of a frame, (*image shape)."""
        run = batched.run(self.graph, image[None], steps=self.steps, record=True)
        said = self._measure.said(run.rates(run.steps, self._measure.output))[0]
        codes = encode_images(self.graph, image[None])[0][0]
        work, skipping = self._counter.work(codes, run), self._counter.skipping(codes, run)
        return Alone(said, work, self.bill.of(work), skipping, self.bill.skipping(skipping))


class Analog:
    """The ANN on each frame, in float32."""

    def __init__(self, graph: AnalogGraph, measure: Measure, device: str) -> None:
        self.graph, self._measure, self._device = graph, measure, device

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Answers (*spots) of a frame, (*image shape)."""
        values = ann.ann(self.graph, image[None], readout=self._measure.output, device=self._device)
        return self._measure.said(values)[0]


def frame_wise(networks: Networks | SpikingGraph) -> SpikingGraph:
    """The network of images that a stream is set against: its integers, or, of a graph that is a stream's
    already, those that it would send for a frame alone with h = 0 and all levels at once (design 1.8)."""
    graph = networks.integer if isinstance(networks, Networks) else networks
    if not graph.carry:
        return graph
    done = tuple(_whole(p) for p in graph)
    return replace(graph, populations=done, carry=False)


def _whole(p: Population) -> Population:
    if not isinstance(p, SNM | Gate):
        return p
    levels = 2 * p.most if p.two_sided else p.most
    whole = replace(p, levels=levels, band=0.0)
    return whole if isinstance(whole, Gate) else replace(whole, down=0.0)
