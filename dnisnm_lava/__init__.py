"""Trained PyTorch ReLU networks as spiking networks with integers, verified on the Lava simulator."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from dnisnm_lava import calibration
from dnisnm_lava.calibration import Statistics
from dnisnm_lava.conversion import convert
from dnisnm_lava.errors import BackendFailed, BackendMissing, BadFile, DnisnmError, OutOfRange, UnsupportedModel
from dnisnm_lava.ir import AnalogGraph, SpikingGraph
from dnisnm_lava.quantization import Readings, quantize, state_ranges

if TYPE_CHECKING:
    from dnisnm_lava.bitwidths import Precision
    from dnisnm_lava.checks import Checked
    from dnisnm_lava.comparison import Comparison
    from dnisnm_lava.costs import Costs
    from dnisnm_lava.coverage import Coverage
    from dnisnm_lava.tuning import Tuning

__version__ = "0.1.0"
__all__ = [
    "AnalogGraph", "BackendFailed", "BackendMissing", "BadFile", "DnisnmError", "OutOfRange", "SpikingGraph",
    "Statistics", "UnsupportedModel", "calibrate", "check", "compare", "convert", "energy", "fit", "from_torch", "inspect", "precision",
    "quantize",
    "readings", "state_ranges", "tune",
]  # fmt: skip


def from_torch(model: Any, example_input: Any) -> AnalogGraph:
    """`frontend.from_torch`, imported when called: the core lives without torch."""
    from dnisnm_lava import frontend

    return frontend.from_torch(model, example_input)


def inspect(model: Any, example_input: Any) -> Coverage:
    """`frontend.inspect`, imported when called: what each operation of the model becomes."""
    from dnisnm_lava import frontend

    return frontend.inspect(model, example_input)


def calibrate(analog: AnalogGraph, batches: Iterable[Any], *, device: str = "cpu") -> Statistics:
    """`calibration.calibrate` with torch as the executor."""
    from dnisnm_lava.backends import ann

    return calibration.calibrate(analog, batches, lambda graph, x: ann.preactivations(graph, x, device))


def fit(analog: AnalogGraph, spiking: SpikingGraph, images: Any, **options: Any) -> SpikingGraph:
    """`fitting.walk.fit`, imported when called: thresholds, weights, biases and initial potentials from calibration images."""
    from dnisnm_lava.fitting import walk

    return walk.fit(analog, spiking, images, **options)


def readings(spiking: SpikingGraph, images: Any, **options: Any) -> Readings:
    """`fitting.moments.readings`, imported when called: what weights read, for `quantize` to compensate its rounding."""
    from dnisnm_lava.fitting import moments

    return moments.readings(spiking, images, **options)


def precision(spiking: SpikingGraph, images: Any, labels: Any, **options: Any) -> Precision:
    """`bitwidths.precision`, imported when called: accuracy over bits of weights, payloads and state."""
    from dnisnm_lava import bitwidths

    return bitwidths.precision(spiking, images, labels, **options)


def check(graph: SpikingGraph, *, chips: int = 1, period: int | None = None) -> Checked:
    """`checks.check`, imported when called: which design rules of Loihi 2 and Lava do not hold, and the cores it would take."""
    from dnisnm_lava import checks

    return checks.check(graph, chips=chips, period=period)


def energy(spiking: SpikingGraph, images: Any, **options: Any) -> Costs:
    """`costs.energy`, imported when called: what integers cost, counted, and estimated by cited rules."""
    from dnisnm_lava import costs

    return costs.energy(spiking, images, **options)


def tune(analog: AnalogGraph, images: Any, **options: Any) -> Tuning:
    """`tuning.tune`, imported when called: the recipe that serves a target best, and its networks."""
    from dnisnm_lava import tuning

    return tuning.tune(analog, images, **options)


def compare(*args: Any, **kwargs: Any) -> Comparison:
    """`comparison.compare`, imported when called."""
    from dnisnm_lava import comparison

    return comparison.compare(*args, **kwargs)
