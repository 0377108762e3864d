"""``MixtureOfSoftmax``."""

from __future__ import annotations

import torch
from torch import Tensor

from flambe.nn.module import Module
from flambe.nn.softmax import SoftmaxLayer


class MixtureOfSoftmax(Module):
    """A weighted mean of several softmaxes, which can express more than one (Yang et al. 2018,
    https://arxiv.org/abs/1711.03953).

    Parameters
    ----------
    input_size: features that come in.
    output_size: classes.
    k: softmaxes in the mixture.
    take_log: log-probabilities or probabilities.

    Attributes
    ----------
    pi: features to the weights of the softmaxes.
    layers: the softmaxes.
    """

    def __init__(self, input_size: int, output_size: int, k: int = 1, take_log: bool = True) -> None:
        super().__init__()
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        self.input_size = input_size
        self.output_size = output_size
        self.take_log = take_log
        self.pi = SoftmaxLayer(input_size, k)
        self.layers = torch.nn.ModuleList([SoftmaxLayer(input_size, output_size) for _ in range(k)])

    def forward(self, data: Tensor) -> Tensor:
        """``data [..., input_size]`` to ``[..., output_size]``."""
        weights: Tensor = self.pi(data)  # [..., k], logs
        classes = torch.stack([layer(data) for layer in self.layers], dim=-1)  # [..., output_size, k]
        mixed = torch.logsumexp(classes + weights.unsqueeze(-2), dim=-1)
        return mixed if self.take_log else mixed.exp()
