"""``Dataset``: training, validation and test examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flambe.build.component import Component


class Dataset(Component):
    """Base of all data: three sequences of examples, which nobody changes.

    An example is a tuple of tensors. A dataset is shared between stages and does not depend on the run's seed; what
    is drawn in it (a split) has a seed of its own.
    """

    immutable = True
    seedless = True

    @property
    def train(self) -> Sequence[Any]:
        """Training examples."""
        raise TypeError(f"{type(self).__name__} must have a property `train`")

    @property
    def val(self) -> Sequence[Any]:
        """Validation examples."""
        raise TypeError(f"{type(self).__name__} must have a property `val`")

    @property
    def test(self) -> Sequence[Any]:
        """Test examples."""
        raise TypeError(f"{type(self).__name__} must have a property `test`")

    @property
    def dev(self) -> Sequence[Any]:
        """Another name of ``val``."""
        return self.val

    def __setitem__(self, index: Any, value: Any) -> None:
        """Refuse: datasets are immutable."""
        raise ValueError("a dataset cannot be changed")

    def __delitem__(self, index: Any) -> None:
        """Refuse: datasets are immutable."""
        raise ValueError("a dataset cannot be changed")
