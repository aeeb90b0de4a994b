"""The command line: verbs, and what each takes."""

from __future__ import annotations

import argparse
from pathlib import Path

import dnisnm_lava as dn
from dnisnm_lava.cli import manual
from dnisnm_lava.cli.answering import costs, predict
from dnisnm_lava.cli.command import Parser, with_metavars
from dnisnm_lava.cli.comparing import compare, demo
from dnisnm_lava.cli.completing import SHELLS, completion
from dnisnm_lava.cli.explaining import explain, report
from dnisnm_lava.cli.looking import check, inspect
from dnisnm_lava.cli.making import convert, lava_environment, precision, tune
from dnisnm_lava.cli.names import (
    CALIBRATION_IMAGES,
    COST_IMAGES,
    COUNTED_IMAGES,
    DEMO_LAVA_IMAGES,
    EXPLAINED_IMAGES,
    LAVA_IMAGES,
    LAVA_PYTHON,
    MODELS,
    NET,
    PAGE,
    PICTURE,
    RESULT,
    STUDY_IMAGES,
    TEST_IMAGES,
    TRIED_IMAGES,
    WEIGHTS,
)
from dnisnm_lava.cli.options import (
    _alarm_options,
    _data_options,
    _measure_options,
    _model_options,
    _precision_options,
    _tune_options,
)
from dnisnm_lava.cli.simulating import simulate, verify
from dnisnm_lava.cli.stream_options import _stream_options
from dnisnm_lava.cli.streaming import stream
from dnisnm_lava.cli.values import _bytes, _sizes
from dnisnm_lava.cli.version import Version

VERBS = {
    "demo": demo,
    "convert": convert,
    "inspect": inspect,
    "check": check,
    "simulate": simulate,
    "verify": verify,
    "compare": compare,
    "predict": predict,
    "costs": costs,
    "stream": stream,
    "tune": tune,
    "precision": precision,
    "explain": explain,
    "report": report,
    "lava-env": lava_environment,
    "completion": completion,
}


OF_A_FILE_TOO = ("verify", "compare", "costs", "stream", "explain", "report")


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = Parser(prog="dnisnm", description=dn.__doc__, epilog=manual.ALL, formatter_class=raw)
    parser.add_argument("--version", action=Version)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    add: dict[str, argparse.ArgumentParser] = {}
    for name, verb in VERBS.items():
        does = " ".join((verb.__doc__ or "").split())
        about = manual.description(name, does)
        add[name] = verbs.add_parser(
            name, help=does, description=about, epilog=manual.epilog(name), formatter_class=raw
        )
    for name in ("convert", "verify", "compare", "costs", "stream", "tune", "precision", "explain", "report"):
        _model_options(add[name], required=name not in OF_A_FILE_TOO)
        _alarm_options(add[name])
    for name in (
        "convert",
        "simulate",
        "verify",
        "compare",
        "costs",
        "tune",
        "precision",
        "explain",
        "report",
    ):
        of_a_model = name in ("tune", "precision")
        default = (
            " (default: none, with --threshold gauss or max)"
            if name == "convert"
            else " (default: what the file remembers)"
        )
        _data_options(add[name], required=of_a_model, default="" if of_a_model else default)
    _data_options(add["predict"], of="images to predict: ")
    _data_options(
        add["stream"],
        required=False,
        of="training images, of a model: ",
        default=" (default: frames of the stream)",
    )
    _stream_options(add["stream"])
    for name in ("convert", "simulate", "compare", "stream", "tune", "precision", "explain", "report"):
        _measure_options(add[name])
    _precision_options(add["precision"])
    _tune_options(add["tune"])
    for name in OF_A_FILE_TOO:
        add[name].add_argument(
            "net", nargs="?", type=Path, help="a netx file, which remembers its model, data and preparation"
        )
    for name in ("simulate", "predict"):
        add[name].add_argument("net", type=Path, help="a netx file")
        _alarm_options(add[name])
    add["check"].add_argument("net", type=Path, help="a netx file")
    add["check"].add_argument("--chips", type=int, default=1, help="chips to fit on (%(default)s)")
    add["check"].add_argument(
        "--period",
        type=int,
        metavar="STEPS",
        help="from one sample to the next (default: the shortest power of two)",
    )
    add["inspect"].add_argument("subject", metavar="SUBJECT", help=f"a netx file, or a model: {MODELS}")
    add["inspect"].add_argument("--weights", help=WEIGHTS)
    for name, where in (("inspect", ""), ("convert", ", where there is no --data")):
        add[name].add_argument(
            "--input-shape",
            type=_sizes,
            default=(),
            metavar="C,H,W",
            help=f"of one image{where} (C,L or F where it has no map)",
        )
    add["inspect"].add_argument(
        "--svg", type=Path, metavar="FILE", help="also draw the graph there (default: none)"
    )
    _data_options(add["inspect"], required=False)
    of_tests = {
        "simulate": TEST_IMAGES,
        "verify": LAVA_IMAGES,
        "compare": TEST_IMAGES,
        "precision": STUDY_IMAGES,
        "explain": EXPLAINED_IMAGES,
        "report": TEST_IMAGES,
        "costs": COUNTED_IMAGES,
    }
    for name, count in of_tests.items():
        add[name].add_argument(
            "--images", type=int, default=count, help="test images, a seeded sample of them (%(default)s)"
        )
    for name in ("simulate", "predict"):
        add[name].add_argument("--steps", type=int, help="time steps (default: the file's)")
    add["simulate"].add_argument(
        "--backend",
        choices=("batched", "reference", "lava"),
        default="batched",
        help="the executor (%(default)s)",
    )
    for option, choices in (
        ("--synapses", ("auto", "int8", "float32", "float64")),
        ("--neurons", ("auto", "compiled", "stepped")),
    ):
        add["simulate"].add_argument(
            option,
            choices=choices,
            default="auto",
            help="the batched executor's way; all are exact (%(default)s)",
        )
    for name in ("simulate", "predict"):
        also = "also " * (name == "simulate")
        add[name].add_argument(
            "--confidence",
            type=float,
            metavar="SHARE",
            help=f"{also}stop each image early: where its margin passes a bound from which this share of "
            f"calibration images keep their "
            "class",
        )
        add[name].add_argument(
            "--calibration-images",
            type=int,
            default=CALIBRATION_IMAGES,
            help="for --confidence (%(default)s)",
        )
    add["predict"].add_argument(
        "--output",
        metavar="NAME",
        help="output of the model that is told, by name or index (default: the first)",
    )
    add["predict"].add_argument(
        "--calibration",
        metavar="DATA",
        help="training images for --confidence (default: what the file remembers)",
    )
    for name in ("simulate", "costs", "explain"):
        add[name].add_argument("-o", "--out", type=Path, help="file for the result, as JSON (default: none)")
    add["predict"].add_argument(
        "-o", "--out", type=Path, help="file for the result, as JSON, or arrays as .npz (default: none)"
    )
    add["convert"].add_argument(
        "-o", "--out", type=Path, default=Path(NET), help="file to write (%(default)s)"
    )
    add["compare"].add_argument(
        "-o", "--out", type=Path, help=f"folder for {NET}, {RESULT} and {PICTURE} (default: none)"
    )
    add["report"].add_argument(
        "-o", "--out", type=Path, default=Path(PAGE), help="file to write (%(default)s)"
    )
    add["explain"].add_argument(
        "--try",
        dest="try_remedies",
        action="store_true",
        help=f"try the two likeliest remedies on {TRIED_IMAGES} test images",
    )
    add["report"].add_argument("--title", help="of the page (default: model and data, without folders)")
    add["report"].add_argument(
        "--cost-images",
        type=int,
        default=COST_IMAGES,
        help="of the test images, to count operations on (%(default)s)",
    )
    add["report"].add_argument(
        "--explain-images",
        type=int,
        default=EXPLAINED_IMAGES,
        help="of the test images, to explain (%(default)s)",
    )
    add["demo"].add_argument(
        "-o", "--out", type=Path, default=Path("demo-result"), help="folder for the results (%(default)s)"
    )
    for name, count in (("demo", DEMO_LAVA_IMAGES), ("compare", LAVA_IMAGES), ("report", LAVA_IMAGES)):
        add[name].add_argument(
            "--lava-images",
            type=int,
            help=f"test images for Lava; 0: no Lava ({count}, where Lava is installed)",
        )
    for name in ("simulate", "compare", "tune", "precision"):
        add[name].add_argument(
            "--resume",
            action="store_true",
            help="go on from the parts that an interrupted run left beside --out",
        )
    for name in ("simulate", "predict", "compare", "report"):
        add[name].add_argument(
            "--memory",
            type=_bytes,
            metavar="SIZE",
            help="for spikes and currents, such as 500M or 2G (default: a quarter of what is free)",
        )
    for name in (
        "demo",
        "convert",
        "inspect",
        "simulate",
        "compare",
        "predict",
        "costs",
        "stream",
        "tune",
        "precision",
        "explain",
        "report",
    ):
        what = {"inspect": "--svg", "stream": "--out and --write"}.get(name, "--out")
        add[name].add_argument("--overwrite", action="store_true", help=f"replace what {what} names")
    for name in ("demo", "simulate", "verify", "compare", "report"):
        add[name].add_argument(
            "--deadline",
            type=float,
            default=600.0,
            metavar="SECONDS",
            help="seconds for each run on Lava (%(default)g)",
        )
        add[name].add_argument("--lava-python", metavar="PATH", help=LAVA_PYTHON)
    add["completion"].add_argument("shell", choices=SHELLS, help="for which shell")
    for name, own in add.items():
        if name not in ("inspect", "check", "lava-env", "completion"):
            own.add_argument(
                "--seed", type=int, default=0, help="for training and for samples of images (%(default)s)"
            )
        own.add_argument("--json", action="store_true", help="print the result alone, as JSON")
        own.add_argument(
            "--quiet", action="store_true", help="no progress; notices and errors are still told"
        )
        with_metavars(own)
    return parser
