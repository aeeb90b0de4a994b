"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from dnisnm_lava.errors import BadFile
from dnisnm_lava.system.interrupts import undisturbed

SETTLED = 2.0  # seconds: whoever makes a file holds it by then


def write_whole(path: Path, data: bytes, *, overwrite: bool = False) -> None:
    """Write `data` beside `path`, then move it there. BadFile where `path` exists and `overwrite` is false,
    or cannot be written; what was there before stays."""
    with whole_file(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(data)


@contextlib.contextmanager
def whole_file(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """An empty temporary file to fill, beside `path`; it moves there when the block ends, or is removed when
    it fails. BadFile as of `write_whole`."""
    refuse_existing(path, overwrite)
    try:
        with _beside(path) as temporary, open(temporary, "xb") as file, held(temporary):
            yield temporary
            os.fsync(file.fileno())
            _publish(temporary, path, overwrite)
    except OSError as error:
        raise unwritable(path, error) from error


@contextlib.contextmanager
def whole_folder(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A temporary folder to fill; it becomes the folder `path` when the block ends, or is removed when it
    fails. Where `path` exists (empty, or with `overwrite`), its files move there: those of the same names are
    replaced and others stay."""
    refuse_full(path, overwrite)
    made = missing_parents(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _beside(path) as temporary:
            temporary.mkdir()
            with held(temporary):
                yield temporary
                refuse_full(path, overwrite)  # another may have written it meanwhile
                with undisturbed():
                    _move(temporary, path)
                    made = []
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        remove_empty(made)


def refuse_full(path: Path, overwrite: bool) -> None:
    """BadFile where `path` is a file, or a folder that holds something and may not be written into."""
    if path.exists() and not path.is_dir():
        raise BadFile(f"{path}: is a file, and a folder is to be written; choose another name")
    if path.is_dir() and any(path.iterdir()):
        refuse_existing(path, overwrite)


def refuse_unwritable(path: Path, overwrite: bool) -> None:
    """BadFile where `path` exists and may not be replaced, or its folder is missing or takes no files: asked
    early, before hours of work."""
    refuse_existing(path, overwrite)
    if not path.parent.is_dir():
        raise unwritable(path, OSError(errno.ENOENT, os.strerror(errno.ENOENT)))
    if not os.access(path.parent, os.W_OK):
        raise unwritable(path, OSError(errno.EACCES, os.strerror(errno.EACCES)))


def refuse_existing(path: Path, overwrite: bool) -> None:
    """BadFile where `path` exists and may not be replaced."""
    if path.exists() and not overwrite:
        raise BadFile(
            f"{path}: exists already; choose another name, or allow it with overwrite=True (--overwrite)"
        )


def _move(folder: Path, path: Path) -> None:
    if not path.exists():
        os.rename(folder, path)
        return
    for file in sorted(folder.iterdir()):
        os.replace(file, path / file.name)


def _publish(temporary: Path, path: Path, overwrite: bool) -> None:
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


@contextlib.contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A new name for what is to become `path`: hidden, in the same folder. What is called so is removed at
    the end, and what writers of `path` left that were killed before."""
    remove_abandoned(path)
    temporary = path.parent / f".{path.name}.{secrets.token_hex(4)}.part"
    try:
        try:
            yield temporary
        finally:
            _remove(temporary)
    finally:  # Ctrl-C may have come in the middle of that
        _remove(temporary)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


@contextlib.contextmanager
def held(path: Path) -> Iterator[bool | None]:
    """The lock of a file or folder, until the block has ended, or this process has, however it did. True: it
    is ours; False: it is another's; None: this file system has no locks."""
    handle = os.open(path, os.O_RDONLY)
    try:
        yield _locked(handle)
    finally:
        os.close(handle)


def _locked(handle: int) -> bool | None:
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (OSError, ImportError):
        return None
    return True


def remove_abandoned(path: Path) -> None:
    """What writers of `path` left behind that were killed: nobody holds it."""
    for part in path.parent.glob(f".{glob.escape(path.name)}.????????.part"):
        with contextlib.suppress(OSError):  # it may be gone by now
            if time.time() - part.stat().st_mtime > SETTLED:
                with held(part) as ours:
                    if ours:
                        _remove(part)


def unwritable(path: Path, error: OSError) -> BadFile:
    reason = error.strerror or type(error).__name__
    return BadFile(
        f"{path}: could not be written ({reason}), and nothing was left behind; free space or choose "
        f"another folder"
    )


def temporary_folder() -> str:
    """Where temporary files go; TMPDIR or /tmp where Python finds no folder that it could use."""
    try:
        return tempfile.gettempdir()
    except OSError:
        return os.environ.get("TMPDIR") or "/tmp"
