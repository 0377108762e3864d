"""Poolings that learn which positions count. Shapes: B batch, S longest sequence, H features, R heads.

As in ``flambe.nn.pooling``, ``padding_mask [B, S]`` is True where a token is real, and a row without any gives zeros.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from flambe.nn.module import Module
from flambe.nn.pooling import masked


class StructuredSelfAttentivePooling(Module):
    """Several weighted means of the states, and the mean of those (Lin et al. 2017, https://arxiv.org/abs/1703.03130).

    A head gives each position a weight: the softmax over positions of what a small network makes of the state. In the
    paper the heads' means stand side by side; here they are averaged, so that features stay as many as they were.

    Parameters
    ----------
    input_size: features of a state.
    attention_heads: weighted means.
    attention_units: sizes of the network's hidden layers.
    output_activation: module after its last layer, before the softmax.
    hidden_activation: module after each hidden layer, each a copy of its own; default tanh.
    is_biased: the hidden layers have biases.
    input_dropout: on what the network sees. attention_dropout: on the weights.

    Attributes
    ----------
    output_size: ``input_size``.
    """

    def __init__(
        self,
        input_size: int,
        attention_heads: int = 16,
        attention_units: Sequence[int] = (300,),
        output_activation: torch.nn.Module | None = None,
        hidden_activation: torch.nn.Module | None = None,
        is_biased: bool = False,
        input_dropout: float = 0.0,
        attention_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if attention_heads < 1:
            raise ValueError(f"attention_heads must be at least 1, got {attention_heads}")
        self.input_size = self.output_size = input_size
        self.attention_heads = attention_heads
        activation = torch.nn.Tanh() if hidden_activation is None else hidden_activation
        layers: list[torch.nn.Module] = [torch.nn.Dropout(input_dropout)]
        size = input_size
        for units in attention_units:
            layers += [torch.nn.Linear(size, units, bias=is_biased), copy.deepcopy(activation)]
            size = units
        # Without a bias: one number on all scores of a head leaves its softmax as it is.
        layers.append(torch.nn.Linear(size, attention_heads, bias=False))
        if output_activation is not None:
            layers.append(output_activation)
        self.mlp = torch.nn.Sequential(*layers)
        self.drop = torch.nn.Dropout(attention_dropout)

    def forward(self, data: Tensor, padding_mask: Tensor | None = None) -> Tensor:
        """``data [B, S, H]`` to ``[B, H]``."""
        data = masked(data, padding_mask)
        return self.pool(data, self.drop(self.weigh(data, padding_mask)))

    def weigh(self, data: Tensor, padding_mask: Tensor | None = None) -> Tensor:
        """Weights ``[B, S, R]`` of states ``[B, S, H]``: each head's sum to 1, and are 0 at padding."""
        scores: Tensor = self.mlp(data)
        if padding_mask is None:
            return scores.softmax(dim=1)
        real = padding_mask.bool().unsqueeze(-1)
        # The least number and not -infinity, whose softmax over a row of padding alone is NaN.
        weights = torch.where(real, scores, torch.finfo(scores.dtype).min).softmax(dim=1)
        return torch.where(real, weights, weights.new_zeros(()))

    def pool(self, data: Tensor, weights: Tensor) -> Tensor:
        """States ``[B, S, H]`` and weights ``[B, S, R]`` to ``[B, H]``."""
        return (weights.transpose(1, 2) @ data).mean(dim=1)


class GeneralizedPooling(StructuredSelfAttentivePooling):
    """A weighted mean of the states with a weight for each feature (Chen, Ling and Zhu 2018, https://arxiv.org/abs/1806.09828).

    Parameters
    ----------
    hidden_activation: default ReLU.

    The others are those of ``StructuredSelfAttentivePooling``; there are as many heads as features.
    """

    def __init__(
        self,
        input_size: int,
        attention_units: Sequence[int] = (300,),
        output_activation: torch.nn.Module | None = None,
        hidden_activation: torch.nn.Module | None = None,
        is_biased: bool = True,
        input_dropout: float = 0.0,
        attention_dropout: float = 0.0,
    ) -> None:
        super().__init__(
            input_size,
            attention_heads=input_size,
            attention_units=attention_units,
            output_activation=output_activation,
            hidden_activation=torch.nn.ReLU() if hidden_activation is None else hidden_activation,
            is_biased=is_biased,
            input_dropout=input_dropout,
            attention_dropout=attention_dropout,
        )

    def pool(self, data: Tensor, weights: Tensor) -> Tensor:
        """States ``[B, S, H]`` and weights ``[B, S, H]`` to ``[B, H]``."""
        return (weights * data).sum(dim=1)
