"""``MLPEncoder``: a feed-forward network."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from flambe.nn.module import Module


class MLPEncoder(Module):
    """A stack of linear layers.

    Parameters
    ----------
    input_size, output_size: features in and out.
    n_layers: linear layers; 1 is a single one.
    output_activation: module after the last layer.
    hidden_size: features between layers; None takes ``input_size``.
    hidden_activation: module after each layer but the last. Each layer has a copy of its own, so that an
        activation with parameters (``PReLU``) is not shared.
    dropout: after each hidden activation.

    Attributes
    ----------
    seq: the layers in order.
    """

    def __init__(
        self,
        input_size: int,
        output_size: int,
        n_layers: int = 1,
        output_activation: torch.nn.Module | None = None,
        hidden_size: int | None = None,
        hidden_activation: torch.nn.Module | None = None,
        dropout: float = 0,
    ) -> None:
        super().__init__()
        if n_layers < 1:
            raise ValueError(f"n_layers must be at least 1, got {n_layers}")
        self.input_size = input_size
        self.hidden_size = input_size if hidden_size is None else hidden_size
        self.output_size = output_size
        layers: list[torch.nn.Module] = []
        size = input_size
        for _ in range(n_layers - 1):
            layers.append(torch.nn.Linear(size, self.hidden_size))
            if hidden_activation is not None:
                layers.append(copy.deepcopy(hidden_activation))
            if dropout > 0:
                layers.append(torch.nn.Dropout(dropout))
            size = self.hidden_size
        layers.append(torch.nn.Linear(size, output_size))
        if output_activation is not None:
            layers.append(output_activation)
        self.seq = torch.nn.Sequential(*layers)

    def forward(self, data: Tensor) -> Tensor:
        """``data [..., input_size]`` to ``[..., output_size]``."""
        encoded: Tensor = self.seq(data)
        return encoded


MLPDecoder = MLPEncoder
