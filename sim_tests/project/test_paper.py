"""The paper's experiments (examples/paper): the neurons without SNM, the energy equations, the published
figures, the commands."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import dnisnm_lava as dn
from dnisnm_lava.backends import batched
from dnisnm_lava.data.models import load_model
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir import SNM, AnalogGraph
from dnisnm_lava.stages import recipes
from dnisnm_lava.stages.networks import follow

pytest.importorskip("torchvision", reason="torchvision is not installed")
from examples.paper import (
    ablation,
    common,
    energy,
    few_steps,
    imagenet,
    networks,
    page,
    published,
    stepwise,
    thresholds,
    train,
)
from examples.paper.ablation import VARIANTS, Variant

SIZE, STEPS = 6, 12


def eighths(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Multiples of 1/8 within +-1: every sum of their products is exact, in whatever order."""
    return rng.integers(-8, 9, shape) / 8


def with_eighths(model: nn.Module, seed: int) -> nn.Module:
    rng = np.random.default_rng(seed)
    for parameter in model.parameters():
        parameter.data = torch.tensor(eighths(rng, *parameter.shape), dtype=torch.float32)
    return model.eval()


class Plain(nn.Module):
    """A convolution, a mean over 2x2, and two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.hidden, self.out = nn.Conv2d(2, 3, 3), nn.Linear(12, 7), nn.Linear(7, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.avg_pool2d(torch.relu(self.conv(x)), 2)
        return self.out(torch.relu(self.hidden(x.flatten(1))))


class Branched(nn.Module):
    """A shortcut and a max-pool."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.out = (
            nn.Conv2d(2, 4, 3, padding=1),
            nn.Conv2d(4, 4, 3, padding=1),
            nn.Linear(36, 4),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.first(x))
        x = torch.relu(self.second(x) + x)
        return self.out(nn.functional.max_pool2d(x, 2).flatten(1))


def images(count: int, seed: int) -> np.ndarray:
    return eighths(np.random.default_rng(seed), count, 2, SIZE, SIZE).astype(np.float32)


def analysed(model: nn.Module, x: np.ndarray) -> tuple[AnalogGraph, dn.Statistics]:
    analog = dn.from_torch(model, x[0])
    return analog, dn.calibrate(analog, [x])


# ---------------------------------------------------------------- the neurons


def oracle(
    model: Plain, maxima: list[list[float]], x: list[Any], variant: Variant
) -> tuple[list[float], int, int]:
    """One image through Plain in plain Python, one spike at a time: read-out potentials, spikes up and spikes
    down."""
    conv, hidden, out = ([m.weight.tolist(), m.bias.tolist()] for m in (model.conv, model.hidden, model.out))
    thetas = [[max(layer)] * len(layer) if variant.granularity == "layer" else layer for layer in maxima]
    v = [[theta / 2 if variant.half else 0.0 for theta in layer] for layer in thetas]
    sent_before = [[0] * len(layer) for layer in thetas]
    potentials, ups, downs = [0.0] * len(out[0]), 0, 0
    side, pooled = SIZE - 2, SIZE // 2 - 1

    def fire(layer: int) -> list[float]:
        nonlocal ups, downs
        spikes = []
        for i, theta in enumerate(thetas[layer]):
            spike = 0
            if theta > 0 and v[layer][i] >= theta:
                spike = 1
            elif variant.signed and theta > 0 and v[layer][i] <= -theta and sent_before[layer][i] > 0:
                spike = -1
            v[layer][i] -= spike * theta
            sent_before[layer][i] += spike
            ups, downs = ups + (spike > 0), downs + (spike < 0)
            spikes.append(spike * theta)
        return spikes

    for _ in range(STEPS):
        for i, (c, row, col) in enumerate(product(range(3), range(side), range(side))):
            taps = product(range(2), range(3), range(3))
            v[0][i] += conv[1][c] + sum(
                conv[0][c][k][dy][dx] * x[k][row + dy][col + dx] for k, dy, dx in taps
            )
        maps = fire(0)
        means = []
        for c, row, col in product(range(3), range(pooled), range(pooled)):
            window = product((2 * row, 2 * row + 1), (2 * col, 2 * col + 1))
            means.append(sum(maps[(c * side + y) * side + z] for y, z in window) / 4)
        for i in range(len(v[1])):
            v[1][i] += hidden[1][i] + sum(w * s for w, s in zip(hidden[0][i], means, strict=True))
        spikes = fire(1)
        for i in range(len(potentials)):
            potentials[i] += out[1][i] + sum(w * s for w, s in zip(out[0][i], spikes, strict=True))
    return potentials, ups, downs


@pytest.mark.parametrize("name", VARIANTS)
def test_every_row_of_the_ablation_equals_plain_python(name: str) -> None:
    model, x = Plain(), images(5, seed=1)
    with_eighths(model, seed=21)
    analog, stats = analysed(model, x)
    hidden = [p.name for p in ablation.network(VARIANTS[name], analog, stats, STEPS).of(SNM)]
    maxima = [stats.maxima(p).ravel().tolist() for p in hidden]
    graph = ablation.network(VARIANTS[name], analog, stats, STEPS)
    trace = stepwise.run(graph, x, [STEPS], signed=VARIANTS[name].signed, dtype=torch.float64, batch=2)
    expected = [oracle(model, maxima, image.tolist(), VARIANTS[name]) for image in x]
    np.testing.assert_array_equal(trace.logits[STEPS], [potentials for potentials, _, _ in expected])
    ups, downs = np.sum([trace.spikes[STEPS][p] for p in hidden], axis=0)
    assert (ups, downs) == (sum(up for _, up, _ in expected), sum(down for *_, down in expected))
    assert (downs > 0) == VARIANTS[name].signed


@pytest.mark.parametrize("model", [Plain, Branched])
def test_the_full_recipe_equals_the_batched_executor(model: type[nn.Module]) -> None:
    """Logits at each T and every count, in float64; a run tells of the shorter ones."""
    x = images(7, seed=3)
    graph = dn.convert(*analysed(with_eighths(model(), seed=4), x), steps=STEPS)
    steps = list(range(1, STEPS + 1))
    trace = stepwise.run(graph, x, steps, dtype=torch.float64, batch=3)
    run = batched.run(graph, x)
    np.testing.assert_array_equal(np.stack([trace.logits[t] for t in steps], axis=1), run.logits)
    assert trace.spikes[STEPS] == run.spike_counts
    assert trace.spikes[5] == batched.run(graph, x, steps=5).spike_counts
    labels = np.arange(7) % 4
    assert [trace.accuracy(labels, t) for t in steps] == [run.accuracy(labels, t) for t in steps]


def test_neurons_beyond_the_papers_are_refused() -> None:
    x = images(3, seed=5)
    analog, stats = analysed(with_eighths(Plain(), seed=6), x)
    for graph in (dn.convert(analog, stats, steps=4, levels=2), dn.convert(analog, stats, steps=4, lead=1)):
        with pytest.raises(OutOfRange, match=r"backends\.batched"):
            stepwise.run(graph, x, [4])
    with pytest.raises(OutOfRange, match="at least 1"):
        stepwise.run(dn.convert(analog, stats, steps=4), x, [0, 4])


# ---------------------------------------------------------------- networks


def test_vgg16_takes_the_shared_weights(shared: Path) -> None:
    model = load_model("examples/paper/networks.py:vgg16", shared / "weights/vgg16_c10jpeg.pt")
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())
    assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 10)


def test_resnet18_for_small_images_has_the_known_number_of_weights() -> None:
    assert sum(p.numel() for p in networks.resnet18().parameters()) == 11_173_962
    assert networks.resnet18_cifar100().eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 100)


# ---------------------------------------------------------------- energy


def test_the_energy_of_a_small_network_by_hand() -> None:
    """Conv 2 -> 3, 3x3 on 4x4 outputs: 3 * 2 * 9 * 16 = 864; 12 x 7 = 84; 7 x 4 = 28 multiplications."""
    x = images(2, seed=7)
    analog, stats = analysed(with_eighths(Plain(), seed=8), x)
    graph = dn.convert(analog, stats, steps=4)
    first, second = (p.name for p in graph.of(SNM))
    spikes = {first: (60, 12), second: (14, 0)}  # of 48 and 7 neurons, 2 images: 0.75 and 1 a neuron
    row = energy.row(graph, spikes, images=2, steps=4)
    assert [layer.operations for layer in energy.layers(graph)] == [864, 84, 28]
    own, arriving = [648.0, 84.0, 28.0], [4 * 864.0, 63.0, 28.0]
    for reading, (a, b, c) in (("own", own), ("arriving", arriving)):
        assert row["operations_snn_million"][reading] == round((a + b + c) / 1e6, 2)
        assert row["energy_drop"][reading] == pytest.approx(
            100 * ((4.6 * a + 0.9 * (b + c)) / (4.6 * 976) - 1), abs=0.005
        )
    assert row["layers"] == {first: {"up": 0.15625, "down": 0.03125}, second: {"up": 0.25, "down": 0.0}}
    assert row["firing_rate"] == round(86 / (2 * 4 * 55), 4)


# ---------------------------------------------------------------- the published figures


def test_the_tables_of_the_paper_agree_with_each_other() -> None:
    """A slip of the pen in one of them would show."""
    rows = {where: table[published.PAPER] for where, table in published.TABLE2.items()}
    assert len(rows) == 4
    assert all(
        list(row["snn"]) == ["2", "4", "8", "16", "32"]
        for table in published.TABLE2.values()
        for row in table.values()
    )
    assert published.TABLE1[published.PAPER][1] == rows["VGG-16 on CIFAR-10"]["snn"]["32"]
    assert published.TABLE3[3][3] == rows["VGG-16 on CIFAR-10"]["snn"]["4"]
    for data, part in published.TABLE5.items():
        row = rows[f"VGG-16 on {data}"]
        assert part["accuracy_ann"] == row["ann"]
        for t in ("2", "4", "8", "16"):
            assert part["steps"][t]["accuracy_snn"] == row["snn"][t]
        for column in part["steps"].values():
            points = (
                column["accuracy_snn"] - row["ann"]
            )  # Table 5 tells some drops in points, most as a share of the ANN's
            assert (
                min(
                    abs(column["accuracy_drop"] - points),
                    abs(column["accuracy_drop"] - 100 * points / row["ann"]),
                )
                < 0.006
            )
        ops, drops = (
            [c[key] for c in part["steps"].values()] for key in ("operations_snn_million", "energy_drop")
        )
        line = np.polyval(np.polyfit(ops, drops, 1), ops)  # what is spent grows by 0.9 pJ an operation
        np.testing.assert_allclose(drops, line, atol=0.25)
    assert published.TABLE4[published.PAPER]["error"] == {"32": 3.96, "64": 1.19, "128": 0.28, "256": 0.12}


@pytest.mark.parametrize(("data", "classes"), [("CIFAR-10", 10), ("CIFAR-100", 100)])
def test_the_papers_operations_are_those_of_a_vgg_with_two_convolutions_less(data: str, classes: int) -> None:
    widths = [width for stage in networks.STAGES for width in stage]
    sides = [32 >> i for i, stage in enumerate(networks.STAGES) for _ in stage]
    convolutions = [9 * a * b * side**2 for (a, b), side in zip(pairwise([3, *widths]), sides, strict=True)]
    head = 512 * 4096 + 4096 * 4096 + 4096 * classes
    assert convolutions.count(37_748_736) == 6
    assert (
        round((sum(convolutions) - 2 * 37_748_736 + head) / 1e6, 2)
        == published.TABLE5[data]["operations_ann_million"]
    )
    assert round((sum(convolutions) + 512 * 512 * 2 + 512 * 10) / 1e6, 2) == 313.73


# ---------------------------------------------------------------- the commands


@pytest.fixture
def tiny(tmp_path: Path) -> list[str]:
    """--model, --data and the like of a network that is made here, on ten images a part."""
    source = """
        import torch
        from torch import nn
        def net():
            torch.manual_seed(0)
            return nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(6, 4, 3), nn.ReLU(),
                                 nn.Flatten(), nn.Linear(16, 3))
    """
    (tmp_path / "tiny.py").write_text("\n".join(line[8:] for line in source.splitlines()))
    rng = np.random.default_rng(9)
    x = {part: rng.integers(0, 256, (10, 8, 8, 3), dtype=np.uint8) for part in ("train", "test")}
    np.savez(
        tmp_path / "tiny.npz",
        x_train=x["train"],
        x_test=x["test"],
        y_train=np.arange(10) % 3,
        y_test=np.arange(10) % 3,
    )
    options = [
        "--model",
        str(tmp_path / "tiny.py:net"),
        "--data",
        str(tmp_path / "tiny.npz"),
        "--mean",
        "0.5,0.5,0.5",
        "--std",
        "0.2,0.2,0.2",
    ]
    return [
        *options,
        "--images",
        "6",
        "--calibration-images",
        "10",
        "--fit-images",
        "4",
        "--out",
        str(tmp_path / "results"),
    ]


def written(tmp_path: Path, name: str) -> dict[str, Any]:
    """The JSON, once it and its picture are sound, and tell nothing of this machine's folders."""
    path = tmp_path / "results" / f"{name}.json"
    assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert str(tmp_path) not in path.read_text()
    found = json.loads(path.read_text())
    assert found["provenance"]["command_line"].startswith("python -m examples.paper.")
    assert found["provenance"]["digests"]["weights"] == "random"
    return found


def leaves(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from leaves(inner)
    else:
        yield value


def test_the_ablation_runs_and_draws(tiny: list[str], tmp_path: Path) -> None:
    options = ["--steps", "2", "8", "--ours-steps", "2", "--published", "VGG-16 on CIFAR-10"]
    assert ablation.main([*tiny, *options]) == 0
    found = written(tmp_path, "ablation")
    assert list(found["accuracy"]) == ["ANN", *VARIANTS, ablation.PAPER, ablation.OURS]
    assert all(0 <= share <= 100 for share in leaves(found["accuracy"]))
    assert {key: found["provenance"][key] for key in ("images", "calibration_images", "fit_images")} == {
        "images": 6,
        "calibration_images": 10,
        "fit_images": 4,
    }
    assert found["published"]["row"] == "VGG-16 on CIFAR-10"
    picture = tmp_path / "results/ablation.png"
    picture.unlink()
    assert ablation.main(["--draw", "--out", str(tmp_path / "results")]) == 0
    assert picture.exists()


def test_the_ablation_of_one_recipe_has_its_rows_alone(tiny: list[str], tmp_path: Path) -> None:
    assert ablation.main([*tiny, "--recipes", "ours", "--ours-steps", "2"]) == 0
    assert list(written(tmp_path, "ablation")["accuracy"]) == ["ANN", ablation.OURS]


def test_thresholds_of_the_same_images_correlate_wholly(tiny: list[str], tmp_path: Path) -> None:
    npz = tmp_path / "tiny.npz"
    arrays = dict(np.load(npz))
    np.savez(npz, **{**arrays, "x_test": arrays["x_train"]})
    assert thresholds.main([*tiny, "--images", "10", "--shallow", "1", "--deep", "2"]) == 0
    found = written(tmp_path, "thresholds")
    assert [row["correlation"] for row in found["layers"]] == [1.0, 1.0]
    assert [row["test_above_train"] for row in found["layers"]] == [0.0, 0.0]
    maps = found["maps"]["1"]
    np.testing.assert_array_equal(thresholds.decoded(maps["train"]), thresholds.decoded(maps["test"]))
    assert thresholds.decoded(maps["train"]).max() == pytest.approx(maps["train"]["largest"])


def test_the_energy_of_both_recipes_is_told_for_each_t(tiny: list[str], tmp_path: Path) -> None:
    assert energy.main([*tiny, "--steps", "2", "4", "--published", "CIFAR-10"]) == 0
    found = written(tmp_path, "energy")
    assert {name: list(columns) for name, columns in found["recipes"].items()} == {
        "paper": ["2", "4"],
        "ours": ["2", "4"],
    }
    assert found["recipes"]["paper"]["4"]["operations_snn_million"]["arriving"] > 0


def test_a_drop_below_nothing_is_not_told() -> None:
    assert energy.with_accuracy({}, 0.0, 0.0) == {"accuracy_snn": 0.0, "accuracy_drop": None}
    assert energy.with_accuracy({}, 45.0, 90.0)["accuracy_drop"] == -50


def test_imagenet_runs_on_a_folder_with_train_and_val(tiny: list[str], tmp_path: Path) -> None:
    folder = image_folder(tmp_path / "pictures", ("train", "val"), classes=3, each=2, side=10)
    at = tiny.index("--data")
    options = [*tiny[:at], "--data", str(folder), *tiny[at + 2 :], "--resize", "8", "--crop", "8"]
    assert imagenet.main([*options, "--steps", "2", "4", "--ours-steps", "2"]) == 0
    found = written(tmp_path, "imagenet")
    assert found["error"]["paper"]["4"] == round(
        found["accuracy"]["ANN"] - found["accuracy"]["paper"]["4"], 2
    )
    assert list(found["error"]["ours"]) == ["2"]


def test_training_writes_weights_that_the_network_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = image_folder(tmp_path / "pictures", ("train", "test"), classes=10, each=1, side=32)
    weights = tmp_path / "vgg16.pt"
    options = [
        "--network",
        "vgg16",
        "--data",
        str(folder),
        "--weights",
        str(weights),
        "--epochs",
        "1",
        "--batch",
        "5",
    ]
    assert train.main(options) == 0
    load_model("examples/paper/networks.py:vgg16", weights)
    before = weights.read_bytes()
    assert train.main(options) == 1  # exists already
    assert weights.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["pictures", "vgg16.pt"]
    assert train.main([*options, "--overwrite", "--device", "abacus"]) == 1
    assert "device: abacus cannot be used here" in capsys.readouterr().err


def image_folder(folder: Path, parts: tuple[str, str], *, classes: int, each: int, side: int) -> Path:
    rng = np.random.default_rng(10)
    for part, label, i in product(parts, range(classes), range(each)):
        place = folder / part / f"class{label}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(place / f"{i}.png")
    return folder


def test_what_is_missing_is_told_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ablation.main(["--out", str(tmp_path)]) == 1
    assert "--model and --data not given" in capsys.readouterr().err
    assert thresholds.main(["--draw", "--out", str(tmp_path)]) == 1
    assert "thresholds.json" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_command_line_tells_no_folder_of_the_machine() -> None:
    told = common.command_line(
        "energy",
        ["--data", "/some/where/cifar10-jpeg", "--weights", "../up/w.pt", "--model", "examples/a.py:b"],
    )
    assert (
        told == "python -m examples.paper.energy --data cifar10-jpeg --weights w.pt --model examples/a.py:b"
    )


def test_accuracy_at_few_steps_is_told_by_seed_and_beside_others(tiny: list[str], tmp_path: Path) -> None:
    theirs = {
        "indices": list(range(6)),
        "rows": [{"method": "M", "T": 2, "accuracy": 0.5, "correct": "101010"}],
    }
    (tmp_path / "theirs.json").write_text(json.dumps(theirs))
    at = tiny.index("--images")
    options = [
        *tiny[:at],
        "--images",
        "10",
        *tiny[at + 2 :],
        "--rows",
        "paper:2",
        "one level:2:1",
        "four levels:1",
        "one level:1:0:threshold=mmse",
        "--seeds",
        "2",
    ]
    assert few_steps.main(options) == 0
    found = written(tmp_path, "few_steps")
    assert [(r["method"], r["T"], r["lead"], r["levels"]) for r in found["rows"]] == [
        ("paper", 2, 0, 1),
        ("one level", 2, 1, 1),
        ("four levels", 1, 0, 4),
        ("one level", 1, 0, 1),
    ]
    for r in found["rows"]:
        assert r["accuracy"] == [10.0 * digits.count("1") for digits in r["correct"]]
        assert r["interval"][0] <= r["mean"] <= r["interval"][1]
    assert (
        found["rows"][1]["latency"] == found["rows"][0]["latency"] + 2
    )  # a lead of one in each of two populations
    rows = [{"method": "M", "T": 2, "accuracy": 0.5, "correct": "10" * 5}]
    same = {
        "indices": list(range(10)),
        "rows": rows,
        "versions": {"spikingjelly": "2"},
        "command": ["a", "/b"],
    }
    (tmp_path / "same.json").write_text(json.dumps(same))
    assert few_steps.main([*options, "--against", str(tmp_path / "same.json")]) == 0
    beside = written(tmp_path, "few_steps")
    assert beside["theirs"] == {"versions": {"spikingjelly": "2"}}
    assert [(r["method"], r["ours"], r["lead"]) for r in beside["against"]] == [
        ("M", "paper", 0),
        ("M", "one level", 1),
    ]
    assert few_steps.main([*options, "--against", str(tmp_path / "theirs.json")]) == 1  # of other images
    assert (
        few_steps.main(
            [*tiny, "--rows", "paper:2", "--seeds", "1", "--against", str(tmp_path / "theirs.json")]
        )
        == 1
    )


@pytest.mark.parametrize("steps", [1, 3])
def test_synaptic_operations_of_a_row_are_those_that_costs_tells(steps: int) -> None:
    x = images(5, 1)
    analog, statistics = analysed(with_eighths(Plain(), 3), x)
    network = follow(replace(recipes.BEST, steps=steps), analog, statistics, x).integer
    told = sum(p.ACs + p.MACs for p in dn.energy(network, x).populations)
    assert few_steps.synaptic_operations(network, x) == round(told) > 0


def test_mcnemars_test_counts_images_that_one_alone_gets_right() -> None:
    """0 of 8 against: 2 / 2 ** 8. By hand for 1 of 4: 2 * (1 + 4) / 16."""
    assert few_steps.mcnemar("11111111", "00000000") == {"only_ours": 8, "only_theirs": 0, "p": 2 / 256}
    assert few_steps.mcnemar("1110" + "11", "0001" + "11") == {"only_ours": 3, "only_theirs": 1, "p": 10 / 16}
    assert few_steps.mcnemar("10", "01")["p"] == 1.0
    scipy = pytest.importorskip("scipy.stats")
    assert few_steps.mcnemar("1" * 40 + "0" * 25, "0" * 40 + "1" * 25)["p"] == pytest.approx(
        scipy.binomtest(25, 65).pvalue, rel=1e-9
    )


def test_wilsons_interval_is_where_the_normal_approximation_just_accepts() -> None:
    """Its ends p solve |share - p| = Z * sqrt(p (1 - p) / n)."""
    for share in (0.03, 0.5, 0.915):
        for end in few_steps.wilson(share, 1000):
            p = end / 100
            assert abs(share - p) == pytest.approx(
                few_steps.Z * (p * (1 - p) / 1000) ** 0.5, abs=1e-4
            )  # ends are rounded to 1e-4


@pytest.mark.parametrize(
    "text", ["better:2", "paper", "paper:x", "paper:2:0:dial=3", "paper:2:0:levels", "paper:2:0:levels=x"]
)
def test_a_row_that_names_nothing_is_a_usage_error(text: str) -> None:
    with pytest.raises(SystemExit) as error:
        few_steps.main(["--rows", text])
    assert error.value.code == 2


def test_a_row_changes_the_dials_that_it_names() -> None:
    found = few_steps.row("four levels:2:1:weight_bits=4,rounding=nearest,correct=bias+v_init").recipe
    told = {"steps": 2, "lead": 1, "weight_bits": 4, "rounding": "nearest", "correct": ("bias", "v_init")}
    assert found == replace(recipes.BEST, levels=4, **told)


def test_paired_tests_follow_from_the_outcomes_that_are_kept() -> None:
    """Both sides keep a digit for each image, of the same images: counted here by arrays of truth values."""
    results = Path(__file__).resolve().parents[2] / common.RESULTS
    ours, theirs = (
        common.read_json(results / f"{name}_resnet20_lossless.json") for name in ("few_steps", "spikingjelly")
    )
    kept = {(r["method"], r["T"]): np.array(list(r["correct"])) == "1" for r in theirs["rows"]}
    rows = {(r["method"], r["T"], r["lead"]): np.array(list(r["correct"][0])) == "1" for r in ours["rows"]}
    assert len(ours["against"]) == 138
    for pair in ours["against"]:
        a, b = rows[pair["ours"], pair["T"], pair["lead"]], kept[pair["method"], pair["T"]]
        assert (pair["only_ours"], pair["only_theirs"]) == (int((a & ~b).sum()), int((b & ~a).sum()))
        assert (pair["accuracy_ours"], pair["accuracy"]) == (100 * a.sum() / 1000, 100 * b.sum() / 1000)


def test_the_page_of_the_paper_is_what_the_results_give() -> None:
    """Generated: `python -m examples.paper.page`."""
    root = Path(__file__).resolve().parents[2]
    written_page = (root / page.PAGE).read_text()
    assert page.page(root / common.RESULTS) == written_page
    for picture in re.findall(r"!\[[^]]*\]\(([^)]+)\)", written_page):
        assert (root / "docs" / picture).is_file()
    for row in published.TABLE3 + tuple(
        (name, area, accuracy) for name, (area, accuracy) in published.TABLE1.items()
    ):
        assert f"| {' | '.join(str(cell) for cell in row)} |" in written_page


def test_the_page_is_made_in_the_projects_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert page.main() == 1
    assert "docs/coverage.md and docs/results are not here" in capsys.readouterr().err


def test_a_row_beside_trained_networks_is_this_projects_own_recipe() -> None:
    """Not the paper's, with maxima of a subset either, nor one with a dial changed."""
    rows = [
        {"method": method, "T": 2, "lead": 0, "changed": changed, "levels": levels, "mean": mean}
        for method, changed, levels, mean in (
            ("paper", "", 1, 10.0),
            ("subset maxima", "", 1, 20.0),
            ("one level", "", 1, 30.0),
            ("one level", "lead=0", 1, 40.0),
            ("best", "", 31, 50.0),
            ("four levels", "", 4, 60.0),
        )
    ]
    source = {"model": "a.py:net", "data": "D", "fit_images": 256}
    found = {"few_steps_a": {"rows": rows, "accuracy_ann": 90, "provenance": source}}
    told = [line.split(" | ")[-2:] for line in page.table3(found).splitlines() if "this project" in line]
    assert told == [["30.0", "2 |"], ["50.0", "2 |"]]


def test_settings_stand_beside_each_other_where_operations_were_counted() -> None:
    """Means of the seeds; no row of another T, of a changed dial, or of before operations were counted."""
    row = {
        "method": "best",
        "T": 1,
        "levels": 31,
        "latency": 21,
        "accuracy": [90.0, 91.0],
        "agreement": [96.0, 97.0],
        "spikes": [1000, 2000],
        "operations": [1_000_000, 3_000_000],
    }
    before = {key: value for key, value in row.items() if key != "operations"}
    rows = [
        row,
        {**row, "T": 3},
        {**row, "T": 2, "changed": "down=1"},
        {**before, "method": "binary", "T": 8},
    ]
    source = {"model": "a.py:net", "data": "D", "fit_images": 1024}
    found = {"few_steps_a": {"rows": rows, "accuracy_ann": 92.0, "seeds": 2, "provenance": source}}
    told = page.defaults(found).splitlines()[-1]
    assert (
        told == "| net, D, 1,024 to fit on, 2 seeds | 92.0 | best | 1 | 31 | 90.5 | 96.5 | 1,500 | 2.0 | 21 |"
    )
    assert page.defaults(found).count("net, D") == 1
