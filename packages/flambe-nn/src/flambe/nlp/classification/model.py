"""``TextClassifier``. Shapes: B batch, S longest sequence, C classes."""

from __future__ import annotations

import torch
from torch import Tensor

from flambe.nn.dropout import Dropout
from flambe.nn.module import Module


class TextClassifier(Module):
    """Embedder, dropout, output layer.

    Parameters
    ----------
    embedder: ids ``[B, S]`` to one vector a text.
    output_layer: vectors to class scores ``[B, C]``.
    dropout: on the vectors.

    Attributes
    ----------
    drop: the dropout layer.
    """

    def __init__(self, embedder: torch.nn.Module, output_layer: torch.nn.Module, dropout: float = 0) -> None:
        super().__init__()
        self.embedder = embedder
        self.output_layer = output_layer
        self.drop = Dropout(dropout)

    def forward(self, data: Tensor, target: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        """Ids ``data [B, S]`` to scores ``[B, C]``; with a target, to ``(scores, target)``.

        Raises
        ------
        ValueError: the embedder gives a state for every position, because it does not pool, and ``target`` has no label for each.
        """
        encoded = self.embedder(data)
        is_pooled = isinstance(encoded, Tensor) and (
            encoded.dim() < 3 or target is None or target.shape[:2] == encoded.shape[:2]
        )
        if not is_pooled:
            raise ValueError(
                "the embedder gives a state for every position; a classifier needs one vector a text: give the embedder a `pooling`, "
                "or use PooledRNNEncoder, or `pool: true` of a pretrained transformer"
            )
        scores = self.output_layer(self.drop(encoded))
        return scores if target is None else (scores, target)
