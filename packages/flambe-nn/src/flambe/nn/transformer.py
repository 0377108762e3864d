"""Transformers (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762), batch first.

Shapes: B batch, S source length, T target length, I input size, D model size, H heads.
Padding masks ``[B, S]`` are True for real tokens. Attention masks ``[T, S]`` are numbers that are added to the scores
(``generate_square_subsequent_mask``), or True where a position may be looked at. States at padding are zeros.
"""

from __future__ import annotations

import torch
from torch import Tensor

from flambe.nn.module import Module


class Transformer(Module):
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
        super().__init__()
        self.input_size = input_size
        self.d_model = self.hidden_size = self.output_size = d_model
        self.encoder = TransformerEncoder(input_size, d_model, nhead, num_encoder_layers, dim_feedforward, dropout)
        self.decoder = TransformerDecoder(input_size, d_model, nhead, num_decoder_layers, dim_feedforward, dropout)

    def forward(
        self,
        src: Tensor,
        tgt: Tensor,
        src_mask: Tensor | None = None,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
    ) -> Tensor:
        """Encode ``src [B, S, I]`` and decode ``tgt [B, T, I]`` to ``[B, T, D]``.

        Parameters
        ----------
        src_mask: ``[S, S]``. tgt_mask: ``[T, T]``. memory_mask: ``[T, S]``.
        src_key_padding_mask: ``[B, S]``; also the memory's when that has none of its own.
        tgt_key_padding_mask: ``[B, T]``. memory_key_padding_mask: ``[B, S]``.

        Raises
        ------
        RuntimeError: source and target have different batches, or features of another size.
        """
        if src.size(0) != tgt.size(0):
            raise RuntimeError(f"src has a batch of {src.size(0)} and tgt of {tgt.size(0)}")
        for name, data in (("src", src), ("tgt", tgt)):
            if data.size(2) != self.input_size:
                raise RuntimeError(f"{name} has {data.size(2)} features, expected input_size {self.input_size}")
        memory = self.encoder(src, mask=src_mask, padding_mask=src_key_padding_mask)
        decoded: Tensor = self.decoder(
            tgt,
            memory,
            tgt_mask=tgt_mask,
            memory_mask=memory_mask,
            padding_mask=tgt_key_padding_mask,
            memory_key_padding_mask=src_key_padding_mask
            if memory_key_padding_mask is None
            else memory_key_padding_mask,
        )
        return decoded


class TransformerEncoder(Module):
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
        super().__init__()
        self.input_size = input_size
        self.d_model = self.hidden_size = self.output_size = d_model
        self.proj = None if input_size == d_model else torch.nn.Linear(input_size, d_model)
        self.layers = torch.nn.ModuleList(
            [TransformerEncoderLayer(d_model, nhead, dim_feedforward, dropout) for _ in range(num_layers)]
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
        output = src if self.proj is None else self.proj(src)
        for layer in self.layers:
            output = layer(output, src_mask=mask, padding_mask=padding_mask)
        return zero_padding(output, padding_mask)


class TransformerDecoder(Module):
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
        super().__init__()
        self.input_size = input_size
        self.d_model = self.hidden_size = self.output_size = d_model
        self.proj = None if input_size == d_model else torch.nn.Linear(input_size, d_model)
        self.layers = torch.nn.ModuleList(
            [TransformerDecoderLayer(d_model, nhead, dim_feedforward, dropout) for _ in range(num_layers)]
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
        output = tgt if self.proj is None else self.proj(tgt)
        for layer in self.layers:
            output = layer(
                output,
                memory,
                tgt_mask=tgt_mask,
                memory_mask=memory_mask,
                padding_mask=padding_mask,
                memory_key_padding_mask=memory_key_padding_mask,
            )
        return zero_padding(output, padding_mask)


class TransformerEncoderLayer(Module):
    """Self-attention and a feed-forward part with ReLU, each added to what came and then normalised (post-norm)."""

    def __init__(self, d_model: int, nhead: int, dim_feedforward: int = 2048, dropout: float = 0.1) -> None:
        super().__init__()
        self.self_attn = torch.nn.MultiheadAttention(d_model, nhead, dropout=dropout, batch_first=True)
        self.linear1 = torch.nn.Linear(d_model, dim_feedforward)
        self.linear2 = torch.nn.Linear(dim_feedforward, d_model)
        self.norm1 = torch.nn.LayerNorm(d_model)
        self.norm2 = torch.nn.LayerNorm(d_model)
        self.drop = torch.nn.Dropout(dropout)

    def forward(
        self,
        src: Tensor,
        memory: Tensor | None = None,
        src_mask: Tensor | None = None,
        padding_mask: Tensor | None = None,
    ) -> Tensor:
        """``src [B, S, D]`` to ``[B, S, D]``."""
        attended = attend(self.self_attn, src, src, src_mask, padding_mask)
        src = self.norm1(src + self.drop(attended))
        inner = self.linear2(self.drop(self.linear1(src).relu()))
        output: Tensor = self.norm2(src + self.drop(inner))
        return output


class TransformerDecoderLayer(Module):
    """The same with attention to a memory in between."""

    def __init__(self, d_model: int, nhead: int, dim_feedforward: int = 2048, dropout: float = 0.1) -> None:
        super().__init__()
        self.self_attn = torch.nn.MultiheadAttention(d_model, nhead, dropout=dropout, batch_first=True)
        self.multihead_attn = torch.nn.MultiheadAttention(d_model, nhead, dropout=dropout, batch_first=True)
        self.linear1 = torch.nn.Linear(d_model, dim_feedforward)
        self.linear2 = torch.nn.Linear(dim_feedforward, d_model)
        self.norm1 = torch.nn.LayerNorm(d_model)
        self.norm2 = torch.nn.LayerNorm(d_model)
        self.norm3 = torch.nn.LayerNorm(d_model)
        self.drop = torch.nn.Dropout(dropout)

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
        tgt = self.norm1(tgt + self.drop(attend(self.self_attn, tgt, tgt, tgt_mask, padding_mask)))
        attended = attend(self.multihead_attn, tgt, memory, memory_mask, memory_key_padding_mask)
        tgt = self.norm2(tgt + self.drop(attended))
        inner = self.linear2(self.drop(self.linear1(tgt).relu()))
        output: Tensor = self.norm3(tgt + self.drop(inner))
        return output


def generate_square_subsequent_mask(sz: int) -> Tensor:
    """Attention mask ``[sz, sz]`` with which no position sees a later one: 0 where it may look, else -infinity."""
    return torch.full((sz, sz), float("-inf")).triu(diagonal=1)


def attend(
    attention: torch.nn.MultiheadAttention, query: Tensor, memory: Tensor, mask: Tensor | None, real: Tensor | None
) -> Tensor:
    """Let ``query [B, T, D]`` look at ``memory [B, S, D]``, with an attention mask and a padding mask ``real [B, S]``.

    A row without anything to look at gives finite numbers.
    """
    hidden = None
    if real is not None:
        # Softmax over nothing is NaN. Such a row may look at its first position: it is thrown away in the end.
        nothing = ~real.any(dim=1, keepdim=True)
        real = torch.cat([real[:, :1] | nothing, real[:, 1:]], dim=1)
        hidden = additive(real, query)
    if mask is not None:
        mask = additive(mask, query)
    attended, _ = attention(query, memory, memory, attn_mask=mask, key_padding_mask=hidden, need_weights=False)
    result: Tensor = attended
    return result


def additive(mask: Tensor, like: Tensor) -> Tensor:
    """Boolean masks (True: may be looked at) as numbers to add."""
    if mask.dtype != torch.bool:
        return mask.to(like.dtype)
    return torch.zeros(mask.shape, dtype=like.dtype, device=like.device).masked_fill(~mask, float("-inf"))


def zero_padding(output: Tensor, real: Tensor | None) -> Tensor:
    """Set states ``[B, S, D]`` to zero at padding."""
    return output if real is None else torch.where(real.unsqueeze(-1), output, output.new_zeros(()))


def _draw(module: torch.nn.Module) -> None:
    # Glorot for every matrix, as the paper's code does and torch.nn.Transformer too.
    for parameter in module.parameters():
        if parameter.dim() > 1:
            torch.nn.init.xavier_uniform_(parameter)
