"""A few numbers of each frame: all of a watched stream that is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from dnisnm_lava.measures import Counts
from dnisnm_lava.studies.streams.bills import Energy
from dnisnm_lava.studies.streams.watching import Watched

MOST_VALUES = 8  # of a frame that are kept

Answer = int | list[float] | None  # a class; few values; nothing of maps


@dataclass(frozen=True)
class Row:
    """frame: from 0. fresh: did the stream begin anew with it? answers: {"stream", "alone", "ann"} a class,
    or up to MOST_VALUES values; of maps none. agreement: {"alone", "ann"} the share of the stream's answers
    that are the reference's, or the RMSE; counts, spread: what a score of many frames is made of. spikes,
    operations: {"stream", "alone", and for operations "skipping", of the quantized ANN}. energy: {"stream",
    "alone", "ann", "skipping"}, pJ. clipped: values of the frame outside 8 bits. exact: as of `Followed`."""

    frame: int
    fresh: bool
    answers: Mapping[str, Answer]
    spikes: Mapping[str, int]
    operations: Mapping[str, int]
    energy: Mapping[str, Energy]
    saturations: int
    clipped: int
    exact: bool
    seconds: Mapping[str, float]
    agreement: Mapping[str, float] = field(default_factory=dict)
    counts: Mapping[str, Counts] = field(default_factory=dict)
    spread: Mapping[str, Counts] = field(default_factory=dict)


def row(found: Watched, ann: Energy | None) -> Row:
    """ann: energy of the ANN, where the row is to tell it."""
    followed, alone = found.followed, found.alone
    answers = {"stream": _answer(followed.prediction if found.said is None else found.said)}
    spikes, operations = {"stream": found.work.spikes}, {"stream": found.work.operations}
    energy = {"stream": found.energy}
    if alone is not None:
        spikes["alone"] = alone.work.spikes
        operations |= {"alone": alone.work.operations, "skipping": alone.skipping.operations}
        energy |= {"alone": alone.energy, "skipping": alone.skipped}
    if ann is not None:
        energy["ann"] = ann
    return Row(
        followed.index,
        followed.fresh,
        answers | {key: _answer(met.said) for key, met in found.met.items()},
        spikes,
        operations,
        energy,
        followed.saturations,
        followed.clipped_inputs,
        followed.exact,
        found.seconds,
        {key: met.value for key, met in found.met.items()},
        {key: met.counts for key, met in found.met.items()},
        {key: met.spread for key, met in found.met.items()},
    )


def _answer(said: np.ndarray) -> Answer:
    if said.dtype.kind in "iub":
        return int(said.reshape(-1)[0]) if said.size == 1 else None
    return said.reshape(-1).tolist() if said.size <= MOST_VALUES else None


def told(kept: Row) -> dict[str, Any]:
    """For JSON, whole: `read` makes the row of it again."""
    return asdict(kept)


def read(content: Mapping[str, Any]) -> Row:
    """KeyError or TypeError for what is none."""
    energy = {key: Energy(**value) for key, value in content["energy"].items()}
    return Row(**{**content, "energy": energy})
