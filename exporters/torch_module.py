"""The integer network as one torch.nn.Module over T: to read, to embed, to trace. No executor of ours runs in
it.

`module(graph)(images)` gives what `backends.reference.run(graph, images)` gives, integer for integer. The
classes need torch alone (a Window is four tuples); `module` fills them from a graph, and `torch.jit.trace`
makes a file that needs no code. Of a stream's network it is a `Stream`, whose state goes in and comes out as
tensors, in a `Kept`, which keeps it. Neurons count in int64. Products of weights travel in float64, since
torch multiplies no integer matrices on GPUs, and are exact: each partial sum is an integer below 2**53, in
any order. On CUDA, run it under `torch.backends.cudnn.flags(enabled=False)`: cuDNN may choose a transform
that rounds.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir import SNM, Gate, Input, MaxPool, Projection, ReadOut, SpikingGraph
from dnisnm_lava.ir.arithmetic import Window, require_exact
from dnisnm_lava.ir.dynamics import band_of, lower_threshold
from dnisnm_lava.ir.integers import check_state, largest_spikes, steps_of

LARGEST = 2**23 - 1  # of a potential: 24 bits, saturating


class Network(nn.Module):
    """Images (N, C, H, W), floats, to the read-out's running sums after each step: (N, T, *shape of the
    model's output), int64; a tuple of them where the model has several outputs. All spikes of the N images
    are in memory at once."""

    def __init__(self, image: Image, populations: list[Neurons | Product | Pool | Sum], steps: int) -> None:
        super().__init__()
        self.image, self.populations, self.steps = image, nn.ModuleList(populations), steps

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        image = self.image(x)
        sent = {
            self.image.name: image.unsqueeze(1).expand(-1, self.steps, *image.shape[1:])
        }  # the same in each step
        for p in self.populations:  # in topological order: each one's sources have sent all of their T spikes
            sent[p.name] = p(sent)
        outputs = tuple(sent[p.name] for p in self.populations if isinstance(p, Sum))
        return outputs[0] if len(outputs) == 1 else outputs


class Stream(nn.Module):
    """Frames (N, C, H, W) of N streams, floats, and their state to (the read-outs' running sums, a tuple of
    (N, T, *shape of the model's output), int64; the state behind them): `initial(N)` is the first one, a
    tuple of tensors. So it has no state of its own, and exports."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.image, self.populations, self.steps = network.image, network.populations, network.steps

    def initial(self, streams: int) -> tuple[Tensor, ...]:
        """1 before the first frame, and 0 behind it; the image; then two of each population."""
        image = torch.zeros((streams, *self.image.inside), dtype=torch.int64)
        states = {self.image.name: (image,)}
        for p in self.populations:
            states[p.name] = p.initial(streams)
        return (torch.ones(1, dtype=torch.int64), *(s for state in states.values() for s in state))

    def forward(self, x: Tensor, *state: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        sent, after = self.sent(x, *state)
        return tuple(sent[p.name] for p in self.populations if isinstance(p, Sum)), after

    def sent(self, x: Tensor, *state: Tensor) -> tuple[dict[str, Tensor], tuple[Tensor, ...]]:
        """{population: (N, T, *shape) what it sends; of a read-out, its sums}, and the state behind them."""
        fresh, before, *states = state
        image = self.image(x)
        change = image - before
        sent = {self.image.name: change.unsqueeze(1).expand(-1, self.steps, *change.shape[1:])}
        after = [torch.zeros_like(fresh), image]
        for i, p in enumerate(self.populations):
            sent[p.name], *kept = p.go_on(sent, states[2 * i], states[2 * i + 1], fresh)
            after += kept
        return sent, tuple(after)


class Kept(nn.Module):
    """A `Stream` that keeps its state: frames (N, C, H, W) to the read-outs' running sums, (N, T, *shape of
    the model's output), one after the other; a tuple of them where the model has several outputs. `reset()`
    forgets. The first frame behind it says how many streams there are."""

    def __init__(self, stream: Stream) -> None:
        super().__init__()
        self.stream = stream
        self.state: tuple[Tensor, ...] = ()

    def reset(self) -> None:
        self.state = ()

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        state = self.state or tuple(s.to(x.device) for s in self.stream.initial(len(x)))
        if len(x) != len(state[1]):
            raise ValueError(
                f"frames: {len(x)} streams given, and {len(state[1])} before; reset() to begin anew"
            )
        outputs, self.state = self.stream(x, *state)
        return outputs[0] if len(outputs) == 1 else outputs


class Image(nn.Module):
    """Floats to signed integers of `bits` bits, in steps of `scale` (C, 1, 1); halves to the even one. A
    sequence is a map of one row. order: of the elements of an image, where the model permutes it."""

    scale: Tensor
    order: Tensor | None

    def __init__(
        self,
        name: str,
        given: tuple[int, ...],
        shape: tuple[int, ...],
        order: Tensor | None,
        scale: Tensor,
        bits: int,
    ) -> None:
        super().__init__()
        self.name, self.shape, self.inside, self.limit = name, given, shape, 2 ** (bits - 1) - 1
        self.register_buffer("scale", scale)
        self.register_buffer("order", order)

    def forward(self, x: Tensor) -> Tensor:
        x = x.unsqueeze(2) if x.ndim == 3 and len(self.shape) == 3 and self.shape[1] == 1 else x
        if x.shape[1:] != self.shape:
            raise ValueError(
                f"images: shape {tuple(x.shape)} given, (N, {', '.join(map(str, self.shape))}) needed"
            )
        x = x.clone(memory_format=torch.contiguous_format).flatten(1)  # exported, it takes any strides, too
        x = (x if self.order is None else x[:, self.order]).reshape(-1, *self.inside)
        return (x.double() / self.scale).round().clamp(-self.limit, self.limit).long()


class Synapses(nn.Module):
    """Spikes (N, *source shape) times weights, in this order: some channels of the source; sums over windows,
    or rows and columns resampled; convolution, or dense; times 2**exponent; into some channels of the
    population, or each element to a neuron."""

    weight: Tensor
    factor: Tensor
    source_channels: Tensor | None
    target_channels: Tensor | None
    target_order: Tensor | None
    rows: Tensor | None
    cols: Tensor | None

    def __init__(self, source: str, **integers: Tensor | None) -> None:
        super().__init__()
        self.source = source
        for name, values in integers.items():
            self.register_buffer(name, values)
        self.conv: tuple[Window, int] | None = None  # with its groups
        self.sums: Window | None = None
        self.targets = 0
        self.target_shape: tuple[int, ...] = ()

    def forward(self, spikes: Tensor) -> Tensor:
        x = spikes if self.source_channels is None else spikes[:, self.source_channels]
        x = x.double()
        if self.sums is not None:
            ones = x.new_ones(x.shape[1], 1, *self.sums.kernel)
            x = F.conv2d(
                padded(x, self.sums, 0), ones, None, self.sums.stride, 0, self.sums.dilation, x.shape[1]
            )
        if self.rows is not None and self.cols is not None:
            x = self.rows.double() @ x @ self.cols.double().T
        weight = self.weight.double()
        if self.conv is not None:
            window, groups = self.conv
            z = F.conv2d(padded(x, window, 0), weight, None, window.stride, 0, window.dilation, groups)
        else:
            z = F.linear(x.flatten(1), weight).reshape(
                x.shape[0], *(() if self.target_order is not None else self.target_shape) or (-1,)
            )
        z = z.long() * self.factor
        if self.target_order is not None:
            neurons = z.new_zeros(z.shape[0], math.prod(self.target_shape)).index_copy(
                1, self.target_order, z.flatten(1)
            )
            return neurons.reshape(-1, *self.target_shape)
        if self.target_channels is None:
            return z
        return z.new_zeros(z.shape[0], self.targets, *z.shape[2:]).index_copy(1, self.target_channels, z)


class Driven(nn.Module):
    """What neurons and read-outs share: the currents of all steps, and 24 saturating bits."""

    bias: Tensor

    def __init__(self, name: str, synapses: list[Synapses], bias: Tensor) -> None:
        super().__init__()
        self.name, self.synapses = name, nn.ModuleList(synapses)
        self.register_buffer("bias", bias)

    def currents(self, sent: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """T times (N, *shape): projections add up. Time is logical: the t-th spike of a source is the t-th
        current here."""
        steps = sent[self.synapses[0].source].shape[1]
        z = torch.stack([s(sent[s.source].flatten(0, 1)) for s in self.synapses]).sum(0)  # (N T, *shape)
        return z.reshape(-1, steps, *z.shape[1:]).unbind(1)

    def integrate(self, v: Tensor, z: Tensor, fresh: Tensor) -> Tensor:
        """fresh: 1, or 0 behind the first frame of a stream, in which alone biases act."""
        return (v + z + self.bias * fresh).clamp(-LARGEST, LARGEST)


class Neurons(Driven):
    """Signed neurons with memory: v is the potential, m how many levels a neuron has sent and may take
    back."""

    vth: Tensor
    payload: Tensor
    v_init: Tensor
    lower: Tensor | None  # the lower threshold; none: it is vth
    band: Tensor | None  # the dead band; none: nothing is held back

    def __init__(
        self,
        name: str,
        synapses: list[Synapses],
        bias: Tensor,
        levels: int,
        lead: int,
        two_sided: bool,
        most: int,
        **each: Tensor | None,
    ) -> None:
        super().__init__(name, synapses, bias)
        self.levels, self.lead, self.two_sided, self.most = levels, lead, two_sided, most
        for key, values in each.items():
            self.register_buffer(key, values)

    def initial(self, images: int) -> tuple[Tensor, Tensor]:
        v = self.v_init.expand(images, *self.v_init.shape)
        return v, torch.zeros_like(v)

    def forward(self, sent: dict[str, Tensor]) -> Tensor:
        v, m = self.initial(sent[self.synapses[0].source].shape[0])
        return self.go_on(sent, v, m, torch.ones_like(v[:1]))[0]

    def go_on(
        self, sent: dict[str, Tensor], v: Tensor, m: Tensor, fresh: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        z, spikes = self.currents(sent), []
        for t in range(len(z) + self.lead):
            if t < len(z):
                v = self.integrate(v, z[t], fresh)
            if t >= self.lead:
                v, m, k = self.step(v, m, len(z) - fresh * max(len(z) - t - 1, 0))
                spikes.append(k * self.payload)
        return torch.stack(spikes, 1), v, m

    def step(self, v: Tensor, m: Tensor, summed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """v and m after it, and what is sent, in levels. summed: how many steps v has heard."""
        k = self.fire(v, m)
        return v - k * self.vth, m + k, k

    def fire(self, v: Tensor, m: Tensor) -> Tensor:
        """Levels to send: whole thresholds in v, at most `levels`; downwards one more where what they leave
        reaches `lower`, and no more than m, but for two-sided neurons. Those of vth = 0 are dead."""
        step = self.vth.clamp(min=1)
        whole = torch.div(v.abs(), step, rounding_mode="floor")
        down = whole if self.lower is None else whole + (v.abs() - whole * step >= self.lower)
        down = (
            down.clamp(max=self.levels) if self.two_sided else torch.minimum(down.clamp(max=self.levels), m)
        )
        up = whole.clamp(max=self.levels)
        if self.band is not None:
            up, down = up * (v >= self.vth + self.band), down * (v <= -self.band)
        if self.most:
            up, down = torch.minimum(up, self.most - m), torch.minimum(down, self.most + m)
        return torch.where(v > 0, up, -down) * (self.vth > 0)


class Curved(Neurons):
    """Neurons that keep the sum v of all that they heard, and send by how much a curve of it changes: lines
    that `knots` part, in 2**shift levels each, vth. Tables are (1 or C, n), and (1 or C, n + 1)."""

    knots: Tensor
    slopes: Tensor
    offsets: Tensor

    def step(self, v: Tensor, m: Tensor, summed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        k = toward(self, self.value(v, summed), m)
        return v, m + k, k

    def value(self, v: Tensor, summed: Tensor) -> Tensor:
        """f(v / summed) summed: knots and offsets are taken so many times, and nothing is divided."""
        wide = (-1, *(1,) * (v.ndim - 2))
        slope, offset = self.slopes[:, 0].reshape(wide), self.offsets[:, 0].reshape(wide)
        for i in range(self.knots.shape[1]):
            beyond = v >= summed * self.knots[:, i].reshape(wide)
            slope = torch.where(beyond, self.slopes[:, i + 1].reshape(wide), slope)
            offset = torch.where(beyond, self.offsets[:, i + 1].reshape(wide), offset)
        return v * slope + summed * offset


class Sum(Driven):
    """A read-out: neurons that never fire. view: the shape of the model's output."""

    def __init__(
        self, name: str, synapses: list[Synapses], bias: Tensor, shape: tuple[int, ...], view: tuple[int, ...]
    ) -> None:
        super().__init__(name, synapses, bias)
        self.shape, self.view = shape, view

    def initial(self, images: int) -> tuple[Tensor, Tensor]:
        v = torch.zeros((images, *self.shape), dtype=torch.int64, device=self.bias.device)
        return v, v[:, :0]

    def forward(self, sent: dict[str, Tensor]) -> Tensor:
        v, nothing = self.initial(sent[self.synapses[0].source].shape[0])
        return self.go_on(sent, v, nothing, torch.ones_like(v[:1]))[0]

    def go_on(
        self, sent: dict[str, Tensor], v: Tensor, nothing: Tensor, fresh: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        sums = []
        for current in self.currents(sent):
            v = self.integrate(v, current, fresh)
            sums.append(v.reshape(-1, *self.view))
        return torch.stack(sums, 1), v, nothing


class Pool(nn.Module):
    """A max-pool: sends by how much the maximum of the running sums in its window changes."""

    def __init__(
        self, name: str, source: str, window: Window, shapes: tuple[tuple[int, ...], tuple[int, ...]]
    ) -> None:
        super().__init__()
        self.name, self.source, self.window, self.shapes = name, source, window, shapes

    def initial(self, images: int) -> tuple[Tensor, Tensor]:
        total, best = (torch.zeros((images, *shape), dtype=torch.int64) for shape in self.shapes)
        return total, best

    def forward(self, sent: dict[str, Tensor]) -> Tensor:
        spikes = sent[self.source]
        total, best = (s.to(spikes.device) for s in self.initial(spikes.shape[0]))
        return self.go_on(sent, total, best, best)[0]

    def go_on(
        self, sent: dict[str, Tensor], total: Tensor, best: Tensor, fresh: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        totals = sent[self.source].cumsum(1) + total.unsqueeze(1)  # (N, T, C, H, W)
        x = padded(totals.double().flatten(0, 1), self.window, -torch.inf)
        new = F.max_pool2d(x, self.window.kernel, self.window.stride, 0, self.window.dilation).long()
        new = new.reshape(-1, totals.shape[1], *new.shape[1:])
        return torch.diff(new, dim=1, prepend=best.unsqueeze(1)), totals[:, -1], new[:, -1]


class Product(nn.Module):
    """A gate: sends by how much the product of the running sums of its sources changes, in 2**shift levels
    each, vth. The second source may have one neuron for many."""

    vth: Tensor
    payload: Tensor
    gain: Tensor
    band: Tensor | None

    def __init__(
        self,
        name: str,
        sources: tuple[str, str],
        shapes: tuple[tuple[int, ...], tuple[int, ...]],
        dials: tuple[int, bool, int],
        **each: Tensor | None,
    ) -> None:
        super().__init__()
        self.name, self.sources, self.shapes = name, sources, shapes
        self.levels, self.two_sided, self.most = dials
        for key, values in each.items():
            self.register_buffer(key, values)

    def initial(self, images: int) -> tuple[Tensor, Tensor]:
        """The first source's running sums, and m behind them; the second's."""
        own = torch.zeros((images, 2, *self.shapes[0]), dtype=torch.int64, device=self.vth.device)
        return own, torch.zeros((images, *self.shapes[1]), dtype=torch.int64, device=self.vth.device)

    def forward(self, sent: dict[str, Tensor]) -> Tensor:
        own, b = self.initial(sent[self.sources[0]].shape[0])
        return self.go_on(sent, own, b, self.vth.new_ones(1))[0]

    def go_on(
        self, sent: dict[str, Tensor], own: Tensor, b: Tensor, fresh: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        left, right = (sent[source].unbind(1) for source in self.sources)
        (a, m), spikes = own.unbind(1), []
        for t in range(len(left)):
            a, b = a + left[t], b + right[t]
            summed = len(left) - fresh * (len(left) - t - 1)
            gain = torch.div(2 * self.gain + summed, 2 * summed, rounding_mode="floor")
            k = toward(self, a * b * gain, m)
            m = m + k
            spikes.append(k * self.payload)
        return torch.stack(spikes, 1), torch.stack([a, m], 1), b


def toward(p: Curved | Product, value: Tensor, m: Tensor) -> Tensor:
    """Levels to send so that m is the nearest (halves up) to `value` in levels; those of vth = 0 are dead."""
    step = p.vth.clamp(min=1)
    goal = torch.div(2 * value + step, 2 * step, rounding_mode="floor")
    goal = goal if p.two_sided else goal.clamp(min=0)
    goal = goal.clamp(-p.most, p.most) if p.most else goal
    k = (goal - m).clamp(-p.levels, p.levels) * (p.vth > 0)
    if p.band is not None:
        apart = 2 * (value - m * step)
        k = k * ((apart >= step + 2 * p.band) | (apart < -step - 2 * p.band))
    return k


def padded(x: Tensor, window: Window, value: float) -> Tensor:
    (top, bottom), (left, right) = window.padding
    return F.pad(x, (left, right, top, bottom), value=value)


# ---------------------------------------------------------------- from a graph


def module(graph: SpikingGraph, *, steps: int | None = None) -> Network | Kept:
    """The network of an integer graph, for `steps` (default: the graph's); its integers are buffers, in the
    state_dict. Kept, where the graph is a stream's.

    OutOfRange for a float graph, and where a current may reach 2**53."""
    if not graph.is_integer:
        raise OutOfRange("torch_module: the graph holds floats; quantize it first")
    check_state(graph, "the torch module")
    sent = largest_spikes(graph)
    populations: list[Neurons | Product | Pool | Sum] = []
    for p in graph.populations[1:]:
        if isinstance(p, MaxPool):
            populations.append(Pool(p.name, p.source, p.window, (graph[p.source].shape, p.shape)))
            continue
        if isinstance(p, Gate):
            populations.append(_product(p, graph[p.gate].shape))
            continue
        assert isinstance(p, SNM | ReadOut)
        require_exact(sum(q.bound(sent[q.source]) for q in p.projections), p.name)
        populations.append(_driven(p))
    network = Network(_image(graph.input), populations, steps_of(graph, steps))
    return Kept(Stream(network)) if graph.carry else network


def _image(p: Input) -> Image:
    assert p.scale is not None
    scale = torch.tensor(p.scale).reshape(-1, *(1,) * (len(p.shape) - 1))
    return Image(
        p.name, p.image_shape, p.shape, None if p.order is None else _integers(p.order), scale, p.bits
    )


def _driven(p: SNM | ReadOut) -> Neurons | Sum:
    synapses, bias = [_synapses(q) for q in p.projections], _integers(p.bias)
    if isinstance(p, ReadOut):
        return Sum(p.name, synapses, bias, p.shape, p.view or p.shape)
    each: dict[str, Tensor | None] = {key: _integers(getattr(p, key)) for key in ("vth", "payload", "v_init")}
    each["lower"] = _integers(lower_threshold(p.vth, p.down)) if p.down < 1 else None
    band = band_of(p.vth, p.band)
    each["band"] = None if band is None else _integers(band)
    if p.curve is not None:
        each["lower"] = None
        each |= {key: _integers(getattr(p.curve, key)) for key in ("knots", "slopes", "offsets")}
    kind = Neurons if p.curve is None else Curved
    return kind(p.name, synapses, bias, p.levels, p.lead, p.two_sided, p.most, **each)


def _product(p: Gate, gate: tuple[int, ...]) -> Product:
    band = band_of(p.vth, p.band)
    each = {"vth": _integers(p.vth), "payload": _integers(p.payload)}
    gain = _integers(p.gain).reshape(-1, *(1,) * (len(p.shape) - 1))
    kept = None if band is None else _integers(band)
    dials = p.levels, p.two_sided, p.most
    return Product(p.name, (p.source, p.gate), (p.shape, gate), dials, gain=gain, band=kept, **each)


def _synapses(q: Projection) -> Synapses:
    arrays = {
        "weight": q.weight,
        "source_channels": q.source_channels,
        "target_channels": q.target_channels,
        "target_order": q.target_order,
    }
    arrays["factor"] = np.array(1 << q.exponent)
    arrays |= (
        {"rows": q.resample.rows, "cols": q.resample.cols} if q.resample else {"rows": None, "cols": None}
    )
    synapses = Synapses(q.source, **{key: None if a is None else _integers(a) for key, a in arrays.items()})
    synapses.conv = (q.window, q.groups) if q.is_conv else None
    synapses.sums = q.sum_pool
    synapses.targets, synapses.target_shape = q.targets, q.target_shape
    return synapses


def _integers(a: np.ndarray) -> Tensor:
    return torch.tensor(a, dtype=torch.int64)
