"""The command line where habit expects it, and the types that an editor sees."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import pty
import re
import shlex
import subprocess
import sys
import time
import typing
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import dnisnm_lava as dn
from dnisnm_lava import cli
from dnisnm_lava.cli import manual, output
from dnisnm_lava.cli.command import meant, sentence
from dnisnm_lava.cli.narrow import fitted
from dnisnm_lava.cli.output import Result, _print
from dnisnm_lava.cli.verb import Verb
from dnisnm_lava.cli.verbs import VERBS, _parser

ROOT = Path(__file__).resolve().parents[2]
ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def verbs() -> dict[str, argparse.ArgumentParser]:
    found = next(a for a in _parser()._actions if isinstance(a, argparse._SubParsersAction))
    return dict(found.choices)


def dnisnm(*argv: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dnisnm_lava", *argv]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, env={**os.environ, **environment}, timeout=120
    )


# ---------------------------------------------------------------- help


@pytest.mark.parametrize("name", VERBS)
def test_each_verb_has_examples_that_are_understood_and_every_option_a_text(name: str) -> None:
    for example in manual.EXAMPLES[name]:
        words = shlex.split(example.partition(">")[0])
        assert words[:2] == ["dnisnm", name]
        assert _parser().parse_args(words[1:]).verb == name
    verb = verbs()[name]
    told = verb.format_help()  # --help-all
    assert "examples:" in told
    assert manual.EXIT_CODES.strip() in told
    assert {"json", "quiet"} <= {a.dest for a in verb._actions}
    assert [a.dest for a in verb._actions if not a.help] == []


@pytest.mark.parametrize("name", VERBS)
def test_help_tells_what_is_asked_first_and_names_all_else(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    first = manual.FIRST.get(name, ())
    options = [a for a in verbs()[name]._actions if a.dest != "help"]
    assert set(first) <= {a.dest for a in options}
    assert bool(first) == (len(options) > 12)
    with pytest.raises(SystemExit) as end:
        cli.main([name, "--help"])
    told = capsys.readouterr().out
    assert end.value.code == 0
    assert all(a.option_strings[-1] in told for a in options if a.option_strings)
    assert len(told.splitlines()) <= 60
    said = " ".join(told.split())
    for action in options:
        text = " ".join((action.help or "").split()) % {"default": action.default}
        assert (text in said) == (not first or action.dest in first), action.dest


@pytest.mark.parametrize("name", VERBS)
def test_an_option_is_read_as_what_mypy_takes_it_for(name: str) -> None:
    kind, _ = VERBS[name]
    groups = [part for part in kind.__mro__ if issubclass(part, Verb)]
    declared = {f.name for part in groups for f in fields(part) if f.metadata}
    if name == "compare":  # which takes --recipe several times, as `several`
        declared -= {"recipe"}
    assert declared == {a.dest for a in verbs()[name]._actions} - {"help"}
    types = typing.get_type_hints(kind)
    for action in verbs()[name]._actions:
        kinds = {types.get(action.dest), *typing.get_args(types.get(action.dest))}
        if isinstance(action.const, bool):
            assert bool in kinds, action.dest
        elif action.dest != "help" and (action.type is None or isinstance(action.type, type)):
            assert (action.type or str) in kinds, action.dest


def test_exit_codes_are_those_of_the_manual(capsys: pytest.CaptureFixture[str]) -> None:
    documented = set(re.findall(r"^  (\d+) ", manual.EXIT_CODES, re.MULTILINE)) | set(
        re.findall(r"; (\d+):", manual.EXIT_CODES)
    )
    assert documented == {"0", "1", "2", "130", "143", "141"}
    assert manual.EXIT_CODES in _parser().format_help()
    assert cli.main(["completion", "bash", "--json"]) == 0
    assert cli.main(["check", "nowhere.net"]) == 1
    with pytest.raises(SystemExit) as end:
        cli.main(["chekc", "nowhere.net"])
    assert end.value.code == 2


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["comapre"], "dnisnm: unknown verb comapre (did you mean compare?); dnisnm --help tells more"),
        (["zzz"], "dnisnm: unknown verb zzz; choose demo, convert, inspect"),
        (
            ["--verison"],
            "dnisnm: unknown option --verison (did you mean --version?); dnisnm --help tells more",
        ),
        (["energy", "a.net"], "dnisnm: unknown verb energy (did you mean costs?); dnisnm --help tells more"),
        (["compare", "--limit", "5"], "unknown option --limit (did you mean --images?)"),
        (["convert", "--images", "5"], "(did you mean --calibration-images or --fit-images?)"),
        (["inspect", "--model", "a.py:net"], "(the model stands alone: dnisnm inspect file.py:factory)"),
        (["compare", "--modle", "a.py:net"], "dnisnm compare: unknown option --modle (did you mean --model"),
        (
            ["tune", "--max-latencie=3"],
            "dnisnm tune: unknown option --max-latencie (did you mean --max-latency",
        ),
        (
            ["convert", "--data", "x"],
            "dnisnm convert: the following arguments are required: --model; dnisnm convert --help tells more",
        ),
        (
            ["simulate", "a.net", "--data", "x", "--backend", "lav"],
            "argument --backend: unknown lav (did you mean lava?)",
        ),
        (
            ["simulate", "a.net", "--data", "x", "--images", "many"],
            "argument --images: 'many' is not a whole number",
        ),
        (
            ["simulate", "a.net", "--data", "x", "--memory", "two"],
            "argument --memory: 'two' is not a size such as 500M or 2G",
        ),
        (
            ["precision", "--try-weight-bits", "a-b"],
            "argument --try-weight-bits: 'a-b' is not a range such as 2-8, or 2,4,8",
        ),
        ([], "dnisnm: the following arguments are required: VERB"),
    ],
)
def test_what_is_not_understood_is_one_sentence(
    argv: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(argv)
    out, err = capsys.readouterr()
    assert (end.value.code, out, err.count("\n")) == (2, "", 1)
    assert said in err


def test_newer_pythons_say_it_without_quotes() -> None:
    newer = "argument VERB: invalid choice: 'comapre' (choose from demo, compare)"
    assert sentence(newer) == "unknown verb comapre (did you mean compare?)"
    assert sentence("of another kind") == "of another kind"
    assert meant("zzzz", ["compare"]) == ""


def test_an_option_may_be_cut_short_and_a_value_may_look_like_one() -> None:
    args = _parser().parse_args(["check", "a.net", "--chi", "3", "--period=16"])
    assert (args.chips, args.period) == (3, 16)
    assert _parser().parse_args(["check", "--", "--a.net"]).net == Path("--a.net")


def test_versions_are_told_quickly_and_without_imports() -> None:
    program = (
        "import sys; from dnisnm_lava.cli import main\ntry: main(['--version'])\nexcept SystemExit: pass\n"
    )
    program += "print([m for m in ('torch', 'lava', 'h5py', 'matplotlib') if m in sys.modules])"
    before = time.process_time()
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert time.process_time() - before < 2
    lines = dict(
        line.rsplit(" ", 1) if "not installed" not in line else line.split(" ", 1)
        for line in done.stdout.splitlines()[:-1]
    )
    assert lines["dnisnm"] == dn.__version__
    assert {"lava-nc", "lava-dl", "torch"} <= set(lines)
    import torch

    assert lines["torch"] == torch.__version__.partition("+")[0]
    assert done.stdout.splitlines()[-1] == "[]"


def test_what_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from dnisnm_lava.cli import version

    monkeypatch.setattr(version, "PACKAGES", ("no-such-package", "numpy"))
    assert "no-such-package not installed" in version.told().splitlines()


# ---------------------------------------------------------------- completion


def test_completion_knows_verbs_options_and_choices(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("shtab", reason="shtab is not installed")
    for shell in ("bash", "zsh", "fish"):
        assert cli.main(["completion", shell]) == 0
        script = capsys.readouterr().out
        assert all(name in script for name in VERBS)
        assert "max-latency" in script


def test_bash_completes(tmp_path: Path) -> None:
    pytest.importorskip("shtab", reason="shtab is not installed")
    script = dnisnm("completion", "bash").stdout
    (tmp_path / "c.bash").write_text(script)
    (tmp_path / "some.net").touch()
    function = re.findall(r"complete .*-F (\w+) dnisnm", script)[0]

    def completed(*words: str) -> set[str]:
        line = " ".join(shlex.quote(w) for w in words)
        program = (
            f"source c.bash; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; {function}; printf "
            f"'%s\\n' \"${{COMPREPLY[@]}}\""
        )
        done = subprocess.run(
            ["bash", "-c", program], capture_output=True, text=True, cwd=tmp_path, timeout=20
        )
        return set(done.stdout.split())

    assert completed("dnisnm", "com") == {"compare", "completion"}
    assert completed("dnisnm", "simulate", "--backend", "") == {"batched", "reference", "lava"}
    assert "--max-drop" in completed("dnisnm", "tune", "--max")
    assert completed("dnisnm", "check", "so") == {"some.net"}


# ---------------------------------------------------------------- what is printed where


SHOWN = """
import sys
from rich.table import Table
from dnisnm_lava.cli.output import Result, Stages, _print, progress_bars

with progress_bars(quiet="--quiet" in sys.argv) as bars:
    stages = Stages(bars)
    stages("trace")
    stages("count")(3, 7)
    stages.finish()
_print(Result({"a": 1}, Table("a column")), as_json="--json" in sys.argv)
"""


def on_terminal(*argv: str, **environment: str) -> str:
    """All that a terminal receives from a verb of two stages and a table."""
    parent, child = pty.openpty()
    full = {**os.environ, "TERM": "xterm-256color", **environment}
    process = subprocess.Popen(
        [sys.executable, "-c", SHOWN, *argv], stdout=child, stderr=child, cwd=ROOT, env=full
    )
    os.close(child)
    received = b""
    with contextlib.suppress(OSError):  # what Linux says where the other end is closed
        while chunk := os.read(parent, 65536):
            received += chunk
    os.close(parent)
    assert process.wait(timeout=60) == 0
    return received.decode()


def test_elsewhere_a_long_stage_tells_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = iter(
        [0.0, 10.0, 30.0, 30.0, 59.0, 60.0, 60.0]
    )  # a line, asked, asked and a line, asked, asked and a line
    monkeypatch.setattr(output, "time", SimpleNamespace(monotonic=lambda: next(now)))
    stages = output.Stages(output.progress_bars(quiet=False))
    progress = stages("fit")
    for done in range(1, 5):
        progress(1000 * done, 4000)
    assert capsys.readouterr().err.splitlines() == [
        "fit ...",
        "fit: 2,000 of 4,000 ...",
        "fit: 4,000 of 4,000 ...",
    ]


def test_a_terminal_gets_bars_and_colours_where_it_wants_them() -> None:
    colour, plain, dumb, quiet = (
        on_terminal(),
        on_terminal(NO_COLOR="1"),
        on_terminal(TERM="dumb"),
        on_terminal("--quiet"),
    )
    tint = re.compile(r"\x1b\[(?:[0-9;]*;)?[39]\d(?:;[0-9;]*)?m")
    assert "━" in colour
    assert "7/7" in colour
    assert tint.search(colour)
    assert "━" in plain
    assert not tint.search(plain)
    assert not ANSI.search(dumb)
    assert dumb.split()[:4] == ["trace", "...", "count", "..."]
    assert "trace" not in quiet
    assert all("a column" in text for text in (colour, plain, dumb, quiet))


def test_a_pipe_gets_lines_and_quiet_gets_none() -> None:
    for more, stages in (((), ["trace ...", "count ..."]), (("--quiet",), []), (("--json", "--quiet"), [])):
        command = [sys.executable, "-c", SHOWN, *more]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={**os.environ, "COLUMNS": "nonsense"},
            timeout=60,
        )
        assert (done.returncode, done.stderr.splitlines()) == (0, stages)
        assert not ANSI.search(done.stdout)


def test_quiet_keeps_notices_and_json_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    layers = "torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2), torch.nn.Softmax(1)"
    Path("net.py").write_text(
        f"import torch\ndef net():\n    torch.manual_seed(0)\n    return torch.nn.Sequential({layers})\n"
    )
    x, y = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32), np.arange(9) % 2
    np.savez("data.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    given = "convert --model net.py:net --data data.npz --recipe paper --quiet --json"
    assert cli.main(given.split()) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["steps"] == 32
    assert [line.partition(":")[0] for line in err.splitlines()] == ["notice"]


def test_a_reader_that_leaves_is_no_error() -> None:
    command = f"{shlex.quote(sys.executable)} -m dnisnm_lava completion fish | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert (done.stdout, done.stderr) == ("141\n", "")


@pytest.mark.parametrize("width", [50, 80, 100])
def test_a_narrow_terminal_gets_whole_names_and_numbers(width: int) -> None:
    """In parts, where Rich would leave names out and cut numbers."""
    from rich import box
    from rich.console import Console, Group
    from rich.panel import Panel
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="a title")
    table.add_column("population", overflow="fold")
    for i in range(9):
        table.add_column(f"heading-{i}", justify="right", no_wrap=True)
    for name in ("layer1.conv1", "layer1.conv2"):
        table.add_row(name, *(f"{1000 * i:,}" for i in range(9)))
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(fitted(Panel(Group(table, "below"), expand=False), console, width))
    words, lines = (text := console.export_text()).split(), text.splitlines()
    parts = words.count("population")
    assert all(words.count(f"heading-{i}") == 1 and words.count(f"{1000 * i:,}") == 2 for i in range(9))
    assert words.count("layer1.conv1") == words.count("layer1.conv2") == parts > 1
    assert (words.count("title"), words.count("below")) == (1, 1)
    assert max(map(len, lines)) <= width
    assert "…" not in text


def test_a_wide_terminal_gets_the_table_itself() -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("a", "b")
    assert fitted(table, Console(width=80), 80) is table


def test_brackets_in_names_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Group

    _print(Result({"a": 1}, Group("written to out[bold]: a.net")), as_json=False)
    assert "out[bold]" in capsys.readouterr().out


# ---------------------------------------------------------------- types

USER = """
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, TensorDataset

import dnisnm_lava as dn
from dnisnm_lava.backends import batched
from dnisnm_lava.backends.results import Run
from exporters import netx

data: TensorDataset = TensorDataset(torch.zeros(8, 1, 4, 4), torch.zeros(8, dtype=torch.long))
loader: DataLoader[tuple[torch.Tensor, ...]] = DataLoader(data, batch_size=4)
model: torch.nn.Module = dn.load_model(torch.nn.Linear(4, 2), {"weight": torch.zeros(2, 4)})
analog: dn.AnalogGraph = dn.from_torch(model, loader)
stats: dn.Statistics = dn.calibrate(analog, loader, device=torch.device("cpu"))
spiking: dn.SpikingGraph = dn.fit(analog, dn.convert(analog, stats, steps=4), data)
read: dn.Readings = dn.readings(spiking, torch.zeros(1, 1, 4, 4))
integer: dn.SpikingGraph = dn.quantize(spiking, readings=read)
netx.write(Path("a.net"), integer, overwrite=True)
run: Run = batched.run(netx.read("a.net"), loader)
accuracy: float = run.accuracy(torch.zeros(8, dtype=torch.long), 4)
nets: dn.Networks = dn.build(model, data, dn.Recipe(steps=2))
equal: bool = dn.compare(nets, loader, lava=dn.Lava(images=0)).all_equal
latency: int = dn.tune(analog, np.zeros((8, 1, 4, 4)), dn.Target("steps", 4)).best.latency
cores: int = dn.check(integer).cores
reveal_type(dn.inspect(model, loader))
reveal_type(dn.energy(integer, loader))
reveal_type(dn.precision(nets, loader))
reveal_type(dn.load_data("x").train[0])
"""
WRONG = """
import dnisnm_lava as dn

def wrong(analog: dn.AnalogGraph, stats: dn.Statistics) -> None:
    dn.calibrate(analog, 3)
    dn.convert(analog, stats, steps="4")
    dn.fit(analog, analog, [])
    dn.tune(analog, [], dn.Target("steps", 4), mesure="values")
    dn.no_such_name
"""


@pytest.mark.campaign
def test_a_users_script_is_checked_strictly(tmp_path: Path) -> None:
    """Against the package as a user has it: among the installed ones, where py.typed decides."""
    pytest.importorskip("mypy", reason="mypy is not installed")
    site = tmp_path / "site-packages"
    site.mkdir()
    for name in ("dnisnm_lava", "exporters"):
        (site / name).symlink_to(ROOT / name)
    (tmp_path / "user.py").write_text(USER)
    (tmp_path / "wrong.py").write_text(WRONG)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "user.py", "wrong.py"]
    environment = {**os.environ, "PYTHONPATH": str(site), "MYPY_CACHE_DIR": str(ROOT / ".mypy_cache/user")}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=300)
    lines = done.stdout.splitlines()
    assert [line for line in lines if ": error" in line and not line.startswith("wrong.py")] == [], (
        done.stdout
    )
    revealed = [line.rpartition('"')[0].rpartition('"')[2] for line in lines if "Revealed" in line]
    kinds = ("frontend.coverage.Coverage", "studies.costs.energy.Costs", "studies.precision.Precision")
    assert revealed[:3] == [f"dnisnm_lava.{kind}" for kind in kinds]
    assert revealed[3].startswith("tuple[torch._tensor.Tensor,")
    assert [
        int(line.split(":")[1]) for line in lines if line.startswith("wrong.py") and ": error" in line
    ] == [5, 6, 7, 8, 9], done.stdout
