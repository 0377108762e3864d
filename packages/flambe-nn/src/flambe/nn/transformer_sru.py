"""Transformers whose feed-forward part is a recurrent SRU cell, batch first.

Shapes and masks are those of ``flambe.nn.transformer``; F is ``dim_feedforward``, times 2 when bidirectional. The
recurrent state ``[L, B, F]`` can be given on to the next piece of a text; attention does not see it. Needs the extra
``sru``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from flambe.nn.sru_package import import_sru
from flambe.nn.transformer_layer import EncoderDecoder, Layer, Stack


class TransformerSRU(EncoderDecoder):
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
        super().__init__(input_size, d_model)
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

    def _handed_on(self, encoded: Any) -> tuple[Tensor, dict[str, Any]]:
        memory, state = encoded
        return memory, {"state": state if self._state_fits else None}


class TransformerSRUEncoder(Stack):
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
        super().__init__(
            input_size,
            d_model,
            num_layers,
            lambda: TransformerSRUEncoderLayer(
                d_model, nhead, dim_feedforward, dropout, sru_dropout, bidirectional, **kwargs
            ),
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
        output, states = self._encode(src, state, mask, padding_mask)
        return output, torch.stack([each for each in states if each is not None])


class TransformerSRUDecoder(Stack):
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
        super().__init__(
            input_size,
            d_model,
            num_layers,
            lambda: TransformerSRUDecoderLayer(d_model, nhead, dim_feedforward, dropout, sru_dropout, **kwargs),
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
        return self._decode(tgt, memory, state, tgt_mask, memory_mask, padding_mask, memory_key_padding_mask)


class _SRULayer(Layer):
    sru: torch.nn.Module
    linear2: torch.nn.Linear

    def __init__(
        self,
        d_model: int,
        nhead: int,
        size: int,
        dropout: float,
        sru_dropout: float | None,
        bidirectional: bool,
        attends_memory: bool,
        options: dict[str, Any],
    ) -> None:
        def inner() -> dict[str, torch.nn.Module]:
            cell = import_sru().SRUCell(
                d_model,
                size,
                dropout=dropout if sru_dropout is None else sru_dropout,
                bidirectional=bidirectional,
                # No skip term inside: the layer adds what came in itself.
                **{"has_skip_term": False, **options},
            )
            return {"sru": cell, "linear2": torch.nn.Linear(size * (2 if bidirectional else 1), d_model)}

        super().__init__(d_model, nhead, dropout, attends_memory, inner)

    def inner_part(self, data: Tensor, state: Tensor | None, real: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """An SRU from ``state [B, F]`` on, and a linear layer."""
        # SRU is time first and its mask is True at padding; a padded step carries the state on unchanged.
        hidden = None if real is None else (~real).transpose(0, 1).contiguous()
        output, state = self.sru(data.transpose(0, 1).contiguous(), c0=state, mask_pad=hidden)
        return self.linear2(output.transpose(0, 1)), state


class TransformerSRUEncoderLayer(_SRULayer):
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
        super().__init__(d_model, nhead, dim_feedforward, dropout, sru_dropout, bidirectional, False, kwargs)

    def forward(
        self,
        src: Tensor,
        state: Tensor | None = None,
        src_mask: Tensor | None = None,
        padding_mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """``src [B, S, D]`` and ``state [B, F]`` to ``([B, S, D], [B, F])``."""
        return self.encode(src, state, src_mask, padding_mask)


class TransformerSRUDecoderLayer(_SRULayer):
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
        super().__init__(d_model, nhead, dim_feedforward, dropout, sru_dropout, False, True, kwargs)

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
        return self.decode(tgt, memory, state, tgt_mask, memory_mask, padding_mask, memory_key_padding_mask)[0]
