"""A verb's options as fields of a frozen value: what the parser takes and what mypy sees is written once.

A group of options is a class, and a verb's class inherits its groups. A field's annotation tells how its text
is read, unless `type` does.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from dnisnm_lava.measures import Ask

READERS = {"int": int, "float": float, "Path": Path}


def option(*names: str, default: Any = None, **how: Any) -> Any:
    """A field that the command line fills, by `--its-name` or other `names`. how: as in `add_argument`."""
    return field(default=default, metadata={"names": names, "how": how})


def flag(*names: str, **how: Any) -> Any:
    """False, and True where it is given."""
    return option(*names, default=False, action="store_true", **how)


def argument(**how: Any) -> Any:
    """A field that a word without an option fills."""
    return field(default=None, metadata={"names": None, "how": how})


@dataclass(frozen=True, kw_only=True)
class Verb:
    """What every verb is asked. verb: its name. given: fields that the command line itself fills. net: the
    netx file that it is about, if it is; made_of: what that remembers. What a verb has no option for stays as
    it is here; a group that has one stands first among its groups, as dataclasses let the first win."""

    heading: ClassVar[str | None] = None  # of a group; "" for options that only stand in front
    about: ClassVar[str | None] = None
    exclusive: ClassVar[bool] = False  # is one of them wanted, and no more?
    optional: ClassVar[bool] = False  # of an exclusive group: may all be missing?

    verb: str = ""
    given: frozenset[str] = frozenset()
    command_line: str = ""
    net: Path | None = None
    made_of: Mapping[str, Any] = field(default_factory=dict)
    model: str = ""
    weights: str | None = None
    json: bool = flag(help="print the result alone, as JSON")
    quiet: bool = flag(help="no progress; notices and errors are still told")

    @property
    def ask(self) -> Ask:
        """What is to be measured."""
        return Ask()


V = TypeVar("V", bound=Verb)


def filled(kind: type[V], namespace: argparse.Namespace, **more: Any) -> V:
    """The verb's value, from what the parser found."""
    found = {f.name: getattr(namespace, f.name) for f in fields(kind) if hasattr(namespace, f.name)}
    return kind(**found, **more)


def add_options(parser: argparse.ArgumentParser, kind: type[Verb]) -> None:
    """Those of a verb or a group, under their headings."""
    places: dict[object, Any] = {"": parser}
    for group, f in _options(kind):
        heading = vars(group).get("heading") or ""
        if heading not in places:
            places[heading] = parser.add_argument_group(heading, group.about)
        exclusive = vars(group).get("exclusive", False)
        if exclusive and group not in places:
            places[group] = places[heading].add_mutually_exclusive_group(required=not group.optional)
        names, how = f.metadata["names"], {"default": f.default, **f.metadata["how"]}
        reader = READERS.get(str(f.type).removesuffix(" | None"))
        if reader is not None:
            how.setdefault("type", reader)
        if names is not None:
            how["dest"] = f.name
        named = (f.name,) if names is None else names or (f"--{f.name.replace('_', '-')}",)
        places[group if exclusive else heading].add_argument(*named, **how)


def _options(kind: type[Verb]) -> Iterator[tuple[type[Verb], Field[Any]]]:
    """As --help has them: groups with a heading, the verb's own, how it runs. Each stands where it is named
    first, as the verb says it."""
    parts = [part for part in kind.__mro__[1:] if issubclass(part, Verb)]
    ahead = [part for part in parts if vars(part).get("heading") is not None]
    own = {f.name: f for f in fields(kind) if f.metadata}
    for part in (*ahead, kind, *(part for part in parts if part not in ahead)):
        for name in vars(part).get("__annotations__", {}):
            if name in own:
                yield part, own.pop(name)
