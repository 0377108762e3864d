"""Transformers whose feed-forward part is a recurrent SRU cell, batch first.

Shapes and masks are those of ``flambe.nn.transformer``; F is ``dim_feedforward``, times 2 when bidirectional. The
recurrent state ``[L, B, F]`` can be given on to the next piece of a text; attention does not see it. Needs the extra
``sru``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from flambe.nn.module import Module
from flambe.nn.sru_package import import_sru
from flambe.nn.transformer import attend, zero_padding


class TransformerSRU(Module):
    """An encoder and a decoder.

    The decoder begins with the encoder's last state, layer by layer, when both have the same number of layers and the
    encoder reads one way; else with zeros.

    Parameters
    ----------
    input_size: features of source and target.
    d_model: features inside.
    nhead: attention heads.
    num_encoder_layers, num_decoder_layers: layers of each.
    dim_feedforward: width of the SRU.
    dropout: of attention and after each part; inside the SRU too, without ``sru_dropout``.
    sru_dropout: inside the SRU; None takes ``dropout``.
    bidirectional: the encoder's SRU reads both ways.
    kwargs: for ``sru.SRUCell``.
    """

    def __init__(
        self,
        input_size: int = 512,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        sru_dropout: float | None = None,
        bidirectional: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.d_model = self.hidden_size = self.output_size = d_model
        self.encoder = TransformerSRUEncoder(
            input_size,
            d_model,
            nhead,
            num_encoder_layers,
            dim_feedforward,
            dropout,
            sru_dropout,
            bidirectional,
            **kwargs,
        )
        self.decoder = TransformerSRUDecoder(
            input_size, d_model, nhead, num_decoder_layers, dim_feedforward, dropout, sru_dropout, **kwargs
        )
        self._state_fits = num_encoder_layers == num_decoder_layers and not bidirectional

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
        """Encode ``src [B, S, I]`` and decode ``tgt [B, T, I]`` to ``[B, T, D]``; masks as in ``Transformer``.

        Raises
        ------
        RuntimeError: source and target have different batches, or features of another size.
        """
        if src.size(0) != tgt.size(0):
            raise RuntimeError(f"src has a batch of {src.size(0)} and tgt of {tgt.size(0)}")
        for name, data in (("src", src), ("tgt", tgt)):
            if data.size(2) != self.input_size:
                raise RuntimeError(f"{name} has {data.size(2)} features, expected input_size {self.input_size}")
        memory, state = self.encoder(src, mask=src_mask, padding_mask=src_key_padding_mask)
        decoded: Tensor = self.decoder(
            tgt,
            memory,
            state=state if self._state_fits else None,
            tgt_mask=tgt_mask,
            memory_mask=memory_mask,
            padding_mask=tgt_key_padding_mask,
            memory_key_padding_mask=src_key_padding_mask
            if memory_key_padding_mask is None
            else memory_key_padding_mask,
        )
        return decoded


class TransformerSRUEncoder(Module):
    """Layers of self-attention and an SRU.

    Parameters
    ----------
    num_layers: layers on top of each other.

    The others are those of ``TransformerSRU``.
    """

    def __init__(
        self,
        input_size: int = 512,
        d_model: int = 512,
        nhead: int = 8,
        num_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        sru_dropout: float | None = None,
        bidirectional: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.d_model = self.hidden_size = self.output_size = d_model
        self.proj = None if input_size == d_model else torch.nn.Linear(input_size, d_model)
        self.layers = torch.nn.ModuleList(
            [
                TransformerSRUEncoderLayer(
                    d_model, nhead, dim_feedforward, dropout, sru_dropout, bidirectional, **kwargs
                )
                for _ in range(num_layers)
            ]
        )

    def forward(
        self,
        src: Tensor,
        state: Tensor | None = None,
        mask: Tensor | None = None,
        padding_mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """``src [B, S, I]`` and ``state [L, B, F]`` to ``(output [B, S, D], state [L, B, F])``; ``mask [S, S]``,
        ``padding_mask [B, S]``."""
        output = src if self.proj is None else self.proj(src)
        states = []
        for place, layer in enumerate(self.layers):
            before = None if state is None else state[place]
            output, after = layer(output, state=before, src_mask=mask, padding_mask=padding_mask)
            states.append(after)
        return zero_padding(output, padding_mask), torch.stack(states)


class TransformerSRUDecoder(Module):
    """Layers of self-attention, attention to a memory and an SRU.

    Parameters
    ----------
    num_layers: layers on top of each other.

    The others are those of ``TransformerSRU``.
    """

    def __init__(
        self,
        input_size: int = 512,
        d_model: int = 512,
        nhead: int = 8,
        num_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        sru_dropout: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.d_model = self.hidden_size = self.output_size = d_model
        self.proj = None if input_size == d_model else torch.nn.Linear(input_size, d_model)
        self.layers = torch.nn.ModuleList(
            [
                TransformerSRUDecoderLayer(d_model, nhead, dim_feedforward, dropout, sru_dropout, **kwargs)
                for _ in range(num_layers)
            ]
        )

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        state: Tensor | None = None,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
    ) -> Tensor:
        """``tgt [B, T, I]``, ``memory [B, S, D]`` and ``state [L, B, F]`` to ``[B, T, D]``."""
        output = tgt if self.proj is None else self.proj(tgt)
        for place, layer in enumerate(self.layers):
            output = layer(
                output,
                memory,
                state=None if state is None else state[place],
                tgt_mask=tgt_mask,
                memory_mask=memory_mask,
                padding_mask=padding_mask,
                memory_key_padding_mask=memory_key_padding_mask,
            )
        return zero_padding(output, padding_mask)


class TransformerSRUEncoderLayer(Module):
    """Self-attention and an SRU, each added to what came and then normalised (post-norm)."""

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        sru_dropout: float | None = None,
        bidirectional: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        self.self_attn = torch.nn.MultiheadAttention(d_model, nhead, dropout=dropout, batch_first=True)
        self.sru = _cell(d_model, dim_feedforward, dropout, sru_dropout, bidirectional, kwargs)
        self.linear2 = torch.nn.Linear(dim_feedforward * (2 if bidirectional else 1), d_model)
        self.norm1 = torch.nn.LayerNorm(d_model)
        self.norm2 = torch.nn.LayerNorm(d_model)
        self.drop = torch.nn.Dropout(dropout)

    def forward(
        self,
        src: Tensor,
        state: Tensor | None = None,
        src_mask: Tensor | None = None,
        padding_mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """``src [B, S, D]`` and ``state [B, F]`` to ``([B, S, D], [B, F])``."""
        src = self.norm1(src + self.drop(attend(self.self_attn, src, src, src_mask, padding_mask)))
        inner, state = _run(self.sru, src, state, padding_mask)
        return self.norm2(src + self.drop(self.linear2(inner))), state


class TransformerSRUDecoderLayer(Module):
    """The same with attention to a memory in between."""

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        sru_dropout: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        self.self_attn = torch.nn.MultiheadAttention(d_model, nhead, dropout=dropout, batch_first=True)
        self.multihead_attn = torch.nn.MultiheadAttention(d_model, nhead, dropout=dropout, batch_first=True)
        self.sru = _cell(d_model, dim_feedforward, dropout, sru_dropout, False, kwargs)
        self.linear2 = torch.nn.Linear(dim_feedforward, d_model)
        self.norm1 = torch.nn.LayerNorm(d_model)
        self.norm2 = torch.nn.LayerNorm(d_model)
        self.norm3 = torch.nn.LayerNorm(d_model)
        self.drop = torch.nn.Dropout(dropout)

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        state: Tensor | None = None,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
    ) -> Tensor:
        """``tgt [B, T, D]``, ``memory [B, S, D]`` and ``state [B, F]`` to ``[B, T, D]``."""
        tgt = self.norm1(tgt + self.drop(attend(self.self_attn, tgt, tgt, tgt_mask, padding_mask)))
        attended = attend(self.multihead_attn, tgt, memory, memory_mask, memory_key_padding_mask)
        tgt = self.norm2(tgt + self.drop(attended))
        inner, _ = _run(self.sru, tgt, state, padding_mask)
        output: Tensor = self.norm3(tgt + self.drop(self.linear2(inner)))
        return output


def _cell(
    d_model: int, size: int, dropout: float, sru_dropout: float | None, bidirectional: bool, options: dict[str, Any]
) -> torch.nn.Module:
    # No skip term inside: the layer adds what came in itself.
    options = {"has_skip_term": False, **options}
    cell: torch.nn.Module = import_sru().SRUCell(
        d_model, size, dropout=dropout if sru_dropout is None else sru_dropout, bidirectional=bidirectional, **options
    )
    return cell


def _run(cell: torch.nn.Module, data: Tensor, state: Tensor | None, real: Tensor | None) -> tuple[Tensor, Tensor]:
    # SRU is time first and its mask is True at padding; a padded step carries the state on unchanged.
    hidden = None if real is None else (~real).transpose(0, 1).contiguous()
    output, state = cell(data.transpose(0, 1).contiguous(), c0=state, mask_pad=hidden)
    assert state is not None
    return output.transpose(0, 1), state
