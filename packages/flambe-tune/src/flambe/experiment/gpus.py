"""``Gpus``: the GPUs that this process may use, and how much of each is given to units. No library is loaded for it."""

from __future__ import annotations

import os
from collections.abc import Mapping

from flambe.record.gpus import named_gpus

VISIBLE = "CUDA_VISIBLE_DEVICES"
_ALMOST = 1e-9


class Gpus:
    """An account of GPUs. names: as ``CUDA_VISIBLE_DEVICES`` has them."""

    def __init__(self, names: list[str]) -> None:
        self._free = dict.fromkeys(names, 1.0)

    def __len__(self) -> int:
        return len(self._free)

    def pick(self, amount: float) -> tuple[str, ...] | None:
        """Return which GPUs a unit could have now: whole ones, or one of which so much is free, the fullest first. None: it waits."""
        if amount < 1:
            fitting = [name for name, free in self._free.items() if free + _ALMOST >= amount]
            return (min(fitting, key=self._free.__getitem__),) if fitting else None
        free = [name for name, left in self._free.items() if left > 1 - _ALMOST]
        return tuple(free[: int(amount)]) if len(free) >= amount else None

    def take(self, names: tuple[str, ...], amount: float) -> None:
        """Give so much away; of several GPUs all of each."""
        for name in names:
            self._free[name] -= min(amount, 1.0)

    def give_back(self, names: tuple[str, ...], amount: float) -> None:
        """Take back what was given away."""
        for name in names:
            self._free[name] += min(amount, 1.0)


def usable_gpus(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return the names of the GPUs that this process may use: what ``CUDA_VISIBLE_DEVICES`` leaves, or all of the machine."""
    shown = environment.get(VISIBLE)
    if shown is None:
        return [str(index) for index in range(len(named_gpus()))]
    names = [name.strip() for name in shown.split(",")]
    # The driver takes what stands before the first name that is none.
    end = next((index for index, name in enumerate(names) if not name or name.startswith("-")), len(names))
    return list(dict.fromkeys(names[:end]))
