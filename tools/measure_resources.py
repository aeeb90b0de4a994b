"""Write docs/resources.md: the estimate against what Intel's compiler printed, and `dnisnm check` on
ResNet-20 and VGG-16.

    python tools/measure_resources.py [--out docs/resources.md]

Needs no data: the published tables stand below, and the two networks have random weights, of which only the
widths count.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch import nn  # noqa: E402

import dnisnm_lava as dn  # noqa: E402
from dnisnm_lava.studies.loihi2.cores import Layer, Row, Shared, Single, placed  # noqa: E402
from dnisnm_lava.studies.loihi2.limits import LOIHI2  # noqa: E402
from dnisnm_lava.studies.loihi2.rules import RULES, Checked, named  # noqa: E402
from dnisnm_lava.system.files import write_whole  # noqa: E402
from dnisnm_lava.views import checks  # noqa: E402
from examples.paper.networks import vgg16  # noqa: E402
from examples.resnet20 import resnet20  # noqa: E402

NOTEBOOKS = "lava-dl, tutorials/lava/lib/dl/netx"
ASSUMED_BITS = 8
CIFAR = (3, 32, 32)


# ---------------------------------------------------------------- what was published


@dataclass(frozen=True)
class Line:
    """A layer, and what the compiler printed for it: cores; neurons and words of synapse memory of a core;
    the channels on a core (of a vector: its neurons, the most)."""

    layer: Layer
    cores: int
    neurons: int
    words: float
    channels: int


@dataclass(frozen=True)
class Published:
    name: str
    source: str
    total: int
    lines: tuple[Line, ...]
    known: bool = False  # whether the widths of its weights are those of a public file


def image(shape: tuple[int, int, int], cores: int, neurons: int) -> Line:
    return Line(Layer("image", "input", shape), cores, neurons, 0, shape[0])


def conv(
    shape: tuple[int, int, int],
    read: int,
    printed: tuple[int, int, float, int],
    bits: int = ASSUMED_BITS,
    taps: int = 9,
) -> Line:
    name = f"conv {shape[0]}x{shape[1]}x{shape[2]}"
    return Line(Layer(name, "conv", shape, (Shared(taps, read, shape[0], 1, bits),)), *printed)


def dense(
    read: int, rows: int, printed: tuple[int, int, float, int] = (0, 0, 0, 0), bits: int = ASSUMED_BITS
) -> Line:
    return Line(
        Layer(f"dense {read} to {rows}", "dense", (rows,), (Single(read, read * rows, rows, bits),)), *printed
    )


def percent(share: float) -> float:
    """Of the synapse memory, in words."""
    return share * LOIHI2.synapse_words / 100


PUBLISHED = (
    Published(
        "PilotNet LIF",
        f"{NOTEBOOKS}/pilotnet_snn/benchmark.ipynb",
        74,
        (
            image((3, 66, 200), 13, 3168),
            conv((24, 32, 99), 3, (25, 3072, 81, 24), 6),
            conv((36, 15, 49), 24, (13, 2160, 864, 36), 5),
            conv((48, 7, 24), 36, (3, 2688, 1620, 48), 5),
            conv((64, 4, 22), 48, (3, 2048, 2160, 64), 4),
            conv((64, 2, 20), 64, (2, 2048, 2880, 64), 4),
            dense(2560, 100, (12, 8, 7253, 9), 4),
            dense(100, 50, (1, 50, 1300, 50), 5),
            dense(50, 10, (1, 10, 150, 10), 6),
            dense(10, 1, (1, 1, 10, 1), 7),
        ),
        known=True,
    ),
    Published(
        "PilotNet SDNN",
        f"{NOTEBOOKS}/pilotnet_sdnn/benchmark.ipynb",
        61,
        (
            conv((24, 32, 99), 3, (25, 3072, 81, 24)),
            conv((36, 15, 49), 24, (13, 2160, 864, 36)),
            conv((48, 7, 24), 36, (3, 2688, 1620, 48)),
            conv((64, 4, 22), 48, (3, 2048, 2592, 64)),
            conv((64, 2, 20), 64, (2, 2048, 2880, 64)),
            dense(2560, 100, (12, 8, 7253, 9)),
            dense(100, 50, (1, 50, 1500, 50)),
            dense(50, 10, (1, 10, 150, 10)),
            dense(10, 1, (1, 1, 10, 1)),
        ),
    ),
    Published(
        "YOLO-KP, 448x448",
        f"{NOTEBOOKS}/yolo_kp/run.ipynb",
        574,
        (
            conv((16, 224, 224), 3, (224, 3584, percent(0.3375), 16)),
            conv((32, 112, 112), 16, (112, 3584, percent(3.6), 32)),
            conv((64, 56, 56), 32, (56, 3584, percent(10.8), 64)),
            conv((128, 28, 28), 64, (28, 3584, percent(39.6), 128)),
            conv((256, 28, 28), 128, (56, 3584, percent(79.2), 128)),
            conv((256, 14, 14), 256, (16, 3584, percent(72.0), 64)),
            conv((512, 14, 14), 256, (32, 3584, percent(86.4), 64)),
            conv((256, 14, 14), 512, (14, 3584, percent(67.2), 256), taps=1),
            conv((512, 14, 14), 256, (32, 3584, percent(86.4), 64)),
            conv((48, 14, 14), 512, (4, 2688, percent(19.2), 48), taps=1),
        ),
    ),
    Published(
        "MNIST MLP",
        f"{NOTEBOOKS}/mnist/run.ipynb (the total alone)",
        5,
        (dense(784, 128), dense(128, 64), dense(64, 10)),
    ),
    Published(
        "Oxford",
        f"{NOTEBOOKS}/oxford/run.ipynb",
        5,
        (dense(200, 256, (3, 85, 5400, 127)), dense(256, 200, (2, 100, 8064, 127))),
    ),
)


# ---------------------------------------------------------------- the page


def page() -> str:
    told = "\n\n".join(
        [
            INTRODUCTION.format(**_constants()),
            _totals(),
            UNEXPLAINED,
            *map(_layers, PUBLISHED),
            *_networks(),
            CHEAPER,
            ANOTHER.replace("LIMITS", TOML.read_text().rstrip()),
        ]
    )
    return told + "\n"


def _constants() -> dict[str, object]:
    return {name: f"{value:,}" for name, value in asdict(LOIHI2).items() if isinstance(value, int)}


def _totals() -> str:
    rows = []
    for network in PUBLISHED:
        estimated = sum(row.cores for row in rows_of(network))
        off = f"{100 * (estimated - network.total) / network.total:+.1f} %"
        rows.append(
            (
                network.name,
                network.total,
                estimated,
                off,
                "the file's" if network.known else ASSUMED_BITS,
                network.source,
            )
        )
    return "## Cores\n\n" + table(
        ("network", "published", "estimated", "off by", "bits", "published in"), rows
    )


def rows_of(network: Published) -> list[Row]:
    return [placed(line.layer) for line in network.lines]


def _layers(network: Published) -> str:
    lines = zip(network.lines, rows_of(network), strict=True)
    rows = [
        (
            row.name,
            line.cores or "",
            row.cores,
            _number(line.neurons),
            f"{row.neurons_on_core:,}",
            _number(line.words),
            f"{row.words:,}",
            _explaining(line, network.known),
        )
        for line, row in lines
    ]
    heads = (
        "layer",
        "cores",
        "estimated",
        "neurons",
        "estimated",
        "words",
        "estimated",
        "bits that give the words",
    )
    return f"### {network.name}\n\n" + table(heads, rows)


def _number(value: float) -> str:
    return f"{int(value):,}" if value else ""


def _explaining(line: Line, known: bool) -> str:
    """Widths at which the formula gives the published words of a core, at the published cut."""
    if not line.words or not line.layer.inputs:
        return ""
    widths = [bits for bits in range(1, 13) if _explains(line, bits)]
    told = f"{widths[0]} to {widths[-1]}" if len(widths) > 1 else f"{widths[0]}" if widths else "none alone"
    synapses = line.layer.inputs[0]
    return told + (f"; the file's {synapses.bits}" if known else "")


def _explains(line: Line, bits: int) -> bool:
    """The printed words are the mean of the cores', which are cut in parts of `channels` and a rest."""
    synapses = replace(line.layer.inputs[0], bits=bits)
    if isinstance(synapses, Shared):
        return synapses.words(line.channels, 0) == line.words
    full, rest = divmod(line.layer.shape[0], line.channels)
    summed = full * synapses.words(line.channels, line.channels) + (synapses.words(rest, rest) if rest else 0)
    return summed // line.cores == int(line.words)


def table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


# ---------------------------------------------------------------- two networks of ours


def _networks() -> Iterator[str]:
    yield NETWORKS.format(names="\n".join(f"- {named(rule)}" for rule in RULES))
    for name, factory, shape in (
        ("ResNet-20", resnet20, CIFAR),
        ("VGG-16", vgg16, CIFAR),
        ("Too wide", too_wide, (3, 64, 300)),
    ):
        yield _checked(f"{name}, {checks.sizes(shape)}", checked(factory, shape))


def too_wide() -> nn.Module:
    """A convolution of long rows, and a dense layer that reads all of it."""
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 64 * 300, 10))


def checked(factory: Callable[[], nn.Module], shape: tuple[int, ...]) -> Checked:
    """What `check` finds in a model with random weights and biases, made by the paper's recipe."""
    torch.manual_seed(0)
    model = factory().eval()
    for parameter in model.parameters():
        if parameter.ndim == 1:  # as batch norm leaves training: other than 1 and 0
            nn.init.uniform_(parameter, 0.5, 1.5)
    x = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    analog = dn.from_torch(model, x[0])
    return dn.check(dn.quantize(dn.convert(analog, dn.calibrate(analog, [x]), steps=32)))


def _checked(name: str, found: Checked) -> str:
    heads = ("population", "shape", "on a core", *checks.HEADINGS)
    violations = [
        (v.rule, v.population or "all", f"{v.value:,}", f"{v.limit:,}", v.remedy) for v in found.violations
    ]
    broken = (
        table(("does not hold", "population", "value", "limit", "what now"), violations)
        if violations
        else "All rules hold."
    )
    longest = max((d.steps for d in found.delays), default=0)
    return (
        f"### {name}\n\n{table(heads, [checks.cells(row) for row in found.rows])}\n\n"
        f"{checks.verdict(found)}. Period {found.period}; {len(found.delays)} delays, the longest of "
        f"{longest}.\n\n{broken}"
    )


INTRODUCTION = """# Resources

What a network would take of Loihi 2's cores, by a rule that was fitted to tables which Intel's compiler printed in public notebooks.
Written by `python tools/measure_resources.py`. **An estimate by this rule, not verified on Loihi 2**: the hardware's documents and its
compiler are not public, and no network of this project has been on a chip.

## The rule

A layer lies on cores of its own. A core holds {input_axons} input axons, {synapse_words} words of 64 bits for synapses, and
{state_words} words for neurons. `dnisnm_lava/studies/loihi2/loihi2.toml` names the source of each constant,
`dnisnm_lava/studies/loihi2/cores.py` is the rule.

- *A shared kernel* takes, for each of its taps and each channel that it reads, `ceil((rows on the core * bits + {kernel_header_bits}) / 64)`
  words; `bits = ceil(log2(max |w|)) + 1`. It takes {conv_axons} input axons a core.
- *Single synapses* (dense layers, and a resampling whose pixels have synapses of many kinds) take, for each input axon,
  `ceil((synapses on the core * (bits + {index_bits}) + {list_header_bits}) / 64)` words; a list holds {list_synapses} of them at most.
- *A resampling* is composed into the kernel behind it where pixels share their synapses: a transposed convolution stores its own weights,
  once, an upsampling by a whole factor those of the kernel that it and the convolution make (4x4 of nearest by 2 and 3x3). Pixels whose
  synapses are of another kind, as at the borders of bilinear upsampling, have lists of their own.
- *A sum-pool* is composed into the kernel behind it (so a mean over 2x2 makes 6x6 of 3x3; pixels of one window share the lists of a dense
  layer), *max-pools* take a tap and a running sum for each input of a window, *the image* is a layer of neurons that
  send, as in PilotNet LIF. A max-pool has no counterpart in any published table: its price is a guess.
- *A neuron* takes a word for each 64 bits of what differs between the neurons of its population: 24 of potential, 24 of threshold, 24 of
  bias, those of the payload, those of the memory (up to T K levels), and 24 of initial potential where it is not half the threshold. In the
  published tables all neurons take one word (LIF: 24 of current, 24 of potential, 13 of bias); SNM with thresholds and biases of their own
  take two, so that half as many fit a core.
- *A neuron with a curve* (SiLU, LeakyReLU) takes 24 of potential, those of the memory, and 24 of bias; the curve's table lies once for each of its rows
  in the core's memory of neurons: 24 bits for each knot, its slopes and offsets in the fewest bits, 5 of shift. Nothing published has such a
  table: it is a guess. A *gate* has two sums of 24 bits, its memory, and a word for each channel, of gain and shift: a guess too.
- *The cut* of a map: columns in powers of two (even where that is more than there are), rows in halves, quarters, ..., channels likewise
  where nothing else helps; of these the fewest cores. Of a vector: divided by how many times too large it is, until a part fits. Both
  fill synapse memory up to {synapse_words_cut} words, where that is possible.

Fitted are five things: {index_bits} bits of an index (the only number that explains all tables), {kernel_header_bits} bits of a kernel's
header (17 to 48 do) and {list_header_bits} of a list's (0 to 12 do), lists of at most {list_synapses} single synapses, and the way that
maps are cut. No table was held back to try the rule on: what fits below was fitted, but for MNIST's total. The {list_synapses} stand in
two tables, of different compilers. Oxford's 256 neurons took three cores, though two would hold them by any other limit. In the notebook
S4D (`loihi2.toml` says where), a dense layer of 256 axons, 256 neurons and weights up to 9 took three, the fullest of which shows 3.10 % of
4,096 neurons and 51.20 % of 16,000 words: 127 neurons, and 256 lists of 32 words, as the rule has it. (That notebook's other layers are of
a sparse kind and of a neuron that the rule does not know.) {synapse_words_cut} words are what the compiler named as its limit in 2022; in
2024 it put 13,824 on a core. Not modelled: its columns AxonMap and AxonMem (at most 17 % in these tables), and compression of similar
weights. The weights of PilotNet LIF are those of `gts/pilotnet_lif/network.net` in lava-dl's wheel; where weights are not public, they are
taken to be 8 bits wide; the last column of the tables below tells at which widths the formula gives the words that were printed."""

UNEXPLAINED = """In the tables below, published neurons and words are the mean of the cores, estimated ones those of the fullest core. Left
unexplained:

- Oxford: the words of its second layer are those of 127 neurons and 73, at weights of 9 bits; the rule parts it in two halves.
- PilotNet SDNN: one core more in the first dense layer, because 8 bits are assumed; with the width that its words tell, 12 as published.
- YOLO-KP: with 8 bits the deep layers hold fewer channels and more positions a core than published, and come to as many cores.
- Input axons of convolutions: the tables show 1 or 2, and nothing tells which.
- MNIST MLP: the total alone was at hand, not its layers."""

NETWORKS = """## Networks of ours

What `dnisnm check FILE` tells of networks by recipe `paper`, T = 32, here with random weights: the two of 32x32 images, and one that is
too wide. AxonIn, Neurons and words are those of the fullest core, state words those of a neuron. *Synapses* counts all taps of a kernel
for each neuron, also those beyond the border of the map, which [energy.md](energy.md) leaves out; *stored* counts the weights that are
kept apart. Two state words come from the bias: without it, the 59 bits of such a neuron (24 potential, 24 threshold, 6 memory, 5 payload)
would fit one. The rules:

{names}

Groups of a convolution beyond 127 break no rule: Lava's own `Conv` sends zeros there, which `check` tells as a caution. They are no matter of a chip.

`check` begins with a verdict, as under the tables below. Its kB are those that the cores hold by this estimate: on each core of a population the words of
its fullest one, and what all neurons keep. *full* tells how much of a core is taken of what it has least left of: S, memory of synapses, N, of neurons, or A, input
axons. A second table has each rule with the largest value that it read, its limit, the share that is taken, and where.

Below the cores stands a bound on time, where there are images whose spikes can be counted: [energy.md](energy.md#time). Spikes, updates and words of memory stand in it with the
core that has most of them, since a step waits for that one; cutting its population over more cores is what `check` offers, with what that would bring."""


CHEAPER = """## Cheaper networks

Where a network is too large, or with `--suggest N`, `check` makes it anew from the model and the images that its file remembers: with thresholds shared by a
channel or a layer, without initial potentials of their own, with weights of 6, 5 and 4 bits, and with these together. Each is checked on the same chip, and
run on the same N test images as the network at hand; points are the difference of accuracy, with its paired 95 % interval (Newcombe's). What is told is
what no other beats in broken rules, cores and accuracy. `dn.suggest` is the same in Python.

VGG-16 on CIFAR-10 (JPEG), recipe `best`, fitted on 64 images, `dnisnm check vgg.net --suggest 300`, seed 0: 656 cores, and

    --weight-bits 4: 446 cores, 2 rules broken, +0.3 points (95 %, paired: -1.2 to +1.9)
    --correct weights,bias --weight-bits 5: 446 cores, 2 rules broken, +0.3 points (95 %, paired: -1.2 to +1.9)
    --weight-bits 6: 522 cores, 2 rules broken, +0.7 points (95 %, paired: -0.7 to +2.1)

Of ResNet-20 (recipe `paper`, T = 8), a LeNet on MNIST and a depthwise MobileNet (`best`) none of what was tried took fewer cores: their cores are full of neurons,
and these keep two words whoever shares their thresholds, since biases and units stay those of channels."""

TOML = ROOT / "dnisnm_lava/studies/loihi2/loihi2.toml"
ANOTHER = """## Another chip

`dnisnm check network.net --target mine.toml`, or `dn.check(graph, target="mine.toml")`, asks the rules of another chip's limits. Copy this file, the packaged one,
and edit it; unknown keys and tables, numbers that are none, and missing ones are refused in a sentence. A key that may be left out means no such limit: its rule
is not asked, so that the verdict counts fewer. `neurons` and `fan_in` are limits that Loihi 2 has not. The cut and the lists stay those of the rule above, with
these numbers; the bound on [time](energy.md#time) is of Loihi 2 alone, and `--rates` is refused. Words are of `word_bits` bits, and a core's limits are words.

```toml
LIMITS
```"""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=ROOT / "docs/resources.md")
    args = parser.parse_args()
    write_whole(args.out, page().encode(), overwrite=True)
    print(f"{args.out}: written", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
