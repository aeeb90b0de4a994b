"""`demo`, `compare`: ANN, float SNN, integer SNN and Lava beside each other."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import dnisnm_lava as dn
from dnisnm_lava.cli import remembering
from dnisnm_lava.cli.alarms import _failed
from dnisnm_lava.cli.blocks import Blocks, _allowed_to_finish, _blocks, _in_blocks
from dnisnm_lava.cli.names import (
    BLOCK,
    COST_IMAGES,
    DEMO,
    DEMO_LAVA_IMAGES,
    NET,
    NOT_EQUAL,
    PICTURE,
    RESULT,
    TEST_IMAGES,
)
from dnisnm_lava.cli.networks import _network
from dnisnm_lava.cli.options import (
    InMemory,
    LavaOptions,
    LavaToo,
    OfModelOrFile,
    Overwriting,
    Resumable,
    Seeded,
    TargetOptions,
    images_option,
    lava_images_option,
    out_option,
)
from dnisnm_lava.cli.output import Result, Stages, _with_place
from dnisnm_lava.cli.reading import _check_labels, _data, _targets, _title, _told_labels
from dnisnm_lava.cli.shared import _provenance, _recall, _settled_lava
from dnisnm_lava.cli.values import _sizes
from dnisnm_lava.cli.verb import option

if TYPE_CHECKING:
    from dnisnm_lava.backends.lava_cpu import Lava
    from dnisnm_lava.evaluation import tallies
    from dnisnm_lava.evaluation.comparison import Comparison, OnLava
    from dnisnm_lava.evaluation.outputs import Wanted
    from dnisnm_lava.stages.networks import Networks


@dataclass(frozen=True, kw_only=True)
class Demo(LavaToo, Overwriting, LavaOptions, Seeded):
    out: Path = out_option("folder for the results", "demo-result")
    lava_images: int | None = lava_images_option(DEMO_LAVA_IMAGES)


def demo(args: Demo, stages: Stages) -> Result:
    """scikit-learn's digits: train, calibrate, convert, quantize, write, read back, verify, compare."""
    from dnisnm_lava.data import digits
    from dnisnm_lava.evaluation.comparison import compare
    from dnisnm_lava.system.files import whole_folder
    from exporters import netx

    lava = _settled_lava(args)
    with whole_folder(args.out, overwrite=args.overwrite) as folder:
        x_train, y_train, x_test, y_test = digits.digits(args.seed)
        model = digits.train(x_train, y_train, args.seed, stages("train"))
        made = dn.build(
            model,
            x_train,
            replace(dn.PAPER, steps=digits.STEPS),
            dn.Samples(calibration=len(x_train)),
            stages=stages,
        )
        integer = netx.read(
            netx.write(folder / NET, made.integer, provenance={"seed": args.seed, "made_by": DEMO})
        )
        nets = replace(made, integer=integer)
        comparison = compare(nets, x_test, y_test, lava=lava, session=dn.Session(stages=stages))
        provenance = _provenance(args, nets.analog, nets.spiking, integer, x_test, y_test, lava=lava)
        result = _comparison_result(comparison, provenance, "scikit-learn digits")
        _write_results(folder, result, comparison, "scikit-learn digits")
    return _with_place(result, args.out)


@dataclass(frozen=True, kw_only=True)
class Compare(OfModelOrFile, TargetOptions, LavaToo, Resumable, InMemory, Overwriting, LavaOptions, Seeded):
    recipe: str = "best"
    several: list[str] = option(
        "--recipe",
        action="append",
        metavar="RECIPE",
        help="best (graded spikes), binary (spikes of 1 and -1 alone), paper, or a JSON file of tune's; "
        "several times: several networks in one figure (best)",
    )
    at: tuple[int, ...] = option(
        type=_sizes, default=(), metavar="T,T,...", help="a network made for each of these T, in one figure"
    )
    images: int = images_option(TEST_IMAGES)
    cost_images: int | None = option(
        metavar="N",
        help=f"test images whose spikes and energies are counted one by one; 0: none (default: 0, "
        f"{COST_IMAGES} for several networks)",
    )
    out: Path | None = out_option(
        f"folder for {NET}, {RESULT} and {PICTURE}; of several networks, for all theirs"
    )


def compare(args: Compare, stages: Stages) -> Result:
    """ANN, float SNN, integer SNN and Lava: accuracy at every T, and what equals what; of several recipes, or
    of networks made for several T, in one figure."""
    from dnisnm_lava.cli import comparing_several

    made = comparing_several.each(args)
    if len(made) > 1:
        return comparing_several.compared(args, made, stages)
    (only,) = made
    return _compared(only.args, stages)


def _compared(args: Compare, stages: Stages, together: str = "") -> Result:
    """One network. together: the name of those that it is made with, each for its T."""
    from dnisnm_lava.evaluation import blocks as shards
    from dnisnm_lava.evaluation import comparison, marks, origin, outputs, tallies
    from dnisnm_lava.system import ranks
    from dnisnm_lava.system.files import refuse_full, whole_folder
    from exporters import netx

    with ranks.joined(args.device) as group:
        args = _allowed_to_finish(args)
        if args.out:
            refuse_full(args.out, args.overwrite)
        lava = _settled_lava(args)
        args = _recall(args)
        data = _data(args)
        blocks = _blocks(args, data, _targets(args, data))
        check = partial(_check_labels, blocks.dataset, blocks.chosen, args.ask, blocks.targets)
        network, set_up = group.broadcast(_network(args, data, group, stages, check=check))
        steps = comparison.checked(
            tuple(sorted({*comparison.STEPS, network.integer.steps})), network.integer.steps, lava.images
        )
        graphs = network.analog, network.spiking, network.integer
        x, y = blocks.first
        aim = outputs.wanted(network.analog, len(x), _told_labels(y), blocks.own(0), args.ask)
        measure = aim.measure

        def work(x: np.ndarray, y: np.ndarray | None, own: outputs.Targets) -> tallies.Tally:
            part = outputs.as_before(aim, network.analog, len(x), y, own)
            return comparison.tallied(
                network,
                x,
                part.labels,
                measure=measure,
                steps=steps,
                further=part.further,
                session=dn.Session(group.device, args.memory),
            )

        stages("ANN, float SNN, integer SNN")
        covered: dict[str, Any] = {"networks": [g.digest() for g in graphs], "steps": steps}
        if blocks.targets:
            covered["targets"] = {str(k): origin.array_digest(y) for k, y in blocks.targets.items()}
        with _in_blocks(args, data, blocks, covered, work, group, stages) as parts:
            if not group.is_first:
                return Result({}, "")
            on_lava = _on_lava(lava, blocks, network, aim, steps, group.device, stages)
            summed = tallies.total(part.tally for part in parts)
            kept = marks.joined([part.tally for part in parts], measure)
            found = comparison.comparison(network.integer, measure, summed, on_lava, set_up, aim.measures)
            compared = replace(found, marks=kept)
            assert network.recipe is not None
            provenance = _provenance(args, *graphs, data=data, lava=lava)
            provenance["recipe"] = asdict(network.recipe)
            provenance["digests"]["images"] = shards.digest(parts)
            result = _comparison_result(compared, provenance, _title(args))
            more = _costs(args, network.integer, blocks, steps, stages)
            if together:
                more["made_together"] = together
            result = replace(result, data={**result.data, "heading": measure.name, **more})
            result = replace(result, failed=_failed(args, compared.alarms, result.failed))
            if args.out is None:
                return result
            made_of = args.made_of or remembering.record(args, network.recipe, data)
            with whole_folder(args.out, overwrite=args.overwrite) as folder:
                netx.write(folder / NET, network.integer, provenance=made_of)
                _write_results(folder, result, compared, _title(args))
            return _with_place(result, args.out)


def _costs(
    args: Compare, graph: dn.SpikingGraph, blocks: Blocks, steps: tuple[int, ...], stages: Stages
) -> dict[str, Any]:
    """latency: {T: steps until the read-out has all of them}; costs: energies of some images, pJ of one."""
    begin = graph.window_starts()[graph.readout.name]
    found: dict[str, Any] = {"latency": {str(t): begin + t for t in steps}}
    if args.cost_images:
        x = blocks.first[0][: args.cost_images]
        told = dn.energy(graph, x, progress=stages("energies"))
        paper = told.paper.energy_snn["arriving"]
        energy = {"chip": told.chip.total, "arithmetic": told.quantized.snn, "paper": paper}
        found["costs"] = {
            "images": len(x),
            "steps": told.steps,
            "energy": energy,
            "energy_ann": {"arithmetic": told.quantized.ann, "paper": told.paper.energy_ann},
        }
    return found


def _on_lava(
    lava: Lava,
    blocks: Blocks,
    network: Networks,
    aim: Wanted,
    steps: tuple[int, ...],
    device: str,
    stages: Stages,
) -> OnLava | None:
    if not lava.images:
        return None
    from dnisnm_lava.evaluation import comparison, outputs

    first = [blocks.read(block) for block in range(min(blocks.count, -(-lava.images // BLOCK)))]
    x, y = (np.concatenate(parts)[: lava.images] for parts in zip(*first, strict=True))
    own = {name: values[blocks.chosen[: len(x)]] for name, values in blocks.targets.items()}
    return comparison.compared_on_lava(
        network,
        x,
        outputs.as_before(aim, network.analog, len(x), _told_labels(y), own).labels,
        measure=aim.measure,
        steps=steps,
        lava=lava,
        session=dn.Session(device, stages=stages),
    )


def _comparison_result(comparison: Comparison, provenance: dict[str, Any], title: str) -> Result:
    from dnisnm_lava.views import comparison as comparison_report

    failed = "" if comparison.all_equal else NOT_EQUAL
    return Result(
        comparison_report.comparison_json(comparison, provenance),
        comparison_report.comparison_table(comparison, title),
        failed,
    )


def _write_results(folder: Path, result: Result, comparison: Comparison, title: str) -> None:
    from dnisnm_lava.system.files import write_whole
    from dnisnm_lava.views import comparison as comparison_report

    write_whole(folder / RESULT, (json.dumps(result.data, indent=2) + "\n").encode())
    write_whole(folder / PICTURE, comparison_report.accuracy_picture(comparison, title))
