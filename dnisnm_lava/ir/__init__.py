"""The graph: immutable populations of neurons, joined by linear projections; its arithmetic, and what
integers in it say.

May import `errors`, `system` and `data`, and needs NumPy alone. Rounding happens in `fixedpoint`, a step of a
neuron in `dynamics`; time is decided in `timing`.
"""

from __future__ import annotations

from dnisnm_lava.ir.activations import Smooth
from dnisnm_lava.ir.curves import Curve
from dnisnm_lava.ir.graphs import AnalogGraph, Graph, SpikingGraph
from dnisnm_lava.ir.images import checked_batches, checked_images, checked_pairs, labelled_batches
from dnisnm_lava.ir.populations import (
    SNM,
    Activation,
    BatchNorm,
    Gate,
    Input,
    MaxPool,
    Population,
    Product,
    ReadOut,
    Rectifier,
    Relay,
    lead,
    sources,
)
from dnisnm_lava.ir.projections import Projection, Resample
from dnisnm_lava.ir.timing import checked_steps
from dnisnm_lava.ir.values import NEURON_CONSTANTS, OF_NEURONS, Shape, frozen, narrowed, stored_once

__all__ = [
    "NEURON_CONSTANTS",
    "OF_NEURONS",
    "SNM",
    "Activation",
    "AnalogGraph",
    "BatchNorm",
    "Curve",
    "Gate",
    "Graph",
    "Input",
    "MaxPool",
    "Population",
    "Product",
    "Projection",
    "ReadOut",
    "Rectifier",
    "Relay",
    "Resample",
    "Shape",
    "Smooth",
    "SpikingGraph",
    "checked_batches",
    "checked_images",
    "checked_pairs",
    "checked_steps",
    "frozen",
    "labelled_batches",
    "lead",
    "narrowed",
    "sources",
    "stored_once",
]
