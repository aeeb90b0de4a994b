"""Arrays in files, row by row: an .npy mapped into memory, a member of an .npz as it is unpacked."""

from __future__ import annotations

import contextlib
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from dnisnm_lava.data.streams.stream import Frames
from dnisnm_lava.errors import BadFile

FAULTS = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, LookupError, RuntimeError, TypeError)
ADVICE = "write it again with numpy.save or numpy.savez"


@dataclass(frozen=True)
class Rows:
    """An array of a file: its name there ("" in an .npy), shape (N, ...) and type, and its rows in order."""

    path: Path
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    by_columns: bool = False

    def chunks(self, count: int) -> Iterator[np.ndarray]:
        """At most `count` rows (count, ...) at a time. BadFile where the file ends or is damaged."""
        with _faults(self.path):
            if not self.name or self.by_columns:
                whole = _loaded(self.path, self.name)
                yield from (whole[start : start + count] for start in range(0, len(whole), count))
                return
            with zipfile.ZipFile(self.path) as archive, archive.open(f"{self.name}.npy") as file:
                _header(file)
                for start in range(0, self.shape[0], count):
                    yield self._next(file, min(count, self.shape[0] - start))

    def _next(self, file: IO[bytes], count: int) -> np.ndarray:
        shape = count, *self.shape[1:]
        size = int(np.prod(shape, dtype=np.int64)) * self.dtype.itemsize
        data = file.read(size)
        if len(data) < size:
            raise EOFError
        return np.frombuffer(data, self.dtype).reshape(shape)


def array(path: str | Path) -> Frames:
    """The frames of an .npy (N, H, W), (N, H, W, C) or (N, C, H, W), mapped into memory; or of an .npz, in
    which they are the one array or that named `frames`. As they lie there, of any type of numbers.

    BadFile for no such file, a truncated one, several arrays, pickled objects, and no frames in it.
    """
    path = Path(path)
    rows = _frames(path, members(path))
    if rows.dtype.kind not in "fiub" or len(rows.shape) < 2:
        raise BadFile(
            f"{path}: holds {rows.dtype} of shape {rows.shape}; give numbers (N, H, W), (N, H, W, C) or "
            f"(N, C, H, W)"
        )
    if not all(rows.shape):
        raise BadFile(f"{path}: holds 0 frames or pixels (shape {rows.shape}); give at least 1 of each")
    return Frames(str(path), lambda: (part[0] for part in rows.chunks(1)), total=rows.shape[0])


def members(path: Path) -> dict[str, Rows]:
    """{name: array}, of an .npz; of an .npy, {"": array}. BadFile for what is none; nothing is unpickled."""
    if not path.is_file():
        raise BadFile(f"{path}: no such file; check the path")
    with _faults(path):
        if path.suffix.lower() == ".npy":
            mapped = np.load(path, mmap_mode="r", allow_pickle=False)
            return {"": Rows(path, "", mapped.shape, mapped.dtype)}
        with zipfile.ZipFile(path) as archive:
            return {n[:-4]: _member(path, archive, n) for n in archive.namelist() if n.endswith(".npy")}


def _frames(path: Path, found: dict[str, Rows]) -> Rows:
    if len(found) != 1 and "frames" not in found:
        held = ", ".join(found) or "none"
        raise BadFile(f"{path}: its arrays are {held}, and one of frames is needed; name it frames")
    return found["frames"] if "frames" in found else next(iter(found.values()))


def _member(path: Path, archive: zipfile.ZipFile, name: str) -> Rows:
    with archive.open(name) as file:
        shape, by_columns, dtype = _header(file)
    return Rows(path, name[:-4], shape, dtype, by_columns)


def _header(file: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    npy: Any = np.lib.format
    is_old = npy.read_magic(file) == (1, 0)
    shape, by_columns, dtype = (npy.read_array_header_1_0 if is_old else npy.read_array_header_2_0)(file)
    if dtype.hasobject:
        raise ValueError("allow_pickle")
    return shape, by_columns, dtype


def _loaded(path: Path, name: str) -> np.ndarray:
    """Mapped into memory; of an .npz, all of it: by columns, it has no row in one place."""
    if not name:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    with np.load(path, allow_pickle=False) as file:
        return file[name]


@contextlib.contextmanager
def _faults(path: Path) -> Iterator[None]:
    """What NumPy and zipfile raise of a bad file, as one sentence."""
    try:
        yield
    except BadFile:
        raise
    except FAULTS as error:
        pickled = "pickle" in str(error) or "Python objects" in str(error)
        reason = "it holds pickled objects, which can run code: refused" if pickled else type(error).__name__
        raise BadFile(
            f"{path}: not an {path.suffix} of plain arrays, or truncated ({reason}); {ADVICE}"
        ) from error
