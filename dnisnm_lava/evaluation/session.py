"""What a study is run with, whatever it measures."""

from __future__ import annotations

from dataclasses import dataclass

from dnisnm_lava.evaluation.sanity import SetUp
from dnisnm_lava.system.progress import Stages, in_silence

NOTHING_KNOWN = SetUp()


@dataclass(frozen=True)
class Session:
    """device: where torch computes. memory: bytes for spikes and currents (default: a quarter of what is
    free). stages: who is told what begins, and how far it is. set_up: what is expected of the ANN, and what
    was raised before."""

    device: str = "cpu"
    memory: int | None = None
    stages: Stages = in_silence
    set_up: SetUp = NOTHING_KNOWN


SESSION = Session()
