"""``Sampler``: examples to batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor

from flambe.build.component import Component


class Sampler(Component):
    """Base of all samplers."""

    def sample(self, data: Sequence[Any], n_epochs: int = 1) -> Iterator[tuple[Tensor, ...]]:
        """Give batches: tuples with a tensor for each column, batch first. ``n_epochs=-1`` never ends."""
        raise TypeError(f"{type(self).__name__} must implement sample(data, n_epochs)")

    def length(self, data: Sequence[Any]) -> int:
        """Number of batches in an epoch."""
        raise TypeError(f"{type(self).__name__} must implement length(data)")
