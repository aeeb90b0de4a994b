"""Images in blocks and trials in a journal: what is done is kept, and an attempt goes on from it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

import dnisnm_lava as dn
from dnisnm_lava.cli.names import BLOCK, PREPARED_BY
from dnisnm_lava.cli.options import DataOptions, MeasureOptions, Resumable
from dnisnm_lava.cli.output import Stages
from dnisnm_lava.cli.reading import _told_labels
from dnisnm_lava.system.pace import Pace
from dnisnm_lava.system.ranks import ALONE

if TYPE_CHECKING:
    from dnisnm_lava.cli.comparing import Compare
    from dnisnm_lava.cli.making import Precision, Tune
    from dnisnm_lava.cli.simulating import Simulate
    from dnisnm_lava.data.datasets import Data, Labelled
    from dnisnm_lava.evaluation.blocks import Part
    from dnisnm_lava.evaluation.tallies import Tally
    from dnisnm_lava.evaluation.trials import Journal
    from dnisnm_lava.measures import Measure
    from dnisnm_lava.system.ranks import Group


R = TypeVar("R", bound=Resumable)


def _measure_words(args: MeasureOptions) -> list[str]:
    """The options of what is measured that were given, as they are written."""
    given = {
        "--measure": None if args.measure == "auto" else args.measure,
        "--output": args.output,
        "--ignore-label": args.ignore_label,
    }
    return [word for option, value in given.items() if value is not None for word in (option, str(value))]


@dataclass(frozen=True)
class Blocks:
    """The indices `chosen` of `dataset`, which are read in blocks. labelled: are labels needed? targets:
    {output: its own (N, ...), of the whole dataset}."""

    dataset: Labelled
    chosen: np.ndarray
    labelled: bool
    targets: Mapping[str | int, np.ndarray] = field(default_factory=dict)

    @property
    def count(self) -> int:
        return -(-len(self.chosen) // BLOCK)

    @cached_property
    def first(self) -> tuple[np.ndarray, np.ndarray]:
        """Images and labels of the first block, read once: they tell what is measured, run as all others, and
        the first of them on Lava."""
        return self._read(0)

    def read(self, block: int) -> tuple[np.ndarray, np.ndarray]:
        return self._read(block) if block else self.first

    def own(self, block: int) -> dict[str | int, np.ndarray]:
        """The targets of a block."""
        which = self.chosen[block * BLOCK : (block + 1) * BLOCK]
        return {name: values[which] for name, values in self.targets.items()}

    def _read(self, block: int) -> tuple[np.ndarray, np.ndarray]:
        from dnisnm_lava.data import datasets

        return datasets.arrays(
            self.dataset, self.chosen[block * BLOCK : (block + 1) * BLOCK], classes=self.labelled
        )


def _blocks(
    args: Compare | Simulate, data: Data, targets: Mapping[str | int, np.ndarray] | None = None
) -> Blocks:
    """Those of the test images."""
    from dnisnm_lava.data import datasets

    chosen = datasets.choose(data.test, args.images, args.seed)
    return Blocks(data.test, chosen, args.measure != "values", targets or {})


def _measure(args: MeasureOptions, blocks: Blocks, graph: dn.AnalogGraph | dn.SpikingGraph) -> Measure:
    """What the labels of the first block of test images tell; each block's must fit it."""
    from dnisnm_lava.measures import asked

    return asked(graph, _told_labels(blocks.first[1]), args.ask)


@contextlib.contextmanager
def _in_blocks(
    args: Compare | Simulate,
    data: Data,
    blocks: Blocks,
    covered: Mapping[str, Any],
    work: Callable[[np.ndarray, np.ndarray | None, Mapping[str | int, np.ndarray]], Tally],
    group: Group,
    stages: Stages,
) -> Iterator[list[Part]]:
    """`work(images, labels, targets)` on the chosen test images, in blocks that the ranks share; kept beside
    --out until the result is written. covered: what a part depends on beside images and the measure."""
    from dnisnm_lava.evaluation import blocks as shards
    from dnisnm_lava.evaluation import tallies
    from dnisnm_lava.evaluation.origin import array_digest

    fingerprint = shards.fingerprint(
        **covered, prepared=_preparation(args, data), chosen=array_digest(blocks.chosen), measure=args.ask
    )

    def part(block: int) -> Part:
        (x, y), own = blocks.read(block), blocks.own(block)
        tally = tallies.placed(work(x, _told_labels(y), own), block * BLOCK)
        return shards.Part(array_digest(x, y, *own.values()), tally)

    with shards.keeping(args.out, fingerprint, group, resume=args.resume, overwrite=args.overwrite) as kept:
        unit = f"block{'' if group.size == 1 else ' of this process'}"
        pace = Pace(unit, stages.tell, progress=stages.progress)
        yield shards.evaluate(blocks.count, part, group, kept, pace)


@contextlib.contextmanager
def _journal(
    args: Tune | Precision,
    data: Data,
    covered: Mapping[str, Any],
    stages: Stages,
    most: bool = False,
    group: Group = ALONE,
) -> Iterator[Journal]:
    """Trials beside --out. covered: what they depend on beside training images and the measure. most: is
    their number the most that it may come to? group: of the processes that make each trial together."""
    from dnisnm_lava.evaluation import blocks as shards
    from dnisnm_lava.evaluation import trials

    fingerprint = shards.fingerprint(
        **covered,
        prepared=_preparation(args, data),
        sampled=(args.calibration_images, args.fit_images, args.seed),
        measure=args.ask,
    )
    pace = Pace("trial", stages.tell, most)
    with trials.keeping(
        args.out, fingerprint, pace, resume=args.resume, overwrite=args.overwrite, group=group
    ) as kept:
        yield kept


def _preparation(args: DataOptions, data: Data) -> dict[str, Any]:
    """What decides an image."""
    own = {name: getattr(args, name) for name in ("data", *PREPARED_BY, "layout")}
    return {**own, "transforms": data.transforms}


def _allowed_to_finish(args: R) -> R:
    """A run that is gone on with may replace what it could replace, or had written, when it was ended."""
    from dnisnm_lava.evaluation import blocks as shards

    unfinished = args.out is not None and args.resume and shards.is_unfinished(args.out)
    return replace(args, overwrite=args.overwrite or unfinished)
