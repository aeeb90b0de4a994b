"""MkDocs hook: ```math blocks, which GitHub shows too, as MathML, which every browser shows without a script;
wide ones scroll."""

from __future__ import annotations

import re
from typing import Any

from latex2mathml.converter import convert

BLOCK = re.compile(r"^```math\n(.*?)\n```$", re.DOTALL | re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    return BLOCK.sub(
        lambda found: (
            f'<div style="overflow-x: auto; padding: .5em 0" tabindex="0">{convert(found[1], display="block")}</div>'
        ),
        markdown,
    )
