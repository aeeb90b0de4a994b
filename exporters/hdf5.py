"""Plain arrays out of an HDF5 file that nobody vouches for.

The HDF5 library crashes and hangs on damaged files (docs/testing.md, Fuzzing), and it follows what they say:
into other files, plugins, cycles and any amount of memory. So our files use its first encoding alone, which
`h5py` writes by default, and this reads it: superblock 0, groups as symbol tables, object headers 1,
contiguous or compact arrays without filters. Numbers of sections are those of the HDF5 File Format
Specification 3.0. Nothing is read twice, so time and memory are bounded by the size of the file.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from dnisnm_lava.errors import BadFile

SIGNATURE = b"\x89HDF\r\n\x1a\n"
DATASPACE, DATATYPE, EXTERNAL, LAYOUT, FILTERS, CONTINUATION, SYMBOL_TABLE = (
    0x1,
    0x3,
    0x7,
    0x8,
    0xB,
    0x10,
    0x11,
)  # IV.A.2
SHARED = 2  # flag of a message that lies elsewhere
FIXED, FLOAT, STRING = 0, 1, 3  # classes of types
COMPACT, CONTIGUOUS = 0, 1  # classes of layouts
HARD_LINK = (0, 1)  # cache types of a symbol: nothing, a group; 2 is a soft link
IEEE = {
    4: (0, 32, 23, 8, 0, 23, 127),
    8: (0, 64, 52, 11, 0, 52, 1023),
}  # offset, precision, exponent at and of, mantissa at and of, bias
KINDS = {"i": "signed integers", "f": "floats of 32 or 64 bits", "S": "a fixed-length string"}
AXES = 32  # that NumPy knows
NAME_BYTES = 1 << 16  # of a link, a string
STORE_PLAINLY = "store it as h5py does by default, without chunks, filters and links"


@dataclass
class Image:
    """The bytes of a file; left: how many may still be read, seen: objects and nodes that were."""

    data: bytes
    left: int = field(init=False)
    seen: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.left = 2 * len(self.data)  # names of a heap lie among its free space

    def take(self, at: int, size: int) -> bytes:
        self.left -= size
        if at + size > len(self.data) or self.left < 0:
            raise BadFile(
                f"not an HDF5 file, or truncated (at byte {at} of {len(self.data)}); write it again with "
                f"netx.write"
            )
        return self.data[at : at + size]

    def numbers(self, at: int, layout: str) -> tuple[Any, ...]:
        """Little-endian, by `struct`'s letters."""
        return struct.unpack("<" + layout, self.take(at, struct.calcsize("<" + layout)))

    def once(self, at: int, who: str) -> int:
        if at in self.seen:
            raise BadFile(f"{who} is linked more than once, or leads back to itself")
        self.seen.add(at)
        return at


def root(data: bytes) -> Group:
    """The root group of the file that `data` are the bytes of."""
    image = Image(data)
    if image.take(0, 8) != SIGNATURE:
        raise BadFile("not an HDF5 file, or truncated (no HDF5 signature); write it again with netx.write")
    version, *_, offsets, lengths, _, _, _, _, base, _, end, _, _, header = image.numbers(
        8, "BBBBBBBBHHIQQQQQQ"
    )  # II.A
    if (version, offsets, lengths, base) != (0, 8, 8, 0):
        raise BadFile(
            f"not an HDF5 file, or truncated (superblock {version}; only 0 is read); {STORE_PLAINLY}"
        )
    if end > len(data):
        raise BadFile(
            f"not an HDF5 file, or truncated ({len(data)} bytes of {end}); write it again with netx.write"
        )
    return Group(image, "", header)


@dataclass(frozen=True)
class Group:
    """A group. Every method raises BadFile where its name is not what is asked for."""

    image: Image
    name: str
    header: int

    def __len__(self) -> int:
        return len(self._links)

    def __contains__(self, key: str) -> bool:
        """Is there a link of this name, whatever it leads to?"""
        return key.encode() in self._links

    def group(self, key: str) -> Group:
        return Group(self.image, f"{self.name}/{key}", self._address(key))

    def array(self, key: str, kind: str) -> np.ndarray:
        """The whole array, native byte order, of `kind` i, f or S; floats are finite."""
        path = f"{self.name}/{key}"
        messages = _messages(self.image, self._address(key), path)
        if EXTERNAL in messages or FILTERS in messages or not {DATASPACE, DATATYPE, LAYOUT} <= set(messages):
            raise BadFile(f"{path} is not an array, or filtered, or in another file; {STORE_PLAINLY}")
        try:
            dtype, shape = _dtype(messages[DATATYPE], path), _sizes(messages[DATASPACE], path)
            if dtype.kind != kind:
                raise BadFile(f"{path} has dtype {dtype}, {KINDS[kind]} needed")
            raw = _stored(self.image, messages[LAYOUT], math.prod(shape) * dtype.itemsize, path)
        except struct.error as error:
            raise BadFile(f"{path} is damaged: its header is cut short") from error
        value = np.frombuffer(raw, dtype).reshape(shape).astype(dtype.newbyteorder("="))
        if kind == "f" and not np.isfinite(value).all():
            raise BadFile(f"{path} holds NaN or infinity")
        return value

    def integer(self, key: str, least: int, most: int) -> int:
        (number, *more) = self.integers(key, 1)
        if more or not least <= number <= most:
            raise BadFile(f"{self.name}/{key} is {number}; it must be {least} to {most}")
        return number

    def number(self, key: str, least: float, most: float) -> float:
        value = self.array(key, "f")
        if value.size != 1 or not least <= value.reshape(-1)[0] <= most:
            raise BadFile(f"{self.name}/{key} is not one number from {least} to {most}")
        return float(value.reshape(-1)[0])

    def integers(self, key: str, limit: int) -> tuple[int, ...]:
        """At most `limit` of them, row by row."""
        value = self.array(key, "i")
        if value.size > limit:
            raise BadFile(f"{self.name}/{key} holds {value.size} integers; {limit} at most are needed")
        return tuple(int(v) for v in value.reshape(-1))

    def string(self, key: str) -> str:
        value = self.array(key, "S")
        if value.size != 1:
            raise BadFile(f"{self.name}/{key} is not one string")
        try:
            return bytes(value.reshape(-1)[0]).decode()
        except UnicodeDecodeError as error:
            raise BadFile(f"{self.name}/{key} is not UTF-8 ({error.reason})") from error

    def _address(self, key: str) -> int:
        link = self._links.get(key.encode())
        if link is None:
            raise BadFile(f"{self.name}/{key} is missing, or a soft or external link")
        return self.image.once(link, f"{self.name}/{key}")

    @cached_property
    def _links(self) -> dict[bytes, int | None]:
        """Name -> object header; None of a soft link."""
        table = _messages(self.image, self.header, self.name or "/").get(SYMBOL_TABLE)
        if table is None or len(table) < 16:
            raise BadFile(
                f"{self.name or '/'} is not a group, or one of a newer encoding or with external links; "
                f"{STORE_PLAINLY}"
            )
        tree, heap = struct.unpack_from("<QQ", table)
        signature, _, size, _, names = self.image.numbers(heap, "4sIQQQ")  # III.D
        if signature != b"HEAP":
            raise BadFile(f"{self.name or '/'} is damaged: its names are no local heap")
        segment = self.image.take(names, size)
        links: dict[bytes, int | None] = {}
        for at, link in _symbols(self.image, tree, None, self.name or "/"):
            name = segment[at : segment.find(b"\0", at, at + NAME_BYTES)]
            self.image.left -= len(name)
            links[name] = link
        return links


def _symbols(image: Image, node: int, level: int | None, path: str) -> Iterator[tuple[int, int | None]]:
    """(where its name is in the heap, object header or None) of each link below a node of a group's B-tree.
    III.A.1, III.C"""
    signature, kind, depth, count = image.numbers(image.once(node, path), "4sBBH")
    if signature != b"TREE" or kind != 0 or level not in (None, depth):
        raise BadFile(f"{path} is damaged: its links are no B-tree")
    below = image.numbers(node + 24, "QQ" * count)[1::2]  # behind the siblings: name, child, name, child ...
    for child in below:
        if depth:
            yield from _symbols(image, child, depth - 1, path)
            continue
        signature, _, entries = image.numbers(image.once(child, path), "4sHH")
        if signature != b"SNOD":
            raise BadFile(f"{path} is damaged: its links are no symbol table")
        for i in range(entries):
            name, header, cache = image.numbers(child + 8 + 40 * i, "QQI20x")
            yield name, header if cache in HARD_LINK else None


def _messages(image: Image, header: int, path: str) -> dict[int, bytes]:
    """The last message of each type of an object header; BadFile for one that we read and that lies
    elsewhere. IV.A.1.a"""
    version, count, _, size = image.numbers(header, "BxHII4x")
    if version != 1:
        raise BadFile(f"{path} is damaged, or of a newer encoding; {STORE_PLAINLY}")
    found: dict[int, bytes] = {}
    blocks = [(header + 16, size)]
    for at, length in blocks:
        end = at + length
        while at + 8 <= end and count > 0:
            kind, size, flags = image.numbers(at, "HHB3x")
            body, at, count = image.take(at + 8, size), at + 8 + size, count - 1
            if kind == CONTINUATION and size >= 16:
                blocks.append(struct.unpack_from("<QQ", body))
            elif kind in (DATASPACE, DATATYPE, LAYOUT, SYMBOL_TABLE) and (flags & SHARED or kind in found):
                raise BadFile(f"{path} shares its type with others, or has two; {STORE_PLAINLY}")
            found[kind] = body
    return found


def _dtype(message: bytes, path: str) -> np.dtype:
    """IV.A.2.d: integers of 1, 2, 4 or 8 whole bytes, IEEE floats of 4 or 8, fixed-length strings."""
    kind, bits, sign, size = *struct.unpack_from("<BBB", message), *struct.unpack_from("<I", message, 4)
    order, rest = "<>"[bits & 1], message[8:]
    if kind & 15 == FIXED and size in (1, 2, 4, 8) and rest[:4] == struct.pack("<HH", 0, 8 * size):
        return np.dtype(f"{order}{'i' if bits & 8 else 'u'}{size}")
    if (
        kind & 15 == FLOAT
        and size in IEEE
        and rest[:12] == struct.pack("<HHBBBBI", *IEEE[size])
        and (bits & ~1, sign) == (32, 8 * size - 1)
    ):
        return np.dtype(f"{order}f{size}")
    if kind & 15 == STRING and 0 < size <= NAME_BYTES:
        return np.dtype(f"S{size}")
    raise BadFile(
        f"{path} has another type than signed integers, floats of 32 or 64 bits and fixed-length strings"
    )


def _sizes(message: bytes, path: str) -> tuple[int, ...]:
    """IV.A.2.b: () of a scalar; at least one element."""
    version, axes, _, kind = struct.unpack_from("<BBBB", message)
    start = {1: 8, 2: 4}.get(version)
    if start is None or axes > AXES or (version == 2 and kind > 1):
        raise BadFile(f"{path} is empty, damaged, or has more than {AXES} axes")
    sizes: tuple[int, ...] = struct.unpack_from(f"<{axes}Q", message, start)
    if 0 in sizes:
        raise BadFile(f"{path} is empty: its shape is {sizes}")
    return sizes


def _stored(image: Image, message: bytes, size: int, path: str) -> bytes:
    """The `size` bytes of an array. IV.A.2.i"""
    version, kind = struct.unpack_from("<BB", message)
    if version != 3 or kind not in (COMPACT, CONTIGUOUS):
        raise BadFile(f"{path} is chunked, compressed or virtual; {STORE_PLAINLY}")
    at, held = (
        (4, *struct.unpack_from("<H", message, 2))
        if kind == COMPACT
        else struct.unpack_from("<QQ", message, 2)
    )
    within = message if kind == COMPACT else image.data
    if size > held or at + size > len(within):
        raise BadFile(f"{path} claims {size} bytes, more than the file holds")
    return message[at : at + size] if kind == COMPACT else image.take(at, size)
