"""What runs on a Loihi 2 board, and what can be known of it without one. Where none is, each test that needs
it skips with the reason that is true here; that the right board is chosen is tested with a presence that is
only claimed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dnisnm_lava.errors import BackendMissing, OutOfRange
from hw_tests import boards, network
from hw_tests.boards import Board, Presence

ROOT = Path(__file__).resolve().parents[1]
DEADLINE = 300.0  # seconds
FULL = Presence(lava=True, extension=True, slurm=True)


@pytest.fixture
def board() -> Board:
    try:
        return boards.select(os.environ, boards.probe())
    except BackendMissing as reason:
        pytest.skip(str(reason))


def run(where: str, what: str, folder: Path) -> np.ndarray:
    """The network's spikes, from a process whose group is ended after `DEADLINE`."""
    command = [sys.executable, "-m", "hw_tests.network", where, what, str(folder / "spikes.npy")]
    child = subprocess.Popen(
        command,
        cwd=ROOT,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        _, said = child.communicate(timeout=DEADLINE)
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
    assert child.returncode == 0, said[-2000:]
    return np.load(folder / "spikes.npy")


def layer(arriving: list[list[int]], i: int, stream: bool) -> list[list[int]]:
    """Spikes of layer i, STEPS a frame, one integer at a time (paper, Eq. 19 to 23; docs/design.md, 1.8 and
    1.9)."""
    vth, payload, bias = (
        [int(a) for a in arrays[i]] for arrays in (network.VTH, network.PAYLOAD, network.BIAS)
    )
    curved, bound = i == 2, stream and i == 1
    v, m, sent = [0 if curved else t >> 1 for t in vth], [0] * len(vth), []
    lower = [max(1, round(network.DOWN[i] * t)) for t in vth]
    band = [round(network.BAND * t) if bound else 0 for t in vth]
    for t in range(len(arriving) // network.STEPS * (network.STEPS + network.LEAD)):
        frame, step = divmod(t, network.STEPS + network.LEAD)
        row = []
        for n in range(len(vth)):
            if step < network.STEPS:
                spikes = arriving[frame * network.STEPS + step]
                v[n] += sum(int(w) * s for w, s in zip(network.WEIGHTS[i][n], spikes, strict=True))
                v[n] += bias[n] if frame == 0 else 0
            k = 0
            if step >= network.LEAD and curved:
                goal = v[n] * network.SLOPES[v[n] >= 0]
                k = (2 * goal + vth[n]) // (2 * vth[n]) - m[n]
                k = max(-network.LEVELS, min(network.LEVELS, k))
                m[n] += k
            elif step >= network.LEAD:
                rises, falls = v[n] >= vth[n] + band[n], v[n] <= -band[n]
                while (
                    rises and k < network.LEVELS and v[n] >= vth[n] and not (bound and m[n] == network.MOST)
                ):
                    v[n], m[n], k = v[n] - vth[n], m[n] + 1, k + 1
                while falls and k <= 0 and -k < network.LEVELS and v[n] <= -lower[n] and m[n] > 0:
                    v[n], m[n], k = v[n] + vth[n], m[n] - 1, k - 1
            row.append(k * payload[n])
        if step >= network.LEAD:
            sent.append(row)
    return sent


def expected(stream: bool) -> np.ndarray:
    spikes = [network.IMAGE.tolist()] * network.STEPS * (network.FRAMES if stream else 1)
    for i in range(3):
        spikes = layer(spikes, i, stream)
    return np.array(spikes).T


def frames_of(spikes: np.ndarray, stream: bool) -> list[list[int]]:
    """STEPS steps of each frame, from the first window that has a spike on; adapters may have shifted it. The
    first step of `expected` that has a spike tells where the window of that spike began."""
    ahead = np.flatnonzero(expected(stream).any(axis=0))[0]
    begin = np.flatnonzero(spikes.any(axis=0))[0] - ahead
    count = network.FRAMES if stream else 1
    windows = [begin + i * network.PERIOD + np.arange(network.STEPS) for i in range(count)]
    return spikes[:, np.concatenate(windows)].tolist()


# ---------------------------------------------------------------- equality


@pytest.mark.parametrize("what", ["images", "stream"])
def test_the_simulator_sends_what_the_design_says(what: str, tmp_path: Path) -> None:
    """The network of the board's test, on the simulator: so that a difference there is the board's."""
    pytest.importorskip("lava", reason="lava-nc is not installed")
    stream = what == "stream"
    assert (expected(stream) > 0).any()
    assert (expected(stream) < 0).any()
    assert frames_of(run("simulator", what, tmp_path), stream) == expected(stream).tolist()


@pytest.mark.parametrize("what", ["images", "stream"])
def test_the_board_sends_what_the_design_says(board: Board, what: str, tmp_path: Path) -> None:
    """Fails, with the sentence that says so, as long as NcSNM.allocate is not written
    (dnisnm_lava/procs/snm/ncmodels.py)."""
    assert frames_of(run("board", what, tmp_path), what == "stream") == expected(what == "stream").tolist()


def test_snm_has_a_neuro_core_model(board: Board) -> None:
    from lava.magma.core.resources import Loihi2NeuroCore

    from dnisnm_lava.procs.snm.ncmodels import NcSNM

    assert Loihi2NeuroCore in NcSNM.required_resources


# ---------------------------------------------------------------- the choice of a board, claimed presence


@pytest.mark.parametrize(
    ("environment", "chosen"),
    [
        ({"SLURM": "1"}, Board("N3B3")),
        ({"SLURM": "1", "PARTITION": "oheogulch_2m"}, Board("N3B3", partition="oheogulch_2m")),
        ({"PARTITION": "kp", "LOIHI_GEN": "N3C1"}, Board("N3C1", partition="kp")),
        ({"BOARD": "ncl-og-06"}, Board("N3B3", node="ncl-og-06")),
        ({"NXSDKHOST": "10.0.0.7"}, Board("N3B3", address="10.0.0.7")),
        (
            {"NXSDKHOST": "10.0.0.7", "HOST_BINARY": "bin/driver", "NOSLURM": "1"},
            Board("N3B3", address="10.0.0.7", driver="bin/driver"),
        ),
    ],
)
def test_the_environment_chooses_a_board(environment: dict[str, str], chosen: Board) -> None:
    assert boards.select(environment, FULL) == chosen


@pytest.mark.parametrize(
    ("environment", "presence", "reason"),
    [
        ({"SLURM": "1"}, Presence(False, False, True), "lava-nc is not installed in this Python"),
        ({"SLURM": "1"}, Presence(True, False, True), "Loihi 2 extension .* is not installed"),
        ({}, FULL, "no board is named: set SLURM=1"),
        ({"SLURM": "", "LOIHI_GEN": "N3B3"}, FULL, "no board is named"),
        (
            {"PARTITION": "kp"},
            Presence(True, True, False),
            "PARTITION set, but SLURM's `sinfo` is not on this machine",
        ),
    ],
)
def test_what_is_missing_is_told(environment: dict[str, str], presence: Presence, reason: str) -> None:
    with pytest.raises(BackendMissing, match=reason):
        boards.select(environment, presence)


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        (
            {"SLURM": "1", "LOIHI_GEN": "N4"},
            "LOIHI_GEN: 'N4' given; choose one of N2A2, N3B2, N3B3, N3C1, N3D1",
        ),
        ({"BOARD": "b", "PARTITION": "p"}, "BOARD=b and PARTITION=p are both set"),
        ({"NXSDKHOST": "h", "SLURM": "1", "BOARD": "b"}, "NXSDKHOST=h and SLURM and BOARD are both set"),
    ],
)
def test_a_contradiction_is_an_error_and_no_skip(environment: dict[str, str], said: str) -> None:
    with pytest.raises(OutOfRange, match=said):
        boards.select(environment, FULL)


def test_the_generations_are_lavas() -> None:
    loihi = pytest.importorskip("lava.utils.loihi", reason="lava-nc is not installed")
    assert [g.value for g in loihi.ChipGeneration] == list(boards.GENERATIONS)


@pytest.mark.parametrize(
    ("environment", "called"),
    [
        ({"SLURM": "1", "BOARD": "ncl-og-06"}, ("slurm", None, "ncl-og-06", "N3B3")),
        ({"PARTITION": "kp", "LOIHI_GEN": "N3C1"}, ("slurm", "kp", None, "N3C1")),
        ({"NXSDKHOST": "10.0.0.7"}, ("ethernet", "10.0.0.7", boards.DRIVER, "N3B3")),
    ],
)
def test_lava_is_told_of_the_board(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], called: tuple[object, ...]
) -> None:
    """With a claimed presence, up to the calls into lava.utils.loihi, which would touch the hardware."""
    loihi = pytest.importorskip("lava.utils.loihi", reason="lava-nc is not installed")
    calls: list[tuple[object, ...]] = []
    monkeypatch.setattr(boards, "probe", lambda: FULL)
    monkeypatch.setattr(
        loihi,
        "use_slurm_host",
        lambda partition, board, gen: calls.append(("slurm", partition, board, gen.value)),
    )
    monkeypatch.setattr(
        loihi,
        "use_ethernet_host",
        lambda address, binary, gen: calls.append(("ethernet", address, binary, gen.value)),
    )
    monkeypatch.setattr(network, "spikes", lambda on_board, stream: np.full((2, 3), int(on_board)))
    saved: list[int] = []
    monkeypatch.setattr(np, "save", lambda path, array: saved.append(int(array[0, 0])))
    for key in ("SLURM", "NOSLURM", "BOARD", "PARTITION", "NXSDKHOST", "HOST_BINARY", "LOIHI_GEN"):
        monkeypatch.delenv(key, raising=False)
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    network.main("board", "images", "nowhere.npy")
    assert (calls, saved) == ([called], [1])


def test_the_first_command_of_the_readme_is_the_makefiles() -> None:
    (told,) = [
        line for line in (ROOT / "hw_tests/README.md").read_text().splitlines() if "tools/setup.sh" in line
    ]
    command = told[told.index("sh tools/setup.sh") :]
    assert f"\t@{command}\n" in (ROOT / "Makefile").read_text()
    asked = subprocess.run(["sh", "tools/setup.sh"], cwd=ROOT, capture_output=True, text=True)
    assert (asked.returncode, command in asked.stderr) == (2, True)


def test_this_machine_is_only_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """The probe starts no process and sets no variable."""
    before = dict(os.environ)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("the probe ran a command"))
    assert isinstance(boards.probe(), Presence)
    assert dict(os.environ) == before
