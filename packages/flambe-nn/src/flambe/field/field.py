"""``Field``: raw columns to tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy.typing as npt
from torch import Tensor

from flambe.build.component import Component

if TYPE_CHECKING:
    from flambe.dataset.column import DenseColumn, RaggedColumn


class Field(Component):
    """Base of all fields.

    Class attributes
    ----------------
    reads_text: its columns are text, whatever they look like: a file's ``007`` stays ``007``.
    """

    immutable = True
    seedless = True
    reads_text: ClassVar[bool] = False

    def setup(self, *data: npt.NDArray[Any]) -> None:
        """See all data before the first example; may be called again with more.

        Parameters
        ----------
        data: one array a split: ``[N]`` for a field of one column, else ``[N, columns]``.
        """

    def process(self, *example: Any) -> Tensor | tuple[Tensor, ...]:
        """Turn the columns of one example into a tensor or several."""
        raise TypeError(f"{type(self).__name__} must implement process(*example)")

    def pack(self, data: npt.NDArray[Any]) -> tuple[DenseColumn | RaggedColumn, ...] | None:
        """Process a whole split at once, giving exactly what ``process`` gives example by example.

        None (the base) leaves it to ``process``. Whoever overrides ``process`` need not override this: a field
        packs only when both come from the same class.
        """
        return None


def packs(field: Field) -> bool:
    """Whether ``field.pack`` belongs to its ``process``."""
    for kind in type(field).__mro__:
        if "process" in vars(kind) or "pack" in vars(kind):
            return "pack" in vars(kind) and kind is not Field
    return False


def as_text(value: Any) -> str:
    """Text of a raw value: nothing (None, NaN) is empty, a number is written the shortest way."""
    if isinstance(value, str):
        return value
    if value is None or value != value:
        return ""
    return str(value)
