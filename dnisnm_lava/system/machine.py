"""What the machine has to give."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

FALLBACK = 1 << 30  # bytes: where nothing says how much there is


def free_memory() -> int:
    """Bytes that this process may still take: what is free on the machine, or in its control group where that
    is less."""
    return min(_free_on_machine(), _free_in_group(Path("/sys/fs/cgroup")))


def _free_on_machine() -> int:
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1]) << 10
    with contextlib.suppress(AttributeError, OSError, ValueError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    return FALLBACK


def _free_in_group(group: Path) -> int:
    """Version 2 or 1 of Linux's control groups, seen from inside; no limit where there is none."""
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        with contextlib.suppress(OSError, ValueError):  # "max" is no number: no limit
            return max(0, int((group / limit).read_text()) - int((group / used).read_text()))
    return 1 << 62
