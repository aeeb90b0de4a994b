"""A network's spikes on SANA-FE's chip: its counts are ours, its joules are its preset's prices of them, and
what is lost is named."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from graphs import curved, gated, readout, small, snm, weights

from dnisnm_lava.backends import reference
from dnisnm_lava.backends.sanafe import parent, preset, replaying
from dnisnm_lava.errors import BackendFailed, OutOfRange
from dnisnm_lava.ir import Input, Population, Projection, SpikingGraph, lead
from dnisnm_lava.ir.integers import encode_images
from dnisnm_lava.stages.streaming import streaming
from dnisnm_lava.studies.costs import placing
from dnisnm_lava.studies.costs import replay as replays
from dnisnm_lava.studies.costs.counts import count
from dnisnm_lava.studies.costs.replay import Core, Link, replay
from dnisnm_lava.studies.loihi2 import traffic

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("sanafe") is None, reason="sanafe is not installed: nothing was replayed"
)
AROUND = ((1, 1), (1, 1))
DIGITS = 1e-5  # relative: SANA-FE writes the times of messages with six digits, each off by 5e-6 at most


def two_layers(seed: int = 0, steps: int = 4) -> tuple[SpikingGraph, np.ndarray]:
    """Signed spikes with payloads, a lead, a shortcut that arrives early; four populations, so one tile."""
    rng = np.random.default_rng(seed)
    a = snm("a", (4, 5, 5), (Projection("input", weights(rng, 4, 2, 3, 3), padding=AROUND),), rng, lead=2)
    b = snm("b", (4, 4, 4), (Projection("a", weights(rng, 4, 4, 2, 2)),), rng, levels=2, two_sided=True)
    last = (Projection("b", weights(rng, 3, 64)), Projection("a", weights(rng, 3, 100)))
    out = readout("out", (3,), last, rng)
    graph = SpikingGraph((Input("input", (2, 5, 5), np.ones(2), 8), a, b, out), steps=steps)
    return graph, rng.normal(size=(2, 2, 5, 5)) * 30


def test_its_counts_are_ours_and_its_joules_are_its_prices_of_them() -> None:
    graph, images = two_layers()
    found, counts = replay(graph, images), count(graph, images)
    total, price = found.total, found.prices
    image, a, b, out = counts.populations
    spikes = a.spikes + b.spikes
    assert total.spikes == image.spikes + spikes
    kernels, matrices = a.synapses + b.synapses, out.synapses
    taken = [sum(s.delivered for s in synapses) for synapses in (kernels, matrices)]
    assert total.operations == sum(taken)
    units = [f"loihi_{kind}_synapse.energy_process_spike" for kind in ("conv", "dense")]
    synapse = sum(n * price[unit] for n, unit in zip(taken, units, strict=True))
    assert found.joules["synapse"] == pytest.approx(synapse, rel=1e-9)

    neurons, chip_steps = 100 + 64 + 3, 6 + 4 + 2 + 3  # P + T + lead + three synapses
    assert len(found.each) == chip_steps
    assert total.updates == neurons * chip_steps
    assert found.counted_updates == 2 * (100 * (4 + 2) + 64 * 4 + 3 * 4)
    lif = {key.removeprefix("loihi_lif.energy_"): j for key, j in price.items() if "lif.energy" in key}
    each = lif["access_neuron"] + lif["update_neuron"]
    soma = total.updates * each + spikes * lif["spike_out"]
    assert found.joules["soma"] == pytest.approx(soma, rel=1e-9)

    assert total.hops == 0
    assert found.joules["network"] == pytest.approx(
        total.messages * price["loihi_out.energy_message_out"], rel=1e-9
    )
    assert total.joules == pytest.approx(
        sum(j for key, j in found.joules.items() if key != "total"), rel=1e-9
    )
    assert found.joules_an_image == total.joules / 2

    of = found.of_cores
    assert of.population == ("input", "a", "b", "out")  # each on a core of its own
    assert of.spikes == tuple(c.spikes for c in counts.populations)
    assert of.operations == tuple(sum(s.delivered for s in c.synapses) for c in counts.populations)
    assert of.updates == (0, *(n * chip_steps for n in (100, 64, 3)))
    assert of.messages[0] == 0
    assert sum(of.messages) == total.messages
    assert of.fullest("seconds") == (total.core.core, total.core.population, total.core.seconds)
    assert of.fullest("updates") == (1, "a", 100 * chip_steps)
    assert of.an_image(2, first=of).operations == (0, 0, 0, 0)
    assert (found.images, found.steps, found.period, found.cores, found.chips) == (2, 4, 6, 4, 1)


def test_each_step_has_the_spikes_of_its_time() -> None:
    graph, images = two_layers(1)
    run, found = reference.run(graph, images), replay(graph, images)
    x, _ = encode_images(graph, images)
    start, expected = graph.window_starts(), np.zeros(len(found.each), int)
    for image in range(2):
        for t in range(4):
            expected[image * 6 + t] += np.count_nonzero(x[image])
            for name, spikes in run.spikes.items():
                at = image * 6 + start[name] + lead(graph[name]) + t
                expected[at] += np.count_nonzero(spikes[image, t])
    assert [step.spikes for step in found.each] == expected.tolist()
    for key in ("spikes", "operations", "messages", "hops", "updates"):
        assert sum(getattr(step, key) for step in found.each) == getattr(found.total, key)
    assert sum(step.joules for step in found.each) == pytest.approx(found.total.joules, rel=1e-9)
    assert sum(step.seconds for step in found.each) == pytest.approx(found.total.seconds, rel=1e-9)


def test_a_message_goes_to_each_core_that_hears_it_once() -> None:
    graph, images = two_layers(2)
    found, run = replay(graph, images), reference.run(graph, images)
    x, _ = encode_images(graph, images)
    a, b = (np.count_nonzero(run.spikes[name], axis=(0, 1)).reshape(-1) for name in "ab")
    assert all((graph["out"].projections[i].weight != 0).any(axis=0).all() for i in range(2))  # type: ignore[union-attr]
    assert found.total.messages == np.count_nonzero(x) * 4 + 2 * a.sum() + b.sum()  # a is heard by b and out


def test_the_busiest_core_takes_what_its_prices_say() -> None:
    """Of a core that fires nothing, and hears one message of so many synapses in each of its steps."""
    rng = np.random.default_rng(0)
    fan = np.full((9, 1), 5, np.int8)
    out = readout("out", (9,), (Projection("input", fan),), rng)
    found = replay(SpikingGraph((Input("input", (1,), np.ones(1), 8), out), steps=2), np.full((1, 1), 3.0))
    price = found.prices
    heard = price["loihi_in.latency_message_in"] + 9 * price["loihi_dense_synapse.latency_process_spike"]
    own = 9 * (price["loihi_lif.latency_access_neuron"] + price["loihi_lif.latency_update_neuron"])
    assert [step.core.seconds for step in found.each] == pytest.approx(
        [max(heard, own), max(heard, own), own], rel=DIGITS
    )
    assert found.total.core == Core(1, "out", pytest.approx(max(2 * heard, 3 * own), rel=DIGITS))
    assert found.total.link == Link((0, 0), (0, 0), 0)


def test_what_a_message_does_not_carry_is_named() -> None:
    graph, images = small()
    found = replay(graph, images[:1])
    lost = dict(line.split(": ") for line in found.not_carried)
    assert lost["values of the image"] == "input"
    assert lost["max-pools, whose sources' sums no neuron there keeps"] == "conv2.pool"
    assert lost["sums of pools and resamplings, each way of which is a synapse"] == "fc"
    run = reference.run(graph, images[:1])
    assert lost["signs"].split(", ") == [name for name, a in run.spikes.items() if (a < 0).any()]
    assert lost["payloads and levels"].split(", ") == [n for n, a in run.spikes.items() if (abs(a) > 1).any()]
    assert not any("larger chip" in line for line in found.assumed)


@pytest.mark.parametrize("make", [curved, gated])
def test_curves_and_gates_send_and_are_named(make: object) -> None:
    graph, images = make()  # type: ignore[operator]
    found, counts = replay(graph, images[:1]), count(graph, images[:1])
    assert found.total.spikes == sum(a.spikes for a in counts.populations)
    lost = dict(line.split(": ") for line in found.not_carried)
    assert lost["curves"] == ("conv1, conv2" if make is curved else "conv, up")
    assert lost.get("gates, whose products no neuron there takes", "") == ("" if make is curved else "mul")


def test_more_cores_than_a_chip_has_are_one_larger_chip_which_is_said() -> None:
    rng = np.random.default_rng(0)
    chain: list[Population] = [Input("input", (1,), np.ones(1), 8)]
    one = np.ones((1, 1), np.int8)
    for i in range(130):
        p = snm(f"n{i}", (1,), (Projection(chain[-1].name, one),), rng)
        chain.append(replace(p, vth=np.array([1], np.int32), payload=np.array([1], np.int32)))
    chain.append(readout("out", (1,), (Projection(chain[-1].name, one),), rng))
    found = replay(SpikingGraph(tuple(chain), steps=1), np.full((1, 1), 3.0))
    assert (found.cores, found.cores_of_chip, found.chips) == (132, 128, 2)
    assert any(line.startswith("132 cores, where a chip has 128: one larger chip") for line in found.assumed)
    assert found.total.hops > 0


# ---------------------------------------------------------------- the preset


def test_a_chip_of_fewer_tiles_and_units_costs_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole preset, whose text is then the installed one, beside what is made for the network."""
    graph, images = two_layers(3)
    trimmed = replay(graph, images[:1])
    ask = parent.in_child

    def whole(job: dict[str, object], **options: object) -> parent.Arrays:
        sizes = {"cores": 128, "inputs": 1024} if job["ask"] == "replay" else {}
        return ask({**job, **sizes}, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(replays, "in_child", whole)
    assert replay(graph, images[:1]) == trimmed


def test_the_whole_presets_text_is_what_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Sanafe:
        load_arch = staticmethod(lambda path: Path(path).read_text())
        SpikingChip = staticmethod(lambda architecture: architecture)

    chips = preset.installed()
    monkeypatch.setattr(preset, "import_module", lambda name: Sanafe)
    assert preset.chip_of(chips, chips.cores, 1024, tmp_path)[1] == chips.text
    assert preset.chip_of(chips, chips.cores + 1, 1024, tmp_path)[1] != chips.text
    assert (chips.cores, chips.tiles, chips.height, chips.neurons_of_core) == (128, 32, 4, 1024)


def test_a_preset_that_is_written_otherwise_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Files:
        def __truediv__(self, name: str) -> Files:
            return self

        def read_text(self) -> str:
            return "      width: 8\n      width: 9\n"

    monkeypatch.setattr(preset, "files", lambda name: Files())
    with pytest.raises(BackendFailed, match=r"its Loihi preset names width 2 times where 2\.2 has it once"):
        preset.installed()


# ---------------------------------------------------------------- where neurons lie


@pytest.mark.parametrize(
    ("tile", "most", "expected"),
    [
        ((16, 8, 16), 1024, (16, 8, 8)),
        ((16, 32, 32), 1024, (16, 8, 8)),
        ((3, 1, 1), 1, (1, 1, 1)),
        ((4000,), 1024, (1000,)),
        ((5, 7, 3), 1024, (5, 7, 3)),
    ],
)
def test_a_tile_is_halved_until_a_core_holds_it(
    tile: tuple[int, ...], most: int, expected: tuple[int, ...]
) -> None:
    assert placing.tile_of(tile, most) == expected


def test_each_neuron_lies_in_its_tile() -> None:
    found = traffic.core_of_each((4, 3, 5), (2, 3, 2)).reshape(4, 3, 5)
    assert found.max() == 5
    np.testing.assert_array_equal(found[0], np.tile([0, 0, 1, 1, 2], (3, 1)))
    np.testing.assert_array_equal(found[3], np.tile([3, 3, 4, 4, 5], (3, 1)))


def test_messages_go_along_their_row_first() -> None:
    """Tiles of columns of 4: from 1, column 0 and row 1, to 8, column 2 and row 0."""
    links, hops = replaying._links(np.array([1, 1, 8]), np.array([8, 1, 4]), 4)
    assert links == {(1, 5): 1, (5, 9): 1, (9, 8): 1, (8, 4): 1}
    assert hops == 4


@pytest.mark.parametrize("make", [small, curved, gated])
def test_a_stream_sends_what_changes(make: Callable[[], tuple[SpikingGraph, np.ndarray]]) -> None:
    """Frames that stand still are an image and then next to nothing; and each count is the frames' own."""
    graph, images = make()
    stream = streaming(graph)
    still = replay(stream, np.repeat(images[:1], 3, axis=0))
    alone = replay(stream, images[:1])
    assert alone.total.spikes <= still.total.spikes < 1.6 * alone.total.spikes
    moving = replay(stream, images[:3])
    run = reference.run(stream, images[:3])
    codes = encode_images(stream, images[:3])[0].astype(int)
    changed = np.count_nonzero(np.diff(codes, axis=0, prepend=0 * codes[:1]))
    assert moving.total.spikes == changed + sum(np.count_nonzero(a) for a in run.spikes.values())
    assert moving.joules_an_image > still.joules_an_image


# ---------------------------------------------------------------- refused


def test_floats_are_refused() -> None:
    graph, images = small(quantize=False)
    with pytest.raises(OutOfRange, match="the graph holds floats"):
        replay(graph, images[:1])


def test_what_takes_more_memory_than_is_free_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, images = two_layers()
    most = max(step.operations for step in replay(graph, images).each)
    monkeypatch.setattr(replays, "free_memory", lambda: most * 1000 + 4 * 50 * 14_000 - 1)
    with pytest.raises(OutOfRange, match=rf"SANA-FE: {most:,} synapses are read in one step, for which it"):
        replay(graph, images)
    monkeypatch.setattr(replays, "free_memory", lambda: most * 1000 + 4 * 50 * 14_000)
    assert replay(graph, images).images == 2


def test_a_chip_that_fires_otherwise_gives_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, images = two_layers()
    ours = replays._of_images(graph, images, 4)
    silent = {**ours.spikes, "b": np.zeros_like(ours.spikes["b"])}
    monkeypatch.setattr(replays, "_of_images", lambda *_: replace(ours, spikes=silent))
    with pytest.raises(BackendFailed, match="SANA-FE: 703 spikes where 1,136 were counted"):
        replay(graph, images)
