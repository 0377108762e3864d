"""``SoftmaxLayer``: features to class probabilities."""

from __future__ import annotations

import torch
from torch import Tensor

from flambe.nn.mlp import MLPEncoder
from flambe.nn.module import Module


class SoftmaxLayer(Module):
    """A linear layer and a (log-)softmax over the last dimension.

    Parameters
    ----------
    input_size: features that come in.
    output_size: classes.
    take_log: log-probabilities (for ``NLLLoss``) or probabilities.
    mlp_layers: linear layers in all; more than one makes it a small network.
    mlp_dropout: after each hidden layer.
    mlp_hidden_activation: module after each hidden layer.
    """

    def __init__(
        self,
        input_size: int,
        output_size: int,
        take_log: bool = True,
        mlp_layers: int = 1,
        mlp_dropout: float = 0,
        mlp_hidden_activation: torch.nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.output_size = output_size
        self.take_log = take_log
        self.mlp = MLPEncoder(
            input_size,
            output_size,
            n_layers=mlp_layers,
            dropout=mlp_dropout,
            hidden_activation=mlp_hidden_activation,
        )

    def forward(self, data: Tensor) -> Tensor:
        """``data [..., input_size]`` to ``[..., output_size]``."""
        scores = self.mlp(data)
        return scores.log_softmax(dim=-1) if self.take_log else scores.softmax(dim=-1)
