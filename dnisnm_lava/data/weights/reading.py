"""Files of weights: what one is, told from its first bytes, and what it holds. Nothing of it runs.

torch.load chooses its reader by the file: a TorchScript archive goes to torch.jit.load, even with
weights_only=True (before torch 2.6), and that runs the code in it; a tar archive is unpacked. So a file is
looked into first, by the reader that torch itself uses.
"""

from __future__ import annotations

import contextlib
import io
import pickle
import pickletools
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch

from dnisnm_lava.errors import BackendMissing, BadFile
from dnisnm_lava.system.extras import missing_alone

SAVE_ANEW = "save it anew with torch.save(model.state_dict(), ...)"
QUANTIZED = "give the float weights from before quantization: quantize chooses integers of its own"
TENSORS = re.compile(  # names in sound files
    r"torch\.(_utils|_tensor|serialization|storage|nn\.parameter)\.|torch\.(\w+Storage|Size|device|[a-z]+\d+)$"
    r"|collections\.OrderedDict$|_codecs\.encode$"
)
INTEGERS = re.compile(r"torch\.(_utils\._rebuild_qtensor|q\w+|_C\.ScriptObject|per_(tensor|channel)_affine)$")
DAMAGED = (
    pickle.UnpicklingError,
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    MemoryError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
ZIP = b"PK\x03\x04"
OTHERS = (  # first bytes, what such a file is, what to do instead
    (b"\x89HDF", "an HDF5 file, as Keras writes", SAVE_ANEW),
    (
        b"\x93NUMPY",
        "one array of NumPy's",
        "save arrays by the names of the state_dict with numpy.savez, or a state_dict with torch.save",
    ),
    (b"version https://git-lfs", "a pointer of Git LFS, not the file itself", "fetch it with git lfs pull"),
    (b"<", "a page of the web, or XML", "download the file itself"),
    (b"\x1f\x8b", "compressed with gzip", "unpack it with gunzip"),
)


def read(path: Path) -> Any:
    """What a file of weights holds, most often a dict of tensors: of torch.save, of safetensors, or an `.npz`
    of arrays.

    BadFile, in a sentence, for what is no such file, is damaged, or holds code; BackendMissing where
    safetensors is not installed.
    """
    if not path.is_file():
        raise BadFile(f"{path}: no such file; check the path of the weights")
    try:
        with path.open("rb") as file:
            return _read(path, file)
    except DAMAGED as error:
        if isinstance(error, BadFile):
            raise
        raise BadFile(f"{path}: {_why(path, error)}") from error


def _read(path: Path, file: BinaryIO) -> Any:
    first = file.read(64)
    file.seek(0)
    if path.suffix.lower() == ".onnx":
        raise BadFile(f"{path}: an ONNX file, which is a network and its weights; give it as --model {path}")
    if _is_safetensors(first, path.stat().st_size):
        return _safetensors(path)
    for magic, kind, advice in OTHERS:
        if first.lstrip().startswith(magic):
            raise BadFile(f"{path}: {kind}; {advice}")
    if first.startswith(ZIP):
        names = _records(file)
        _refuse_other_archives(path, names)
        if names and all(name.endswith(".npy") for name in names):
            return _arrays(file)
    elif _is_tar(file):
        raise BadFile(
            f"{path}: a tar archive, as torch wrote before version 0.2, which is not unpacked here; "
            f"{SAVE_ANEW}"
        )
    file.seek(0)
    return torch.load(file, map_location="cpu", weights_only=True)


def _records(file: BinaryIO) -> list[str]:
    """Names in a zip archive. Those that torch's own reader finds, since the same bytes may be another
    archive to another reader."""
    file.seek(0)
    names: Iterable[str] = ()
    with contextlib.suppress(RuntimeError):  # no archive of torch's
        names = torch._C.PyTorchFileReader(file).get_all_records()  # type: ignore[attr-defined]
    file.seek(0)
    with contextlib.suppress(zipfile.BadZipFile), zipfile.ZipFile(file) as archive:
        names = [*names, *archive.namelist()]
    return list(names)


def _refuse_other_archives(path: Path, names: list[str]) -> None:
    """BadFile for archives of programs and of other formats, by the names in them."""
    parts = {name.rpartition("/")[2] for name in names} | {
        part for name in names for part in name.split("/")[:-1]
    }
    if {"constants.pkl", "code"} & parts:
        raise BadFile(
            f"{path}: a TorchScript archive, which holds code that runs when it is loaded: refused; in "
            f"the program that made it, "
            "torch.save(model.state_dict(), ...), of the module before torch.jit.script or torch.jit.trace"
        )
    if {"serialized_exported_program.json", "archive_format", "serialized_state_dict.pt"} & parts:
        raise BadFile(
            f"{path}: a program of torch.export; give its weights: "
            f"torch.save(torch.export.load(...).state_dict, ...)"
        )
    if {"extern_modules", "extern_modules.txt", ".data/extern_modules"} & parts:
        raise BadFile(f"{path}: a torch.package archive, which holds code: refused; {SAVE_ANEW}")
    if "metadata.json" in parts and "config.json" in parts:
        raise BadFile(f"{path}: a network of Keras; {SAVE_ANEW}")


def _is_tar(file: BinaryIO) -> bool:
    """As torch.load would find it."""
    try:
        with tarfile.open(fileobj=file, mode="r:"):
            return True
    except (tarfile.TarError, OSError, ValueError):
        return False


def _arrays(file: BinaryIO) -> dict[str, torch.Tensor]:
    file.seek(0)
    with np.load(file, allow_pickle=False) as arrays:
        return {name: _tensor(arrays[name]) for name in arrays.files}


def _tensor(array: np.ndarray) -> torch.Tensor:
    """The array as it is, of shape () too, which ascontiguousarray makes (1,); in this machine's order of
    bytes."""
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    return torch.from_numpy(np.ascontiguousarray(native).reshape(array.shape))


def _is_safetensors(first: bytes, size: int) -> bool:
    """Eight bytes say how long the header is, which is JSON."""
    return (
        len(first) > 8
        and int.from_bytes(first[:8], "little") + 8 <= size
        and first[8:].lstrip().startswith(b"{")
    )


def _safetensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ModuleNotFoundError as error:
        raise BackendMissing(f"{path}: {missing_alone('safetensors')}") from error
    try:
        return dict(load_file(path))
    except SafetensorError as error:
        raise BadFile(f"{path}: a damaged safetensors file ({error}); download or save it anew") from error


# ---------------------------------------------------------------- why torch refused it


def _why(path: Path, error: BaseException) -> str:
    names = _named(path)
    if any(INTEGERS.match(name) for name in names):
        return (
            f"holds weights of a quantized network, whose integers torch loads by code alone: "
            f"refused; {QUANTIZED}"
        )
    code = ", ".join(name for name in names if not TENSORS.match(name))
    why = (
        f"its pickle names {code}, and a pickle that names code can run it: refused"
        if code
        else type(error).__name__
    )
    return f"not a state_dict that loads with weights_only=True ({why}); {SAVE_ANEW}"


def _named(path: Path) -> list[str]:
    """What the pickles of a weights file ask for beside dictionaries, as far as they can be followed; nothing
    is run."""
    data = path.read_bytes()
    with contextlib.suppress(StopIteration, *DAMAGED), zipfile.ZipFile(io.BytesIO(data)) as archive:
        data = archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl")))
    found: list[str] = []
    stream, texts = io.BytesIO(data), ["?", "?"]
    with contextlib.suppress(*DAMAGED):
        while stream.tell() < len(data):  # an old file is several pickles, one behind the other
            for opcode, value, _ in pickletools.genops(stream):
                if opcode.name in ("GLOBAL", "INST"):
                    found.append(str(value).replace(" ", "."))
                elif opcode.name == "STACK_GLOBAL":
                    found.append(".".join(texts[-2:]))
                elif isinstance(value, str):
                    texts.append(value)
    return list(dict.fromkeys(found))
