"""Mutations of a tree {path: array, or a `Put` that knows how to put itself there}: what HDF5 allows and the
format does not."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np

Put = Callable[[h5py.File, str], Any]
Tree = dict[str, Any]
TRAP = "trap"  # a FIFO beside the file: whoever opens it waits for ever
NUMBERS = (
    0,
    1,
    -1,
    2,
    3,
    4,
    7,
    8,
    24,
    25,
    32,
    33,
    127,
    -128,
    255,
    256,
    1 << 15,
    1 << 20,
    (1 << 20) + 1,
    1 << 30,
    (1 << 31) - 1,
    1 << 31,
    -(1 << 31),
    1 << 32,
    1 << 40,
    10**12,
    1 << 53,
    1 << 62,
    (1 << 63) - 1,
    -(1 << 63),
)
FLOATS = (
    0.0,
    -0.0,
    -1.0,
    0.5,
    1.0,
    5e-324,
    1e-310,
    1e300,
    1.7e308,
    float("nan"),
    float("inf"),
    float("-inf"),
)
STRINGS = (
    b"",
    b"\xff\xfe\xfd",
    b"a\0b",
    b"\x1b[31mred",
    b"[/bold]",
    b"[red]x",
    "\u202egnp".encode(),
    "\ud7ff\U0010ffff".encode(),
    b"x" * 5000,
    b"SNM",
    b"input",
    b"conv",
    b"dense",
    b"flatten",
    b"maxpool",
    b"gate",
    b"LIF",
    b"../../x",
    b"%s%n",
    b"a\nb",
    b"<b>&amp;",
)
TYPES = (
    "i1",
    "i2",
    "i4",
    "i8",
    ">i4",
    ">i8",
    "u1",
    "u8",
    "f2",
    "f4",
    "f8",
    ">f8",
    "g",
    "c16",
    "?",
    "S1",
    "S20",
    "V3",
)
KEYS = (
    "weight",
    "bias",
    "inputs",
    "shape",
    "name",
    "type",
    "scale",
    "sum_pool",
    "resample",
    "rows",
    "projection",
    "1",
    "target_shape",
    "targets",
    "target_channels",
    "source_channels",
    "neuron",
    "readout",
    "view",
    "down",
    "pool",
    "padding",
    "exponent",
    "curve",
    "knots",
    "slopes",
    "gate",
    "gain",
    "extra",
)


def _path(tree: Tree, rng: random.Random) -> str:
    return rng.choice(list(tree))


def _group(tree: Tree, rng: random.Random) -> str:
    return _path(tree, rng).rpartition("/")[0]


def number(tree: Tree, rng: random.Random) -> None:
    """One element, or all, another number, of its own type or the next that holds it."""
    path = _path(tree, rng)
    if (
        not isinstance(value := tree[path], np.ndarray | np.generic)
        or value.dtype.kind not in "if"
        or not value.size
    ):
        return
    value = np.array(value)
    new = rng.choice(FLOATS) if value.dtype.kind == "f" else rng.choice(NUMBERS)
    if value.dtype.kind == "i" and not np.iinfo(value.dtype).min <= new <= np.iinfo(value.dtype).max:
        value = value.astype(np.int64)
    value.reshape(-1)[rng.randrange(value.size) if rng.random() < 0.7 else slice(None)] = new
    tree[path] = value


def dtype(tree: Tree, rng: random.Random) -> None:
    path = _path(tree, rng)
    try:
        with np.errstate(all="ignore"):
            tree[path] = np.array(tree[path]).astype(rng.choice(TYPES))
    except (ValueError, TypeError, RuntimeError):
        tree[path] = h5py.Empty("i4")


def odd_type(tree: Tree, rng: random.Random) -> None:
    """Compound, enumeration, array, variable-length, references, null."""

    def reference(file: h5py.File, path: str) -> None:
        file.create_dataset(path, data=np.array([file["format"].ref], object), dtype=h5py.ref_dtype)

    def lengths(file: h5py.File, path: str) -> None:
        file.create_dataset(path, shape=(2,), dtype=h5py.vlen_dtype(np.int32))[0] = [1, 2, 3]

    compound = np.zeros(2, [("a", "i4"), ("b", "f8", (2,))])
    plain = (compound, "variable", np.zeros(2, ("i4", (3,))), h5py.Empty("f8"), ["many", "strings"])
    enumerated = lambda file, path: file.create_dataset(
        path, data=np.ones(2, "i4"), dtype=h5py.enum_dtype({"A": 0, "B": 1}, "i4")
    )
    committed = lambda file, path: file.__setitem__(path, np.dtype("i4"))
    regions = lambda file, path: file.create_dataset(path, shape=(1,), dtype=h5py.regionref_dtype)
    tree[_path(tree, rng)] = rng.choice((reference, lengths, enumerated, committed, regions, *plain))


def shape(tree: Tree, rng: random.Random) -> None:
    path = _path(tree, rng)
    value = np.array(tree[path])
    changes = (
        lambda a: a.T,
        np.ravel,
        lambda a: a[None],
        lambda a: a[..., None],
        lambda a: a[:0],
        lambda a: a[:-1],
        lambda a: a[:, :1],
        lambda a: np.concatenate([a, a]),
        lambda a: a.reshape(-1)[0],
        lambda a: a.reshape((1,) * 20 + a.shape),
    )
    try:
        tree[path] = rng.choice(changes)(value)
    except (IndexError, ValueError):
        del tree[path]


def moon(tree: Tree, rng: random.Random) -> None:
    """A header that claims up to 10^18 elements, and no data."""
    size = rng.choice(
        (
            (10**12,),
            (10**6, 10**6),
            (1 << 31,),
            (10**9, 1, 3, 3),
            (1 << 62,),
            (100_000,),
            (2,) * 32,
            (0, 5),
            (10**4, 10**4),
        )
    )
    kind = rng.choice(("i1", "i4", "i8", "f8", "S20", f"S{1 << 20}"))
    more = rng.choice(
        ({}, {}, {"chunks": True}, {"chunks": True, "compression": "gzip"}, {"maxshape": (None,) * len(size)})
    )
    tree[_path(tree, rng)] = lambda file, path: file.create_dataset(path, shape=size, dtype=kind, **more)


def bomb(tree: Tree, rng: random.Random) -> None:
    """A megabyte of zeros in a kilobyte."""
    tree[_path(tree, rng)] = lambda file, path: file.create_dataset(
        path, data=np.zeros(1 << 20, np.int8), compression=9, chunks=(1 << 20,)
    )


def filtered(tree: Tree, rng: random.Random) -> None:
    """Chunks and filters, shipped and not; what cannot be written is written unfiltered."""

    def unknown(file: h5py.File, path: str) -> None:
        made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        made.set_obj_track_times(False)
        made.set_chunk((1,) * max(1, value.ndim))
        made.set_filter(rng.choice((32001, 32015, 4, 6, 300, 65535)), h5py.h5z.FLAG_OPTIONAL, (1, 2, 3))
        space = h5py.h5s.create_simple(value.shape or (1,))
        group = file.require_group(path.rpartition("/")[0])
        h5py.h5d.create(
            group.id,
            path.rpartition("/")[2].encode(),
            h5py.h5t.py_create(value.dtype, logical=True),
            space,
            made,
        )

    path = _path(tree, rng)
    value = np.array(tree[path])
    options = rng.choice(
        (
            {"compression": "gzip"},
            {"compression": "lzf"},
            {"shuffle": True, "compression": "gzip"},
            {"fletcher32": True},
            {"scaleoffset": 0},
            {"maxshape": (None,) * max(1, value.ndim)},
            {"chunks": True},
        )
    )
    flat = value.reshape(value.shape or (1,))
    tree[path] = rng.choice((unknown, lambda file, where: file.create_dataset(where, data=flat, **options)))


def elsewhere(tree: Tree, rng: random.Random) -> None:
    """External storage, a virtual dataset, an external link; all lead to a trap."""

    def virtual(file: h5py.File, path: str) -> None:
        layout = h5py.VirtualLayout(shape=(4, 2, 3, 3), dtype="i1")
        layout[:] = h5py.VirtualSource(TRAP, "layer/1/weight", shape=(4, 2, 3, 3))
        file.create_virtual_dataset(path, layout, fillvalue=1)

    external = lambda file, path: file.create_dataset(
        path, shape=(2,), dtype="i4", external=[(TRAP, 0, h5py.h5f.UNLIMITED)]
    )
    link = h5py.ExternalLink(TRAP, rng.choice(("layer/1", "format", "/")))
    where = _path(tree, rng) if rng.random() < 0.6 else _group(tree, rng)
    _cut(tree, where)
    tree[where or "format"] = rng.choice((virtual, external, lambda file, path: file.__setitem__(path, link)))


def soft(tree: Tree, rng: random.Random) -> None:
    """Soft links: to itself, up, to another, to nothing."""
    where = _path(tree, rng) if rng.random() < 0.6 else _group(tree, rng)
    target = rng.choice(
        (f"/{where}", "/", "/layer", "/nothing", "/format/name", f"/{_path(tree, rng)}", ".", "//")
    )
    _cut(tree, where)
    tree[where or "layer"] = lambda file, path: file.__setitem__(path, h5py.SoftLink(target))


def hard(tree: Tree, rng: random.Random) -> None:
    """Hard links: a second name of a dataset, a group that holds its parent."""
    target = rng.choice((_path(tree, rng), _group(tree, rng), "layer", "/"))
    where = rng.choice(
        (_path(tree, rng), f"{_group(tree, rng)}/{rng.choice(KEYS)}", f"layer/{rng.randrange(5)}")
    )
    if not where.startswith(target) or rng.random() < 0.5:
        tree[where] = lambda file, path: file.__setitem__(path, file[target])


def _cut(tree: Tree, where: str) -> None:
    for path in [p for p in tree if p == where or p.startswith(f"{where}/")]:
        if len(tree) > 1:
            del tree[path]


def missing(tree: Tree, rng: random.Random) -> None:
    _cut(tree, _path(tree, rng) if rng.random() < 0.8 else _group(tree, rng))


def renamed(tree: Tree, rng: random.Random) -> None:
    path = _path(tree, rng)
    value = tree.pop(path) if len(tree) > 1 and rng.random() < 0.5 else tree[path]
    tree[
        f"{path.rpartition('/')[0] if rng.random() < 0.7 else _group(tree, rng)}/{rng.choice(KEYS)}".lstrip(
            "/"
        )
    ] = value


def swapped(tree: Tree, rng: random.Random) -> None:
    a, b = _path(tree, rng), _path(tree, rng)
    if rng.random() < 0.5:
        b = rng.choice([p for p in tree if p.rpartition("/")[2] == a.rpartition("/")[2]])
    tree[a], tree[b] = tree[b], tree[a]


def regrouped(tree: Tree, rng: random.Random) -> None:
    """A group where a dataset belongs, or a dataset where a group does."""
    path = _path(tree, rng)
    if rng.random() < 0.5:
        tree[path] = lambda file, where: file.require_group(where)
    else:
        group = path.rpartition("/")[0]
        _cut(tree, group)
        tree[group or "format"] = np.int32(1)


def layers(tree: Tree, rng: random.Random) -> None:
    """Layers in another order, one of them gone or there twice, one that reads itself, what follows it, or
    nothing."""
    known = sorted({p.split("/")[1] for p in tree if p.startswith("layer/") and p.count("/") > 1})
    if not known:
        return
    a, b = rng.choice(known), rng.choice((*known, str(len(known)), "7", "-1", "x", "01"))
    inside = {p: tree[p] for p in tree if p.startswith(f"layer/{a}/")}
    choice = rng.randrange(4)
    if choice == 0:
        tree[f"layer/{a}/inputs"] = np.array(
            [rng.choice((0, 1, 2, 3, -1, 99, 1 << 40)) for _ in range(rng.randrange(4))], np.int64
        )
        return
    other = {p: tree[p] for p in tree if p.startswith(f"layer/{b}/")}
    if choice > 1:
        _cut(tree, f"layer/{a}")
    _cut(tree, f"layer/{b}")
    tree.update({f"layer/{b}/" + p.split("/", 2)[2]: value for p, value in inside.items()})
    if choice == 3:
        tree.update({f"layer/{a}/" + p.split("/", 2)[2]: value for p, value in other.items()})


def text(tree: Tree, rng: random.Random) -> None:
    path = rng.choice([p for p in tree if p.endswith(("name", "type"))] or list(tree))
    raw = rng.choice(STRINGS)
    tree[path] = np.array([raw], f"S{rng.choice((max(1, len(raw)), 20, 20, 1))}")


def attributes(tree: Tree, rng: random.Random) -> None:
    """Many, large, of odd types; they mean nothing, and the file stays what it was."""
    where = rng.choice((_path(tree, rng), _group(tree, rng), "/"))
    kind = rng.randrange(4)

    def put(file: h5py.File, path: str) -> None:
        attrs = file[where].attrs
        if kind == 0:
            attrs["large"] = np.zeros(8000)
        elif kind == 1:
            attrs.update({f"a{i}": i for i in range(40)})
        elif kind == 2:
            attrs.create("text", "variable \u2022")
        else:
            attrs["reference"] = file["format"].ref if "format" in file else 0

    tree[f"attributes {where}"] = put


def repeated(tree: Tree, rng: random.Random) -> None:
    """Five layers more that are one and the same."""
    for i in range(4, 9):
        tree[f"layer/{i}"] = lambda file, path: file.__setitem__(
            path, file["layer/2" if "layer/2" in file else "layer/1"]
        )


MUTATIONS = (
    number,
    number,
    number,
    number,
    number,
    dtype,
    odd_type,
    shape,
    shape,
    moon,
    bomb,
    filtered,
    elsewhere,
    soft,
    hard,
    missing,
    renamed,
    swapped,
    regrouped,
    layers,
    layers,
    text,
    attributes,
    repeated,
)
