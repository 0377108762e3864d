"""Python's and NumPy's global generators lent to one algorithm: libraries draw from them, and others use them too."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class RandomState:
    """Generators in a state of their own while ``installed``; seeded the first time."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._state: tuple[Any, Any] | None = None

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Draw from these generators inside; afterwards the global ones are as they were."""
        import numpy as np

        outside = random.getstate(), np.random.get_state()
        if self._state is None:
            random.seed(self._seed)
            np.random.seed(self._seed % 2**32)
        else:
            random.setstate(self._state[0])
            np.random.set_state(self._state[1])
        try:
            yield
        finally:
            self._state = random.getstate(), np.random.get_state()
            random.setstate(outside[0])
            np.random.set_state(outside[1])
