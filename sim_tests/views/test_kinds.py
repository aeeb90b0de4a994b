"""The report of networks that are no classifiers: what stands in the place of accuracy, and its numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import dnisnm_lava as dn
from dnisnm_lava.backends import batched
from dnisnm_lava.measures import Ask, Fit
from dnisnm_lava.studies.loihi2.limits import limits
from dnisnm_lava.studies.overview import Chip, Gathered, gather
from dnisnm_lava.studies.verdict import verdict

pytest.importorskip("jinja2", reason="jinja2 is not installed: the report was not tested")

from html_pages import text_of

from dnisnm_lava.views.page import page

RNG = np.random.default_rng(4)
X = RNG.random((40, 1, 8, 8)).astype(np.float32)
ABOUT = dn.About(cost_images=2, explain_images=8)


def made(model: nn.Module) -> dn.Networks:
    recipe = dn.Recipe(**{**dn.PAPER.__dict__, "steps": 8})
    return dn.build(model.eval(), X, recipe)


def pixels() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 3, 1))


def angle() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 1))


def report(nets: dn.Networks, labels: Any = None, **more: Any) -> tuple[Gathered, str]:
    found = gather(nets, X, labels, about=ABOUT, lava=dn.Lava(images=0), **more)
    rendered = page.render(found).decode()
    json.dumps(page.result(found), allow_nan=False)
    return found, text_of(rendered)


def test_targets_are_met_by_an_rmse_and_lost_by_points_of_r2() -> None:
    nets = made(angle())
    own = nets.analog.ann(X).astype(np.float64)
    targets = own + 0.3 * own.std() * RNG.normal(size=own.shape)
    found, told = report(nets, targets)
    run = batched.run(nets.integer, X)
    for t in found.steps:
        rmse = {"ANN": own, "integer": run.values(t)}
        rmse = {key: np.sqrt(np.mean((values - targets) ** 2)) for key, values in rmse.items()}
        r2 = {key: 1 - error**2 / targets.var() for key, error in rmse.items()}
        assert found.losses["integer"][t].lost == pytest.approx(r2["ANN"] - r2["integer"], abs=1e-6)
        low, high = (100 * end for end in found.losses["integer"][t].interval)
        said = verdict(found, t).grounds[0].told
        of = "95 %" if r2["ANN"] >= r2["integer"] else "95 % of the loss"
        points = 100 * abs(r2["ANN"] - r2["integer"])
        assert f" {points:.2f} points of the ANN's R2 ({of}: {low:+.2f} to {high:+.2f}, paired on 40" in said
        assert f"RMSE {rmse['integer']:#.4g}, the ANN's {rmse['ANN']:#.4g})" in said
    assert "In the place of accuracy stands the RMSE against the targets" in told
    assert "surely at most 1 point of R2 lost" in told
    assert page.result(found)["apart"][str(found.steps[-1])]["errors"]["100"] == pytest.approx(
        np.abs(run.values(found.steps[-1]) - own).max(), rel=1e-5
    )
    assert "accuracy" not in told.lower().replace("in the place of accuracy", "").replace(
        "costs accuracy", ""
    )


def test_raw_values_are_told_by_their_distance_from_the_ann() -> None:
    nets = made(pixels())
    found, told = report(nets, None, measure=Ask("values"))
    own, run = nets.analog.ann(X), batched.run(nets.integer, X)
    t = found.steps[-1]
    apart = run.values(t) - own
    deviation = np.sqrt(np.mean((own - own.mean(axis=(0, 2, 3), keepdims=True)) ** 2))
    error = 100 * np.sqrt(np.mean(apart**2)) / deviation
    texts = page._context(found)["texts"][str(t)]
    assert texts["quality.integer"] == f"{error:.2f} %"
    assert f"largest error of a value {np.abs(apart).max():.4g}" in texts["quality.more"]
    assert "ann" not in found.qualities
    assert f"it errs by {error:.2f} % of the standard deviation of the ANN's values" in (
        verdict(found, t).grounds[0].told
    )
    assert verdict(found, t).grounds[0].state == (
        "ready" if error < 9 else "not ready" if error > 11 else "open"
    )
    assert "No targets tell what is right" in told
    assert "surely at most 10 % of error" in told


def test_masks_are_told_by_the_mean_iou_and_lose_points_of_it() -> None:
    nets = made(pixels())
    masks = nets.analog.ann(X).argmax(axis=1)
    masks[:, :2] = 0
    found, told = report(nets, masks)
    t = found.steps[-1]
    score = found.score("integer", t)
    assert not isinstance(score, Fit)
    assert score.miou is not None
    texts = page._context(found)["texts"][str(t)]
    assert texts["quality.integer"] == f"{100 * score.miou:.2f} %"
    assert texts["quality.more"] == f"pixel accuracy {100 * score.value:.2f} %"
    ann = found.score("ann", t)
    assert not isinstance(ann, Fit)
    assert ann.miou is not None
    assert found.losses["integer"][t].lost == pytest.approx(ann.miou - score.miou)
    assert "of the ANN's mean IoU (95 %" in verdict(found, t).grounds[0].told
    parting = found.partings[t]
    assert f"in {sum(parting.confusion.values()):,} of 2,560 pixels" in texts["apart.told"]
    assert "In the place of accuracy stands the mean intersection over union" in told


def test_a_network_that_takes_two_chips_is_ready_where_two_are_there(tmp_path: Path) -> None:
    """On chips of one core each, made up."""
    nets = made(angle())
    needed = dn.check(nets.integer).cores
    source = Path(dn.__file__).parent / "studies/loihi2/loihi2.toml"
    small = tmp_path / "small.toml"
    text = source.read_text().replace('name = "Loihi 2"', 'name = "Tiny"')
    head, _, chip = text.partition("[chip]")
    small.write_text(f"{head}[chip]\ncores = 1\n")
    assert chip
    target = limits(small)
    one, told = report(nets, None, measure=Ask("values"), chip=Chip(target))
    enough, _ = report(nets, None, measure=Ask("values"), chip=Chip(target, chips=needed))
    assert needed > 1
    assert "design rules of Tiny fails" in verdict(one, 8).sentence
    assert f"(cores fit the chips: {needed}, at most 1)" in verdict(one, 8).sentence
    (chip_ground,) = [g for g in verdict(enough, 8).grounds if "design rules" in g.told]
    assert chip_ground.state == "ready"
    assert chip_ground.told.endswith(f"on an estimated {needed} of {needed} cores of {needed} chips, 100 %")
    assert "On Tiny" in told
    assert "Time is told of Loihi 2, whose cores and links the model is of, and not of the target's" in told
