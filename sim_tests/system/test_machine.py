"""What the machine has to give, and what the command line says of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from dnisnm_lava import cli
from dnisnm_lava.system import machine


@pytest.mark.parametrize(
    ("files", "free"),
    [
        ({"memory.max": "5000", "memory.current": "2000"}, 3000),
        ({"memory.max": "1000", "memory.current": "2000"}, 0),
        ({"memory.max": "max", "memory.current": "2000"}, 1 << 62),
        ({"memory/memory.limit_in_bytes": "700", "memory/memory.usage_in_bytes": "100"}, 600),
        ({}, 1 << 62),
    ],
)
def test_a_control_groups_limit(tmp_path: Path, files: dict[str, str], free: int) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    assert machine._free_in_group(tmp_path) == free


def test_there_is_memory_and_less_than_all() -> None:
    assert 1 << 24 < machine.free_memory() < 1 << 50


@pytest.mark.parametrize(
    ("text", "size"), [("500M", 500 << 20), ("2G", 2 << 30), ("1.5k", 1536), ("4096", 4096)]
)
def test_sizes(text: str, size: int) -> None:
    assert cli._bytes(text) == size


@pytest.mark.parametrize("text", ["", "M", "-1G", "two", "0", "1e30G"])
def test_what_is_no_size_is_told(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["simulate", "a.net", "--data", "b", "--memory", text or "''"])
    assert end.value.code == 2
    assert "argument --memory" in capsys.readouterr().err
