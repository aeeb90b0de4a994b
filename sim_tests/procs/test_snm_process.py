"""SNM as any other Lava process: beside stock and lava-dl's processes, under a user's run configuration,
between runs, in a file."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from children import ROOT, in_child, main

W1 = np.array([[3, 1, -2], [-1, 2, 5], [2, 2, 2], [1, -3, 1]])
W2 = np.array([[2, -1, 1, 0], [-1, 1, 0, 3]])
IMAGE = np.array([40, -10, 25])
VTH = np.array([90, 110, 130, 61])
PAYLOAD = np.array([27, 31, 19, 12])
BIAS = np.array([1, -3, 0, 2])
STEPS, PERIOD, OFFSET, AGAIN = (
    8,
    10,
    1,
    2 * VTH,
)  # two windows; AGAIN: thresholds that are set within the first
FIRST, ALL, LIF_VTH, DOWN = 5, 22, 60, 0.25  # DOWN: set with them


def snm(steps: int, changed: int) -> tuple[list[list[int]], list[list[int]], list[list[int]]]:
    """Spikes, v and m of every step, one neuron and one integer at a time; from the step `changed` (0-based)
    on with AGAIN, 2 levels and DOWN."""
    sent, vs, ms = [], [], []
    v, m = [int(t) >> 1 for t in VTH], [0] * 4
    for t in range(steps):
        local = (t - OFFSET) % PERIOD if t >= OFFSET else -1
        row = []
        for i in range(4):
            vth, levels, down = (int(VTH[i]), 1, 1.0) if t < changed else (int(AGAIN[i]), 2, DOWN)
            lower = max(1, round(down * vth))
            if local == 0:
                v[i], m[i] = int(VTH[i]) >> 1, 0
            k = 0
            if 0 <= local < STEPS:
                v[i] += sum(int(w) * int(x) for w, x in zip(W1[i], IMAGE, strict=True)) + int(BIAS[i])
                k = (
                    min(v[i] // vth, levels)
                    if v[i] >= vth
                    else -min((-v[i] - lower) // vth + 1, levels, m[i])
                    if v[i] <= -lower
                    else 0
                )
                v[i], m[i] = v[i] - k * vth, m[i] + k
            row.append(k * int(PAYLOAD[i]))
        sent.append(row)
        vs.append(list(v))
        ms.append(list(m))
    return sent, vs, ms


def lif(arriving: list[list[int]]) -> list[list[int]]:
    """Lava's LIF without leak, one step behind: fires above its threshold, and is reset to 0."""
    v, fired = [0, 0], []
    for spikes in [[0] * 4, *arriving[:-1]]:
        row = []
        for i in range(2):
            v[i] += sum(int(w) * s for w, s in zip(W2[i], spikes, strict=True))
            row.append(int(v[i] > LIF_VTH))
            v[i] = 0 if row[i] else v[i]
        fired.append(row)
    return fired


# ---------------------------------------------------------------- in children


def stock() -> dict[str, Any]:
    """RingBuffers, Dense, LIF and Monitor around SNM; thresholds set between two runs; the user's own map of
    models."""
    from lava.magma.core.process.process import LogConfig
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi1SimCfg
    from lava.proc.dense.models import PyDenseModelBitAcc
    from lava.proc.dense.process import Dense
    from lava.proc.io.sink import RingBuffer as Sink
    from lava.proc.io.source import RingBuffer as Source
    from lava.proc.lif.process import LIF
    from lava.proc.monitor.process import Monitor

    from dnisnm_lava.procs.snm.models import PySNMModelFixed
    from dnisnm_lava.procs.snm.process import SNM

    source = Source(data=np.repeat(IMAGE[:, None], ALL, axis=1))
    synapses = [Dense(weights=2 * w, weight_exp=-1, num_message_bits=24) for w in (W1, W2)]
    neurons = SNM(
        shape=(4,),
        vth=VTH,
        payload=PAYLOAD,
        bias=BIAS,
        steps=STEPS,
        period=PERIOD,
        offset=OFFSET,
        name="hidden",
        log_config=LogConfig(level=logging.ERROR, level_console=logging.ERROR),
    )
    lava = LIF(shape=(2,), vth=LIF_VTH, du=4095, dv=0)
    spikes, fired, monitor = Sink(shape=(4,), buffer=ALL), Sink(shape=(2,), buffer=ALL), Monitor()
    source.s_out.connect(synapses[0].s_in)
    synapses[0].a_out.connect(neurons.a_in)
    neurons.s_out.connect([synapses[1].s_in, spikes.a_in])
    synapses[1].a_out.connect(lava.a_in)
    lava.s_out.connect(fired.a_in)
    monitor.probe(neurons.v, ALL)
    own = Loihi1SimCfg(
        select_tag="fixed_pt", exception_proc_model_map={SNM: PySNMModelFixed, Dense: PyDenseModelBitAcc}
    )
    neurons.run(condition=RunSteps(num_steps=FIRST), run_cfg=own)
    between = {
        name: getattr(neurons, name).get().astype(int).tolist()
        for name in ("v", "m", "vth", "levels", "down", "saturations")
    }
    neurons.vth.set(AGAIN)
    neurons.levels.set(np.array([2]))
    neurons.down.set(np.array([DOWN]))
    neurons.run(condition=RunSteps(num_steps=ALL - FIRST))
    found = {
        "between": between,
        "again": [getattr(neurons, name).get().astype(float).tolist() for name in ("vth", "levels", "down")],
        "spikes": spikes.data.get().T.astype(int).tolist(),
        "fired": fired.data.get().T.astype(int).tolist(),
        "v": monitor.get_data()["hidden"]["v"].astype(int).tolist(),
        "name": neurons.name,
        "level": neurons._log_config.level,
    }
    neurons.stop()
    return {**found, "cut": refusals()}


def refusals() -> dict[str, Any]:
    """What is said of fractions, by what has them; and the start of neurons that may have them."""
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg

    from dnisnm_lava.procs.readout.process import ReadOut
    from dnisnm_lava.procs.snm.process import SNM

    said: dict[str, Any] = {}
    for what, process in {
        "vth": SNM(shape=(2,), vth=[8, 2.5], steps=2),
        "bias": SNM(shape=(2,), vth=[8, 2], bias=[0.5, 0.25], steps=2),
        "sums": ReadOut(shape=(2,), bias=1.5, steps=2, period=2),
    }.items():
        with pytest.raises(ValueError, match="computes in integers") as refused:
            process.run(condition=RunSteps(num_steps=1), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
        said[what] = str(refused.value)
    whole = SNM(shape=(2,), vth=[8.0, 3.0], steps=2)  # whose v_init, where none is given, is vth >> 1
    floats = SNM(shape=(2,), vth=[8.5, 3], steps=2)
    for what, process, tag in (("whole", whole, "fixed_pt"), ("floats", floats, "floating_pt")):
        process.run(condition=RunSteps(num_steps=1), run_cfg=Loihi2SimCfg(select_tag=tag))
        said[what] = process.v_init.get().tolist()
        process.stop()
    return said


def kept() -> dict[str, Any]:
    """Compiled, kept by lava.utils.serialization, read back, run in floats by steps, then without end,
    paused, and again."""
    from lava.magma.core.run_conditions import RunContinuous, RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg
    from lava.proc.dense.process import Dense
    from lava.proc.io.source import RingBuffer as Source
    from lava.utils import serialization

    from dnisnm_lava.procs.snm.process import SNM

    source = Source(data=IMAGE[:, None].astype(float))
    synapses = Dense(weights=W1.astype(float), num_message_bits=24)
    neurons = SNM(
        shape=(4,),
        vth=VTH.astype(float),
        v_init=VTH >> 1,
        payload=PAYLOAD,
        bias=BIAS,
        steps=STEPS,
        period=PERIOD,
        offset=OFFSET,
    )
    source.s_out.connect(synapses.s_in)
    synapses.a_out.connect(neurons.a_in)
    serialization.save(
        [source, synapses, neurons],
        "network.pickle",
        neurons.compile(run_cfg=Loihi2SimCfg(select_tag="floating_pt")),
    )
    processes, executable = serialization.load("network.pickle")
    loaded = processes[2]
    loaded.create_runtime(executable=executable)
    loaded.run(condition=RunSteps(num_steps=FIRST))
    seen = [[loaded.v.get().tolist(), loaded.m.get().astype(int).tolist()]]
    for _ in range(2):
        loaded.run(
            condition=RunContinuous()
        )  # RunSteps behind a pause would hang, with Lava's own processes as well
        time.sleep(0.2)
        loaded.pause()
        seen.append([loaded.v.get().tolist(), loaded.m.get().astype(int).tolist()])
    loaded.stop()
    return {"seen": seen}


def blocks() -> dict[str, Any]:
    """SNM as the neuron of lava-dl's Dense block, in front of a block with lava-dl's own."""
    from lava.lib.dl.netx.blocks.process import Dense
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg
    from lava.proc.io.sink import RingBuffer as Sink
    from lava.proc.io.source import RingBuffer as Source
    from lava.proc.lif.process import LIF

    from dnisnm_lava.procs.snm.process import SNM

    source = Source(data=np.repeat(IMAGE[:, None], ALL, axis=1))
    ours = {
        "neuron_proc": SNM,
        "vth": VTH,
        "payload": PAYLOAD,
        "steps": STEPS,
        "period": PERIOD,
        "offset": OFFSET,
        "num_message_bits": 24,
    }
    theirs = {"neuron_proc": LIF, "vth": LIF_VTH, "du": 4095, "dv": 0, "bias_key": "bias_mant"}
    first = Dense(
        shape=(4,), neuron_params=ours, weight=2 * W1, weight_exponent=-1, bias=BIAS, input_message_bits=24
    )
    second = Dense(shape=(2,), neuron_params=theirs, weight=2 * W2, weight_exponent=-1, input_message_bits=24)
    spikes, fired = Sink(shape=(4,), buffer=ALL), Sink(shape=(2,), buffer=ALL)
    source.s_out.connect(first.inp)
    first.out.connect([second.inp, spikes.a_in])
    second.out.connect(fired.a_in)
    first.run(condition=RunSteps(num_steps=ALL), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
    found = {
        "spikes": spikes.data.get().T.astype(int).tolist(),
        "fired": fired.data.get().T.astype(int).tolist(),
    }
    first.stop()
    return found


def page() -> str:
    """What the program in docs/lava.md prints."""
    program = (ROOT / "docs/lava.md").read_text().partition("```python\n")[2].partition("```")[0]
    with contextlib.redirect_stdout(io.StringIO()) as said:
        exec(program, {})
    return said.getvalue()


# ---------------------------------------------------------------- here


def test_beside_stock_processes_and_between_runs(tmp_path: Path) -> None:
    pytest.importorskip("lava", reason="lava-nc is not installed")
    found = in_child(__file__, "stock", tmp_path, 60)
    sent, v, m = snm(ALL, changed=FIRST)
    assert found["spikes"] == sent
    assert found["v"] == v
    assert found["between"] == {
        "v": v[FIRST - 1],
        "m": m[FIRST - 1],
        "vth": VTH.tolist(),
        "levels": [1],
        "down": [1],
        "saturations": [0],
    }
    assert found["again"] == [AGAIN.tolist(), [2], [DOWN]]
    assert max(abs(k) for row in sent for k in np.array(row) // PAYLOAD) == 2
    assert found["fired"] == lif(sent)
    assert np.sum(found["fired"]) > 0
    assert (found["name"], found["level"]) == ("hidden", logging.ERROR)
    cut = found["cut"]
    assert {what: cut[what].split(", and ")[0] for what in ("vth", "bias", "sums")} == {
        "vth": "SNM: 1 of 2 numbers of vth are no integers (2.5)",
        "bias": "SNM: 2 of 2 numbers of bias are no integers (0.5)",
        "sums": "ReadOut: 2 of 2 numbers of bias are no integers (1.5)",
    }
    assert (cut["whole"], cut["floats"]) == ([4, 1], [4.25, 1.5])


def test_it_is_kept_in_a_file_and_paused(tmp_path: Path) -> None:
    pytest.importorskip("lava", reason="lava-nc is not installed")
    found = in_child(__file__, "kept", tmp_path, 60)["seen"]
    _, v, m = snm(3 * PERIOD, changed=3 * PERIOD)
    states = [
        list(state) for state in zip(v, m, strict=True)
    ]  # of three windows, of which the third is like every later one
    assert found[0] == states[FIRST - 1]
    assert all(state in states for state in found[1:])


def test_beside_the_blocks_of_lava_dl(tmp_path: Path) -> None:
    pytest.importorskip("lava.lib.dl", reason="lava-dl is not installed")
    found = in_child(__file__, "blocks", tmp_path, 60)
    sent, _, _ = snm(ALL, changed=ALL)
    assert found["spikes"] == sent
    assert found["fired"] == lif(sent)


@pytest.mark.parametrize("name", ["vth", "payload", "v_init", "bias"])
def test_constants_of_another_shape_are_refused_in_a_sentence(name: str) -> None:
    pytest.importorskip("lava", reason="lava-nc is not installed")
    from dnisnm_lava.procs.snm.process import SNM

    given: dict[str, Any] = {"vth": 8, "steps": 2}
    with pytest.raises(
        ValueError, match=rf"SNM: {name} of shape \(3,\) given for neurons of shape \(4, 2\)"
    ) as told:
        SNM(shape=(4, 2), **{**given, name: [1, 2, 3]})
    assert "channel" not in str(told.value)
    with pytest.raises(ValueError, match=rf"one for each channel is {name}\.reshape\(-1, 1, 1\)"):
        SNM(shape=(4, 2, 2), **{**given, name: [1, 2, 3, 4]})
    shared = SNM(shape=(4, 2, 2), **{**given, name: np.array([1, 2, 3, 4]).reshape(-1, 1, 1)})
    np.testing.assert_array_equal(getattr(shared, name).init[:, 1, 1], [1, 2, 3, 4])


def test_the_program_of_the_page_says_what_it_must(tmp_path: Path) -> None:
    """40 * 3 + 25 and 2 * 25 - 40 a step, eight of them, one spike of 90 and of 61 a step at most."""
    pytest.importorskip("lava", reason="lava-nc is not installed")
    said = [float(number) for number in re.findall(r"-?\d+\.?", in_child(__file__, "page", tmp_path, 60))]
    potential, memory = [45 + 8 * 145, 30 + 8 * 10], [8, 1]
    assert said == [potential[0] - 8 * 90, potential[1] - 61, *memory, 0]


if __name__ == "__main__":
    main(stock, kept, blocks, page)
