"""What all transformers have in common: layers of attention around a part that is theirs, stacked.

Shapes: B batch, S source length, T target length, I input size, D model size. Padding masks ``[B, S]`` are True for real
tokens. Attention masks ``[T, S]`` are numbers that are added to the scores, or True where a position may be looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor

from flambe.nn.module import Module


class Layer(Module):
    """Self-attention, perhaps attention to a memory, and an inner part, each added to what came and then normalised (post-norm).

    Parameters
    ----------
    d_model: features. nhead: attention heads. dropout: of attention and after each part.
    attends_memory: whether there is attention to a memory.
    inner: makes the modules of the inner part, which become attributes; ``inner_part`` runs them.
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dropout: float,
        attends_memory: bool,
        inner: Callable[[], Mapping[str, torch.nn.Module]],
    ) -> None:
        super().__init__()
        if nhead < 1 or d_model % nhead:
            raise ValueError(f"d_model is {d_model} and nhead {nhead}; expected heads that share the features evenly")
        self.self_attn = torch.nn.MultiheadAttention(d_model, nhead, dropout=dropout, batch_first=True)
        if attends_memory:
            self.multihead_attn = torch.nn.MultiheadAttention(d_model, nhead, dropout=dropout, batch_first=True)
        for name, module in inner().items():
            self.add_module(name, module)
        self.norm1 = torch.nn.LayerNorm(d_model)
        self.norm2 = torch.nn.LayerNorm(d_model)
        if attends_memory:
            self.norm3 = torch.nn.LayerNorm(d_model)
        self.drop = torch.nn.Dropout(dropout)

    def inner_part(self, data: Tensor, state: Tensor | None, real: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """``data [B, S, D]``, a recurrent ``state`` and a padding mask to ``[B, S, D]`` and the next state."""
        raise TypeError(f"{type(self).__name__} must implement inner_part(data, state, real)")

    def encode(
        self, data: Tensor, state: Tensor | None, mask: Tensor | None, real: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """``data [B, S, D]`` to ``[B, S, D]``, and the next state."""
        data = self.norm1(data + self.drop(attend(self.self_attn, data, data, mask, real)))
        inner, state = self.inner_part(data, state, real)
        return self.norm2(data + self.drop(inner)), state

    def decode(
        self,
        data: Tensor,
        memory: Tensor,
        state: Tensor | None,
        mask: Tensor | None,
        memory_mask: Tensor | None,
        real: Tensor | None,
        memory_real: Tensor | None,
    ) -> tuple[Tensor, Tensor | None]:
        """``data [B, T, D]`` with attention to ``memory [B, S, D]`` to ``[B, T, D]``, and the next state."""
        data = self.norm1(data + self.drop(attend(self.self_attn, data, data, mask, real)))
        data = self.norm2(data + self.drop(attend(self.multihead_attn, data, memory, memory_mask, memory_real)))
        inner, state = self.inner_part(data, state, real)
        return self.norm3(data + self.drop(inner)), state


class Stack(Module):
    """Layers on top of each other.

    Parameters
    ----------
    input_size: features that come in; another number than ``d_model`` is brought to it by a linear layer.
    layer: makes a layer; called ``num_layers`` times.
    """

    def __init__(self, input_size: int, d_model: int, num_layers: int, layer: Callable[[], Layer]) -> None:
        super().__init__()
        self.input_size = input_size
        self.d_model = self.hidden_size = self.output_size = d_model
        self.proj = None if input_size == d_model else torch.nn.Linear(input_size, d_model)
        self.layers = torch.nn.ModuleList([layer() for _ in range(num_layers)])

    def _encode(
        self, data: Tensor, states: Tensor | None, mask: Tensor | None, real: Tensor | None
    ) -> tuple[Tensor, list[Tensor | None]]:
        output = data if self.proj is None else self.proj(data)
        after = []
        for place, layer in enumerate(self.layers):
            before = None if states is None else states[place]
            output, state = cast(Layer, layer).encode(output, before, mask, real)
            after.append(state)
        return zero_padding(output, real), after

    def _decode(
        self,
        data: Tensor,
        memory: Tensor,
        states: Tensor | None,
        mask: Tensor | None,
        memory_mask: Tensor | None,
        real: Tensor | None,
        memory_real: Tensor | None,
    ) -> Tensor:
        output = data if self.proj is None else self.proj(data)
        for place, layer in enumerate(self.layers):
            before = None if states is None else states[place]
            output, _ = cast(Layer, layer).decode(output, memory, before, mask, memory_mask, real, memory_real)
        return zero_padding(output, real)


class EncoderDecoder(Module):
    """An encoder, and a decoder that looks at what it gives.

    Parameters
    ----------
    input_size: features of source and target. d_model: features inside.
    """

    encoder: Any
    decoder: Any

    def __init__(self, input_size: int, d_model: int) -> None:
        super().__init__()
        self.input_size = input_size
        self.d_model = self.hidden_size = self.output_size = d_model

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
        encoded = self.encoder(src, mask=src_mask, padding_mask=src_key_padding_mask)
        memory, options = self._handed_on(encoded)
        memory_real = src_key_padding_mask if memory_key_padding_mask is None else memory_key_padding_mask
        decoded: Tensor = self.decoder(
            tgt,
            memory,
            tgt_mask=tgt_mask,
            memory_mask=memory_mask,
            padding_mask=tgt_key_padding_mask,
            memory_key_padding_mask=memory_real,
            **options,
        )
        return decoded

    def _handed_on(self, encoded: Any) -> tuple[Tensor, dict[str, Any]]:
        """Return the memory, and what else the decoder gets of what the encoder gave."""
        return encoded, {}


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
