"""``ImageClassifier``. Shapes: B batch, C classes."""

from __future__ import annotations

import torch
from torch import Tensor

from flambe.nn.module import Module


class ImageClassifier(Module):
    """Encoder, flattening, output layer.

    Parameters
    ----------
    encoder: images to features of any shape.
    output_layer: flat features to class scores ``[B, C]``.
    """

    def __init__(self, encoder: torch.nn.Module, output_layer: torch.nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.output_layer = output_layer

    def forward(self, data: Tensor, target: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        """Images ``data [B, …]`` to scores ``[B, C]``; with a target, to ``(scores, target)``."""
        encoded = self.encoder(data)
        scores = self.output_layer(encoded.flatten(start_dim=1))
        return scores if target is None else (scores, target)
