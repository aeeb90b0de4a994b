"""The tests see: one flipped comparison, one window offset, one payload, one delay, and one of them fails."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.campaign
ROOT = Path(__file__).resolve().parents[2]
LAVA = ("backends/test_lava.py", "equals_batched and paper")
NEURON = ("ir/test_dynamics.py", "papers_neuron")
BATCHED = ("backends/test_executors.py", "batched_equals")
PYTHON = ("backends/test_executors.py", "python_integers")
RELAY = ("frontend/test_composition.py", "to_the_nearest_level")
CEILING = ("frontend/test_composition.py", "ceiling")
COMPOSED = ("whole/test_pieces.py", "is_the_model and 3x3")
PADS = ("whole/test_pieces.py", "is_the_model and roll or is_the_model and negative or is_the_model and zero")
MUTATIONS = {  # file, what it says, what it says instead, the tests that see it
    "firing up is strict": ("ir/dynamics.py", "up = alive & (v >= vth)", "up = alive & (v > vth)", *NEURON),
    "firing down is strict": ("ir/dynamics.py", "(rest >= (vth if", "(rest > (vth if", *NEURON),
    "memory lets one too many go": (
        "ir/dynamics.py",
        "np.minimum(m, levels)",
        "np.minimum(m + 1, levels)",
        *NEURON,
    ),
    "a relay is gated": (
        "ir/dynamics.py",
        "levels if two_sided else np.minimum(m, levels)",
        "np.minimum(m, levels)",
        *NEURON,
    ),
    "a relay starts its window empty": (
        "stages/conversion.py",
        "v_init=theta / 2, unit=ones, spike_unit=ones,\n        v_range=(lead",
        "v_init=0 * theta, unit=ones, spike_unit=ones,\n        v_range=(lead",
        *RELAY,
    ),
    "a relay holds on to a level": ("stages/conversion.py", "down=0.0", "down=1.0", *RELAY),
    "a ceiling is forgotten": ("stages/conversion.py", "p.ceiling) / levels", "np.inf) / levels", *CEILING),
    "channels are read in their own order": (
        "ir/projections.py",
        "x[:, self.source_channels]",
        "x[:, np.sort(self.source_channels)]",
        *PYTHON,
    ),
    "rows drive the wrong channels": (
        "ir/projections.py",
        "full[:, self.target_channels] = z",
        "full[:, np.sort(self.target_channels)] = z",
        *PYTHON,
    ),
    "batched resamples columns by rows": (
        "backends/batched/linear.py",
        "rows @ x @ cols",
        "rows @ x @ cols.abs()",
        *BATCHED,
    ),
    "composed taps overwrite each other": (
        "frontend/composition.py",
        "first.dilation[1]] += w",
        "first.dilation[1]] = w",
        *COMPOSED,
    ),
    "a pad's zeros are its first element": (
        "frontend/moves.py",
        "Layout.of(term.layout.natural, a - 1)",
        "Layout.of(term.layout.natural, np.maximum(a - 1, 0))",
        *PADS,
    ),
    "batched fires strictly": (
        "backends/batched/neurons.py",
        "k = (one if v >= guard else zero)",
        "k = (one if v > guard else zero)",
        *BATCHED,
    ),
    "a payload": (
        "backends/batched/neurons.py",
        "k * w[PAYLOAD, q] + offset",
        "k * (w[PAYLOAD, q] + (w[PAYLOAD, q] == 31)) + offset",
        *BATCHED,
    ),
    "a shortcut's silence is forgotten": (
        "backends/batched/planning.py",
        "silence = silence + per_channel",
        "silence = silence - per_channel",
        *BATCHED,
    ),
    "a max-pool on bytes forgets what it sent": (
        "backends/batched/max_pool.py",
        "best[y, x, c] = new[c]",
        "best[y, x, c] = 0",
        *BATCHED,
    ),
    "a window's offset": (
        "procs/snm/models.py",
        "self.time_step - 1 - self.offset.item()",
        "self.time_step - self.offset.item()",
        *LAVA,
    ),
    "a payload in Lava": (
        "procs/snm/models.py",
        "k * self.payload",
        "k * (self.payload + (self.payload == 31))",
        *LAVA,
    ),
    "a delay": (
        "backends/lava_cpu/child.py",
        "output(source, early)",
        "output(source, early + (early > 0))",
        "backends/test_lava.py",
        "every_length",
    ),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mutation_is_caught(name: str, tmp_path: Path) -> None:
    file, sound, broken, tests, chosen = MUTATIONS[name]
    if tests == "backends/test_lava.py" and importlib.util.find_spec("lava") is None:
        pytest.skip("lava-nc is not installed")
    for folder in ("dnisnm_lava", "exporters", "sim_tests"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    path = tmp_path / "dnisnm_lava" / file
    text = path.read_text()
    assert text.count(sound) == 1
    path.write_text(text.replace(sound, broken))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-p",
        "no:cacheprovider",
        f"sim_tests/{tests}",
        "-k",
        chosen,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert done.returncode == 1, done.stdout  # 1: tests ran, and one failed
    assert "AssertionError" in done.stdout or "assert " in done.stdout, done.stdout
