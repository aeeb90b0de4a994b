"""Trained PyTorch ReLU networks as spiking networks with integers, verified on the Lava simulator."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from dnisnm_lava.data.inputs import Device, Images
from dnisnm_lava.errors import BackendFailed, BackendMissing, BadFile, DnisnmError, OutOfRange, UnsupportedModel
from dnisnm_lava.ir import AnalogGraph, SpikingGraph
from dnisnm_lava.stages import calibration
from dnisnm_lava.stages.calibration import Statistics
from dnisnm_lava.stages.conversion import convert
from dnisnm_lava.stages.quantization import Readings, quantize, state_ranges

if TYPE_CHECKING:
    from dnisnm_lava.data.datasets import load as load_data
    from dnisnm_lava.data.models import load_model
    from dnisnm_lava.evaluation.comparison import compare
    from dnisnm_lava.frontend.walk import from_torch, inspect
    from dnisnm_lava.stages.fitting.fit import fit
    from dnisnm_lava.stages.fitting.moments import readings
    from dnisnm_lava.stages.fitting.without_images import calibrate_without_images, fit_without_images, readings_without_images
    from dnisnm_lava.studies.costs.energy import energy
    from dnisnm_lava.studies.explain.explain import explain
    from dnisnm_lava.studies.loihi2.rules import check
    from dnisnm_lava.studies.precision import precision
    from dnisnm_lava.studies.tuning.tune import tune
    from dnisnm_lava.views.page.page import report

__version__ = "0.1.0"
__all__ = [
    "AnalogGraph", "BackendFailed", "BackendMissing", "BadFile", "DnisnmError", "OutOfRange", "Readings", "SpikingGraph",
    "Statistics", "UnsupportedModel", "calibrate", "calibrate_without_images", "check", "compare", "convert", "energy", "explain",
    "fit", "fit_without_images", "from_torch", "inspect", "load_data", "load_model", "precision", "quantize", "readings",
    "readings_without_images", "report", "state_ranges", "tune",
]  # fmt: skip

# Imported when they are first asked for: the core lives without torch. The same names as above.
LATE = {
    "calibrate_without_images": "stages.fitting.without_images:calibrate_without_images",
    "check": "studies.loihi2.rules:check",
    "compare": "evaluation.comparison:compare",
    "energy": "studies.costs.energy:energy",
    "explain": "studies.explain.explain:explain",
    "fit": "stages.fitting.fit:fit",
    "fit_without_images": "stages.fitting.without_images:fit_without_images",
    "from_torch": "frontend.walk:from_torch",
    "inspect": "frontend.walk:inspect",
    "load_data": "data.datasets:load",
    "load_model": "data.models:load_model",
    "precision": "studies.precision:precision",
    "readings": "stages.fitting.moments:readings",
    "readings_without_images": "stages.fitting.without_images:readings_without_images",
    "report": "views.page.page:report",
    "tune": "studies.tuning.tune:tune",
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
