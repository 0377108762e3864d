"""``LogisticRegression``."""

from __future__ import annotations

import torch
from torch import Tensor

from flambe.nn.module import Module


class LogisticRegression(Module):
    """``sigmoid(w · x + b)``: the probability of the class 1.

    Parameters
    ----------
    input_size: features.
    """

    def __init__(self, input_size: int) -> None:
        super().__init__()
        self.input_size = input_size
        self.linear = torch.nn.Linear(input_size, 1)

    def forward(self, data: Tensor, target: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        """``data [B, input_size]`` to probabilities ``[B]``; with a target ``[B]`` or ``[B, 1]``, to
        ``(probabilities, target [B] as float)``, ready for ``BCELoss``."""
        probabilities = torch.sigmoid(self.linear(data)).squeeze(-1)
        if target is None:
            return probabilities
        return probabilities, target.to(probabilities.dtype).reshape(probabilities.shape)
