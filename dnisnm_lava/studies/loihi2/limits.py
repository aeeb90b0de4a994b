"""What a chip can hold, from a TOML file: widths, time, shapes, a core, a chip. `loihi2.toml` is the
packaged one; each of its numbers stands beside its public source."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from importlib import resources
from pathlib import Path
from typing import Any

from dnisnm_lava.errors import BadFile
from dnisnm_lava.ir.fixedpoint import FixedPointFormat

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LARGEST = 1 << 40  # of a number in such a file


def _of(table: str, least: int = 1, most: int = LARGEST, **default: Any) -> Any:
    """A number of that table of the file, between `least` and `most`; one with a default may be left out."""
    return field(metadata={"table": table, "least": least, "most": most}, **default)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of a chip: one field for each key of `loihi2.toml`, which tells what it means, by the same
    name. None: there is no such limit."""

    name: str
    weight_bits: int = _of("widths", 2, 32)
    state_bits: int = _of("widths", 2, 32)
    message_bits: int = _of("widths", 2, 32)
    delay_steps: int | None = _of("time", 0, default=None)
    reset_is_power_of_two: bool = _of("time")
    conv_groups: int | None = _of("shapes", default=None)
    conv_columns: int | None = _of("shapes", default=None)
    input_axons: int | None = _of("core", default=None)
    neurons: int | None = _of("core", default=None)
    fan_in: int | None = _of("core", default=None)
    word_bits: int = _of("core")
    state_words: int = _of("core")
    synapse_words: int = _of("core")
    synapse_words_cut: int = _of("core")
    kernel_header_bits: int = _of("lists", 0)
    list_header_bits: int = _of("lists", 0)
    index_bits: int = _of("lists", 0)
    list_synapses: int = _of("lists")
    conv_axons: int = _of("lists", 0)
    cores: int = _of("chip")

    @property
    def largest_weight(self) -> int:
        return FixedPointFormat(self.weight_bits).limit

    @property
    def largest_state(self) -> int:
        return FixedPointFormat(self.state_bits).limit

    @property
    def largest_message(self) -> int:
        return FixedPointFormat(self.message_bits).limit


KEYS = {f.name: f for f in fields(Limits) if f.metadata}
TABLES = tuple(dict.fromkeys(f.metadata["table"] for f in KEYS.values()))
NAMED = ("loihi2",)  # of files in this folder
PAGE = "docs/resources.md has the whole of loihi2.toml, to copy"


def limits(target: str | Path = "loihi2") -> Limits:
    """Those of a chip: `loihi2`, or a TOML file of the same keys. BadFile for what is none."""
    return _understood(_read(target), str(target))


def _read(target: str | Path) -> dict[str, Any]:
    try:
        text = (
            resources.files("dnisnm_lava.studies.loihi2").joinpath(f"{target}.toml").read_text("utf-8")
            if target in NAMED
            else Path(target).read_text("utf-8")
        )
        return tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(
            f"{target}: no target, and cannot be read ({error}); give {', '.join(NAMED)}, or a TOML file of "
            f"limits"
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise BadFile(f"{target}: is not TOML ({error}); {PAGE}") from None


def _understood(found: Mapping[str, Any], who: str) -> Limits:
    name = found.get("name")
    if not isinstance(name, str) or not name.strip():
        raise BadFile(f'{who}: the chip has no name; begin the file with name = "..."')
    values: dict[str, Any] = {}
    for table, content in found.items():
        if table == "name":
            continue
        if table not in TABLES or not isinstance(content, dict):
            raise BadFile(f"{who}: unknown table {table}{_meant(table, TABLES)}; give {', '.join(TABLES)}")
        own = [key for key, f in KEYS.items() if f.metadata["table"] == table]
        for key, value in content.items():
            if key not in own:
                raise BadFile(f"{who}: unknown key {table}.{key}{_meant(key, own)}; give {', '.join(own)}")
            values[key] = _checked(key, value, who)
    missing = [
        f"{f.metadata['table']}.{key}" for key, f in KEYS.items() if _is_needed(f) and key not in values
    ]
    if missing:
        raise BadFile(f"{who}: {', '.join(missing)} not given; {PAGE}")
    if values["synapse_words_cut"] > values["synapse_words"]:
        raise BadFile(
            f"{who}: core.synapse_words_cut is {values['synapse_words_cut']:,}, and a core has "
            f"{values['synapse_words']:,} words; give as many, or fewer"
        )
    return Limits(name=name, **values)


def _is_needed(f: Any) -> bool:
    return f.default is not None


def _checked(key: str, value: Any, who: str) -> int | bool:
    f = KEYS[key]
    path, least, most = (f"{f.metadata['table']}.{key}", f.metadata["least"], f.metadata["most"])
    if f.type == "bool":
        if not isinstance(value, bool):
            raise BadFile(f"{who}: {path} is {_shown(value)}; give true or false")
        return value
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise BadFile(f"{who}: {path} is {_shown(value)}; give a whole number from {least} to {most}")
    return value


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:40] + " ..."


def _meant(word: str, known: Any) -> str:
    close = difflib.get_close_matches(word, list(known), 1, 0.6)
    return f" (did you mean {close[0]}?)" if close else ""


LOIHI2 = limits()
