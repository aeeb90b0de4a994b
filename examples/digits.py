"""The demo in forty lines: a small residual CNN on scikit-learn's digits, through every stage, and on Lava.

    python examples/digits.py

Ten seconds on one core, most of them training and the start of Lava.
"""

from __future__ import annotations

import dnisnm_lava as dn
from dnisnm_lava.backends import batched
from dnisnm_lava.data import digits
from exporters import netx

STEPS = (1, 2, 4, 8)


def main() -> None:
    x_train, y_train, x_test, y_test = digits.digits(seed=0)  # (N, 1, 8, 8) float32, (N,) classes
    model = digits.train(x_train, y_train, seed=0)  # a torch.nn.Module; nothing below changes it

    nets = dn.build(
        model, x_train, dn.BINARY, dn.Samples(fit=256)
    )  # spikes of 1 and -1; no labels, no training
    right = (nets.analog.ann(x_test).argmax(axis=1) == y_test).mean()
    print(f"trained; the ANN: {100 * right:.1f} % of {len(y_test)} test images", flush=True)

    netx.write("digits.net", nets.integer, overwrite=True)
    assert netx.read("digits.net") == nets.integer

    run = batched.run(nets.integer, x_test)
    for t in STEPS:
        print(f"T = {t}: {100 * run.accuracy(y_test, t):.1f} % of {len(y_test)} test images")

    found = dn.compare(nets, x_test[:2], y_test[:2], steps=STEPS, lava=dn.Lava(images=2))
    for row in found.equality:
        print(f"{row.a} = {row.b}: {row.different} of {row.spikes_compared:,} spikes differ")


if __name__ == "__main__":
    main()
