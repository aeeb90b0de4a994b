"""Limits of other chips, as files; the verdict of `check`; cheaper networks that were tried."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from math import ceil
from pathlib import Path

import numpy as np
import pytest
from command_line import DATA, LITTLE, NET, run
from command_line import place as place
from graphs import ResidualPoolNet, randomized, small

import dnisnm_lava as dn
from dnisnm_lava import cli
from dnisnm_lava.backends import batched
from dnisnm_lava.errors import BadFile, OutOfRange
from dnisnm_lava.evaluation.intervals import newcombe
from dnisnm_lava.studies.loihi2 import layers
from dnisnm_lava.studies.loihi2.limits import KEYS, LOIHI2, limits
from dnisnm_lava.studies.loihi2.rules import EVERY, RULES, named
from dnisnm_lava.studies.loihi2.suggestions import suggest
from dnisnm_lava.views import checks
from exporters import netx

PACKAGED = Path(layers.__file__).with_name("loihi2.toml").read_text()


def edited(folder: Path, *changes: tuple[str, str]) -> Path:
    """The packaged file with some of it replaced."""
    text = PACKAGED
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    file = folder / "chip.toml"
    file.write_text(text)
    return file


# ---------------------------------------------------------------- files


def test_a_copy_of_the_packaged_file_is_loihi_2(tmp_path: Path) -> None:
    assert limits(edited(tmp_path)) == limits("loihi2") == LOIHI2
    graph, _ = small()
    assert dn.check(graph, target=edited(tmp_path)) == dn.check(graph) == dn.check(graph, target="loihi2")


def test_every_key_stands_in_the_packaged_file_beside_its_source() -> None:
    for key in KEYS:
        assert re.search(rf"^(# )?{key} += \S+ +# \S", PACKAGED, re.MULTILINE), key


def test_a_smaller_chip_is_asked_its_own_rules(tmp_path: Path) -> None:
    """Half of a core's neurons, sixteen synapses a neuron, no limit of columns: worked out by hand."""
    graph, _ = small()
    file = edited(
        tmp_path,
        ('name = "Loihi 2"', 'name = "Toy"'),
        ("# neurons = 1024 ", "neurons = 4 "),
        ("# fan_in = 256 ", "fan_in = 16 "),
        ("conv_columns = 256 ", "# conv_columns = 256 "),
        ("cores = 128 ", "cores = 3 "),
    )
    found = dn.check(graph, target=file)
    assert all(row.neurons_on_core <= 4 for row in found.rows)
    assert all(row.cores >= ceil(row.neurons / 4) for row in found.rows)
    asked = [use.rule for use in found.uses]
    assert "a neuron has at most 16 synapses" in asked
    assert not any("columns" in rule for rule in asked)
    assert len(asked) == len(RULES) == len(EVERY) - 1
    wide = {row.name for row in found.rows if row.synapses > 16 * row.neurons}
    assert wide == {v.population for v in found.violations if v.rule == "a neuron has at most 16 synapses"}
    assert wide
    assert checks.verdict(found).startswith(f"DOES NOT FIT Toy: {found.cores} of 3 cores (")
    assert "not verified on it" in checks.basis(found)
    assert "with the limits of Toy" in checks.basis(found)


def test_narrower_widths_are_limits_of_the_rules_and_of_the_estimate(tmp_path: Path) -> None:
    graph, _ = small()
    file = edited(
        tmp_path, ("weight_bits = 8 ", "weight_bits = 4 "), ("state_bits = 24 ", "state_bits = 16 ")
    )
    found = {v.rule: v for v in dn.check(graph, target=file).violations}
    assert (found["weights fit 4 bits"].limit, found["expected potentials fit the state"].limit) == (7, 32767)
    assert [r.state_words for r in layers.estimate(graph, limits(file))] != [
        r.state_words for r in layers.estimate(graph)
    ]


WRONG: list[tuple[tuple[str, str], str]] = [
    (('name = "Loihi 2"', ""), "the chip has no name"),
    (
        ("synapse_words = 16000", "synaps_words = 16000"),
        "unknown key core.synaps_words .did you mean synapse_",
    ),
    (("[lists]", "[list]"), "unknown table list .did you mean lists"),
    (("cores = 128", "cores = 0"), "chip.cores is 0; give a whole number from 1 to"),
    (("cores = 128", "cores = true"), "chip.cores is True; give a whole number"),
    (("cores = 128", "cores = 12.5"), r"chip.cores is 12\.5; give a whole number"),
    (("weight_bits = 8", "weight_bits = 64"), "widths.weight_bits is 64; give a whole number from 2 to 32"),
    (
        ("reset_is_power_of_two = true", "reset_is_power_of_two = 1"),
        "time.reset_is_power_of_two is 1; give true",
    ),
    (("\nstate_words = 4095", "\n"), "core.state_words not given; docs/resources.md has the whole"),
    (
        ("synapse_words_cut = 12000", "synapse_words_cut = 16001"),
        "synapse_words_cut is 16,001, and a core has 16",
    ),
    (("[chip]", "[chip"), "is not TOML"),
    (("[chip]\ncores", "chip"), "unknown table chip|chip"),
]


@pytest.mark.parametrize(("change", "sentence"), WRONG, ids=[sentence[:30] for _, sentence in WRONG])
def test_a_wrong_file_is_refused_in_one_sentence(
    tmp_path: Path, change: tuple[str, str], sentence: str
) -> None:
    with pytest.raises(BadFile, match=sentence) as told:
        limits(edited(tmp_path, change))
    assert "\n" not in str(told.value)
    assert str(told.value).startswith(str(tmp_path / "chip.toml"))


def test_no_file_and_no_chip_is_told_so() -> None:
    with pytest.raises(
        BadFile, match=r"nowhere: no target, and cannot be read .*; give loihi2, or a TOML file"
    ):
        limits("nowhere")


# ---------------------------------------------------------------- the verdict


def test_the_verdict_counts_cores_rules_and_memory() -> None:
    graph, _ = small()
    found = dn.check(graph)
    words = sum(row.cores * (row.words + row.table_words) for row in found.rows)
    words += sum(row.neurons * row.state_words for row in found.rows)
    share = 100 * found.cores / 128
    assert checks.verdict(found) == (
        f"FITS Loihi 2: {found.cores} of 128 cores ({share:.0f} %), 14 of 14 rules; "
        f"{8 * words / 1e3:,.0f} kB of weights and state"
    )
    assert [use.rule for use in found.uses] == [named(rule) for rule in RULES]
    told = checks.check_json(found)
    assert (told["fits"], told["memory_bytes"], told["rules"]) == (True, 8 * words, 14)
    json.dumps(told, allow_nan=False)


def test_each_rule_tells_the_fullest_of_what_it_reads() -> None:
    graph, _ = small()
    uses = {use.rule: use for use in dn.check(graph).uses}
    largest = max((int(np.abs(q.weight).max()), p.name) for p in graph for q in getattr(p, "projections", ()))
    use = uses["weights fit 8 bits"]
    assert (use.value, use.limit) == (largest[0], 127)
    assert use.share == largest[0] / 127
    period = uses["the reset interval is a power of two"]
    assert (period.value, period.limit) == (8, 8)


# ---------------------------------------------------------------- suggestions


def made(labels: bool = True) -> tuple[dn.Networks, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(40, 2, 6, 6)).astype(np.float32)
    recipe = replace(dn.BEST, granularity="neuron", share="neuron")
    nets = dn.build(randomized(ResidualPoolNet(), 0), x[:16], recipe)
    return nets, x, rng.integers(0, 3, 40)


@pytest.fixture(scope="module")
def networks() -> tuple[dn.Networks, np.ndarray, np.ndarray]:
    return made()


def test_a_suggestion_is_the_network_that_its_options_make(
    networks: tuple[dn.Networks, np.ndarray, np.ndarray],
) -> None:
    """Cores, points and the paired interval: made again by `build`, and counted one by one."""
    nets, x, y = networks
    tight = replace(LOIHI2, synapse_words=30, synapse_words_cut=30)
    found = dn.check(nets.integer, target=tight)
    tried = suggest(nets, x[:16], x, y, found=found)
    assert len({s.options for s in tried}) == len(tried) == 23  # 3 who share, with v_init or not, 4 widths
    assert [(s.broken, s.cores) for s in tried] == sorted((s.broken, s.cores) for s in tried)
    before = batched.run(nets.integer, x).predictions(1)
    analog = dn.from_torch(randomized(ResidualPoolNet(), 0), x[0])
    for s in (
        tried[0],
        next(s for s in tried if "v_init" not in s.recipe.correct and s.recipe.weight_bits == 5),
    ):
        again = dn.build(analog, x[:16], s.recipe).integer
        assert s.cores == dn.check(again, target=tight).cores
        after = batched.run(again, x).predictions(1)
        both, won, lost, neither = 0, 0, 0, 0
        for a, b, right in zip(before, after, y, strict=True):
            both, won = both + (a == right == b), won + (b == right != a)
            lost, neither = lost + (a == right != b), neither + (a != right != b)
        assert s.change == pytest.approx((won - lost) / 40, abs=1e-12)  # a mean of 40 doubles of 0 and +-1
        assert s.interval == newcombe(both, won, lost, neither)
    worth = [s for s in tried if s.is_worth_it]
    assert worth
    assert all(s.cores < found.cores for s in worth)
    for s in worth:
        assert not any(
            (t.broken, t.cores) <= (s.broken, s.cores) and t.cores <= s.cores and t.change > s.change
            for t in tried
        )
    assert re.match(
        r"--\S.*: \d+ cores.*, [+-]\d+\.\d points \(95 %, paired: ", checks.suggestion_told(worth[0])
    )


def test_without_labels_points_are_of_agreement_with_the_ann(
    networks: tuple[dn.Networks, np.ndarray, np.ndarray],
) -> None:
    nets, x, _ = networks
    (first, *_) = suggest(nets, x[:16], x, found=dn.check(nets.integer))
    assert first.is_share
    assert not first.labels


def test_networks_that_know_no_recipe_cannot_be_varied(
    networks: tuple[dn.Networks, np.ndarray, np.ndarray],
) -> None:
    nets, x, y = networks
    with pytest.raises(OutOfRange, match="know no recipe"):
        suggest(replace(nets, recipe=None), x[:16], x, y, found=dn.check(nets.integer))


# ---------------------------------------------------------------- the verb


def test_check_tries_cheaper_networks_where_asked_or_where_this_one_does_not_fit(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("convert", *NET, *DATA, *LITTLE, "--anyway", "-o", "a.net", capsys=capsys)
    assert cli.main(["check", "a.net", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["suggestions"] == []
    tiny = edited(place, ("cores = 128 ", "cores = 1 "))
    assert cli.main(["check", "a.net", "--json", "--target", str(tiny)]) == 1
    out, err = capsys.readouterr()
    for verb in ("check", "report"):
        assert cli.main([verb, "a.net", "--target", str(tiny), "--rates", "none.json"]) == 1
        assert f"--rates: time is told of Loihi 2's cores and links alone, and not of --target {tiny}" in (
            capsys.readouterr().err
        )
    assert cli.main(["check", "a.net", "--images", "0", "--rates", "none.json"]) == 1
    assert "--rates: belong to the time, which --images 0 leaves out" in capsys.readouterr().err
    told = json.loads(out)
    assert (told["fits"], told["target"]["cores"], told["runtime"]) == (False, 1, None)
    assert {s["images"] for s in told["suggestions"]} == {16}
    assert "cores fit the chips" in err
    assert cli.main(["check", "a.net", "--target", str(tiny), "--suggest", "10"]) == 1
    text = " ".join(capsys.readouterr().out.replace("│", "").split())
    assert "on the same 10 images (labels)" in text
    assert text.index("DOES NOT FIT Loihi 2") < text.index("on a core: the part of the shape")


def test_a_file_that_remembers_nothing_is_told_so_and_refused_only_where_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = netx.write(tmp_path / "a.net", small()[0])
    tiny = edited(tmp_path, ("cores = 128 ", "cores = 1 "))
    assert cli.main(["check", str(file), "--target", str(tiny)]) == 1
    assert "no suggestions, which are made of the model" in " ".join(capsys.readouterr().out.split())
    assert cli.main(["check", str(file), "--suggest", "5"]) == 1
    assert "does not remember its --model; give --model" in capsys.readouterr().err


def test_the_file_of_limits_is_told_by_its_name_in_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = netx.write(tmp_path / "a.net", small()[0])
    assert cli.main(["check", str(file), "--json", "--images", "0"]) == 0
    assert json.loads(capsys.readouterr().out)["target"] == asdict(LOIHI2)
    assert cli.main(["check", str(file), "--target", str(tmp_path / "none.toml")]) == 1
    assert "no target, and cannot be read" in capsys.readouterr().err
