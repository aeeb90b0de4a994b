"""Thresholds, biases and initial potentials fitted population by population."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from graphs import Chain, ResidualPoolNet, randomized
from test_executors import assert_same

import dnisnm_lava as dn
from dnisnm_lava import cli, datasets, loading
from dnisnm_lava.backends import batched, lava_cpu, reference
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.fixedpoint import STATE
from dnisnm_lava.ir import SNM, AnalogGraph, Rectifier, SpikingGraph
from exporters import netx


def converted(
    model: torch.nn.Module | None = None, shape: tuple[int, ...] = (2, 6, 6), **options: Any
) -> tuple[AnalogGraph, SpikingGraph, np.ndarray]:
    x = np.random.default_rng(3).normal(size=(40, *shape)).astype(np.float32)
    analog = dn.from_torch(randomized(model or ResidualPoolNet(), 1), x[0])
    return analog, dn.convert(analog, dn.calibrate(analog, [x]), **{"steps": 4, **options}), x


def activations(analog: AnalogGraph, x: np.ndarray) -> dict[str, np.ndarray]:
    """The ANN's, by the analog graph's own projections, in float64."""
    values: dict[str, np.ndarray] = {analog.input.name: x.astype(np.float64)}
    for p in analog.populations[1:]:
        if isinstance(p, Rectifier):
            values[p.name] = np.maximum(sum(q(values[q.source]) for q in p.projections) + p.bias, 0)
        elif hasattr(p, "window"):
            from dnisnm_lava.synapses import max_pool

            values[p.name] = max_pool(values[p.source], p.window)
    return values


def errors(analog: AnalogGraph, graph: SpikingGraph, x: np.ndarray) -> dict[str, float]:
    """Of each rectifier: mean squared error of the mean spikes against the ANN's activation."""
    sent = batched.run(graph, x, record=True).spikes
    ann = activations(analog, x)
    return {p.name: float(np.mean((sent[p.name].mean(axis=1) - ann[p.name]) ** 2)) for p in graph.of(SNM)}


@pytest.mark.parametrize("options", [{}, {"lead": 2}, {"granularity": "channel"}, {"steps": 2, "levels": 2, "lead": 1}])
def test_spikes_come_nearer_to_the_ann(options: dict[str, Any]) -> None:
    analog, spiking, x = converted(**options)
    before, after = errors(analog, spiking, x), errors(analog, dn.fit(analog, spiking, x), x)
    assert sum(after.values()) < sum(before.values())
    assert list(after.values())[-1] < list(before.values())[-1]


def test_mean_currents_become_the_anns() -> None:
    """The ANN's sums are in float32, of fewer than 100 terms: relative error below 100 * 2**-24 of the largest."""
    analog, spiking, x = converted()
    fitted = dn.fit(analog, spiking, x)
    run = batched.run(fitted, x, record=True)
    ann = activations(analog, x)
    values = {analog.input.name: x[:, None].astype(np.float64), **run.spikes}
    for p in fitted.of(SNM):
        own = analog[p.name]
        heard = sum(q(values[q.source].mean(axis=1)) for q in p.projections) + p.bias
        meant = sum(q(ann[q.source]) for q in own.projections) + own.bias
        difference = (heard - meant).mean(axis=(0, *range(2, heard.ndim)))
        assert np.abs(difference).max() < 100 * 2**-24 * max(np.abs(meant).max(), np.abs(heard).max())


def test_without_choices_and_corrections_nothing_changes() -> None:
    analog, spiking, x = converted()
    assert dn.fit(analog, spiking, x, scales=(1.0,), correct_bias=False, correct_v_init=False) == spiking


def test_the_best_scale_is_the_best_of_all_tried() -> None:
    """Of the first population, whose currents do not depend on others: by running each scale on its own."""
    analog, spiking, x = converted(Chain(), (6,))
    scales = (0.4, 0.7, 1.0)
    fitted = dn.fit(analog, spiking, x, scales=scales, correct_bias=False, correct_v_init=False)
    name = spiking.of(SNM)[0].name
    alone = [dn.fit(analog, spiking, x, scales=(s,), correct_bias=False, correct_v_init=False) for s in scales]
    ann = activations(analog, x)[name]
    by_scale = np.stack([np.sum((batched.run(g, x, record=True).spikes[name].mean(axis=1) - ann) ** 2, axis=0) for g in alone])
    chosen = fitted[name].vth / spiking[name].vth  # type: ignore[union-attr]
    alive = spiking[name].vth > 0  # type: ignore[union-attr]
    np.testing.assert_allclose(chosen[alive], np.array(scales)[by_scale.argmin(axis=0)][alive], rtol=1e-12)  # one product's rounding


def test_what_is_fitted_is_the_same_in_every_executor(tmp_path: Path) -> None:
    analog, spiking, x = converted(levels=2, lead=1)
    fitted = dn.fit(analog, spiking, x)
    integer = dn.quantize(fitted)
    assert any((p.v_init != p.vth >> 1).any() for p in integer.of(SNM))
    run = batched.run(integer, x[:4], record=True)
    assert_same(reference.run(integer, x[:4]), run)
    assert netx.read(netx.write(tmp_path / "a.net", integer)) == integer
    pytest.importorskip("lava", reason="lava-nc is not installed")
    assert_same(run, lava_cpu.run(integer, x[:4]))


def test_a_shifted_potential_keeps_its_shift_in_integers() -> None:
    analog, spiking, x = converted()
    fitted = dn.fit(analog, spiking, x)
    integer = dn.quantize(fitted)
    for p, q in zip(fitted.of(SNM), integer.of(SNM), strict=True):
        unit = (q.unit / p.unit).reshape(-1, *(1,) * (len(p.shape) - 1))
        shift = np.where(q.vth > 0, np.rint((p.v_init - p.vth / 2) / unit), 0)
        np.testing.assert_array_equal(q.v_init, np.where(q.vth > 0, (q.vth >> 1) + shift, 0))
        assert np.abs(q.v_init).max() <= STATE.limit


def test_what_cannot_be_fitted_is_refused() -> None:
    analog, spiking, x = converted()
    with pytest.raises(OutOfRange, match="fit: the graph holds integers already"):
        dn.fit(analog, dn.quantize(spiking), x)
    for scales in ((), (0.5, 0.0)):
        with pytest.raises(OutOfRange, match=r"scales: .* given; give numbers above 0"):
            dn.fit(analog, spiking, x, scales=scales)
    with pytest.raises(OutOfRange, match="fit: 200 levels a step, it keeps"):
        dn.fit(analog, converted(levels=200)[1], x)


def test_resnet20_at_four_steps(shared: Path) -> None:
    """Fitted on 64 images, it meets at least 15 of 100 labels more than the paper's recipe."""
    data = datasets.load(str(shared / "cifar10-lossless-subset.npz"), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    spec = str(Path(__file__).resolve().parents[1] / "examples/resnet20.py") + ":resnet20"
    model = loading.load_model(spec, str(shared / "weights/resnet20-12fca82f.th"), (3, 32, 32))
    x, _ = datasets.arrays(data.train, datasets.choose(data.train, 400, 0))
    test, labels = datasets.arrays(data.test, datasets.choose(data.test, 200, 0))
    analog = dn.from_torch(model, x[0])
    spiking = dn.convert(analog, dn.calibrate(analog, [x]), steps=4)
    before, after = (dn.quantize(graph) for graph in (spiking, dn.fit(analog, spiking, x[:64])))
    shares = [batched.run(graph, test).accuracy(labels, 4) for graph in (before, after)]
    assert shares[1] > shares[0] + 0.15


def test_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(
        "import torch\n\ndef net():\n    torch.manual_seed(0)\n    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), "
        "torch.nn.Flatten(), torch.nn.Linear(64, 3))\n"
    )
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (30, 6, 6, 3), dtype=np.uint8), np.arange(30) % 3
    np.savez("data.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    digests = []
    for options in ([], ["--threshold", "sequential", "--fit-images", "20"]):
        command = [
            "convert",
            "--model",
            "net.py:net",
            "--data",
            "data.npz",
            "--steps",
            "4",
            "-o",
            f"{len(options)}.net",
            "--json",
            *options,
        ]
        assert cli.main(command) == 0
        digests.append(json.loads(capsys.readouterr().out)["digest"])
    assert digests[0] != digests[1]
