"""`export`: an integer network as a file that runs, or is read, without this project."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dnisnm_lava.cli.options import Overwriting
from dnisnm_lava.cli.output import Result, Stages
from dnisnm_lava.cli.verb import argument, flag, option
from dnisnm_lava.errors import OutOfRange

if TYPE_CHECKING:
    from dnisnm_lava.ir import SpikingGraph


@dataclass(frozen=True, kw_only=True)
class Export(Overwriting):
    net: Path = argument(help="a netx file")
    out: Path | None = option(
        "-o",
        "--out",
        metavar="FILE",
        required=True,
        help="the file; its ending says what is written: .onnx, .pt2 (torch.export), .c (with .h) or .nir",
    )
    steps: int | None = option(help="time steps (default: the file's)")
    one_step: bool = flag(help="of .onnx: a step, with its state as inputs and outputs, not all of them")
    lossy: bool = flag(help="of .nir: write it although NIR cannot say all, and tell what is lost")


def export(args: Export, stages: Stages) -> Result:
    """A netx file as ONNX, torch.export, C or NIR, which others run without this project."""
    from rich.text import Text

    from dnisnm_lava.system.files import refuse_unwritable
    from exporters import netx

    assert args.out is not None
    kind = args.out.suffix.lower()
    if kind not in KINDS:
        raise OutOfRange(
            f"{args.out}: the ending {kind or 'is missing, and'} says not what to write; give one of "
            f"{', '.join(KINDS)}"
        )
    for given, of in ((args.one_step, ".onnx"), (args.lossy, ".nir")):
        if given and kind != of:
            raise OutOfRange(f"{args.out}: --one-step is of .onnx alone, and --lossy of .nir")
    if args.steps is not None and kind == ".nir":
        raise OutOfRange(f"{args.out}: NIR knows no steps; who runs it says how many")
    refuse_unwritable(args.out, args.overwrite)
    graph = netx.read(args.net)
    stages("write")
    facts, told = KINDS[kind](args, args.out, graph)
    data = {"network": str(args.net), "kind": kind[1:], "digest": graph.digest(), **facts}
    return Result(data, Text("\n".join([f"{args.net} is written to {facts['written'][0]}", *told])))


Told = tuple[dict[str, Any], list[str]]


def _onnx(args: Export, path: Path, graph: SpikingGraph) -> Told:
    from exporters import onnx

    write = onnx.write_step if args.one_step else onnx.write
    write(path, graph, steps=args.steps, overwrite=args.overwrite)
    size = path.stat().st_size
    return {"written": [str(path)], "bytes": size, "opset": onnx.OPSET}, [
        f"{size:,} bytes; opset {onnx.OPSET}: onnxruntime runs it, and every sum is equal"
    ]


def _torch(args: Export, path: Path, graph: SpikingGraph) -> Told:
    import torch

    from exporters import torch_export

    torch_export.write(path, graph, steps=args.steps, overwrite=args.overwrite)
    size = path.stat().st_size
    return {"written": [str(path)], "bytes": size, "torch": torch.__version__}, [
        f"{size:,} bytes; torch.export.load(...).module()(images) runs it, in torch {torch.__version__}"
    ]


def _c(args: Export, path: Path, graph: SpikingGraph) -> Told:
    from exporters import c

    found = c.write(path, graph, steps=args.steps, overwrite=args.overwrite)
    written = [str(found.source), str(found.header)]
    return {"written": written, "flash": found.flash, "ram": found.ram}, [
        f"and its header, {found.header}: {found.flash:,} bytes of constants, {found.ram:,} of state"
    ]


def _nir(args: Export, path: Path, graph: SpikingGraph) -> Told:
    from exporters import nir

    found = nir.write(path, graph, lossy=args.lossy, overwrite=args.overwrite)
    return {"written": [str(path)], "lost": list(found.lost)}, [f"lost: {what}" for what in found.lost]


KINDS: dict[str, Callable[[Export, Path, SpikingGraph], Told]] = {
    ".onnx": _onnx,
    ".pt2": _torch,
    ".c": _c,
    ".nir": _nir,
}
