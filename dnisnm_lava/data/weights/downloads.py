"""Weights that torchvision downloaded earlier and kept: still those that it published?

torch looks at their hash when it downloads them, and not again; and it unpickles them with all that a pickle
may do.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch.hub import HASH_REGEX

from dnisnm_lava.errors import BadFile


def check_kept(url: str) -> None:
    """BadFile where the file of `url` is kept here, and is another than its name says."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]  # type: ignore[no-untyped-call]
    promised = HASH_REGEX.search(path.name)
    if promised is None or not path.is_file():
        return
    with path.open("rb") as file:
        state = hashlib.sha256()
        while part := file.read(1 << 20):
            state.update(part)
    if not state.hexdigest().startswith(promised[1]):
        raise BadFile(
            f"{path}: not what torchvision published: its SHA-256 begins with "
            f"{state.hexdigest()[: len(promised[1])]}, not {promised[1]}; "
            "remove it, and it is downloaded anew"
        )
