"""Long evaluations: in parts, by several processes, interrupted and gone on with; early exit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graphs import IMAGES_AND_NETWORK, small
from hypothesis import given
from hypothesis import strategies as st
from processes import ranks

from dnisnm_lava import cli, measures
from dnisnm_lava.backends import batched, reference
from dnisnm_lava.cli.blocks import _preparation
from dnisnm_lava.cli.options import DataOptions
from dnisnm_lava.data import datasets
from dnisnm_lava.data.files.preparation import Preparation
from dnisnm_lava.errors import BadFile, OutOfRange
from dnisnm_lava.evaluation import blocks, early, exits, tallies
from dnisnm_lava.evaluation.tallies import Tally
from dnisnm_lava.system.ranks import Group
from exporters import netx

IMAGES = 250  # 3 blocks: uneven over two ranks, and the last one is smaller
FAULT = """again = i in seen  # labels of some images are looked at before the first block
        seen.add(i)
        if again and os.environ.get("KILL") == os.environ.get("RANK", "0") and i >= 150:
            while not glob.glob("*.parts/*.json"):  # another rank has finished something; newer torchrun ends the job at once
                time.sleep(0.05)
            os.kill(os.getpid(), signal.SIGKILL)
        if again and os.environ.get("FAIL") and i >= 150:
            raise OSError("unreadable")
        """
DATA = "import glob, os, signal, time\n\nseen = set()\n" + IMAGES_AND_NETWORK.replace(
    "return torch.randn", FAULT + "return torch.randn"
)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a network and images."""
    monkeypatch.chdir(tmp_path)
    graph, _ = small()
    (tmp_path / "images.py").write_text(DATA)
    netx.write(Path("a.net"), graph)
    return tmp_path


def arguments(out: str, *more: str) -> list[str]:
    """The network is untrained."""
    return [
        "simulate",
        "a.net",
        "--data",
        "images.py:data",
        "--images",
        str(IMAGES),
        "--anyway",
        "-o",
        out,
        *more,
    ]


def result(path: Path) -> dict[str, Any]:
    """The result file, without the command that wrote it."""
    content = json.loads(path.read_text())
    del content["provenance"]["command_line"]
    return content


def test_ranks_give_the_result_of_one_process(place: Path) -> None:
    assert cli.main(arguments("one.json")) == 0
    done = ranks(2, arguments("two.json"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("250 images") == 1  # the first rank alone prints
    assert (place / "two.json").read_text() == (place / "one.json").read_text().replace(
        "one.json", "two.json"
    )
    assert result(place / "one.json")["images"] == IMAGES
    assert not list(place.glob("*.parts"))


def test_ranks_compare_as_one_process_does(place: Path) -> None:
    options = [
        "--model",
        "images.py:net",
        "--data",
        "images.py:data",
        "--images",
        str(IMAGES),
        "--steps",
        "4",
        "--lava-images",
        "0",
    ]
    options.append("--anyway")  # it is untrained
    assert cli.main(["compare", *options, "-o", "one"]) == 0
    done = ranks(2, ["compare", *options, "-o", "two"])
    assert done.returncode == 0, done.stderr
    assert result(place / "one/result.json") == result(place / "two/result.json")
    assert netx.read(place / "one/network.net") == netx.read(place / "two/network.net")
    assert not list(place.glob("*.parts"))


def test_a_rank_that_dies_ends_the_job_and_the_rest_is_kept(place: Path) -> None:
    assert cli.main(arguments("one.json")) == 0
    done = ranks(2, arguments("two.json"), KILL="1")
    assert done.returncode != 0
    assert "finished parts are kept: go on with --resume" in done.stderr
    assert not (place / "two.json").exists()
    assert [p.name for p in (place / "two.json.parts").iterdir()]
    assert cli.main(arguments("two.json", "--resume")) == 0
    assert (place / "two.json").read_text() == (place / "one.json").read_text().replace(
        "one.json", "two.json"
    )
    assert not list(place.glob("*.parts"))


def test_a_rank_that_fails_says_why(place: Path) -> None:
    done = ranks(2, arguments("two.json"), FAIL="1")
    assert done.returncode != 0
    assert "image 150 cannot be read (unreadable)" in done.stderr
    assert not (place / "two.json").exists()


def test_an_interrupted_run_goes_on(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FAIL", "1")
    assert cli.main(arguments("a.json")) == 1
    assert len(list((place / "a.json.parts").iterdir())) == 1
    monkeypatch.delenv("FAIL")
    assert cli.main(arguments("a.json")) == 1
    assert (
        "parts of an unfinished run; go on with --resume, or begin again with --overwrite"
        in capsys.readouterr().err
    )
    assert cli.main(arguments("a.json", "--resume", "--steps", "3")) == 1
    assert "of another network, other images, steps or options" in capsys.readouterr().err
    runs: list[int] = []
    run = batched.run
    monkeypatch.setattr(
        batched, "run", lambda graph, x, **options: runs.append(len(x)) or run(graph, x, **options)
    )
    assert cli.main(arguments("a.json", "--resume")) == 0
    assert runs == [100, 50]
    assert cli.main(arguments("b.json")) == 0
    assert result(place / "a.json") == result(place / "b.json")
    assert not list(place.glob("*.parts"))


def test_all_that_decides_an_image_decides_a_part() -> None:
    none = datasets.Labelled([], Preparation(), "none")
    covered = _preparation(DataOptions(), datasets.Data("none", none, none))
    assert set(covered) == set(DataOptions.__annotations__) - {"device"}
    assert blocks.fingerprint(images=covered) != blocks.fingerprint(images={**covered, "mean": (0.5,)})


def test_a_broken_part_is_told(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "a.json.parts").mkdir()
    (place / "a.json.parts/000001.json").write_text("{")
    assert cli.main(arguments("a.json", "--resume")) == 1
    assert "000001.json: not a part that this program wrote" in capsys.readouterr().err
    assert cli.main(arguments("a.json", "--overwrite")) == 0


def test_blocks_of_any_size_add_up() -> None:
    graph, x = small()
    labels = np.arange(len(x)) % 3
    targets = np.random.default_rng(0).normal(size=(len(x), 3))
    for right, kind in ((labels, "classes"), (np.eye(3, dtype=int)[labels], "binary"), (targets, "values")):
        measure = measures.of(graph, right, kind)
        wanted = {"labels": measure.wanted(right)}
        whole = tallies.tally(batched.run(graph, x), measure, wanted, (1, 2, 6))
        for size in (1, 2, 5):
            cut = [slice(i, i + size) for i in range(0, len(x), size)]
            parts = [
                tallies.placed(
                    tallies.tally(
                        batched.run(graph, x[i]), measure, {"labels": wanted["labels"][i]}, (1, 2, 6)
                    ),
                    i.start,
                )
                for i in cut
            ]
            assert tallies.total(parts) == whole
    run, measure = reference.run(graph, x), measures.of(graph, labels)
    whole = tallies.tally(run, measure, {"labels": labels}, (1, 2, 6))
    found = tallies.scores(whole, measure, "labels")
    assert {t: score.value for t, score in found.items()} == {t: run.accuracy(labels, t) for t in (1, 2, 6)}


def test_tallies_of_different_things_do_not_add_up() -> None:
    one: Tally = {"a": 1}
    for other in ({"b": 1}, {"a": {"b": 1}}):
        with pytest.raises(ValueError, match="do not add up"):
            tallies.total([one, other])


def test_every_rank_does_what_no_rank_has_finished(tmp_path: Path) -> None:
    """A group of three by hand, each gathering what the others would have said."""
    parts = {block: blocks.Part(str(block), {"n": block}) for block in range(7)}
    done: list[list[int]] = []

    class Three(Group):
        def gather(self, value: Any) -> list[Any]:
            others = {block: part for block, part in parts.items() if block in (2, 5)}
            return [value, others] if not done[-1] else [value, parts]

    for rank in range(3):
        done.append([])
        found = blocks.evaluate(7, lambda block: done[-1].append(block) or parts[block], Three(rank, 3), None)
        assert found == list(parts.values())
    assert done == [[0, 4], [1, 6], [3]]


def test_parts_of_another_job_are_not_taken(tmp_path: Path) -> None:
    part = blocks.Part("d", {"n": 1})
    blocks.Kept(tmp_path, "one job").write(0, part)
    assert blocks.Kept(tmp_path, "one job").read(2) == {0: part}
    with pytest.raises(BadFile, match="of another network"):
        blocks.Kept(tmp_path, "another").read(2)


# ---------------------------------------------------------------- early exit


@given(seed=st.integers(0, 10_000), confidence=st.sampled_from([0.5, 0.8, 0.95, 1.0]))
def test_a_bound_is_the_least_that_keeps_its_promise(seed: int, confidence: float) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.integers(-6, 7, (12, 5, 3)).cumsum(axis=1)
    bounds = exits.calibrate(logits, confidence).bounds
    margin, classes = exits.margins(logits), logits.argmax(axis=2)
    for t in range(4):
        keeps = {
            int(b): np.mean(classes[margin[:, t] >= b, t] == classes[margin[:, t] >= b, -1])
            for b in margin[:, t]
        }
        expected = min((b for b, share in keeps.items() if share >= confidence), default=exits.NEVER)
        assert bounds[t] == expected
    assert bounds[-1] == 0


def test_each_image_stops_at_its_first_sure_step() -> None:
    graph, x = small()
    logits = batched.run(graph, x).logits
    found = exits.calibrate(logits, 1.0)
    steps = exits.exit_steps(logits, found)
    for image, step in enumerate(steps):
        margin = [sorted(row)[-1] - sorted(row)[-2] for row in logits[image]]
        sure = [t for t in range(1, graph.steps + 1) if margin[t - 1] >= found.bounds[t - 1]]
        assert step == sure[0]
    assert (
        exits.classes_at(logits, steps) == logits[:, -1].argmax(axis=1)
    ).all()  # confidence 1, on its own images


@pytest.mark.parametrize("options", [{}, {"lead": 2}])
@pytest.mark.parametrize("confidence", [0.3, 0.9, 1.0])
def test_images_that_stop_early_are_simulated_no_further(options: dict[str, int], confidence: float) -> None:
    graph, x = small(**options)
    logits = reference.run(graph, x).logits
    found = exits.calibrate(logits, confidence)
    steps = exits.exit_steps(logits, found)
    run = early.run(graph, x, found)
    np.testing.assert_array_equal(run.steps, steps)
    np.testing.assert_array_equal(run.classes, exits.classes_at(logits, steps))
    if options:
        assert run.simulated == len(x) * graph.steps
    else:  # attempts of 1, 3 and 6 steps: who stops within one goes into no later one
        assert run.simulated == sum(1 + 3 * (s > 1) + 6 * (s > 3) for s in steps)


def test_early_exit_on_the_command_line(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*arguments("a.json"), "--confidence", "0.9", "--calibration-images", "50"]) == 0
    assert "early exit, confidence 0.9" in capsys.readouterr().out
    early = json.loads((place / "a.json").read_text())["early_exit"]
    assert early["calibration_images"] == 50
    assert 1 <= early["mean_steps"] <= 6
    assert len(early["bounds"]) == 6


def test_early_exit_needs_classes_and_as_many_steps() -> None:
    with pytest.raises(OutOfRange, match="read-outs of shape"):
        exits.calibrate(np.zeros((2, 3, 4, 5, 5)), 0.9)
    found = exits.calibrate(np.zeros((2, 3, 4)), 0.9)
    with pytest.raises(OutOfRange, match="bounds of 3 steps and a run of 2"):
        exits.exit_steps(np.zeros((2, 2, 4)), found)
