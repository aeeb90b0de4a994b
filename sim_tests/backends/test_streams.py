"""A stream: state is kept from frame to frame, only change is sent, and every executor says the same."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import oracle
import pytest
import torch
from graphs import (
    Chain,
    CurvedNet,
    GatedNet,
    ResidualPoolNet,
    curved_graphs,
    gated_graphs,
    images,
    integer_graphs,
    randomized,
    small,
)
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pieces import Dense, InvertedResidual, Segmentation
from runs import assert_same

import dnisnm_lava as dn
from dnisnm_lava.backends import batched, events, lava_cpu, reference
from dnisnm_lava.backends import state as states
from dnisnm_lava.backends.state import State, initial
from dnisnm_lava.backends.streams import Stepwise
from dnisnm_lava.errors import BadFile, OutOfRange
from dnisnm_lava.ir import SNM, Gate, Input, MaxPool, SpikingGraph
from dnisnm_lava.ir.fixedpoint import STATE
from dnisnm_lava.ir.integers import encode_images
from dnisnm_lava.stages.streaming import streaming
from exporters import netx, nir, torch_module

GRAPHS = st.one_of(integer_graphs(), curved_graphs(), gated_graphs())
DIALS = st.fixed_dictionaries(
    {
        "steps": st.integers(1, 3),
        "hysteresis": st.sampled_from([0.0, 0.0, 0.5, 1.0, 2.0]),
        "levels": st.sampled_from([None, 1, 3]),
    }
)


def clip(seed: int, shape: tuple[int, ...], frames: int = 5) -> np.ndarray:
    """A picture in which, from frame to frame, a few values change, or none, or all."""
    rng = np.random.default_rng(seed)
    picture, made = rng.integers(-127, 128, shape), []
    for _ in range(frames):
        changes = rng.random(shape) < rng.choice([0.0, 0.1, 1.0])
        picture = np.where(changes, rng.integers(-127, 128, shape), picture)
        made.append(picture)
    return np.stack(made).astype(np.float32)


def moving(count: int, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Floats in the range of calibration: a picture, and a patch that moves over it."""
    frames = np.repeat(images(1, shape, seed), count, axis=0)
    for i, frame in enumerate(frames):
        frame[..., i % shape[-1]] = frames[0].max() - frame[..., i % shape[-1]]
    return frames


def assert_same_state(a: State, b: State) -> None:
    assert (a.frames, a.began, a.saturated, set(a.values)) == (b.frames, b.began, b.saturated, set(b.values))
    for key, value in a.values.items():
        np.testing.assert_array_equal(value, b.values[key], err_msg=key)


@settings(max_examples=18)
@given(graph=GRAPHS, dials=DIALS, seed=st.integers(0, 2**32 - 1))
def test_the_reference_is_the_stream_in_python_integers(graph: SpikingGraph, dials: dict, seed: int) -> None:
    graph = streaming(graph, **dials)
    x = clip(seed, graph.input.shape, 3)
    run = reference.run(graph, x)
    told = oracle.stream(graph, encode_images(graph, x)[0], graph.steps)
    for name, spikes in run.spikes.items():
        np.testing.assert_array_equal(spikes, told[name], err_msg=name)
    np.testing.assert_array_equal(run.logits, told[graph.readout.name])


@settings(max_examples=30)
@given(graph=GRAPHS, dials=DIALS, seed=st.integers(0, 2**32 - 1))
def test_events_whole_layers_and_the_torch_module_are_the_reference(
    graph: SpikingGraph, dials: dict, seed: int
) -> None:
    graph = streaming(graph, **dials)
    x = clip(seed, graph.input.shape)
    run, state = reference.follow(graph, x, initial(graph))
    for ways in events.stream.WAYS:
        other, left = events.follow(graph, x, record=True, ways=ways)
        assert_same(run, other)
        assert_same_state(state, left)
    assert_same(run, batched.run(graph, x, record=True))
    module = torch_module.module(graph)
    for i, frame in enumerate(torch.tensor(x)):
        sums = module(frame[None])
        sums = (sums,) if isinstance(sums, torch.Tensor) else sums
        for mine, theirs in zip(sums, (run.logits, *run.further.values()), strict=True):
            np.testing.assert_array_equal(mine[0].numpy(), theirs[i])


def quantized_ann(graph: SpikingGraph, codes: np.ndarray) -> dict[str, np.ndarray]:
    """What each population's spikes sum to behind a frame, with no time and no frame before it in it: whole
    thresholds of all that it hears in the frame's steps, within its bound."""
    totals: dict[str, np.ndarray] = {}
    for p in graph:
        if isinstance(p, Input):
            totals[p.name] = codes.astype(object) * graph.steps
        elif isinstance(p, MaxPool):
            totals[p.name] = oracle.best_of(p, totals[p.source])
        elif isinstance(p, Gate):
            totals[p.name] = product_of(p, totals[p.source], totals[p.gate], graph.steps) * p.payload
        else:
            heard = sum(
                (oracle.current(q, totals[q.source]) for q in p.projections),
                start=np.zeros(p.shape, dtype=object),
            )
            heard = heard + p.bias * graph.steps
            if isinstance(p, SNM) and p.curve is not None:
                heard = curve_of(p, heard, graph.steps) * p.payload
            elif isinstance(p, SNM):
                levels = (heard + p.v_init) // np.where(p.vth > 0, p.vth, 1).astype(object)
                levels = np.clip(levels, -p.most if p.two_sided else 0, p.most) * (p.vth > 0)
                heard = levels * p.payload
            totals[p.name] = heard
    return totals


def product_of(p: Gate, a: np.ndarray, b: np.ndarray, steps: int) -> np.ndarray:
    """The nearest level to the product of what a gate's sources sent, within its bound."""
    levels = np.zeros(p.shape, dtype=object)
    for i in zip(*p.vth.nonzero(), strict=True):
        gain = oracle.nearest(Fraction(int(p.gain[i[0]]), steps))
        value = Fraction(int(a[i]) * int(np.broadcast_to(b, p.shape)[i]) * gain, int(p.vth[i]))
        levels[i] = max(-p.most if p.two_sided else 0, min(p.most, oracle.nearest(value)))
    return levels


def curve_of(p: SNM, heard: np.ndarray, steps: int) -> np.ndarray:
    """The nearest level to `steps` times the curve of the mean of what a neuron heard, within its bound."""
    assert p.curve is not None
    levels = np.zeros(p.shape, dtype=object)
    for i in zip(*p.vth.nonzero(), strict=True):
        value = oracle.line(p.curve, int(i[0]), Fraction(int(heard[i]), steps)) * steps / int(p.vth[i])
        levels[i] = max(-p.most if p.two_sided else 0, min(p.most, oracle.nearest(value)))
    return levels


@settings(max_examples=30)
@given(graph=GRAPHS, steps=st.integers(1, 3), seed=st.integers(0, 2**32 - 1))
def test_sums_behind_a_frame_are_those_of_the_frame_alone(graph: SpikingGraph, steps: int, seed: int) -> None:
    """Of every population, whatever came before; as long as 24 bits of state hold it."""
    graph = streaming(graph, steps=steps)
    x = clip(seed, graph.input.shape)
    run = batched.run(graph, x, record=True)
    assume(not any(run.saturations.values()))
    alone = reference.run(replace(graph, carry=False), x)
    codes = encode_images(graph, x)[0]
    for name, spikes in run.spikes.items():
        sums = spikes.sum(axis=1).cumsum(axis=0)
        np.testing.assert_array_equal(sums, alone.spikes[name].sum(axis=1), err_msg=name)
        for f in range(len(x)):
            np.testing.assert_array_equal(sums[f], quantized_ann(graph, codes[f])[name], err_msg=name)
    np.testing.assert_array_equal(run.logits[:, -1], alone.logits[:, -1])
    for name, sums in run.further.items():
        np.testing.assert_array_equal(sums[:, -1], alone.further[name][:, -1])


MODELS = {
    "residual, pooled": (ResidualPoolNet, (2, 6, 6)),
    "concat": (
        lambda: torch.nn.Sequential(Dense(4), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.LazyLinear(3)),
        (4, 6, 6),
    ),
    "relay, depthwise": (
        lambda: torch.nn.Sequential(InvertedResidual(4, 4), torch.nn.Flatten(), torch.nn.LazyLinear(3)),
        (4, 6, 6),
    ),
    "maps": (Segmentation, (2, 8, 8)),
    "curves, pooled": (CurvedNet, (2, 6, 6)),
    "gates": (GatedNet, (2, 6, 6)),
}


def built(name: str, recipe: dn.Recipe = dn.BEST) -> tuple[dn.Networks, np.ndarray]:
    make, shape = MODELS[name]
    model = make()
    model(torch.zeros(1, *shape))
    x = images(24, shape, 5)
    return dn.build(randomized(model, 5), x, recipe), moving(6, shape, 7)


@pytest.mark.parametrize("name", MODELS)
def test_the_default_recipe_in_a_stream_says_what_it_says_of_each_frame_alone(name: str) -> None:
    nets, x = built(name)
    alone = batched.run(nets.integer, x)
    for frame, sums in zip(dn.stream(nets, iter(x)), alone.logits[:, -1], strict=True):
        np.testing.assert_array_equal(frame.logits, sums)
        assert frame.exact


@pytest.mark.parametrize("quantize", [True, False], ids=["fixed_pt", "floating_pt"])
@pytest.mark.parametrize(
    ("name", "dials"),
    [
        ("residual, pooled", {"hysteresis": 0.5, "steps": 2}),
        ("relay, depthwise", {}),
        ("concat", {"levels": 2, "steps": 2}),
    ],
)
def test_lava_streams_the_same_spikes(name: str, dials: dict, quantize: bool) -> None:
    pytest.importorskip("lava.magma")
    nets, x = built(name)
    graph = streaming(nets.integer if quantize else nets.spiking, **dials)
    assert_same(reference.run(graph, x[:4]), lava_cpu.run(graph, x[:4]))


def test_leads_delays_and_silent_steps_between_frames_change_nothing_in_lava() -> None:
    pytest.importorskip("lava.magma")
    graph, x = small(levels=2, steps=3, lead=1)
    graph = streaming(graph, steps=3, hysteresis=0.5)
    assert any(p.lead for p in graph.of(SNM))
    assert_same(reference.run(graph, x[:4]), lava_cpu.run(graph, x[:4], period=9))


def test_a_still_scene_falls_silent_and_a_frame_that_comes_twice_changes_nothing() -> None:
    nets, x = built("residual, pooled")
    first, *others = dn.stream(nets, [x[0]] * 3)
    assert first.spikes > 0
    assert first.operations > 0
    assert [(f.spikes, f.operations) for f in others] == [(0, 0), (0, 0)]
    assert all((f.logits == first.logits).all() for f in others)


def test_where_few_levels_go_at_once_a_still_scene_settles_at_the_sums_of_the_frame() -> None:
    nets, x = built("residual, pooled")
    frames = list(dn.stream(nets, [x[0], *[x[3]] * 60], levels=1))
    assert frames[1].spikes > 0
    assert [f.spikes for f in frames[-10:]] == [0] * 10
    np.testing.assert_array_equal(frames[-1].logits, batched.run(nets.integer, x[3:4]).logits[0, -1])


@pytest.mark.parametrize("frames", [1_000, pytest.param(10_000, marks=pytest.mark.campaign)])
def test_thousands_of_frames_leave_no_drift(frames: int) -> None:
    graph, x = small(Chain(), levels=15, down=0.0, steps=1)
    order = np.random.default_rng(3).integers(0, len(x), frames)
    last = deque(dn.stream(graph, (x[i] for i in order)), maxlen=1)[0]
    assert last.index == frames - 1
    np.testing.assert_array_equal(last.logits, reference.run(graph, x[order[-1:]]).logits[0, -1])


def test_with_hysteresis_potentials_stay_between_the_two_thresholds() -> None:
    """Of neurons that may go both ways, behind each of many frames: so no error adds up."""
    graph, x = small(Chain(), levels=15, down=0.0, steps=1)
    going = dn.stream(
        graph, (x[i] for i in np.random.default_rng(3).integers(0, len(x), 300)), hysteresis=0.5
    )
    for _ in going:
        for p in going.graph.of(SNM):
            v, m, half = going.state.of("v", p.name), going.state.of("m", p.name), np.rint(0.25 * p.vth)
            free = (m > 0) & (m < p.most)
            assert (v < p.vth + half)[free].all()
            assert (v > -np.maximum(half, 1))[free].all()


@given(graph=GRAPHS, dials=DIALS, seed=st.integers(0, 2**32 - 1), cut=st.integers(1, 4))
@settings(max_examples=30)
def test_a_stream_cut_anywhere_goes_on_from_its_state(
    graph: SpikingGraph, dials: dict, seed: int, cut: int
) -> None:
    graph = streaming(graph, **dials)
    x = clip(seed, graph.input.shape)
    run, state = events.follow(graph, x)
    begun, between = events.follow(graph, x[:cut])
    rest, after = events.follow(graph, x[cut:], between)
    np.testing.assert_array_equal(run.logits, np.concatenate([begun.logits, rest.logits]))
    assert_same_state(state, after)
    mixed, _ = reference.follow(graph, x[cut:], between)  # from one executor to another
    np.testing.assert_array_equal(mixed.logits, rest.logits)


def test_a_saved_state_goes_on_and_one_of_another_network_is_refused(tmp_path: Path) -> None:
    nets, x = built("residual, pooled")
    whole = [f.logits for f in dn.stream(nets, x)]
    first = dn.stream(nets, x[:3])
    list(first)
    path = first.save(tmp_path / "state.npz")
    going = dn.stream(nets, x[3:], state=path)
    rest = list(going)
    assert [f.index for f in rest] == [3, 4, 5]
    np.testing.assert_array_equal(whole[3:], [f.logits for f in rest])
    with pytest.raises(BadFile, match="state of another network"):
        dn.stream(nets, x, hysteresis=0.5, state=path)
    raw = path.read_bytes()
    for broken in (raw[:100], b"", b"PK" + raw[2:40]):
        path.write_bytes(broken)
        with pytest.raises(BadFile, match="cannot be read as the state of a stream"):
            states.load(path, going.graph)


def test_a_state_whose_arrays_do_not_fit_is_refused(tmp_path: Path) -> None:
    graph = streaming(small(steps=1)[0])
    state = initial(graph)
    first = next(iter(state.values))
    for wrong in (
        State(0, {**state.values, first: state.values[first].astype(np.int32)}),
        State(0, {**state.values, first: state.values[first][..., :1]}),
        State(0, {key: value for key, value in state.values.items() if key != first}),
        State(0, state.values, began=1),
    ):
        path = states.save(tmp_path / "wrong.npz", wrong, graph)
        with pytest.raises(BadFile, match="do not fit the network"):
            states.load(path, graph)


def test_after_a_saturation_the_stream_says_so_until_it_begins_anew() -> None:
    graph, x = small(levels=15, down=0.0, steps=1)
    tight = replace(
        graph,
        populations=tuple(
            replace(p, v_init=np.full(p.shape, STATE.limit, np.int32)) if i == 1 else p
            for i, p in enumerate(graph)
        ),
    )
    frames = list(dn.stream(tight, x[:6], refresh=4))
    assert frames[0].saturations > 0
    assert not any(f.exact for f in frames)
    well = list(dn.stream(graph, x[:6], refresh=4))
    assert all(f.exact for f in well)


def test_refreshed_frames_are_those_of_a_new_stream() -> None:
    nets, x = built("residual, pooled")
    frames = list(dn.stream(nets, x, hysteresis=1.0, refresh=3))
    anew = list(dn.stream(nets, x[3:], hysteresis=1.0))
    for a, b in zip(frames[3:], anew, strict=True):
        assert (a.spikes, a.operations) == (b.spikes, b.operations)
        np.testing.assert_array_equal(a.logits, b.logits)


def test_counts_are_those_of_the_spikes() -> None:
    """Operations of both executors, and spikes from those that were recorded."""
    nets, x = built("residual, pooled")
    graph = streaming(nets.integer, hysteresis=0.5)
    slow, fast = Stepwise(graph), events.Stream(graph)
    for image in x:
        a, b = (going.step(image, record=True, moves=True) for going in (slow, fast))
        assert (a.delivered, a.spike_counts, a.saturations) == (b.delivered, b.spike_counts, b.saturations)
        assert (a.inputs, a.pooled, a.moved) == (b.inputs, b.pooled, b.moved)
        for name, (up, down) in b.spike_counts.items():
            assert (up, down) == ((b.spikes[name] > 0).sum(), (b.spikes[name] < 0).sum())


@pytest.mark.parametrize(
    ("frames", "told"),
    [
        ([None], "frame 0: nothing came, as of a camera that is closed"),
        (
            [np.zeros((2, 6, 6)), np.zeros((2, 6, 7))],
            "frame 1: shape \\(2, 6, 7\\) given, and \\(2, 6, 6\\) needed",
        ),
        ([np.full((2, 6, 6), np.nan)], "frame 0: 72 of 72 values are NaN or infinite"),
        (["no frame"], "frame 0: a str came, no array"),
    ],
)
def test_a_frame_that_is_none_is_told_in_a_sentence(frames: list, told: str) -> None:
    with pytest.raises(OutOfRange, match=told):
        list(dn.stream(small(steps=1)[0], frames))


def test_a_source_that_fails_is_told_with_its_frame_and_keeps_what_came_before() -> None:
    graph, x = small(steps=1)

    def camera() -> object:
        yield from x[:2]
        raise OSError("unplugged")

    going = dn.stream(graph, camera())
    assert [next(going).index, next(going).index] == [0, 1]
    with pytest.raises(OutOfRange, match="frame 2: its source failed \\(OSError: unplugged\\)"):
        next(going)
    assert going.state.frames == 2


def test_frames_are_taken_one_by_one() -> None:
    graph, x = small(steps=1)
    taken = []

    def source() -> object:
        for i in range(1000):
            taken.append(i)
            yield x[i % len(x)]

    going = dn.stream(graph, source())
    next(going)
    next(going)
    assert taken == [0, 1]


@pytest.mark.parametrize(
    ("dials", "told"),
    [
        ({"steps": 0}, "steps: 0 given"),
        ({"hysteresis": 2.5}, "hysteresis: 2.5 given; give 0 to 2"),
        ({"hysteresis": float("nan")}, "hysteresis: nan given"),
        ({"levels": 0}, "levels: 0 given"),
        ({"refresh": -1}, "refresh: -1 given"),
    ],
)
def test_dials_out_of_range_are_refused(dials: dict, told: str) -> None:
    with pytest.raises(OutOfRange, match=told):
        dn.stream(small(steps=1)[0], [], **dials)


def test_images_of_a_network_with_the_thresholds_of_a_stream_run_everywhere() -> None:
    """Each begun anew: what hysteresis costs without a stream."""
    graph, x = small(levels=3, steps=4)
    anew = replace(streaming(graph, steps=4, hysteresis=0.6, levels=2), carry=False)
    run = reference.run(anew, x[:4])
    assert_same(run, batched.run(anew, x[:4], record=True))
    assert_same(run, batched.run(anew, x[:4], record=True, neurons="stepped", synapses="float64"))
    np.testing.assert_array_equal(torch_module.module(anew)(torch.tensor(x[:4])).numpy(), run.logits)


def test_the_file_keeps_a_streams_network(tmp_path: Path) -> None:
    graph = streaming(small(steps=2)[0], steps=2, hysteresis=0.5, levels=1)
    path = netx.write(tmp_path / "stream.net", graph)
    assert netx.read(path) == graph
    assert netx.read(path).digest() == graph.digest()
    assert b"carry" in path.read_bytes()


def test_a_stream_of_an_older_version_is_refused(tmp_path: Path) -> None:
    import h5py

    path = netx.write(tmp_path / "stream.net", streaming(small(steps=2)[0], steps=2, hysteresis=0.5))
    with h5py.File(path, "r+") as file:
        assert file["format/version"][()] == 4
        file["format/version"][...] = 3
    with pytest.raises(BadFile, match="format version 3 knows no simulation/carry"):
        netx.read(path)


def test_nir_names_what_a_stream_loses() -> None:
    told = " ".join(nir.losses(streaming(small(steps=1)[0], hysteresis=0.5)))
    for what in ("the dead band", "a bound of the levels", "state that is kept from frame to frame"):
        assert what in told


def test_a_streams_module_exports_with_its_state_as_tensors() -> None:
    nets, x = built("residual, pooled")
    graph = streaming(nets.integer, hysteresis=0.5)
    module = torch_module.module(graph)
    state = module.stream.initial(1)
    exported = torch.export.export(module.stream, (torch.tensor(x[:1]), *state)).module()
    for frame, sums in zip(torch.tensor(x), reference.run(graph, x).logits, strict=True):
        (mine, *_), state = exported(frame[None], *state)
        np.testing.assert_array_equal(mine[0].numpy(), sums)


def test_many_streams_at_once_in_the_module_are_each_alone() -> None:
    nets, x = built("residual, pooled")
    graph = streaming(nets.integer)
    module = torch_module.module(graph)
    clips = np.stack([x, x[::-1]])
    both = np.stack([module(torch.tensor(clips[:, i])).numpy() for i in range(len(x))], axis=1)
    for mine, theirs in zip(both, clips, strict=True):
        np.testing.assert_array_equal(mine, reference.run(graph, theirs).logits)
    with pytest.raises(ValueError, match="frames: 1 streams given, and 2 before"):
        module(torch.tensor(x[:1]))
    module.reset()
    np.testing.assert_array_equal(
        module(torch.tensor(x[:1])).numpy()[0], reference.run(graph, x[:1]).logits[0]
    )


def test_a_graph_carries_its_state_in_its_digest_and_only_then() -> None:
    graph, _ = small(steps=1)
    assert streaming(graph).digest() != graph.digest()
    still = replace(graph, populations=tuple(replace(p) if not isinstance(p, Input) else p for p in graph))
    assert still.digest() == graph.digest()
    with pytest.raises(OutOfRange, match="that of a stream already"):
        streaming(streaming(graph))
