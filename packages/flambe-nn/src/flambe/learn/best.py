"""``Best``: the best validation so far, and the weights a model had then."""

from __future__ import annotations

import math
from typing import Any

from torch import nn

from flambe.learn.optimizer_state import copied


class Best:
    """What a trainer keeps of its best validation.

    metric: its value, None before the first. step: steps made until then. weights: copied to the CPU, None after ``restore``.
    """

    def __init__(self, lower_is_better: bool) -> None:
        self.lower_is_better = lower_is_better
        self.metric: float | None = None
        self.step = 0
        self.weights: dict[str, Any] | None = None

    def offer(self, value: float, step: int, model: nn.Module) -> None:
        """Keep a validation if it is better than all before; NaN never is."""
        if math.isnan(value) or (self.metric is not None and not self._is_better(value, self.metric)):
            return
        self.metric, self.step = value, step
        # Cloned: on the CPU the state holds the living parameters.
        self.weights = copied(nn.Module.state_dict(model), device="cpu")

    def _is_better(self, value: float, than: float) -> bool:
        return value < than if self.lower_is_better else value > than

    def restore(self, model: nn.Module) -> None:
        """Give the model its best weights, which are not kept any longer: a second copy would double the checkpoint."""
        if self.weights is not None:
            nn.Module.load_state_dict(model, self.weights)
        self.weights = None

    def kept(self) -> dict[str, Any]:
        """Return what ``take_back`` takes."""
        return {"best_metric": self.metric, "best_step": self.step, "best_model": self.weights}

    def take_back(self, kept: Any) -> None:
        """Take back what ``kept`` returned."""
        self.metric, self.step, self.weights = kept["best_metric"], kept["best_step"], kept["best_model"]
