"""``SeededSampler``: samplers whose order depends on a seed and the epoch alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import torch

from flambe.build.stateful import Stateful
from flambe.sampler.sampler import Sampler


class SeededSampler(Stateful, Sampler):
    """Base of samplers that draw everything from ``seed``, which is part of the saved state: it may have been drawn.

    seed: None draws one from torch's generator, so it follows the seed of the run.
    """

    _came_later: ClassVar[Mapping[str, Any]] = {"seed": None, "epochs_sampled": 0}

    def __init__(self, seed: int | None) -> None:
        self.seed = int(torch.randint(2**62, ()).item()) if seed is None else seed
        self._epochs_sampled = 0

    def _kept(self) -> dict[str, Any]:
        return {"seed": self.seed, "epochs_sampled": self._epochs_sampled}

    def _take_back(self, kept: Mapping[str, Any]) -> Iterable[str]:
        if kept["seed"] is not None:
            self.seed = int(kept["seed"])
        self._epochs_sampled = int(kept["epochs_sampled"])
        return ()


__all__ = ["SeededSampler"]
