"""The seam for SNM on a Loihi 2 neuro-core: registers, arithmetic and program, as a document that runs.

What is known here is what must be computed: `program` says it in instructions of one neuron (`curve_program`
of one with a curve), `step` executes them in 24-bit saturating registers, and a test holds that against
dynamics.py. What is not public, and was not seen: the contents of lava-nc's Loihi 2 extension
(`lava.magma.core.model.nc`), the neuro-core's instruction set and cost, the widths of its registers and of
what synapses add up, whether its additions saturate or wrap. The instructions below are therefore named by
us. Where the extension is installed, `NcSNM.allocate` is what has to be written against it;
hw_tests/README.md says how to try it.

Registers of a neuron (all signed, 24 bits, saturating at +-(2**23 - 1)):

    v         potential                                    starts at v_init, again at step 0 of each window
    m         levels sent, net; below levels * steps       starts at 0, again at step 0 of each window
                                                           (both go on where frames of a stream carry them)
    fresh     1 in the first window of a stream, whose     starts at 1
              biases act there alone
    c         clock: step within the window                starts at -offset, runs from 0 to period - 1 from
              then on
    vth, lower, band, payload, v_init, bias                constants of the neuron; vth = 0: it never fires;
                                                           lower, band: see dynamics.py
    steps, lead, period, most                              constants of the population, as are levels,
                                                           two_sided and carry
    a         what synapses brought in this step           cleared by reading

A neuron with a curve has no lower threshold, and beside the others `knot_0 ...`, `slope_0 ...` and
`offset_0 ...`, one slope and one offset more than knots, and of its threshold, which is 2**shift, `shift` and
`half`, the half of it. More than 24 bits take w, x and y, which compute in 64 (WIDE), and knots, offsets and
threshold. Whether a neuro-core multiplies and adds as wide was not seen either.

A gate (`gate_program`) has no potential, bias or lead, but `p` and `q`, what its two inputs a and g summed
to, and `gain_1 ... gain_T`, what a product of sums of 1 is worth after so many steps: dynamics.gain_after,
made ahead, since nothing here divides. Its threshold is 2**shift, too; gains and products take 64 bits.

`v + (a + bias)` takes two additions. Where |a + bias| stays within 24 bits the second alone can saturate, and
the result is dynamics.py's, which saturates once. `largest_current` of `dnisnm inspect FILE --json` bounds it
for each population of a file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lava.magma.core.decorator import implements, requires
from lava.magma.core.resources import Loihi2NeuroCore
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from dnisnm_lava.errors import BackendMissing
from dnisnm_lava.procs.snm.process import SNM

try:
    from lava.magma.core.model.nc.model import AbstractNcProcessModel
except ImportError:  # no extension, no neuro-core model; Lava imports this file for its CPU models too
    AbstractNcProcessModel = None

LARGEST, WIDEST = 2**23 - 1, 2**63 - 1
WIDE = ("w", "x", "y", "gain")  # registers of 64 bits
REGISTERS = ("v", "m", "c", "vth", "lower", "payload", "v_init", "bias", "steps", "lead", "period")
OF_CURVES = ("vth", "half", "shift")  # of neurons that have a curve, with its knots, slopes and offsets
OF_GATES = ("p", "q", "m", "c", "vth", "half", "shift", "payload", "steps", "period")  # with its gains
OF_STREAMS = ("fresh", "band", "most")  # registers of a stream's neurons, beside them

# Flags are 0 and 1. Each line: an operation, its target, its operands (registers or numbers). SEL: the second
# operand where
# the first, a flag, is 1, else the third. SPIKE: sends its operand, unless that is 0.
BEGIN = """
    {reset}
    GE   open    c       0            silent before the first window
    LT   hears   c       steps        (19): currents and bias in the first `steps` steps
    AND  hears   hears   open
    {bias}
    SEL  z       hears   z       0
    ADD  v       v       z
    ADD  end     steps   lead         fires in steps lead ... steps + lead - 1
    GE   armed   c       lead
    LT   early   c       end
    AND  armed   armed   early
    GE   alive   vth     1
    AND  armed   armed   alive
    ADD  k       0       0
"""
LEVEL = """
    GE   up      v       vth          (21), one level: up ...
    NEG  n       v
    GE   down    n       lower        ... or down; not both in one step, for lower <= vth
    AND  up      up      armed
    AND  down    down    armed
    {bound}
    {gate}
    SUB  d       up      down
    MUL  q       d       vth
    SUB  v       v       q            (22)
    ADD  m       m       d            (23)
    ADD  k       k       d
"""
GATE = """
    GE   owes    m       1            takes back only what it sent
    AND  down    down    owes
"""
END = """
    MUL  s       k       payload
    SPIKE out    s
    ADD  c       c       1
    EQ   last    c       period
    SEL  c       last    0       c
"""

RESET = """
    EQ   first   c       0            window begins: forget the last one
    SEL  v       first   v_init  v
    SEL  m       first   0       m
"""
ONCE = """
    SEL  b       fresh   bias    0    in the first frame alone
    ADD  z       a       b
"""
DEAD_BAND = """
    ADD  far     vth     band         before the first level: has v left the band?
    GE   above   v       far
    NEG  n       v
    GE   below   n       band
"""
BOUND = """
    LT   room    m       most         holds no more than that
    AND  up      up      room
    AND  up      up      above
    AND  down    down    below
"""
BOUND_BELOW = """
    NEG  owed    m
    LT   room    owed    most         a two-sided neuron, either way
    AND  down    down    room
"""
AGED = """
    SEL  fresh   last    0       fresh
"""

SUMMED = """
    ADD  t       c       1            how many steps are summed
    LT   more    t       steps
    SEL  t       more    t       steps
    {carried}
    ADD  slope   slope_0 0
    ADD  y       offset_0 0
"""
ALL_SUMMED = """
    SEL  t       fresh   t       steps        all of them, behind the first frame
"""
KNOT = """
    MUL  x       knot_{i} t
    LT   left    v       x            a knot belongs to its right
    SEL  slope   left    slope   slope_{right}
    SEL  y       left    y       offset_{right}
"""
CURVED = """
    MUL  w       v       slope        t f(v / t)
    MUL  y       y       t
    ADD  w       w       y
"""
FOLLOW = """
    ADD  y       w       half
    SHR  y       y       shift        in whole levels, halves up
    {bound}
    SUB  y       y       m
    LT   far     {levels} y
    SEL  y       far     {levels} y
    LT   far     y       -{levels}
    SEL  y       far     -{levels} y
    {band}
    SEL  k       armed   y       0
    ADD  m       m       k
"""
FOLLOWS_UP = """
    LT   far     most    y            holds no more than that
    SEL  y       far     most    y
"""
FOLLOWS_DOWN = """
    LT   far     y       {least}
    SEL  y       far     {least} y
"""
FOLLOWS_FAR = """
    MUL  x       m       vth          has it left the band, beyond half a level?
    SUB  w       w       x
    ADD  w       w       w
    ADD  x       band    band
    ADD  x       x       vth
    GE   above   w       x
    NEG  x       x
    LT   below   w       x
    SEL  above   below   1       above
    AND  armed   armed   above
"""

GATE_BEGIN = """
    {reset}
    GE   open    c       0            silent before the first window
    LT   armed   c       steps
    AND  armed   armed   open
    SEL  z       armed   a       0    both sources' sums of this window
    ADD  p       p       z
    SEL  z       armed   g       0
    ADD  q       q       z
    GE   alive   vth     1
    AND  armed   armed   alive
    ADD  t       c       1            how many steps are summed
    {carried}
    ADD  gain    gain_1  0
"""
GATE_RESET = """
    EQ   first   c       0            window begins: forget the last one
    SEL  p       first   0       p
    SEL  q       first   0       q
    SEL  m       first   0       m
"""
GAIN = """
    LT   past    t       {i}
    SEL  gain    past    gain    gain_{i}
"""
GATED = """
    MUL  w       p       q            p q gain(t)
    MUL  w       w       gain
"""

ARITHMETIC: dict[str, Callable[..., int]] = {
    "ADD": lambda a, b: a + b,
    "SUB": lambda a, b: a - b,
    "MUL": lambda a, b: a * b,
    "NEG": lambda a: -a,
    "AND": lambda a, b: a & b,
    "EQ": lambda a, b: int(a == b),
    "GE": lambda a, b: int(a >= b),
    "LT": lambda a, b: int(a < b),
    "SEL": lambda flag, a, b: a if flag else b,
    "SHR": lambda a, b: a >> b,  # towards minus infinity
    "SPIKE": lambda a: a,
}
OPERANDS = {"NEG": 1, "SPIKE": 1, "SEL": 3}  # the others take 2


def program(levels: int, two_sided: bool, *, carry: bool = False) -> list[tuple[str, ...]]:
    """One step of one neuron: (operation, target, operand, ...). No jumps and no division: a level is one
    compare and subtract. carry: of a stream's network."""
    bound = BOUND + (BOUND_BELOW if two_sided else "") if carry else ""
    level = LEVEL.format(bound=bound.strip(), gate="" if two_sided else GATE.strip())
    return _instructions((DEAD_BAND if carry else "") + levels * level, carry)


def curve_program(knots: int, levels: int, two_sided: bool, *, carry: bool = False) -> list[tuple[str, ...]]:
    """One step of a neuron that sends a curve of so many knots: all its levels at once, by shifting, for its
    threshold is a power of two. carry: of a stream's network."""
    pieces = "".join(KNOT.format(i=i, right=i + 1) for i in range(knots))
    summed = SUMMED.format(carried=ALL_SUMMED.strip() if carry else "")
    return _instructions(summed + pieces + CURVED + _follow(levels, two_sided, carry), carry)


def gate_program(steps: int, levels: int, two_sided: bool, *, carry: bool = False) -> list[tuple[str, ...]]:
    """One step of a gate, which sends the change of the product of two running sums. steps: of a window, for
    each of which there is a gain, so that nothing is divided. carry: of a stream's network."""
    begin = GATE_BEGIN.format(
        reset="" if carry else GATE_RESET.strip(), carried=ALL_SUMMED.strip() if carry else ""
    )
    gains = "".join(GAIN.format(i=i) for i in range(2, steps + 1))
    return _parsed(begin + gains + GATED + _follow(levels, two_sided, carry), carry)


def _follow(levels: int, two_sided: bool, carry: bool) -> str:
    """From the value w, in parts of a level, to the levels k that bring m to it."""
    down = FOLLOWS_DOWN.format(least="x" if two_sided else "0")
    if carry:
        bound = FOLLOWS_UP + ("    NEG  x       most\n" if two_sided else "") + down
    else:
        bound = "" if two_sided else down
    band = FOLLOWS_FAR.strip() if carry else ""
    return FOLLOW.format(bound=bound.strip(), levels=levels, band=band)


def _instructions(fire: str, carry: bool) -> list[tuple[str, ...]]:
    """The instructions of a step whose neurons fire so."""
    begin = BEGIN.format(reset="" if carry else RESET.strip(), bias=ONCE.strip() if carry else "ADD z a bias")
    return _parsed(begin + fire, carry)


def _parsed(text: str, carry: bool) -> list[tuple[str, ...]]:
    lines = [line.split() for line in (text + END + (AGED if carry else "")).splitlines() if line.strip()]
    return [tuple(words[: 2 + OPERANDS.get(words[0], 2)]) for words in lines]


def step(instructions: list[tuple[str, ...]], registers: dict[str, int], a: int, g: int = 0) -> int:
    """Execute one step in place, and what the neuron sends. registers: of REGISTERS, or with a curve's; or of
    OF_GATES. a: what arrives; g: at a gate's second input."""
    registers["a"], registers["g"] = saturated(a), saturated(g)
    for operation, target, *operands in instructions:
        values = [registers[o] if o in registers else int(o) for o in operands]
        registers[target] = saturated(ARITHMETIC[operation](*values), WIDEST if target in WIDE else LARGEST)
    return registers["out"]


def saturated(value: int, largest: int = LARGEST) -> int:
    return max(-largest, min(largest, value))


if AbstractNcProcessModel is not None:

    @implements(proc=SNM, protocol=LoihiProtocol)
    @requires(Loihi2NeuroCore)
    class NcSNM(AbstractNcProcessModel):
        """SNM on neuro-cores: to be written by somebody who has the extension, from `program` and
        `curve_program`."""

        def allocate(self, net: Any) -> None:
            raise BackendMissing(
                "SNM has no neuro-core model yet, so it does not run on a board: write NcSNM.allocate in "
                "dnisnm_lava/procs/snm/ncmodels.py from the program there, or use Loihi2SimCfg"
            )
