"""Which Loihi 2 board to run on, from the environment variables that lava.utils.loihi itself sets.

SLURM=1                    a board that SLURM chooses; with BOARD=node, or PARTITION=name, of those
NXSDKHOST=address          a board on the network, without SLURM; HOST_BINARY: of its driver
LOIHI_GEN                  the chip's generation (N3B3)
"""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Mapping
from dataclasses import dataclass

from dnisnm_lava.errors import BackendMissing, OutOfRange

GENERATIONS = ("N2A2", "N3B2", "N3B3", "N3C1", "N3D1")  # lava.utils.loihi.ChipGeneration
DRIVER = "nxcore/bin/nx_driver_server"  # as lava.utils.loihi.use_ethernet_host has it


@dataclass(frozen=True)
class Presence:
    """What this machine has: lava-nc, its Loihi 2 extension, and SLURM's `sinfo`."""

    lava: bool
    extension: bool
    slurm: bool


@dataclass(frozen=True)
class Board:
    """How to reach one. address: of a board on the network; without it, SLURM finds one: `node`, or any of
    `partition`, or any."""

    generation: str
    address: str = ""
    driver: str = DRIVER
    node: str | None = None
    partition: str | None = None


def probe() -> Presence:
    """Looks at this machine; reaches for no board."""
    lava = all(importlib.util.find_spec(name) is not None for name in ("lava", "lava.utils"))
    extension = False
    if lava:
        from lava.utils import loihi

        extension = loihi.is_installed()
    return Presence(lava, extension, shutil.which("sinfo") is not None)


def select(environment: Mapping[str, str], presence: Presence) -> Board:
    """BackendMissing, with what is missing, where no board can be reached from here; OutOfRange where the
    variables contradict each other or name what is not."""
    if not presence.lava:
        raise BackendMissing("lava-nc is not installed in this Python")
    if not presence.extension:
        raise BackendMissing(
            "lava-nc's Loihi 2 extension (lava.utils.loihi2_profiler) is not installed, so no board can "
            "be reached"
        )
    generation = environment.get("LOIHI_GEN", "N3B3")
    if generation not in GENERATIONS:
        raise OutOfRange(f"LOIHI_GEN: {generation!r} given; choose one of {', '.join(GENERATIONS)}")
    given = {key: environment[key] for key in ("SLURM", "BOARD", "PARTITION") if environment.get(key)}
    address, node, partition = (environment.get(key, "") for key in ("NXSDKHOST", "BOARD", "PARTITION"))
    if address and given:
        raise OutOfRange(
            f"NXSDKHOST={address} and {' and '.join(given)} are both set; one names a board on the "
            f"network, the other SLURM's"
        )
    if node and partition:
        raise OutOfRange(
            f"BOARD={node} and PARTITION={partition} are both set; lava.utils.loihi takes one of them"
        )
    if address:
        return Board(generation, address, environment.get("HOST_BINARY", DRIVER))
    if not given:
        raise BackendMissing("no board is named: set SLURM=1 (and BOARD or PARTITION), or NXSDKHOST")
    if not presence.slurm:
        raise BackendMissing(f"{' and '.join(given)} set, but SLURM's `sinfo` is not on this machine")
    return Board(generation, node=node or None, partition=partition or None)


def connect(board: Board) -> None:
    """Tell Lava. It asks SLURM, or pings the address, and sets the variables that its compiler reads."""
    from lava.utils import loihi

    generation = loihi.ChipGeneration(board.generation)
    if board.address:
        loihi.use_ethernet_host(board.address, board.driver, generation)
    else:
        loihi.use_slurm_host(board.partition, board.node, generation)
