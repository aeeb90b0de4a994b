"""The words of the page, in a line each."""

from __future__ import annotations

GLOSSARY = {
    "T": "time steps: how long the network runs on an image before it is read. More steps, finer sums.",
    "K": "levels: the largest spike that a neuron may send in one step. 1 is a plain spike.",
    "ANN": "the trained network as it came, before it was made to spike.",
    "float and integer SNN": "the spiking network with weights and thresholds as real numbers; and as the "
    "integers that hardware holds.",
    "Lava": "Intel's open framework for neuromorphic chips; here its simulator on a CPU, no chip.",
    "population": "the neurons that stand for one tensor of the ANN, most often a layer's.",
    "power": "the mean square of the ANN's activations in a population; errors are told as a share of it.",
    "inherited": "error that came from the populations before; all other parts are made in the population.",
    "executor": "a program that runs the integers: the reference, the batched one, Lava. All must agree.",
    "design rule": "a limit of Loihi 2 or of Lava that a network must keep, as the bits of a weight.",
}


def anchor(term: str) -> str:
    """The id of a term's line in the glossary."""
    return "term-" + term.replace(" ", "-").lower()
