"""What every verb says and writes of one small network, into a folder: before a change of structure, and
after it; then `diff -r`.

    python tools/goldens.py before; ... ; python tools/goldens.py after; diff -r before after

Each command's exit code, output and error output, the files that it wrote (JSON as it is, netx files by their
datasets, pages by their text), without what differs from run to run: times, and the folder it ran in. Two
runs of the same code give equal folders.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MODEL = ["--model", "net.py:network", "--weights", "weights.pt"]
DATA = ["--data", "data.npz", "--mean", "0.88", "--std", "0.05"]
FEW = ["--calibration-images", "200", "--fit-images", "64"]
MADE = [*MODEL, *DATA, *FEW]
REFUSED = """
import torch
from torch import nn

class Refused(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(1, 4, 3), nn.LSTM(6, 4)
    def forward(self, x):
        y = torch.sort(torch.erf(self.a(x)))[0]
        return self.b(y.flatten(1).cumsum(1)[:, None, :6])[0].flatten(1)
"""
PICTURE = """
import torch
from torch import nn

class Both(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.c = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Conv2d(16, 8, 1, bias=False)
        self.norm, self.last = nn.BatchNorm2d(8), nn.Linear(8, 10)
        self.six, self.up = nn.ReLU6(), nn.Upsample(scale_factor=2)
    def forward(self, x):
        x = torch.relu(self.a(x))
        y = self.up(torch.max_pool2d(self.six(self.norm(self.b(x))), 2))
        z = torch.clamp(self.c(torch.cat([x, y], 1)) + x, 0, 2)
        return self.last(torch.relu_(self.b(z) + z).mean((2, 3)))

def both():
    return Both()
"""
COMMANDS: dict[str, list[str]] = {
    "version": ["--version"],
    "help": ["--help"],
    **{
        f"help_{verb}": [verb, "--help"]
        for verb in (
            "convert",
            "inspect",
            "check",
            "simulate",
            "verify",
            "compare",
            "predict",
            "costs",
            "tune",
            "precision",
            "explain",
            "report",
            "demo",
            "lava-env",
            "completion",
        )
    },
    "completion": ["completion", "bash"],
    "convert": ["convert", *MADE, "-o", "best.net"],
    "convert_json": ["convert", *MADE, "-o", "best_json.net", "--json"],
    "convert_binary": ["convert", *MADE, "--recipe", "binary", "-o", "binary.net"],
    "convert_paper": ["convert", *MADE, "--recipe", "paper", "--steps", "8", "-o", "paper.net"],
    "convert_dials": [
        "convert",
        *MADE,
        "--steps",
        "4",
        "--levels",
        "4",
        "--lead",
        "1",
        "--threshold",
        "mmse",
        "--correct",
        "weights,bias",
        "--share",
        "neuron",
        "--granularity",
        "neuron",
        "--weight-bits",
        "5",
        "--down",
        "0.5",
        "-o",
        "dials.net",
    ],
    "convert_gauss": ["convert", *MADE, "--threshold", "gauss", "-o", "gauss.net"],
    "convert_both": ["convert", "--model", "both.py:both", *DATA, *FEW, "--anyway", "-o", "both.net"],
    "convert_refused": ["convert", "--model", "refused.py:Refused", *DATA],
    "convert_wrong": ["convert", *MADE, "--levels", "0"],
    "inspect": ["inspect", "best.net"],
    "inspect_json": ["inspect", "best.net", "--json"],
    "inspect_model": ["inspect", "both.py:both", "--input-shape", "1,8,8", "--svg", "both.svg"],
    "inspect_model_json": ["inspect", "both.py:both", "--input-shape", "1,8,8", "--json"],
    "inspect_refused": ["inspect", "refused.py:Refused", "--input-shape", "1,8,8"],
    "inspect_refused_json": ["inspect", "refused.py:Refused", "--input-shape", "1,8,8", "--json"],
    "check": ["check", "best.net"],
    "check_json": ["check", "both.net", "--json"],
    "simulate": ["simulate", "best.net", *DATA, "--images", "150"],
    "simulate_json": [
        "simulate",
        "binary.net",
        *DATA,
        "--images",
        "100",
        "--json",
        "--confidence",
        "0.95",
        "--calibration-images",
        "100",
    ],
    "simulate_reference": [
        "simulate",
        "dials.net",
        *DATA,
        "--images",
        "10",
        "--backend",
        "reference",
        "-o",
        "simulated.json",
    ],
    "verify": ["verify", *MADE, "--images", "2"],
    "verify_json": ["verify", "paper.net", "--images", "2", "--json"],
    "compare": ["compare", *MADE, "--steps", "4", "--images", "150", "--lava-images", "2", "-o", "compared"],
    "compare_json": ["compare", "dials.net", "--images", "100", "--lava-images", "0", "--json"],
    "predict": [
        "predict",
        "binary.net",
        "--data",
        "data.npz",
        "--confidence",
        "0.95",
        "-o",
        "predicted.json",
    ],
    "predict_json": ["predict", "best.net", "--data", "data.npz", "--json"],
    "costs": ["costs", *MADE, "--steps", "2"],
    "costs_json": ["costs", "binary.net", "--json"],
    "explain": [
        "explain",
        *MADE,
        "--threshold",
        "percentile",
        "--percentile",
        "70",
        "--levels",
        "2",
        "--try",
    ],
    "explain_json": ["explain", "binary.net", "--json", "--images", "64"],
    "tune": ["tune", *MODEL, *DATA, "--fit-images", "96", "--max-latency", "16", "--out", "tuned"],
    "tune_json": [
        "tune",
        *MODEL,
        *DATA,
        "--fit-images",
        "96",
        "--max-steps",
        "1",
        "--out",
        "tuned_json",
        "--json",
    ],
    "precision": [
        "precision",
        *MADE,
        "--images",
        "60",
        "--try-weight-bits",
        "4,8",
        "--try-payload-bits",
        "1",
        "--try-state-bits",
        "16,24",
        "-o",
        "bits",
    ],
    "precision_json": ["precision", *MADE, "--images", "60", "--recipe", "binary", "--json"],
    "report": ["report", *MADE, "--steps", "2", "--images", "100", "--lava-images", "2", "-o", "report.html"],
    "report_json": [
        "report",
        "binary.net",
        "--images",
        "100",
        "--lava-images",
        "0",
        "-o",
        "report_binary.html",
        "--json",
    ],
    "unprepared": ["compare", *MODEL, "--data", "data.npz", *FEW, "--images", "100", "--lava-images", "0"],
}
SECONDS = re.compile(r"\b\d+(\.\d+)?(e-?\d+)?(?= ?(s|ms|min|h)\b)|\b\d+:\d\d(:\d\d)?\b")
TIMED = re.compile(r'("?(seconds|started|date|time)"?: )[^,}\n]*')


def main(folder: Path) -> None:
    folder.mkdir()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        subprocess.run(
            [sys.executable, "-c", "from digits_net import *; lay_out(Path('.'))"],
            cwd=place,
            env=environment(),
            check=True,
        )
        (place / "net.py").write_text(
            "from digits_net import network\n"
        )  # which says no folder: files hold its digest
        (place / "refused.py").write_text(REFUSED)
        (place / "both.py").write_text(PICTURE)
        for title, words in COMMANDS.items():
            done = subprocess.run(
                [sys.executable, "-m", "dnisnm_lava", *words],
                cwd=place,
                env=environment(),
                capture_output=True,
                text=True,
                timeout=900,
            )
            told = (
                f"$ dnisnm {' '.join(words)}\nexit code {done.returncode}\n\n{done.stdout}\n--- "
                f"errors and notices\n{done.stderr}"
            )
            (folder / f"{title}.txt").write_text(steady(told, place))
            print(title, done.returncode, flush=True)
        keep(place, folder / "files")


def environment() -> dict[str, str]:
    path = os.pathsep.join([str(ROOT), str(ROOT / "sim_tests")])
    return {
        **os.environ,
        "PYTHONPATH": path,
        "COLUMNS": "120",
        "NO_COLOR": "1",
        "OMP_NUM_THREADS": "1",
        "PYTHONHASHSEED": "0",
    }


def steady(text: str, place: Path) -> str:
    """Without times, the folder, and lines of code that warnings quote."""
    text = text.replace(str(place.resolve()), "HERE").replace(str(place), "HERE").replace(str(ROOT), "ROOT")
    text = re.sub(r"^ROOT/\S+?:\d+: (?=\w*Warning)", "", text, flags=re.MULTILINE)
    text = re.sub(r"(?<=Warning: )(.*)\n  .*$", r"\1", text, flags=re.MULTILINE)
    return SECONDS.sub("N", TIMED.sub(r"\1N", text))


def keep(place: Path, folder: Path) -> None:
    for path in sorted(p for p in place.rglob("*") if p.is_file() and "__pycache__" not in p.parts):
        to = folder / path.relative_to(place)
        to.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".net":
            to.with_suffix(".net.txt").write_text(steady(datasets(path), place))
        elif path.suffix in (".json", ".svg", ".html", ".txt", ".py"):
            to.with_name(to.name + ".txt").write_text(steady(path.read_text(), place))
        else:
            shutil.copy(path, to)


def datasets(path: Path) -> str:
    """Name, kind, shape and digest of each, and all attributes."""
    import h5py

    lines: list[str] = []

    def tell(name: str, node: h5py.Dataset | h5py.Group) -> None:
        lines.extend(f"{name} @{key} {value!r}" for key, value in sorted(node.attrs.items()))
        if isinstance(node, h5py.Dataset):
            value = node[()]
            raw = value if isinstance(value, bytes) else value.tobytes()
            shown = f" {value!r}" if isinstance(value, bytes) else ""
            lines.append(f"{name} {node.dtype} {node.shape} {shown or hashlib.sha256(raw).hexdigest()}")

    with h5py.File(path) as file:
        tell("/", file)
        file.visititems(tell)
    return "\n".join(lines)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]))
