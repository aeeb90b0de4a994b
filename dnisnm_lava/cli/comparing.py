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
from dnisnm_lava.cli.alarms import _causes, _failed
from dnisnm_lava.cli.names import BLOCK, DEMO, NET, NOT_EQUAL, PICTURE, RESULT
from dnisnm_lava.cli.output import Result, Stages, _with_place
from dnisnm_lava.cli.shared import (
    Blocks,
    Network,
    _allow_to_finish,
    _blocks,
    _data,
    _in_blocks,
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
        stages("trace")
        analog = dn.from_torch(model, x_train[0])
        stages("calibrate, convert, quantize")
        stats = dn.calibrate(analog, [x_train])
        spiking = dn.convert(analog, stats, steps=digits.STEPS)
        integer = netx.read(netx.write(folder / NET, dn.quantize(spiking), provenance={"seed": args.seed, "made_by": DEMO}))
        comparison = compare(
            analog, spiking, integer, x_test, y_test, lava_images=args.lava_images, deadline=args.deadline, lava_python=args.lava_python,
            stages=stages,
        )  # fmt: skip
        provenance = _provenance(args, analog, spiking, integer, x_test, y_test)
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
        network = group.broadcast(_network(args, data, stages) if group.is_first else None)
        steps = comparison.checked(tuple(sorted({*comparison.STEPS, network.integer.steps})), network.integer.steps, args.lava_images)
        graphs = network.analog, network.spiking, network.integer

        blocks = _blocks(args, data)
        measure = _measure(args, blocks, network.analog)

        def work(x: np.ndarray, y: np.ndarray | None) -> tallies.Tally:
            return comparison.tallied(*graphs, x, y, measure=measure, steps=steps, device=group.device, memory=args.memory)

        stages("ANN, float SNN, integer SNN")
        with _in_blocks(args, blocks, graphs, max(steps), work, group, stages) as parts:
            if not group.is_first:
                return Result({}, "")
            on_lava = _on_lava(args, blocks, network, measure, steps, group.device, stages)
            compared = comparison.comparison(
                network.integer, measure, tallies.total(part.tally for part in parts), on_lava, expected=args.expect_accuracy,
                causes=_causes(args), alarms=network.alarms,
            )  # fmt: skip
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
    args: argparse.Namespace, blocks: Blocks, network: Network, measure: Measure, steps: tuple[int, ...], device: str, stages: Stages
) -> OnLava | None:  # fmt: skip
    if not args.lava_images:
        return None
    from dnisnm_lava.evaluation import comparison

    first = [blocks.read(block) for block in range(min(blocks.count, -(-args.lava_images // BLOCK)))]
    x, y = (np.concatenate(parts)[: args.lava_images] for parts in zip(*first, strict=True))
    return comparison.compared_on_lava(
        network.analog, network.spiking, network.integer, x, _told_labels(y), measure=measure, steps=steps, device=device,
        deadline=args.deadline, lava_python=args.lava_python, stages=stages,
    )  # fmt: skip


def _comparison_result(comparison: Comparison, provenance: dict[str, Any], title: str) -> Result:
    from dnisnm_lava.views import comparison as comparison_report

    failed = "" if comparison.all_equal else NOT_EQUAL
    return Result(comparison_report.comparison_json(comparison, provenance), comparison_report.comparison_table(comparison, title), failed)


def _write_results(folder: Path, result: Result, comparison: Comparison, title: str) -> None:
    from dnisnm_lava.system.files import write_whole
    from dnisnm_lava.views import comparison as comparison_report

    write_whole(folder / RESULT, (json.dumps(result.data, indent=2) + "\n").encode())
    write_whole(folder / PICTURE, comparison_report.accuracy_picture(comparison, title))
