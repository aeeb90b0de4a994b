"""Tensors of many images, chunk by chunk: in memory while they fit, then in files that have no name."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import torch
from torch import Tensor

from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.system.files import temporary_folder


@dataclass
class Store:
    """free: bytes that spools may still take in memory; what exceeds them goes to the folder for temporary
    files."""

    free: int


@dataclass(frozen=True)
class _OnDisk:
    offset: int
    shape: torch.Size
    dtype: torch.dtype


class Spool:
    """Chunks (n, ...) with their channels, along `axis`, innermost in memory, as channels-last convolutions
    want them."""

    def __init__(self, store: Store, axis: int) -> None:
        self.store, self.axis = store, axis
        self.chunks: list[Tensor | _OnDisk] = []
        self.file: BinaryIO | None = None

    def append(self, chunk: Tensor) -> None:
        chunk = chunk.movedim(self.axis, -1).contiguous()
        if chunk.nbytes <= self.store.free:
            self.store.free -= chunk.nbytes
            self.chunks.append(chunk)
        else:
            self.chunks.append(self._written(chunk))

    def _written(self, chunk: Tensor) -> _OnDisk:
        try:
            if self.file is None:
                self.file = tempfile.TemporaryFile(prefix="dnisnm-")  # noqa: SIM115 (close() ends it)
            offset = self.file.seek(0, 2)
            self.file.write(chunk.numpy().data)
            self.file.flush()
        except OSError as error:
            raise OutOfRange(
                f"fit: {chunk.nbytes} bytes do not fit the folder for temporary files, "
                f"{temporary_folder()} ({error.strerror}); "
                "set TMPDIR to a larger one, or give fewer images"
            ) from error
        return _OnDisk(offset, chunk.shape, chunk.dtype)

    def arrange(self, order: Sequence[int]) -> None:
        """The chunks in another order."""
        self.chunks = [self.chunks[i] for i in order]

    def __getitem__(self, i: int) -> Tensor:
        chunk = self.chunks[i]
        if isinstance(chunk, _OnDisk):
            assert self.file is not None
            self.file.seek(chunk.offset)
            read = bytearray(chunk.shape.numel() * chunk.dtype.itemsize)
            self.file.readinto(read)  # type: ignore[attr-defined]
            chunk = torch.frombuffer(read, dtype=chunk.dtype).reshape(chunk.shape)
        return chunk.movedim(-1, self.axis)

    def __len__(self) -> int:
        return len(self.chunks)

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def close(self) -> None:
        """Give back its memory and its place on the disk."""
        self.store.free += sum(chunk.nbytes for chunk in self.chunks if isinstance(chunk, Tensor))
        self.chunks.clear()
        if self.file is not None:
            with contextlib.suppress(OSError):  # what did not fit the disk was told when it was written
                self.file.close()
