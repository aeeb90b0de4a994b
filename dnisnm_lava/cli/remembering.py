"""What a file remembers of the command that made it, and what verbs on a file take from there.

A file may be a stranger's. So no code runs because a file names it, but that of a file below this folder that
is, byte for byte, what was run when the network was made.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dnisnm_lava.cli.names import DEMO, PREPARED_BY
from dnisnm_lava.cli.options import DataOptions, ModelOptions, OfModel
from dnisnm_lava.cli.verb import V, Verb, add_options
from dnisnm_lava.errors import BadFile
from dnisnm_lava.stages.recipes import Recipe, parsed

if TYPE_CHECKING:
    from rich.console import RenderableType

    from dnisnm_lava.data.datasets import Data

SOURCES = ("model", "weights", "data")


@cache
def _options() -> dict[str, argparse.Action]:
    """Those of a model, of data and of their preparation; the recipe tells its own."""
    verb = argparse.ArgumentParser(add_help=False)
    add_options(verb, OfModel)
    own = {*ModelOptions.__annotations__, *DataOptions.__annotations__, "seed"} - {"device"}
    return {a.dest: a for a in verb._actions if a.dest in own}


# ---------------------------------------------------------------- into the file


def record(args: Verb, recipe: Recipe, data: Data | None) -> dict[str, Any]:
    """What made a network, for its file: options as they were given, but of a path outside this folder the
    last part alone; the recipe; the names of the classes; SHA-256 of the code that was run."""
    from dnisnm_lava.data import datasets

    given = {name: getattr(args, name, None) for name in _options()}
    if data is not None and data.transforms:
        given["transforms"] = data.transforms
    found: dict[str, Any] = {name: _told(value) for name, value in given.items() if value or name == "seed"}
    found["recipe"] = asdict(recipe)
    code = {
        name: digest for name in SOURCES if given[name] and (digest := _digest(*_place(str(given[name]))))
    }
    classes = () if data is None else datasets.class_names(data.train)
    return {**found, **({"code": code} if code else {}), **({"classes": list(classes)} if classes else {})}


def _told(value: Any) -> Any:
    """For JSON, without the folders above this one."""
    if not isinstance(value, str | Path):
        return list(value) if isinstance(value, tuple) else value
    prefix, colon, path = str(value).rpartition("mnist:")
    if not Path(path).is_absolute():
        return str(value)
    below = Path(path).is_relative_to(Path.cwd()) and Path(path) != Path.cwd()
    return prefix + colon + (str(Path(path).relative_to(Path.cwd())) if below else Path(path).name)


def _place(spec: str) -> tuple[Path | None, bool]:
    """(the file or folder of a model, of weights or of data, if there is one; is it code?)"""
    if spec.startswith("torchvision:"):
        return None, False
    if spec.startswith("mnist:"):
        return Path(spec.removeprefix("mnist:")), False
    place, colon, _ = spec.rpartition(":")
    if not colon or Path(spec).exists():
        return Path(spec), False
    return (Path(place) if place.endswith(".py") else None), True


def _digest(path: Path | None, is_code: bool) -> str:
    """SHA-256 of code, hex; nothing where there is none."""
    return (
        hashlib.sha256(path.read_bytes()).hexdigest()
        if is_code and path is not None and path.is_file()
        else ""
    )


# ---------------------------------------------------------------- out of the file


def recall(args: V, *needed: str, spelled: Mapping[str, str] | None = None) -> V:
    """The same, with what the file `args.net` remembers where an option is not given, and with its record; of
    SOURCES, those that are `needed`. spelled: what an option is called here, where it has another name.

    BadFile where something needed is neither given nor remembered, or where what is remembered is not here
    any more.
    """
    from exporters import netx

    assert args.net is not None
    args = replace(args, made_of=netx.provenance(args.net))
    wanted = {name for name in _options() if hasattr(args, name) and (name not in SOURCES or name in needed)}
    remembered = {name: _understood(args, name) for name in wanted & set(args.made_of) - args.given}
    args = replace(args, **{**remembered, **_other_preparation(args)})
    for name in needed:
        option = (spelled or {}).get(name, name)
        if name in args.given or (name == "weights" and _has_own_weights(args)):
            continue
        if not getattr(args, name):
            raise BadFile(f"{args.net}: {_not_remembered(args, name)}; give --{option}")
        _check_here(args, name, getattr(args, name), option)
    return args


def _not_remembered(args: Verb, name: str) -> str:
    if args.made_of.get("made_by") == DEMO:
        return (
            f"was made by dnisnm demo, which trains its network on scikit-learn's digits in memory: "
            f"there is no --{name} to remember"
        )
    return f"does not remember its --{name}"


def words(args: Verb) -> list[str]:
    """The options of model, data and preparation that the command line gave, to be given again."""
    found: list[str] = []
    for name, action in _options().items():
        if name in args.given:
            value = getattr(args, name)
            found += [action.option_strings[-1], *([] if isinstance(value, bool) else [_written(value)])]
    return found


def recipe_of(args: Verb) -> Recipe:
    """The recipe that the file remembers."""
    try:
        return parsed(args.made_of["recipe"])
    except (TypeError, AttributeError, ValueError) as error:
        raise BadFile(
            f"{args.net}: remembers no recipe that is understood ({error}); give --model and --recipe instead"
        ) from error


def _has_own_weights(args: Verb) -> bool:
    return args.weights is None or args.model.startswith("torchvision:")


def _understood(args: Verb, name: str) -> Any:
    """The value of an option, as if it were written on the command line."""
    value, action = args.made_of[name], _options()[name]
    text = _written(value)
    try:
        if isinstance(action.default, bool):
            return bool(value)
        return action.type(text) if callable(action.type) else text
    except (ValueError, TypeError):
        raise BadFile(
            f"{args.net}: remembers --{name.replace('_', '-')} {text[:80]}, which is not understood; give it"
        ) from None


def _other_preparation(args: Verb) -> dict[str, Any]:
    """What takes the place of a remembered preparation, where one of the other kind is given."""
    if "transforms" in args.given:
        return {name: _options()[name].default for name in set(PREPARED_BY) - args.given}
    return {"transforms": None} if args.given & set(PREPARED_BY) else {}


def _check_here(args: Verb, name: str, spec: str, option: str) -> None:
    who = f"{args.net}: made with --{name} {spec}"
    path, is_code = _place(spec)
    if path is not None and not path.exists():
        raise BadFile(
            f"{who}, and {path} is not here (of a path outside the folder of its command, a file remembers "
            f"the last part alone); give --{option} PATH, where that lies now"
        )
    if not is_code:
        return
    if path is None or path.is_absolute() or ".." in path.parts:
        raise BadFile(
            f"{who}, which is code from elsewhere, and a file alone runs none; give --{option} {spec} to "
            f"run it"
        )
    if _digest(path, is_code) != args.made_of.get("code", {}).get(name):
        raise BadFile(
            f"{who}, and {path} is not what it was then; give --{option} {spec} to run it as it is now"
        )


def beside(table: RenderableType, made_of: Mapping[str, Any]) -> RenderableType:
    """A table of a file, and below it what the network was made of."""
    from rich.console import Group
    from rich.text import Text

    told = " ".join(
        f"--{name} {_written(made_of[name])}"
        for name in (*SOURCES, *PREPARED_BY, "layout", "transforms", "seed")
        if made_of.get(name)
    )
    return Group(table, Text(f"made with {told}")) if told else table


def _written(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
