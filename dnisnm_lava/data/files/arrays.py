"""Images and labels in an `.npz` or `.npy`, by the names that people give them; no pickle in it is read."""

from __future__ import annotations

import contextlib
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dnisnm_lava.errors import BadFile

PARTS = {
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
    "tr": "train",
    "te": "test",
    "dev": "val",
    "val": "val",
    "valid": "val",
    "validation": "val",
}
KINDS = {
    **dict.fromkeys(
        ("x", "image", "images", "img", "imgs", "data", "input", "inputs", "features", "samples"), "images"
    ),
    **dict.fromkeys(
        ("y", "label", "labels", "lbl", "lbls", "target", "targets", "class", "classes", "mask", "masks"),
        "labels",
    ),
}
TOGETHER = re.compile("([xy])(train|test|val)|(train|test|val)([xy])")
STANDARD = {"x_train", "y_train", "x_test", "y_test"}
ADVICE = "save both, and with classes y_train and y_test, with numpy.savez"


class Arrays:
    """(image, label) pairs, as they lie in x (N, ...) and y (N, ...); of no y, the label is None."""

    def __init__(self, x: np.ndarray, y: np.ndarray | None, who: str) -> None:
        if y is not None and len(x) != len(y):
            raise BadFile(
                f"{who}: x of shape {x.shape} with y of shape {y.shape}; give one label for each image"
            )
        if x.dtype.kind not in "fu" or (x.dtype.kind == "u" and x.dtype != np.uint8) or not 2 <= x.ndim <= 4:
            layouts = "(N, H, W, C), (N, C, H, W), (N, H, W), (N, C, L) or (N, features)"
            raise BadFile(f"{who}: x of shape {x.shape} and dtype {x.dtype}; give uint8 or floats, {layouts}")
        if not x.size:
            raise BadFile(f"{who}: x of shape {x.shape} holds no images; give some")
        x = x.astype(x.dtype.newbyteorder("="), copy=False)  # torch takes this machine's order of bytes alone
        self.x, self.y = x, y[:, 0] if y is not None and y.shape[1:] == (1,) else y

    @property
    def are_bytes(self) -> bool:
        return bool(self.x.dtype == np.uint8)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[np.ndarray, Any]:
        return self.x[index], None if self.y is None else self.y[index]


def read(path: Path) -> tuple[Arrays, Arrays]:
    """Arrays to calibrate on and to test with. BadFile for a file that is none, or whose names are not
    understood."""
    if not path.is_file():
        raise BadFile(f"{path}: no such file; check the path of the data")
    with _plain(path):
        if path.suffix == ".npy":
            alone = Arrays(np.load(path, allow_pickle=False), None, str(path))
            return alone, alone
        with np.load(path, allow_pickle=False) as file:
            train, test = _chosen(path, file.files)
            (x, y), (x_test, y_test) = [(file[x], file[y] if y else None) for x, y in (train, test)]
    return Arrays(x, y, str(path)), Arrays(x_test, y_test, str(path))


def labels(path: Path) -> np.ndarray:
    """Labels or targets (N, ...) alone: an .npy, or y_test of an .npz, or its only array. BadFile for a file
    that is none, or holds no numbers."""
    if not path.is_file():
        raise BadFile(f"{path}: no such file; check the path of the targets")
    with _plain(path):
        found = np.load(path, allow_pickle=False)
        if not isinstance(found, np.ndarray):
            with found as file:
                names = [name for name in ("y_test", *file.files) if name in file.files]
                if names and names[0] != "y_test" and len(names) > 1:
                    raise BadFile(f"{path}: holds {', '.join(names)}; name the targets y_test")
                if not names:
                    raise BadFile(f"{path}: holds no array; write the targets with numpy.save")
                found = file[names[0]]
    if found.dtype.kind not in "fiub" or found.ndim < 1:
        raise BadFile(
            f"{path}: holds {found.dtype} of shape {found.shape}; give numbers, some for each image"
        )
    return found


@contextlib.contextmanager
def _plain(path: Path) -> Iterator[None]:
    """Whatever goes wrong with a file of arrays, as a BadFile."""
    try:
        yield
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        OSError,
        ValueError,
        LookupError,
        RuntimeError,
        MemoryError,
        TypeError,
    ) as error:
        if isinstance(error, BadFile):
            raise
        reason = (
            "it holds pickled objects, which can run code: refused"
            if "allow_pickle" in str(error)
            else type(error).__name__
        )
        raise BadFile(
            f"{path}: not an {path.suffix} of plain arrays, or truncated ({reason}); write it again with "
            f"numpy.savez"
        ) from error


def _chosen(path: Path, names: Iterable[str]) -> tuple[tuple[str, str], tuple[str, str]]:
    """(images, labels) to calibrate on, and to test with, by name; labels may be ''. Told, where the names
    are others than ours."""
    names = list(names)
    found = _understood(path, names)
    test = next((part for part in ("test", "val", "") if (part, "images") in found), "test")
    train = next((part for part in ("train", "", "test", "val") if (part, "images") in found), "train")
    missing = [f"x_{part}" for part in (train, test) if (part, "images") not in found]
    if missing:
        raise BadFile(
            f"{path}: lacks {', '.join(dict.fromkeys(missing))}; {ADVICE}; its keys are "
            f"{', '.join(names) or 'none'}"
        )
    chosen = [(found[part, "images"], found.get((part, "labels"), "")) for part in (train, test)]
    read = [name for pair in chosen for name in pair if name]
    if not set(read) <= STANDARD or train != "train":
        left = [name for name in names if name not in read]
        told = (
            f"{' with '.join(filter(None, chosen[0]))} to calibrate on, "
            f"{' with '.join(filter(None, chosen[1]))} to test with"
        )
        warnings.warn(f"{path}: {told}" + (f"; not read: {', '.join(left)}" if left else ""), stacklevel=5)
    return chosen[0], chosen[1]


def _words(name: str) -> list[str]:
    """The words of a name such as X_train, trainImages or xtrain."""
    words = [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+|\d+", name)]
    matches = ((word, TOGETHER.fullmatch(word)) for word in words)
    return [part for word, both in matches for part in (filter(None, both.groups()) if both else (word,))]


def _understood(path: Path, names: Iterable[str]) -> Mapping[tuple[str, str], str]:
    """{(train, test, val or '', images or labels): name}, of the names that say so."""
    found: dict[tuple[str, str], str] = {}
    for name in names:
        words = _words(name)
        kinds, parts = {KINDS[w] for w in words if w in KINDS}, {PARTS[w] for w in words if w in PARTS}
        if len(kinds) != 1 or len(parts) > 1 or any(w not in KINDS and w not in PARTS for w in words):
            continue
        key = next(iter(parts), ""), next(iter(kinds))
        if key in found:
            what = " ".join(filter(None, key))
            raise BadFile(
                f"{path}: both {found[key]} and {name} may be the {what}; keep one, under x_train, "
                f"y_train, x_test, y_test"
            )
        found[key] = name
    return found
