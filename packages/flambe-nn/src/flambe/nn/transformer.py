"""Transformers (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762), batch first.

Shapes: B batch, S source length, T target length, I input size, D model size, H heads.
Padding masks ``[B, S]`` are True for real tokens. Attention masks ``[T, S]`` are numbers that are added to the scores
(``generate_square_subsequent_mask``), or True where a position may be looked at. States at padding are zeros.
"""

from __future__ import annotations

import torch
from torch import Tensor

from flambe.nn.module import Module
from flambe.nn.transformer_layer import EncoderDecoder, Layer, Stack


class Transformer(EncoderDecoder):
    """An encoder and a decoder.

    Parameters
    ----------
    input_size: features of source and target.
    d_model: features inside.
    nhead: attention heads.
    num_encoder_layers, num_decoder_layers: layers of each.
    dim_feedforward: width of the feed-forward parts.
    dropout: after attention, inside and after the feed-forward parts.
    """

    def __init__(
        self,
        input_size: int,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
    ) -> None:
        super().__init__(input_size, d_model)
        self.encoder = TransformerEncoder(input_size, d_model, nhead, num_encoder_layers, dim_feedforward, dropout)
        self.decoder = TransformerDecoder(input_size, d_model, nhead, num_decoder_layers, dim_feedforward, dropout)


class TransformerEncoder(Stack):
    """Layers of self-attention; usable as the encoder of an ``Embedder``.

    Parameters
    ----------
    input_size: features of a position; another number than ``d_model`` is brought to it by a linear layer.
    d_model, nhead, dim_feedforward, dropout: see ``Transformer``.
    num_layers: layers on top of each other.
    """

    def __init__(
        self,
        input_size: int = 512,
        d_model: int = 512,
        nhead: int = 8,
        num_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
    ) -> None:
        super().__init__(
            input_size, d_model, num_layers, lambda: TransformerEncoderLayer(d_model, nhead, dim_feedforward, dropout)
        )
        _draw(self)

    def forward(
        self,
        src: Tensor,
        memory: Tensor | None = None,
        mask: Tensor | None = None,
        padding_mask: Tensor | None = None,
    ) -> Tensor:
        """``src [B, S, I]`` to ``[B, S, D]``; ``mask [S, S]``, ``padding_mask [B, S]``. ``memory`` is not used: it is
        there so that encoders and decoders are called alike."""
        return self._encode(src, None, mask, padding_mask)[0]


class TransformerDecoder(Stack):
    """Layers of self-attention and attention to a memory.

    Parameters
    ----------
    input_size: features of a target position; another number than ``d_model`` is brought to it by a linear layer.
    d_model, nhead, dim_feedforward, dropout: see ``Transformer``.
    num_layers: layers on top of each other.
    """

    def __init__(
        self,
        input_size: int,
        d_model: int,
        nhead: int,
        num_layers: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
    ) -> None:
        super().__init__(
            input_size, d_model, num_layers, lambda: TransformerDecoderLayer(d_model, nhead, dim_feedforward, dropout)
        )
        _draw(self)

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
    ) -> Tensor:
        """``tgt [B, T, I]`` and ``memory [B, S, D]`` to ``[B, T, D]``; ``tgt_mask [T, T]``, ``memory_mask [T, S]``,
        ``padding_mask [B, T]``, ``memory_key_padding_mask [B, S]``."""
        return self._decode(tgt, memory, None, tgt_mask, memory_mask, padding_mask, memory_key_padding_mask)


class _FeedForwardLayer(Layer):
    linear1: torch.nn.Linear
    linear2: torch.nn.Linear

    def __init__(self, d_model: int, nhead: int, size: int, dropout: float, attends_memory: bool) -> None:
        super().__init__(
            d_model,
            nhead,
            dropout,
            attends_memory,
            lambda: {"linear1": torch.nn.Linear(d_model, size), "linear2": torch.nn.Linear(size, d_model)},
        )

    def inner_part(self, data: Tensor, state: Tensor | None, real: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Two linear layers with ReLU and dropout between them; there is no state."""
        inner: Tensor = self.linear2(self.drop(self.linear1(data).relu()))
        return inner, None


class TransformerEncoderLayer(_FeedForwardLayer):
    """Self-attention and a feed-forward part with ReLU, each added to what came and then normalised (post-norm)."""

    def __init__(self, d_model: int, nhead: int, dim_feedforward: int = 2048, dropout: float = 0.1) -> None:
        super().__init__(d_model, nhead, dim_feedforward, dropout, attends_memory=False)

    def forward(
        self,
        src: Tensor,
        memory: Tensor | None = None,
        src_mask: Tensor | None = None,
        padding_mask: Tensor | None = None,
    ) -> Tensor:
        """``src [B, S, D]`` to ``[B, S, D]``."""
        return self.encode(src, None, src_mask, padding_mask)[0]


class TransformerDecoderLayer(_FeedForwardLayer):
    """The same with attention to a memory in between."""

    def __init__(self, d_model: int, nhead: int, dim_feedforward: int = 2048, dropout: float = 0.1) -> None:
        super().__init__(d_model, nhead, dim_feedforward, dropout, attends_memory=True)

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
    ) -> Tensor:
        """``tgt [B, T, D]`` and ``memory [B, S, D]`` to ``[B, T, D]``."""
        return self.decode(tgt, memory, None, tgt_mask, memory_mask, padding_mask, memory_key_padding_mask)[0]


def generate_square_subsequent_mask(sz: int) -> Tensor:
    """Attention mask ``[sz, sz]`` with which no position sees a later one: 0 where it may look, else -infinity."""
    return torch.full((sz, sz), float("-inf")).triu(diagonal=1)


def _draw(module: Module) -> None:
    # Glorot for every matrix, as the paper's code does and torch.nn.Transformer too.
    for parameter in module.parameters():
        if parameter.dim() > 1:
            torch.nn.init.xavier_uniform_(parameter)
