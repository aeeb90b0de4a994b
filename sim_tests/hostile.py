"""Hostile `.net` files, each a function of one seed: structures that HDF5 allows and the format does not, and
bytes that are not HDF5.

A sound file is a tree. Mutations change the tree, then it is written; for a share of the files, or instead,
bytes are changed.
"""

from __future__ import annotations

import random
import struct
from typing import Any

import h5py
import numpy as np
from hostile_seeds import Tree, bytes_of, sound
from hostile_structures import MUTATIONS, NUMBERS


def hostile(seed: int) -> bytes:
    rng = random.Random(seed)
    base, data = rng.choice(sound())
    if rng.random() < 0.55:
        tree = dict(base)
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            rng.choice(MUTATIONS)(tree, rng)
        container = rng.choice(
            ({"libver": "latest"}, {"track_order": True}, {"userblock_size": 512}, *({},) * 17)
        )
        data = (
            bytes_of(lambda file: _put_all(file, tree), container) if container else _edited(data, base, tree)
        )
        if rng.random() < 0.85:
            return data
    return _damaged(bytearray(data), rng)


def _edited(data: bytes, base: Tree, tree: Tree) -> bytes:
    """`data`, whose tree is `base`, with what `tree` has otherwise."""
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_fapl_core(1 << 14, False)
    access.set_libver_bounds(h5py.h5f.LIBVER_EARLIEST, h5py.h5f.LIBVER_LATEST)
    access.set_file_image(data)
    with h5py.File(h5py.h5f.open(b"hostile", h5py.h5f.ACC_RDWR, access)) as file:
        for path in base:
            if tree.get(path) is not base[path]:
                del file[path]
        _put_all(file, {path: value for path, value in tree.items() if base.get(path) is not value})
        file.flush()
        return bytes(file.id.get_file_image())


def _put_all(file: h5py.File, tree: Tree) -> None:
    """Those that look at other parts of the file last."""
    for path in sorted(tree, key=lambda path: callable(tree[path])):
        _put(file, path, tree[path])


def _put(file: h5py.File, path: str, value: Any) -> None:
    """What HDF5 itself refuses, or a path through something that is no group, is left out."""
    try:
        if callable(value):
            _unlink(file, path)
        value(file, path) if callable(value) else file.__setitem__(path, value)
    except (OSError, ValueError, TypeError, RuntimeError, KeyError, OverflowError):
        return


def _unlink(file: h5py.File, path: str) -> None:
    if path in file:
        del file[path]


# ---------------------------------------------------------------- bytes


def _damaged(data: bytearray, rng: random.Random) -> bytes:
    """Up to six changes, most where the bytes are not 0: there are the headers."""
    told = np.flatnonzero(np.frombuffer(data, np.uint8)).tolist()
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        at = min(rng.choice(told), len(data) - 1) if rng.random() < 0.9 else rng.randrange(len(data))
        _damage(data, at, rng, told)
        if not data:
            return b""
    return bytes(data)


def _damage(data: bytearray, at: int, rng: random.Random, told: list[int]) -> None:
    width, word = rng.choice((1, 1, 2, 4, 8)), at & ~7
    kind = rng.choice((0, 0, 1, 1, 2, 2, 3, 3, 3, 4, 4, 5, 6, 6, 6, 7, 8, 9, 10))
    if kind <= 1:
        data[at] = rng.randrange(256)
    elif kind == 2:
        data[at] ^= 1 << rng.randrange(8)
    elif kind == 3:
        data[at : at + width] = struct.pack("<q", rng.choice(NUMBERS))[:width]
    elif kind == 4:  # an address becomes another one
        data[word : word + 8] = data[(other := rng.choice(told) & ~7) : other + 8]
    elif kind == 5:
        data[word : word + 8] = struct.pack("<Q", rng.choice(told) & ~7)
    elif kind == 6:
        value = int.from_bytes(data[at : at + width], "little") + rng.choice((-8, -2, -1, 1, 2, 8))
        data[at : at + width] = (value % (1 << 8 * width)).to_bytes(width, "little")
    elif kind == 7:
        del data[rng.randrange(len(data)) if rng.random() < 0.5 else at :]
    elif kind == 8:
        data[at:at] = bytes(rng.randrange(256) for _ in range(width))
    elif kind == 9:
        del data[at : at + width]
    else:
        end = min(len(data), at + 64)
        start = rng.randrange(len(data))
        data[at:end] = data[start : start + end - at]
