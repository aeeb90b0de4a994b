"""A long evaluation in blocks of images: shared among ranks, kept as it goes, and gone on with.

What a block gives depends on the block alone, and blocks add up: so one process, several, and several
attempts give the same result.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dnisnm_lava.errors import BadFile
from dnisnm_lava.evaluation.tallies import Tally
from dnisnm_lava.system.files import held, missing_parents, remove_empty, unwritable, write_whole
from dnisnm_lava.system.interrupts import undisturbed
from dnisnm_lava.system.progress import Progress, tell
from dnisnm_lava.system.ranks import Group


@dataclass(frozen=True)
class Part:
    """A block's result. digest: of its images and labels."""

    digest: str
    tally: Tally


@dataclass(frozen=True)
class Kept:
    """Parts in `folder`, of the job that `fingerprint` names: its networks, data, steps."""

    folder: Path
    fingerprint: str

    def write(self, block: int, part: Part) -> None:
        self.put(f"{block:06d}", {"digest": part.digest, "tally": part.tally})

    def read(self, blocks: int) -> dict[int, Part]:
        """The finished parts; BadFile where one is of another job."""
        paths = {block: self.folder / f"{block:06d}.json" for block in range(blocks)}
        told = {
            block: self._get(path, ("digest", "tally")) for block, path in paths.items() if path.is_file()
        }
        return {block: Part(content["digest"], content["tally"]) for block, content in told.items()}

    def put(self, name: str, content: Mapping[str, Any]) -> None:
        """Keep a JSON object, whole or not at all."""
        write_whole(
            self.folder / f"{name}.json",
            json.dumps({"fingerprint": self.fingerprint, **content}).encode(),
            overwrite=True,
        )

    def all(self, pattern: str, keys: tuple[str, ...]) -> list[Any]:
        """Those whose names match, in the order of names; each has `keys`. BadFile where one is of another
        job."""
        return [self._get(path, keys) for path in sorted(self.folder.glob(f"{pattern}.json"))]

    def of(self, **covered: Any) -> Kept:
        """The same, of a job that depends on this, too."""
        return replace(self, fingerprint=fingerprint(before=self.fingerprint, **covered))

    def put_arrays(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep arrays, whole or not at all."""
        data = io.BytesIO()
        np.savez(data, **{"fingerprint": np.array(self.fingerprint), **arrays})
        write_whole(self.folder / f"{name}.npz", data.getvalue(), overwrite=True)

    def arrays(self, name: str) -> dict[str, np.ndarray] | None:
        """Those that were kept under this name; BadFile where they are of another job."""
        path = self.folder / f"{name}.npz"
        if not path.is_file():
            return None
        try:
            with np.load(path, allow_pickle=False) as file:
                found = dict(file)
            told = str(found.pop("fingerprint"))
        except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
            raise self._broken(path, error) from error
        self._refuse_others(path, told)
        return found

    def _get(self, path: Path, keys: tuple[str, ...]) -> Any:
        try:
            content = json.loads(path.read_bytes())
            for key in keys:
                content[key]
        except (ValueError, KeyError, TypeError) as error:
            raise self._broken(path, error) from error
        self._refuse_others(path, content.get("fingerprint"))
        return content

    def _broken(self, path: Path, error: Exception) -> BadFile:
        return BadFile(
            f"{path}: not a part that this program wrote ({type(error).__name__}); remove it, and --resume"
        )

    def _refuse_others(self, path: Path, told: Any) -> None:
        if told != self.fingerprint:
            raise BadFile(
                f"{path}: of another network, other images, steps or options; give the same command, or "
                f"remove {self.folder}"
            )


@contextlib.contextmanager
def keeping(
    out: Path | None, fingerprint: str, group: Group, *, resume: bool, overwrite: bool
) -> Iterator[Kept | None]:
    """Where the parts of the result `out` are kept until the block ends well; None where no result is
    written. BadFile where parts of an attempt before are there, unless they are gone on with (`resume`) or
    dropped (`overwrite`), and while another run writes `out`."""
    if out is None:
        if resume:
            raise BadFile("--resume: no result is written, so no parts were kept; give --out as before")
        yield None
        return
    parts = Kept(parts_of(out), fingerprint)
    made = missing_parents(parts.folder)
    with contextlib.ExitStack() as stack:
        if not _is_alone(parts.folder, group, stack):
            raise BadFile(
                f"{out}: another run is writing it, with its parts in {parts.folder}; wait for its end, "
                f"or choose another name"
            )
        try:
            if group.is_first:
                _check_leftovers(parts.folder, resume, overwrite)
            group.gather(None)
            yield parts
            with undisturbed():
                if group.is_first:
                    shutil.rmtree(parts.folder)
                made = []
        finally:
            if group.is_first:
                remove_empty([parts.folder, *made])


def _is_alone(folder: Path, group: Group, stack: contextlib.ExitStack) -> bool:
    """Makes the folder, which the first rank holds for all. False where another run holds it, or has just
    removed it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        ours = stack.enter_context(held(folder)) if group.is_first else True
    except OSError as error:
        raise unwritable(folder, error) from error
    return ours is not False and folder.is_dir()


def _check_leftovers(folder: Path, resume: bool, overwrite: bool) -> None:
    """BadFile where there are parts, and neither is allowed; without `resume` they are removed."""
    if resume or not any(folder.iterdir()):
        return
    if not overwrite:
        raise BadFile(
            f"{folder}: parts of an unfinished run; go on with --resume, or begin again with --overwrite"
        )
    for part in folder.iterdir():
        part.unlink()


def parts_of(out: Path) -> Path:
    """The folder of the parts of `out`, beside it."""
    return out.with_name(out.name + ".parts")


def is_unfinished(out: Path) -> bool:
    """Has a run that was to write `out` left parts? Where `out` is there too, it was ended between the two,
    or was to replace it."""
    return parts_of(out).is_dir()


def fingerprint(**covered: Any) -> str:
    """SHA-256 of all that a part depends on, by name, hex."""
    return hashlib.sha256(json.dumps(covered, sort_keys=True, default=str).encode()).hexdigest()


def evaluate(
    blocks: int,
    work: Callable[[int], Part],
    group: Group,
    parts: Kept | None,
    progress: Progress | None = None,
) -> list[Part]:
    """`work(block)` of every block, in order, on every rank. Each rank does its share of those that no rank
    has finished. progress(done, of): in blocks of this rank."""
    finished: dict[int, Part] = {}
    for found in group.gather({} if parts is None else parts.read(blocks)):
        finished.update(found)
    missing = [block for block in range(blocks) if block not in finished]
    mine = missing[group.rank :: group.size]
    own: dict[int, Part] = {}
    for done, block in enumerate(mine, 1):
        own[block] = work(block)
        if parts is not None:
            parts.write(block, own[block])
        tell(progress, done, len(mine))
    for found in group.gather(own):
        finished.update(found)
    return [finished[block] for block in range(blocks)]


def digest(parts: list[Part]) -> str:
    """SHA-256 over the blocks' digests, hex: of all images and labels, whoever read them."""
    return hashlib.sha256("".join(part.digest for part in parts).encode()).hexdigest()
