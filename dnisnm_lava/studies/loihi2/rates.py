"""Rates of a chip: seconds for each thing that a step does, from a file, each with its source."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from dnisnm_lava.errors import BadFile

TERMS = ("neuron_update", "synaptic_operation", "synapse_read", "link_bit", "barrier")
STATUSES = ("published", "scaled", "measured", "unknown")


@dataclass(frozen=True)
class Rate:
    """Seconds for one of what a term counts; None where nothing public states it. status: of STATUSES."""

    value: float | None
    status: str
    source: str


@dataclass(frozen=True)
class Rates:
    """{term: its rate}, and of what chip."""

    name: str
    of: Mapping[str, Rate]

    @property
    def unknown(self) -> tuple[str, ...]:
        return tuple(term for term in TERMS if self.of[term].value is None)


def rates(path: str | Path | None = None) -> Rates:
    """Those of a file like `rates.json` (default: that one). BadFile for what is none."""
    return _understood(_text(path), str(path or "rates.json"))


def _text(path: str | Path | None) -> str:
    if path is None:
        return resources.files("dnisnm_lava.studies.loihi2").joinpath("rates.json").read_text()
    try:
        return Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(f"{path}: cannot be read: {error}; check the path") from None


def _understood(text: str, who: str) -> Rates:
    try:
        found = json.loads(text)
        of = {t: Rate(found[t]["value"], str(found[t]["status"]), str(found[t]["source"])) for t in TERMS}
        name = str(found["name"])
    except (ValueError, KeyError, TypeError) as error:
        raise BadFile(
            f"{who}: no file of rates ({type(error).__name__}: {error}); give a name and, for each of "
            f"{', '.join(TERMS)}, its value in seconds or null, its status and its source, as JSON"
        ) from None
    for term, rate in of.items():
        if rate.status not in STATUSES or (
            rate.status != "unknown" if rate.value is None else _is_no_time(rate.value)
        ):
            raise BadFile(
                f"{who}: {term} is {rate.value} and {rate.status}; give seconds above 0 and below 1 with a "
                f"status of {', '.join(STATUSES)}, or null that is unknown"
            )
    return Rates(name, of)


def _is_no_time(value: Any) -> bool:
    return isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1
