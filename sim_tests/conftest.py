"""Small graphs and real data that the tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

SHARED = Path(__file__).resolve().parents[2] / "shared/data"

settings.register_profile("ci", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ci")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data and weights beside the repository."""
    if not SHARED.is_dir():
        pytest.skip(f"real data and weights are not here: no folder shared/data beside the repository ({SHARED.name})")
    return SHARED
