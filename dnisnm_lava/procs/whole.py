"""Fractions are refused where a model of integers would cut them."""

from __future__ import annotations

from typing import Any

import numpy as np
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.process import AbstractProcess


class Whole(AbstractProcess):
    """A Process whose Vars `constants` may be floats for a model that computes in floats alone.

    Lava casts a Var to the type of its model in the model's own process, without a word. It tells the Process
    its model before: `_model_class`. ValueError where the cast would cut a fraction.
    """

    constants: tuple[str, ...]

    @property
    def _model_class(self) -> Any:
        return self.__dict__.get("chosen")

    @_model_class.setter
    def _model_class(self, model: Any) -> None:
        for name in self.constants if model is not None else ():
            _check(type(self).__name__, name, np.asarray(getattr(self, name).init), model)
        self.__dict__["chosen"] = model


def _check(who: str, name: str, values: np.ndarray, model: Any) -> None:
    kept = getattr(model, name, None)
    if not isinstance(kept, LavaPyType) or not np.issubdtype(kept.d_type, np.integer):
        return
    cut = values[values % 1 != 0]
    if cut.size:
        raise ValueError(
            f"{who}: {cut.size} of {values.size} numbers of {name} are no integers ({cut[0]:g}), and "
            f"{model.__name__} computes in integers; scale and round them, or run with "
            f'select_tag="floating_pt"'
        )
