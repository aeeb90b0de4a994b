"""What a file remembers of the command that made it; what verbs take from there, and what they must not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from command_line import DATA, LITTLE, NET, refused_last, run
from command_line import place as place
from graphs import small

from dnisnm_lava import cli
from dnisnm_lava.errors import BadFile
from exporters import netx

NO_LAVA = ["--lava-images", "0"]


@pytest.fixture
def made(place: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """a.net, and what it remembers."""
    run("convert", *NET, *DATA, *LITTLE, "-o", "a.net", capsys=capsys)
    return netx.provenance("a.net")


def rewritten(**changes: Any) -> None:
    """b.net is a.net that remembers otherwise; None: not at all."""
    told = {key: value for key, value in {**netx.provenance("a.net"), **changes}.items() if value is not None}
    netx.write("b.net", netx.read("a.net"), provenance=told, overwrite=True)


def test_a_file_remembers_options_recipe_and_code(made: dict[str, Any], place: Path) -> None:
    given = {
        key: made[key]
        for key in ("model", "weights", "data", "mean", "std", "calibration_images", "fit_images", "seed")
    }
    assert given == {
        "model": "net.py:net",
        "weights": "weights.pt",
        "data": "data.npz",
        "mean": [0.5, 0.5, 0.5],
        "std": [0.2, 0.2, 0.2],
        "calibration_images": 20,
        "fit_images": 8,
        "seed": 3,
    }
    assert (made["recipe"]["steps"], made["recipe"]["levels"]) == (4, 31)
    assert len(made["code"]["model"]) == 64
    assert str(place) not in json.dumps(made)


def test_what_is_remembered_is_no_part_of_the_network(made: dict[str, Any]) -> None:
    graph = netx.read("a.net")
    netx.write("plain.net", graph)
    assert (netx.read("plain.net"), netx.provenance("plain.net")) == (graph, {})
    assert netx.read("plain.net").digest() == graph.digest()


@pytest.mark.parametrize("verb", [["explain"], ["compare", *NO_LAVA]])
def test_a_verb_on_a_file_is_the_verb_on_what_made_it(
    made: dict[str, Any], capsys: pytest.CaptureFixture[str], verb: list[str]
) -> None:
    """Every number equal, in one command without options."""
    of_model = run(*verb, *NET, *DATA, *LITTLE, capsys=capsys)
    assert cli.main([*verb, "a.net", "--json"]) == 0
    out, err = capsys.readouterr()
    assert "made anew" not in err
    of_file = json.loads(out)
    assert of_file["provenance"].pop("made_of") == made
    for found in (of_file, of_model):
        del found["provenance"]["command_line"]
    assert of_file == of_model


TUNED = [
    "--max-steps",
    "2",
    "--levels",
    "7",
    "--lead",
    "0",
    "--threshold",
    "mmse",
    "--granularity",
    "channel",
    "--down",
    "0",
    "--measure",
    "values",
    "--fit-images",
    "12",
    "--held-images",
    "6",
    "--seed",
    "3",
]


@pytest.mark.parametrize("calibrated", [24, pytest.param(18, marks=pytest.mark.campaign), 13])
def test_a_file_of_tune_is_made_anew_as_it_was(
    place: Path, capsys: pytest.CaptureFixture[str], calibrated: int
) -> None:
    """The very same network, of the images that the search split: with others for the maxima (24), without
    any, and with too few."""
    run("tune", *NET, *DATA, *TUNED, "--calibration-images", str(calibrated), "-o", "tuned", capsys=capsys)
    file = f"tuned/{cli.NET}"
    told, made_of = json.loads(Path("tuned", cli.TUNING).read_text()), netx.provenance(file)
    parts = told["split"]
    searched = min(18, calibrated)
    assert sorted(i for part in parts.values() for i in part) == sorted(
        {i for part in parts.values() for i in part}
    )
    assert {name: len(part) for name, part in parts.items()} == {
        name: made_of["split"][name] for name in parts
    }
    assert len(parts["fit"]) + len(parts["choose"]) + len(parts["confirm"]) == searched
    assert len(parts["calibrate"]) == calibrated - searched
    assert (made_of["split"]["held_images"], made_of["split"]["of"], made_of["split"]["seed"]) == (6, 24, 3)
    digests = told["provenance"]["digests"]
    for verb in (["explain"], ["compare", *NO_LAVA, "-o", "compared"]):
        assert cli.main([*verb, file, "--json"]) == 0
        out, err = capsys.readouterr()
        assert "made anew" not in err
        found = json.loads(out)["provenance"]["digests"]
        assert (found["integer"], found["float"], found["analog"]) == (
            digests["integer"],
            digests["float"],
            digests["analog"],
        )
    assert netx.provenance(f"compared/{cli.NET}") == made_of
    assert cli.main(["explain", file, "--seed", "4"]) == 0
    assert "made anew from net.py:net, its integers are others" in capsys.readouterr().err


@pytest.mark.parametrize(
    "split", [3, {}, {"held_images": "6"}, {"held_images": 1}, {"held_images": True}, [6]]
)
def test_a_split_that_is_not_understood_is_told(
    made: dict[str, Any], capsys: pytest.CaptureFixture[str], split: Any
) -> None:
    rewritten(split=split)
    assert "b.net: remembers a split of images that is not understood" in refused_last(
        "explain", "b.net", capsys=capsys
    )


def test_simulate_and_check_and_inspect_need_no_option(
    made: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    given = run("simulate", "a.net", *DATA, "--seed", "3", capsys=capsys)
    assert run("simulate", "a.net", capsys=capsys)["accuracy"] == given["accuracy"]
    for verb in ("check", "inspect"):
        assert run(verb, "a.net", capsys=capsys)["made_of"] == made
        cli.main([verb, "a.net"])
        assert (
            "made with --model net.py:net --weights weights.pt --data data.npz --mean 0.5,0.5,0.5"
            in capsys.readouterr().out
        )


def test_what_is_given_takes_the_place_of_what_is_remembered(
    made: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy("data.npz", "other.npz")
    Path("data.npz").unlink()
    assert "a.net: made with --data data.npz, and data.npz is not here (of a path outside" in refused_last(
        "explain", "a.net", capsys=capsys
    )
    given = run("simulate", "a.net", "--data", "other.npz", "--seed", "3", "--mean", "0,0,0", capsys=capsys)
    remembered = run("simulate", "a.net", "--data", "other.npz", capsys=capsys)
    assert given["provenance"]["digests"]["images"] != remembered["provenance"]["digests"]["images"]
    assert given["provenance"]["digests"]["integer"] == remembered["provenance"]["digests"]["integer"]


@pytest.mark.parametrize(("gone", "option"), [("net.py", "--model"), ("weights.pt", "--weights")])
def test_a_path_that_is_gone_is_told_with_its_option(
    made: dict[str, Any], capsys: pytest.CaptureFixture[str], gone: str, option: str
) -> None:
    Path(gone).unlink()
    said = refused_last("compare", "a.net", *NO_LAVA, capsys=capsys)
    assert f"give {option} PATH, where that lies now" in said


def test_a_file_that_remembers_nothing_says_what_to_give(
    made: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    netx.write("plain.net", netx.read("a.net"))
    assert "plain.net: does not remember its --model; give --model" in refused_last(
        "explain", "plain.net", capsys=capsys
    )
    assert "plain.net: does not remember its --data; give --data" in refused_last(
        "simulate", "plain.net", capsys=capsys
    )
    netx.write("demo.net", netx.read("a.net"), provenance={"seed": 0, "made_by": "demo"})  # as the demo does
    for verb, name in (("explain", "model"), ("compare", "model"), ("simulate", "data")):
        said = refused_last(verb, "demo.net", *(NO_LAVA if verb == "compare" else []), capsys=capsys)
        assert (
            "demo.net: was made by dnisnm demo, which trains its network on scikit-learn's digits in memory"
            in said
        )
        assert f"there is no --{name} to remember; give --{name}" in said
    assert "compare: give a .net file, or a model as --model" in refused_last(
        "compare", *DATA, *NO_LAVA, capsys=capsys
    )
    found = run("explain", "plain.net", *NET, *DATA, *LITTLE, capsys=capsys)
    assert found["provenance"]["digests"]["integer"] == netx.read("a.net").digest()


def test_a_recipe_beside_a_file_that_has_one_is_refused_last(
    made: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    for option, value in (("--levels", "2"), ("--recipe", "paper")):
        said = refused_last("explain", "a.net", option, value, capsys=capsys)
        assert f"a.net: has its own recipe, and {option} belongs to a --model; leave one of them out" in said


def test_integers_that_are_made_otherwise_are_told(
    made: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["explain", "a.net", "--seed", "4"]) == 0
    assert "a.net: made anew from net.py:net, its integers are others" in capsys.readouterr().err
    netx.write("b.net", small()[0], provenance=made)
    assert "b.net: holds other populations than net.py:net" in refused_last("explain", "b.net", capsys=capsys)


# ---------------------------------------------------------------- files of strangers


def test_code_runs_only_where_it_is_what_it_was(
    made: dict[str, Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("net.py").write_text(Path("net.py").read_text() + "\nopen('ran', 'w')\n")
    said = refused_last("explain", "a.net", capsys=capsys)
    assert (
        "a.net: made with --model net.py:net, and net.py is not what it was then; give --model "
        "net.py:net to run it" in said
    )
    rewritten(model="os:getcwd")
    assert "which is code from elsewhere, and a file alone runs none; give --model os:getcwd" in refused_last(
        "explain", "b.net", capsys=capsys
    )
    rewritten(data=f"{Path('net.py').resolve()}:data")
    assert "code from elsewhere" in refused_last("simulate", "b.net", capsys=capsys)
    Path("below").mkdir()
    monkeypatch.chdir("below")
    shutil.copy("../b.net", "b.net")
    shutil.copy("../a.net", "a.net")
    rewritten(data="../net.py:data")
    assert "code from elsewhere" in refused_last("simulate", "b.net", capsys=capsys)
    assert not list(Path("..").rglob("ran"))
    run(
        "explain",
        "a.net",
        "--model",
        "../net.py:net",
        "--weights",
        "../weights.pt",
        "--data",
        "../data.npz",
        capsys=capsys,
    )
    assert Path("ran").exists()  # asked for by name


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"mean": ["a", "b"]}, "b.net: remembers --mean a,b, which is not understood; give it"),
        ({"seed": "x"}, "b.net: remembers --seed x, which is not understood; give it"),
        ({"recipe": {"no such": 1}}, "b.net: remembers no recipe that is understood"),
        ({"recipe": [1]}, "b.net: remembers no recipe that is understood"),
    ],
)
def test_nonsense_is_a_sentence(
    made: dict[str, Any], capsys: pytest.CaptureFixture[str], changes: dict[str, Any], said: str
) -> None:
    rewritten(**changes)
    assert said in refused_last("explain", "b.net", capsys=capsys)


@pytest.mark.parametrize("text", [b"{", b"[" * 60_000, b"[]", b"3", b'{"model": "\\u001b[31m"}', b"\xff"])
def test_a_record_that_is_none_is_refused_last(made: dict[str, Any], text: bytes) -> None:
    shutil.copy("a.net", "b.net")
    with h5py.File("b.net", "a") as file:
        del file["provenance/record"]
        file["provenance/record"] = np.array([text], dtype=f"S{len(text)}")
    with pytest.raises(BadFile, match=r"b\.net: /provenance/record is"):
        netx.provenance("b.net")
    assert netx.read("b.net") == netx.read("a.net")


def test_folders_above_are_not_told(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is given as an absolute path: from this folder on where it is below, else its last part."""
    (place / "trained").mkdir()
    monkeypatch.chdir("trained")
    shutil.copy("../weights.pt", "weights.pt")
    given = [
        "--model",
        f"{place}/net.py:net",
        "--weights",
        f"{place}/trained/weights.pt",
        "--data",
        f"{place}/data.npz",
    ]
    run("convert", *given, *LITTLE, "-o", "a.net", capsys=capsys)
    found = netx.provenance("a.net")
    assert [found[key] for key in ("model", "weights", "data")] == ["net.py:net", "weights.pt", "data.npz"]
    assert str(place).encode() not in Path("a.net").read_bytes()


def test_names_of_classes_are_remembered(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("convert", *NET, "--data", "images", *LITTLE, "-o", "a.net", capsys=capsys)
    assert netx.provenance("a.net")["classes"] == ["class0", "class1", "class2"]
