"""What became of a model's operations: values that the front-end fills and `views.coverage` shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Row:
    """One operation of the traced model.

    operation: as ATen names it, or the package. name: of the layer that owns its weights, or of the node.
    line: of the model's code, `model.py:12 `code``. became: where it went, "projection into layer1.0.relu".
    how: "exact", "approximated", "dropped" or "refused", then with reason and remedy. called: its name in
    tables, where ATen's says less. inputs, output: shapes for one image. macs: multiplications with
    additions.
    """

    operation: str
    name: str
    line: str
    became: str
    how: str
    inputs: tuple[Shape, ...]
    output: Shape
    parameters: int
    macs: int
    reason: str = ""
    remedy: str = ""
    called: str = ""

    @property
    def shown(self) -> str:
        """The operation in tables: as torch.nn.functional names it."""
        return self.called or self.operation.removeprefix("aten.").removeprefix("dnisnm_lava.")


@dataclass(frozen=True)
class Coverage:
    """A model, row by row, and the graph that it became: none where a row is refused, and then the graph's
    figures are 0.

    populations: how many of each kind (Input, Rectifier, Relay, MaxPool, ReadOut). neurons: in all of them
    but the input. parameters, macs: of the model. graph_macs: of the projections. depth: the longest path
    from the image to a read-out, in synapses. notices: what a reader must know besides, one sentence each.
    """

    model: str
    rows: tuple[Row, ...]
    populations: Mapping[str, int]
    projections: int
    neurons: int
    parameters: int
    macs: int
    graph_macs: int
    depth: int
    notices: tuple[str, ...] = ()

    @property
    def refused(self) -> tuple[Row, ...]:
        """The operations that have no exact meaning, in the order of the model."""
        return tuple(row for row in self.rows if row.how == "refused")

    def count(self, how: str) -> int:
        """Operations that are "exact", "approximated", "dropped" or "refused"."""
        return sum(row.how == how for row in self.rows)
