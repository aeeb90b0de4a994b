"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from dnisnm_lava.errors import BadFile


def write_whole(path: Path, data: bytes, *, overwrite: bool = False) -> None:
    """Write `data` beside `path`, then move it there. BadFile where `path` exists and `overwrite` is false,
    or cannot be written; what was there before stays."""
    refuse_existing(path, overwrite)
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with open(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(handle)
        os.chmod(temporary, 0o666 & ~_umask())
        _publish(temporary, path, overwrite)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)


@contextlib.contextmanager
def whole_folder(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A temporary folder to fill; its files move to the folder `path` when the block ends, or are removed
    when it fails. With `overwrite`, files of the same names are replaced and others stay."""
    refuse_full(path, overwrite)
    made = missing_parents(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except OSError as error:
        remove_empty(made)
        raise unwritable(path, error) from error
    try:
        yield temporary
        path.mkdir(exist_ok=True)
        for file in sorted(temporary.iterdir()):
            os.replace(file, path / file.name)
        made = []
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        remove_empty(made)


def refuse_full(path: Path, overwrite: bool) -> None:
    """BadFile where `path` is a file, or a folder that holds something and may not be written into."""
    if path.exists() and not path.is_dir():
        raise BadFile(f"{path}: is a file, and a folder is to be written; choose another name")
    if path.is_dir() and any(path.iterdir()):
        refuse_existing(path, overwrite)


def refuse_existing(path: Path, overwrite: bool) -> None:
    """BadFile where `path` exists and may not be replaced: asked early, before hours of work."""
    if path.exists() and not overwrite:
        raise BadFile(f"{path}: exists already; choose another name, or allow it with overwrite=True (--overwrite)")


def _publish(temporary: str, path: Path, overwrite: bool) -> None:
    """Rename into place; without `overwrite`, by a link, which fails where a file has appeared meanwhile."""
    if not overwrite:
        try:
            os.link(temporary, path)
            return
        except OSError:  # exists already, or a file system without links
            refuse_existing(path, overwrite)
    os.replace(temporary, path)


def missing_parents(path: Path) -> list[Path]:
    return [p for p in path.parents if not p.exists()]  # deepest first


def remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def unwritable(path: Path, error: OSError) -> BadFile:
    reason = error.strerror or type(error).__name__
    return BadFile(f"{path}: could not be written ({reason}), and nothing was left behind; free space or choose another folder")
