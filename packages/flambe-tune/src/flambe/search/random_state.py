"""The global generators of Python, NumPy and (where it is loaded) PyTorch lent to one algorithm: libraries draw from them."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class RandomState:
    """Generators in a state of their own while ``installed``; seeded the first time."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._state: tuple[Any, Any] | None = None
        self._torch: Any = None

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Draw from these generators inside; afterwards the global ones are as they were."""
        import numpy as np

        torch = sys.modules.get("torch")
        outside = random.getstate(), np.random.get_state()
        outside_torch = None if torch is None else torch.get_rng_state()
        if self._state is None:
            random.seed(self._seed)
            np.random.seed(self._seed % 2**32)
        else:
            random.setstate(self._state[0])
            np.random.set_state(self._state[1])
        if torch is not None:
            if self._torch is None:
                torch.manual_seed(self._seed)
            else:
                torch.set_rng_state(self._torch)
        try:
            yield
        finally:
            self._state = random.getstate(), np.random.get_state()
            if torch is not None:
                self._torch = torch.get_rng_state()
                torch.set_rng_state(outside_torch)
            random.setstate(outside[0])
            np.random.set_state(outside[1])
