"""Maps sampled between their pixels: matrices against torch's own, where torch has such an operation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from dnisnm_lava.data.sampling import LINEAR, matrix, sampled


@pytest.mark.parametrize(("mode", "coefficient"), [("bilinear", LINEAR), ("bicubic", -0.75)])
@pytest.mark.parametrize("size", [(9, 4), (3, 17)])
def test_it_is_torchs_interpolation_at_torchs_places(
    mode: str, coefficient: float, size: tuple[int, int]
) -> None:
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 3, 6, 5)))
    places = [((np.arange(m) + 0.5) * n / m - 0.5).tolist() for n, m in zip((6, 5), size, strict=True)]
    if mode == "bilinear":
        places = [np.maximum(p, 0).tolist() for p in places]  # as torch does
    found = sampled(x, *places, coefficient, False)
    np.testing.assert_allclose(
        found, interpolate(x, size=size, mode=mode), atol=1e-12
    )  # sums of 16 doubles of about 1


def test_pixels_beyond_the_border_are_left_out() -> None:
    """By hand: at -0.5 both inner pixels of four count, -a / 8 + ... = 0.5625 and -0.0625 of a = -0.5, made
    up to 1."""
    np.testing.assert_allclose(matrix([-0.5], 3, -0.5, True), [[1.125, -0.125, 0]], atol=1e-15)
    np.testing.assert_allclose(
        matrix([-0.5], 3, -0.5, False), [[0.5625 + 0.5625 - 0.0625, -0.0625, 0]], atol=1e-15
    )


def test_torch_export_knows_its_shape() -> None:
    class Model(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return sampled(x, [0.0, 0.5, 1.0], [0.5], -0.75, False)

    program = torch.export.export(Model(), (torch.zeros(1, 2, 4, 4),))
    assert [n.meta["val"].shape for n in program.graph.nodes if "sampled" in str(n.target)] == [(1, 2, 3, 1)]
