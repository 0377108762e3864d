"""``NumberField``: columns of numbers as they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from flambe.dataset.column import DenseColumn
from flambe.field.field import Field

Numbers = npt.NDArray[np.float64]


class NumberField(Field):
    """Numbers of one column or several: what a regression predicts, or features.

    An example is ``[columns]`` float, so a batch of one column is ``[B, 1]``: the shape that an output layer with
    ``out_features: 1`` gives, and that ``!torch.MSELoss`` compares with it.

    Parameters
    ----------
    missing: put where a cell is empty or NaN; None refuses such cells.
    """

    def __init__(self, missing: float | None = None) -> None:
        self.missing = missing

    def setup(self, *data: npt.NDArray[Any]) -> None:
        """See whether everything is a number.

        Raises
        ------
        ValueError: something is none, or is missing.
        """
        for array in data:
            self._numbers(array)

    def process(self, *example: Any) -> Tensor:
        """Return the values as ``[columns]`` float32. Raises as ``setup``."""
        return torch.from_numpy(self._numbers(np.array(example, dtype=object)).astype(np.float32))

    def pack(self, data: npt.NDArray[Any]) -> tuple[DenseColumn, ...] | None:
        """All values ``[N]`` at once."""
        if data.ndim != 1:
            return None
        return (DenseColumn(self._numbers(data).astype(np.float32)[:, None]),)

    def _numbers(self, values: npt.NDArray[Any]) -> Numbers:
        try:
            numbers = np.asarray(values, dtype=np.float64)
        except (TypeError, ValueError):
            numbers = np.array([_number(value) for value in values.ravel()], dtype=np.float64).reshape(values.shape)
        absent = np.isnan(numbers)
        if not absent.any():
            return numbers
        if self.missing is None:
            row = int(np.argwhere(absent)[0, 0])
            raise ValueError(f"the value of row {row}, counted from 0, is missing. Say what to put there: `missing: 0`")
        return np.where(absent, self.missing, numbers)


def _number(value: Any) -> float:
    if value is None or (isinstance(value, str) and not value.strip()):
        return float("nan")
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{value!r:.60} is no number; text is for a TextField, classes are for a LabelField") from None
