"""`demo`, `compare`: ANN, float SNN, integer SNN and Lava beside each other."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import dnisnm_lava as dn
from dnisnm_lava.cli import remembering
from dnisnm_lava.cli.alarms import _failed
from dnisnm_lava.cli.names import BLOCK, DEMO, NET, NOT_EQUAL, PICTURE, RESULT
from dnisnm_lava.cli.output import Result, Stages, _with_place
from dnisnm_lava.cli.shared import (
    Blocks,
    _allow_to_finish,
    _blocks,
    _compute,
    _data,
    _in_blocks,
    _lava,
    _measure,
    _network,
    _provenance,
    _recall,
    _settle_lava,
    _title,
    _told_labels,
)

if TYPE_CHECKING:
    from dnisnm_lava.evaluation import tallies
    from dnisnm_lava.evaluation.comparison import Comparison, OnLava
    from dnisnm_lava.measures import Measure
    from dnisnm_lava.stages.networks import Networks


def demo(args: argparse.Namespace, stages: Stages) -> Result:
    """scikit-learn's digits: train, calibrate, convert, quantize, write, read back, verify, compare."""
    from dnisnm_lava.data import digits
    from dnisnm_lava.evaluation.comparison import compare
    from dnisnm_lava.system.files import whole_folder
    from exporters import netx

    _settle_lava(args)
    with whole_folder(args.out, overwrite=args.overwrite) as folder:
        x_train, y_train, x_test, y_test = digits.digits(args.seed)
        model = digits.train(x_train, y_train, args.seed, stages("train"))
        made = dn.build(
            model,
            x_train,
            replace(dn.PAPER, steps=digits.STEPS),
            calibration_images=len(x_train),
            stages=stages,
        )
        integer = netx.read(
            netx.write(folder / NET, made.integer, provenance={"seed": args.seed, "made_by": DEMO})
        )
        nets = replace(made, integer=integer)
        comparison = compare(nets, x_test, y_test, lava=_lava(args, args.lava_images), stages=stages)
        provenance = _provenance(args, nets.analog, nets.spiking, integer, x_test, y_test)
        result = _comparison_result(comparison, provenance, "scikit-learn digits")
        _write_results(folder, result, comparison, "scikit-learn digits")
    return _with_place(result, args.out)


def compare(args: argparse.Namespace, stages: Stages) -> Result:
    """ANN, float SNN, integer SNN and Lava: accuracy at every T, and what equals what."""
    from dnisnm_lava.evaluation import blocks as shards
    from dnisnm_lava.evaluation import comparison, tallies
    from dnisnm_lava.system import ranks
    from dnisnm_lava.system.files import refuse_full, whole_folder
    from exporters import netx

    with ranks.joined(args.device) as group:
        _allow_to_finish(args)
        if args.out:
            refuse_full(args.out, args.overwrite)
        _settle_lava(args)
        _recall(args)
        data = _data(args)
        network, set_up = group.broadcast(_network(args, data, stages) if group.is_first else None)
        steps = comparison.checked(
            tuple(sorted({*comparison.STEPS, network.integer.steps})), network.integer.steps, args.lava_images
        )
        graphs = network.analog, network.spiking, network.integer

        blocks = _blocks(args, data)
        measure = _measure(args, blocks, network.analog)

        def work(x: np.ndarray, y: np.ndarray | None) -> tallies.Tally:
            return comparison.tallied(
                network, x, y, measure=measure, steps=steps, compute=_compute(args, group.device)
            )

        stages("ANN, float SNN, integer SNN")
        with _in_blocks(args, blocks, graphs, max(steps), work, group, stages) as parts:
            if not group.is_first:
                return Result({}, "")
            on_lava = _on_lava(args, blocks, network, measure, steps, group.device, stages)
            summed = tallies.total(part.tally for part in parts)
            compared = comparison.comparison(network.integer, measure, summed, on_lava, set_up)
            assert network.recipe is not None
            provenance = {**_provenance(args, *graphs), "recipe": asdict(network.recipe)}
            provenance["digests"]["images"] = shards.digest(parts)
            result = _comparison_result(compared, provenance, _title(args))
            result = replace(result, failed=_failed(args, compared.alarms, result.failed))
            if args.out is None:
                return result
            made_of = getattr(args, "made_of", None) or remembering.record(args, network.recipe, data)
            with whole_folder(args.out, overwrite=args.overwrite) as folder:
                netx.write(folder / NET, network.integer, provenance=made_of)
                _write_results(folder, result, compared, _title(args))
            return _with_place(result, args.out)


def _on_lava(
    args: argparse.Namespace,
    blocks: Blocks,
    network: Networks,
    measure: Measure,
    steps: tuple[int, ...],
    device: str,
    stages: Stages,
) -> OnLava | None:
    if not args.lava_images:
        return None
    from dnisnm_lava.evaluation import comparison

    first = [blocks.read(block) for block in range(min(blocks.count, -(-args.lava_images // BLOCK)))]
    x, y = (np.concatenate(parts)[: args.lava_images] for parts in zip(*first, strict=True))
    return comparison.compared_on_lava(
        network,
        x,
        _told_labels(y),
        measure=measure,
        steps=steps,
        lava=_lava(args, len(x)),
        device=device,
        stages=stages,
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
