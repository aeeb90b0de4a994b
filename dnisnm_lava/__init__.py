"""Trained PyTorch ReLU networks as spiking networks with integers, verified on the Lava simulator."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from dnisnm_lava import calibration
from dnisnm_lava.calibration import Statistics
from dnisnm_lava.conversion import convert
from dnisnm_lava.errors import BackendFailed, BackendMissing, BadFile, DnisnmError, OutOfRange, UnsupportedModel
from dnisnm_lava.inputs import Device, Images
from dnisnm_lava.ir import AnalogGraph, SpikingGraph
from dnisnm_lava.quantization import Readings, quantize, state_ranges

if TYPE_CHECKING:
    from dnisnm_lava.attribution import explain
    from dnisnm_lava.bitwidths import precision
    from dnisnm_lava.checks import check
    from dnisnm_lava.comparison import compare
    from dnisnm_lava.costs import energy
    from dnisnm_lava.datasets import load as load_data
    from dnisnm_lava.fitting.moments import readings
    from dnisnm_lava.fitting.walk import fit
    from dnisnm_lava.fitting.without_images import calibrate_without_images, fit_without_images, readings_without_images
    from dnisnm_lava.frontend.walk import from_torch, inspect
    from dnisnm_lava.loading import load_model
    from dnisnm_lava.reporting.page import report
    from dnisnm_lava.tuning import tune

__version__ = "0.1.0"
__all__ = [
    "AnalogGraph", "BackendFailed", "BackendMissing", "BadFile", "DnisnmError", "OutOfRange", "Readings", "SpikingGraph",
    "Statistics", "UnsupportedModel", "calibrate", "calibrate_without_images", "check", "compare", "convert", "energy", "explain",
    "fit", "fit_without_images", "from_torch", "inspect", "load_data", "load_model", "precision", "quantize", "readings",
    "readings_without_images", "report", "state_ranges", "tune",
]  # fmt: skip

# Imported when they are first asked for: the core lives without torch. The same names as above.
LATE = {
    "calibrate_without_images": "fitting.without_images:calibrate_without_images",
    "check": "checks:check",
    "compare": "comparison:compare",
    "energy": "costs:energy",
    "explain": "attribution:explain",
    "fit": "fitting.walk:fit",
    "fit_without_images": "fitting.without_images:fit_without_images",
    "from_torch": "frontend.walk:from_torch",
    "inspect": "frontend.walk:inspect",
    "load_data": "datasets:load",
    "load_model": "loading:load_model",
    "precision": "bitwidths:precision",
    "readings": "fitting.moments:readings",
    "readings_without_images": "fitting.without_images:readings_without_images",
    "report": "reporting.page:report",
    "tune": "tuning:tune",
}


def calibrate(analog: AnalogGraph, batches: Images, *, device: Device = "cpu") -> Statistics:
    """`calibration.calibrate` with torch as the executor, on `device`."""
    from dnisnm_lava.backends import ann

    return calibration.calibrate(analog, batches, lambda graph, x: ann.preactivations(graph, x, device))


if not TYPE_CHECKING:  # else every name would be one

    def __getattr__(name: str) -> Any:
        if name not in LATE:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module, _, function = LATE[name].partition(":")
        return getattr(importlib.import_module(f"{__name__}.{module}"), function)


def __dir__() -> list[str]:
    return sorted({*globals(), *LATE})
