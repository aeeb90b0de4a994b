from __future__ import annotations

import numpy as np
import numpy.typing as npt
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import LogConfig
from lava.magma.core.process.variable import Var

from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir.curves import Curve
from dnisnm_lava.procs.whole import Whole


class SNM(Whole):
    """Signed neurons with memory (Wang et al. 2024, Eq. 19 to 23), with windows for a stream of samples.

    In each step of a window: v <- v + a_in + bias; fire k = +-1 (up to `levels`) where v >= vth, or where
    v <= -vth and the neuron has sent something it can take back (m > 0); v <- v - k * vth, m <- m + k, and
    k * payload leaves through s_out.

    shape: of the population. vth, payload, v_init, bias: scalars or arrays that broadcast to `shape`; floats
    for `floating_pt`, integers for `fixed_pt` (v saturates at 24 bits; `saturations` counts). Defaults:
    payload = vth, v_init = vth / 2 (integers: vth >> 1). ValueError where `fixed_pt` would cut a fraction.
    A neuron with vth = 0 never fires. two_sided: no memory gate; spikes may sum below zero, as a linear
    tensor's do. down: the lower threshold as a share of
    vth, 0 to 1; it stands for vth where levels are taken back, at v <= -lower, until v is above it. 1 is the
    paper's neuron. In integers the lower threshold is at least 1; in floats 0 means any v < 0. band: a dead
    band as a share of vth, 0 to 1: nothing is sent before v is so far above vth or below 0. most: the levels
    that m may hold, and minus which a two-sided neuron's may (0: no bound). carry: windows are frames of one
    stream: v and m go on from one to the next, and bias acts in the first alone. curve: of neurons that keep
    their running sum v, and send by how much this function of it changes (`ir.dynamics.follow`); v_init is 0
    then, where none is given, vth what a level of the function is worth (in integers a power of two), and
    `down` says nothing. In integers its arrays are int64. channels: the axis of `shape` that its rows are of.
    steps: currents per window. lead: steps of a window before the first spike. period: steps from window to
    window (default steps + lead). offset: steps before the first window; with one synapse between the source
    and these neurons, 1.

    Ports: a_in (shape), s_out (shape). Vars to read: v, m, saturations.
    """

    _runtime = None  # Lava asks for it when a process goes that was refused here

    def __init__(
        self,
        *,
        shape: tuple[int, ...],
        vth: npt.ArrayLike,
        steps: int,
        payload: npt.ArrayLike | None = None,
        v_init: npt.ArrayLike | None = None,
        bias: npt.ArrayLike = 0,
        levels: int = 1,
        lead: int = 0,
        two_sided: bool = False,
        down: float = 1.0,
        band: float = 0.0,
        most: int = 0,
        carry: bool = False,
        curve: Curve | None = None,
        channels: int = 0,
        period: int | None = None,
        offset: int = 0,
        name: str | None = None,
        log_config: LogConfig | None = None,
    ) -> None:
        vth = _shaped("vth", vth, shape)
        payload = vth if payload is None else _shaped("payload", payload, shape)
        half = vth / 2 if vth.dtype.kind == "f" else vth >> 1
        start = half if curve is None else np.zeros_like(vth)
        self.constants = ("vth", "payload", "bias", *(["v_init"] if v_init is not None else []))
        v_init = start if v_init is None else _shaped("v_init", v_init, shape)
        bias = _shaped("bias", bias, shape)
        period = steps + lead if period is None else period
        super().__init__(shape=shape, name=name, log_config=log_config)
        _check(vth, steps, levels, lead, period, offset, down)
        _check_stream(band, most)
        if curve is not None:
            _check_curve(curve, vth, channels)
        knots, slopes, offsets = LINE if curve is None else _with_a_knot(curve)
        self.a_in = InPort(shape=shape)
        self.s_out = OutPort(shape=shape)
        self.v = Var(shape=shape, init=v_init.copy())
        self.m = Var(shape=shape, init=0)
        self.vth = Var(shape=shape, init=vth)
        self.payload = Var(shape=shape, init=payload)
        self.v_init = Var(shape=shape, init=v_init)
        self.bias = Var(shape=shape, init=bias)
        self.levels = Var(shape=(1,), init=levels)
        self.lead = Var(shape=(1,), init=lead)
        self.two_sided = Var(shape=(1,), init=int(two_sided))
        self.down = Var(shape=(1,), init=float(down))
        self.band = Var(shape=(1,), init=float(band))
        self.most = Var(shape=(1,), init=most)
        self.carry = Var(shape=(1,), init=int(carry))
        self.curved = Var(shape=(1,), init=int(curve is not None))
        self.knots = Var(shape=knots.shape, init=knots)
        self.slopes = Var(shape=slopes.shape, init=slopes)
        self.offsets = Var(shape=offsets.shape, init=offsets)
        self.channels = Var(shape=(1,), init=channels)
        self.steps = Var(shape=(1,), init=steps)
        self.period = Var(shape=(1,), init=period)
        self.offset = Var(shape=(1,), init=offset)
        self.saturations = Var(shape=(1,), init=0)


def _shaped(name: str, values: npt.ArrayLike, shape: tuple[int, ...]) -> np.ndarray:
    """One value for each neuron."""
    given = np.asarray(values)
    try:
        return np.broadcast_to(given, shape).copy()
    except ValueError:
        channels = (
            f"; one for each channel is {name}.reshape{(-1, *[1] * (len(shape) - 1))}"
            if len(shape) > 1 and given.shape == shape[:1]
            else ""
        )
        raise ValueError(
            f"SNM: {name} of shape {given.shape} given for neurons of shape {tuple(shape)}; give one number, "
            f"or an array that broadcasts to that shape{channels}"
        ) from None


LINE = np.zeros((1, 1)), np.zeros((1, 2)), np.zeros((1, 2))  # of neurons that have no curve


def _with_a_knot(curve: Curve) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Knots, slopes and offsets; a line without knots, of which no Var could be made, is parted at 0."""
    if curve.knots.shape[1]:
        return curve.knots, curve.slopes, curve.offsets
    knots = np.zeros((curve.rows, 1), curve.slopes.dtype)
    return knots, np.repeat(curve.slopes, 2, axis=1), np.repeat(curve.offsets, 2, axis=1)


def _check_curve(curve: Curve, vth: np.ndarray, channels: int) -> None:
    if not -vth.ndim <= channels < vth.ndim:
        raise ValueError(f"SNM: channels {channels} given; give an axis of {vth.shape}")
    if (curve.slopes.dtype.kind == "i") != (vth.dtype.kind == "i"):
        raise ValueError(
            f"SNM: a curve of {curve.slopes.dtype} and thresholds of {vth.dtype}; give both as integers, or "
            f"both as floats"
        )
    try:
        curve.check("SNM", vth.shape[channels])
    except OutOfRange as error:
        raise ValueError(str(error)) from None


def _check(
    vth: np.ndarray, steps: int, levels: int, lead: int, period: int, offset: int, down: float
) -> None:
    if (vth < 0).any():
        raise ValueError(
            f"SNM: {int((vth < 0).sum())} of {vth.size} thresholds are negative; give vth >= 0 (0: never "
            f"fires)"
        )
    if steps < 1 or levels < 1 or lead < 0 or offset < 0:
        raise ValueError(
            f"SNM: steps {steps}, levels {levels}, lead {lead}, offset {offset}; steps and levels must "
            f"be >= 1, the others >= 0"
        )
    if not 0 <= down <= 1:
        raise ValueError(f"SNM: down {down}; give 0 to 1, a share of the threshold")
    if period < steps + lead:
        raise ValueError(
            f"SNM: period {period} is shorter than steps + lead = {steps + lead}; windows would overlap"
        )


def _check_stream(band: float, most: int) -> None:
    if not 0 <= band <= 1 or most < 0:
        raise ValueError(
            f"SNM: band {band}, most {most}; give 0 to 1, a share of the threshold, and levels, 0 or more"
        )
