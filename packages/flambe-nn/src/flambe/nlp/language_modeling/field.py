"""``LMField``."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from flambe.dataset.column import RaggedColumn, offsets_of
from flambe.field.text import TextField


class LMField(TextField):
    """Text to token ids and the ids that follow them.

    Parameters
    ----------
    kwargs: those of ``TextField``.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)

    def process(self, example: Any) -> tuple[Tensor, Tensor]:
        """Text of S tokens to ``(ids [S - 1], next ids [S - 1])``."""
        ids = super().process(example)
        return ids[:-1], ids[1:]

    def pack(self, data: npt.NDArray[Any]) -> tuple[RaggedColumn, ...] | None:
        """All texts ``[N]`` at once."""
        packed = super().pack(data)
        if packed is None:
            return None
        values, offsets = packed[0].values, packed[0].offsets
        lengths = np.diff(offsets)
        shorter = offsets_of(np.maximum(lengths - 1, 0))
        places = np.arange(len(values)) - np.repeat(offsets[:-1], lengths)  # place of each token in its text
        last = places == np.repeat(lengths, lengths) - 1
        return (
            RaggedColumn(values[~last], shorter, "int64"),
            RaggedColumn(values[places > 0], shorter, "int64"),
        )
