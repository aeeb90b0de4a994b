"""MkDocs hook: on the page of Python, what `import dnisnm_lava as dn` has is headed as it is written, `dn.name`."""

from __future__ import annotations

import re
from typing import Any

import dnisnm_lava

HEADING = r'(<h[2-6] id="{path}".*?<span class="doc doc-object-name[^"]*">)[^<]*(</span>)'


def on_page_content(html: str, page: Any, **_: Any) -> str:
    if page.file.src_uri != "api.md":
        return html
    for name, (module, own) in dnisnm_lava._PUBLIC.items():
        path = re.escape(f"{module}.{own}")
        html = re.sub(HEADING.format(path=path), rf"\g<1>dn.{name}\g<2>", html, count=1, flags=re.DOTALL)
    return html
