"""SANA-FE's Loihi preset as it is installed, with as many tiles and input units as a network needs. For the
child alone.

No constant of the preset is written here: it is read from the installed package, and of its text the numbers
of tiles and of units alone are changed. What one core has, and what an operation costs, stay.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

from dnisnm_lava.errors import BackendFailed

NUMBERS = {  # what is changed, and how the preset writes it
    "width": r"^ +width: (\d+)$",
    "height": r"^ +height: (\d+)$",
    "tile": r"- name: loihi_tile\[0\.\.(\d+)\]$",
    "core": r"- name: loihi_core\[0\.\.(\d+)\]$",
    "input": r"- name: loihi_inputs\[0\.\.(\d+)\]$",
    "neurons": r"^ +max_neurons_supported: (\d+)$",
}


@dataclass(frozen=True)
class Preset:
    """The preset's text, and its numbers: tiles and cores in all, tiles of a column, neurons of a core."""

    text: str
    tiles: int
    cores_of_tile: int
    height: int
    neurons_of_core: int

    @property
    def cores(self) -> int:
        return self.tiles * self.cores_of_tile


def installed() -> Preset:
    """What is installed; BackendFailed where it is written otherwise than 2.2's."""
    text = (files("sanafe.examples") / "loihi.yaml").read_text()
    last = {what: int(_found(what, text)[1]) for what in NUMBERS}
    return Preset(text, last["tile"] + 1, last["core"] + 1, last["height"], last["neurons"])


def _found(what: str, text: str) -> re.Match[str]:
    found = list(re.finditer(NUMBERS[what], text, re.MULTILINE))
    if len(found) != 1:
        raise BackendFailed(
            f"SANA-FE: its Loihi preset names {what} {len(found)} times where 2.2 has it once; install "
            f"sanafe 2.2"
        )
    return found[0]


def chip_of(preset: Preset, cores: int, inputs: int, folder: Path) -> tuple[Any, Any]:
    """(architecture, chip) with room for `cores` cores, of which each has `inputs` units that send an image:
    whole columns of tiles, at least one. folder: where the text lies while it is read."""
    sanafe = import_module("sanafe")
    columns = -(-max(cores, 1) // (preset.cores_of_tile * preset.height))
    wanted = {"width": columns, "tile": columns * preset.height - 1, "input": max(inputs, 1) - 1}
    text = preset.text
    for what, number in wanted.items():
        start, end = _found(what, text).span(1)
        text = f"{text[:start]}{number}{text[end:]}"
    place = folder / "chip.yaml"
    place.write_text(text)
    architecture = sanafe.load_arch(str(place))
    return architecture, sanafe.SpikingChip(architecture)


def prices(architecture: Any) -> dict[str, float]:
    """{unit.attribute: J or s} of what a core and a tile hop cost, as the installed preset has them."""
    core = architecture.tiles[0].cores[0]
    found = {}
    for unit in core.pipeline_hw:
        if not unit.name.startswith("loihi_inputs"):
            for key, value in unit.model_info.model_attributes.items():
                if key.startswith(("energy_", "latency_")):
                    found[f"{unit.name}.{key}"] = float(value)
    for axon in (*core.axon_in, *core.axon_out):
        for key in dir(axon.metrics):
            if key.startswith(("energy_", "latency_")):
                found[f"{axon.name}.{key}"] = float(getattr(axon.metrics, key))
    return found
