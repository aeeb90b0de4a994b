"""The processes that share a job: `torchrun --nproc-per-node K -m dnisnm_lava ...` starts them,
torch.distributed joins them. A process that nobody joined is a group of one."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from dnisnm_lava.errors import BackendFailed

PATIENCE = timedelta(days=7)  # for a slower rank; one that dies is noticed at once


@dataclass(frozen=True)
class Group:
    """rank: of this process among `size`. device: where it computes."""

    rank: int = 0
    size: int = 1
    device: str = "cpu"

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def gather(self, value: Any) -> list[Any]:
        """Every rank's value, in order, on every rank."""
        if self.size == 1:
            return [value]
        import torch.distributed as distributed

        values: list[Any] = [None] * self.size
        with self._losses():
            distributed.all_gather_object(values, value)
        return values

    def broadcast(self, value: Any, source: int = 0) -> Any:
        """The value of one rank, the first one by default."""
        if self.size == 1:
            return value
        import torch.distributed as distributed

        values = [value]
        with self._losses():
            distributed.broadcast_object_list(values, source)
        return values[0]

    @contextlib.contextmanager
    def _losses(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[0]
            raise BackendFailed(
                f"rank {self.rank} of {self.size}: another rank was lost ({reason})"
            ) from error


ALONE = Group()


def size() -> int:
    """How many processes torchrun started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", 1))


def size_here() -> int:
    """How many of them share this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1))


@contextlib.contextmanager
def joined(device: str) -> Iterator[Group]:
    """The group of this process, over gloo on CPUs and NCCL on GPUs (one GPU a local rank)."""
    if size() == 1:
        yield Group(device=device)
        return
    import torch
    import torch.distributed as distributed

    on_gpu = device.startswith("cuda")
    if on_gpu:
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if on_gpu else "gloo", timeout=PATIENCE)
    group = Group(distributed.get_rank(), distributed.get_world_size(), device)
    yield group
    group.gather(
        None
    )  # the process that ends takes its connections with it, and not before the others are done
