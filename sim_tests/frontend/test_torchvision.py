"""torchvision's classifiers at a reduced size: the analog graph is the model, and the integer executors
agree."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torchvision")

from torch import nn
from torchvision_models import (
    CALIBRATION,
    LIKE_OTHERS,
    REFUSED,
    SIZES,
    compared,
    error_of,
    images,
    network,
    sentence_without_paths,
)

import dnisnm_lava as dn
from dnisnm_lava.errors import UnsupportedModel

FEW = ("resnet18", "squeezenet1_1", "mobilenet_v2", "shufflenet_v2_x1_0", "mobilenet_v3_small")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in FEW else pytest.mark.campaign)
        for name in SIZES
        if name not in LIKE_OTHERS
    ],
)
def test_a_torchvision_network_is_its_graph_and_every_spike_is_equal(name: str, tmp_path: Path) -> None:
    """And its file of ONNX gives every sum, where onnxruntime is installed."""
    model, x = network(name), images(CALIBRATION, SIZES[name])
    analog = dn.from_torch(model, x[0])
    assert error_of(model, analog, x[:2]) <= 1e-9
    integer, run, agreement = compared(analog, x)
    assert agreement.spikes_compared > 10_000
    assert agreement.different == 0, agreement.first
    if find_spec("onnxruntime"):
        from onnx_runs import over_steps

        found = over_steps(integer, x[:1], tmp_path, run.logits.shape[1])
        np.testing.assert_array_equal(found[integer.readout.name], run.logits)


def test_resnet50_has_a_projection_for_each_convolution_and_shortcut_and_for_its_classifier() -> None:
    """Its pools add none: the average is the classifier's sum-pool, the max-pool a population without
    weights."""
    model = network("resnet50")
    convolutions = sum(
        isinstance(m, nn.Conv2d) for m in model.modules()
    )  # those of projected shortcuts included
    identities = sum(getattr(m, "downsample", ...) is None for m in model.modules())
    found = dn.inspect(model, images(1, 64)[0])
    assert (convolutions, identities) == (53, 12)
    assert found.projections == convolutions + identities + 1


REASONS = {"convnext_tiny": "native_layer_norm", "vit_b_16": ""}


def small_transformer() -> nn.Module:
    """vit_b_16's layers, two of its twelve blocks, narrow."""
    from torchvision.models import VisionTransformer

    return VisionTransformer(
        image_size=32, patch_size=16, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32
    ).eval()


def small_convnext() -> nn.Module:
    """convnext_tiny's layers, two of its eighteen blocks, narrow."""
    from torchvision.models.convnext import CNBlockConfig, ConvNeXt

    return ConvNeXt([CNBlockConfig(8, 16, 1), CNBlockConfig(16, None, 1)], num_classes=5).eval()


SMALL = {"vit_b_16": small_transformer, "convnext_tiny": small_convnext}


@pytest.mark.parametrize("name", REFUSED)
def test_a_network_with_no_exact_meaning_is_refused_by_name_and_line(name: str) -> None:
    with pytest.raises(UnsupportedModel) as refusal:
        dn.from_torch(SMALL[name](), images(1, 32)[0])
    said = sentence_without_paths(refusal.value)
    assert REASONS[name] in said
    assert ".py:" in said
    assert "/" not in said.split("`")[0]


@pytest.mark.campaign
def test_the_page_of_coverage_is_measured(tmp_path: Path) -> None:
    script = str(Path(__file__).resolve().parents[2] / "tools/measure_coverage.py")
    command = [
        sys.executable,
        script,
        "squeezenet1_1",
        "convnext_tiny",
        "--out",
        str(tmp_path / "coverage.md"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "coverage.md").read_text()
    row = next(line for line in page.splitlines() if line.startswith("| `squeezenet1_1` | 3x64x64 |")).split(
        "|"
    )
    populations, compared, different, memory = (row[i].strip() for i in (4, 11, 12, 14))
    assert populations.startswith("1 + 26 + ")
    assert int(compared.replace(",", "")) > 10_000
    assert different == "0"
    assert 0 < float(memory) < 50
    assert "- `convnext_tiny`: aten.native_layer_norm" in page
