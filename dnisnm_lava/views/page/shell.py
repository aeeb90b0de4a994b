"""What every page stands on: its templates, and scripts that its policy names."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from importlib import resources as packaged

import jinja2
from markupsafe import Markup

from dnisnm_lava.views.page.glossary import GLOSSARY, anchor
from dnisnm_lava.views.page.pieces import capitalized, count, digits, percent, size

ASSETS = packaged.files("dnisnm_lava.views.page") / "assets"


def environment() -> jinja2.Environment:
    """All texts are escaped, and JSON is the same for the same values."""
    made = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=jinja2.FunctionLoader(asset),
    )
    made.policies["json.dumps_kwargs"] = {
        "allow_nan": False,
        "sort_keys": True,
        "separators": (",", ":"),
    }
    made.filters.update(count=count, percent=percent, digits=digits, size=size, capitalized=capitalized)
    made.filters.update(anchor=anchor, meaning=GLOSSARY.__getitem__)
    return made


def asset(name: str) -> str:
    return (ASSETS / name).read_text()


def script(source: str) -> Markup:
    return Markup(source.replace("</script", r"<\/script"))


def policy(scripts: Iterable[str]) -> str:
    """The scripts that may run, as a content security policy calls them."""
    return " ".join(f"'{_digest(s)}'" for s in scripts)


def _digest(of: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(of.encode()).digest()).decode()
