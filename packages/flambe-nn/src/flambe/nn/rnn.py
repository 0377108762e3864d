"""Recurrent encoders. Shapes: B batch, S longest sequence, E input size, H hidden size, L layers, D directions."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from flambe.errors import did_you_mean
from flambe.nn.gru import GRU
from flambe.nn.module import Module
from flambe.nn.pooling import PoolingName, get_pooling
from flambe.nn.sru_package import import_sru

RNNType = Literal["lstm", "gru", "sru"]
State = Tensor | tuple[Tensor, Tensor]


class RNNEncoder(Module):
    """A stack of LSTM, GRU or SRU layers over right-padded sequences, batch first.

    Parameters
    ----------
    input_size: features of one position.
    hidden_size: units of one layer in one direction.
    n_layers: layers on top of each other.
    rnn_type: ``lstm``, ``gru`` or ``sru`` (Lei et al. 2018, https://arxiv.org/abs/1709.02755; needs the extra ``sru``).
    dropout: between layers (not after the last one).
    bidirectional: read both ways; the output has ``2 * hidden_size`` features.
    layer_norm, highway_bias, rescale: of SRU alone; the others refuse them.
    enforce_sorted: the rows already come longest first, which saves a sort.

    Attributes
    ----------
    rnn: the torch (or sru) module.
    output_size: features of one output position.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        n_layers: int = 1,
        rnn_type: RNNType = "lstm",
        dropout: float = 0,
        bidirectional: bool = False,
        layer_norm: bool = False,
        highway_bias: float = 0,
        rescale: bool = True,
        enforce_sorted: bool = False,
    ) -> None:
        super().__init__()
        if rnn_type not in get_args(RNNType):
            hint = did_you_mean(str(rnn_type), get_args(RNNType))
            raise ValueError(f"rnn_type {rnn_type!r} is not known; expected lstm, gru or sru. {hint or ''}".rstrip())
        if rnn_type != "sru" and (layer_norm or highway_bias or not rescale):
            raise ValueError(f"layer_norm, highway_bias and rescale are for rnn_type sru; this is {rnn_type}")
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.output_size = hidden_size * (2 if bidirectional else 1)
        self.rnn_type = rnn_type
        self.bidirectional = bidirectional
        self.enforce_sorted = enforce_sorted
        self.rnn: torch.nn.Module
        if rnn_type == "sru":
            self.rnn = import_sru().SRU(
                input_size,
                hidden_size,
                num_layers=n_layers,
                dropout=dropout,
                bidirectional=bidirectional,
                layer_norm=layer_norm,
                rescale=rescale,
                highway_bias=highway_bias,
            )
        else:
            kind = torch.nn.LSTM if rnn_type == "lstm" else GRU
            self.rnn = kind(
                input_size,
                hidden_size,
                num_layers=n_layers,
                # torch warns about dropout on one layer, where there is no "between": it would do nothing.
                dropout=dropout if n_layers > 1 else 0.0,
                bidirectional=bidirectional,
                batch_first=True,
            )

    def forward(
        self,
        data: Tensor,
        state: State | None = None,
        padding_mask: Tensor | None = None,
        return_state: bool = True,
        zero_padding: bool = True,
    ) -> Any:
        """Encode every position.

        Parameters
        ----------
        data: ``[B, S, E]``.
        state: the state of an earlier call: ``[L * D, B, H]``, for LSTM a pair of them; for SRU ``[L, B, H * D]``.
        padding_mask: ``[B, S]``, True for real tokens; padding is on the right.
        return_state: False leaves the state out, which lets a one-way network run without packing
            (on CPU about a quarter faster for GRU, nearly twice for LSTM).
        zero_padding: False leaves at padding whatever is there, for who reads the mask.

        Returns
        -------
        ``(output, state)`` or ``output``: output ``[B, S, H * D]``, zeros at padding, and the state after the
        last real position. A row without real tokens gives zeros and the state it came with.
        """
        if data.size(1) == 0:
            # A batch of empty texts. The networks take at least one position: it is padding, and is cut off again.
            nothing = data.new_zeros(data.size(0), 1, data.size(2))
            output, new_state = self(
                nothing, state, torch.zeros(nothing.shape[:2], dtype=torch.bool, device=data.device)
            )
            return (output[:, :0], new_state) if return_state else output[:, :0]
        if padding_mask is not None:
            padding_mask = padding_mask.bool()
        if self.rnn_type == "sru":
            output, new_state = self._sru(data, state, padding_mask)
        elif padding_mask is None:
            output, new_state = self.rnn(data, state)
        elif not return_state and not self.bidirectional:
            # Padding is on the right, so no real position ever sees it: what packing would skip is thrown away.
            output, new_state = self.rnn(data, state)
        else:
            output, new_state = self._packed(data, state, padding_mask)
        if padding_mask is not None and zero_padding:
            output = torch.where(padding_mask.unsqueeze(-1), output, output.new_zeros(()))
        return (output, new_state) if return_state else output

    def _packed(self, data: Tensor, state: State | None, mask: Tensor) -> tuple[Tensor, State]:
        lengths = mask.sum(dim=1)
        # cudnn and pack_padded_sequence want a length of at least one: such a row runs over one position of padding
        # and is put right below.
        packed = pack_padded_sequence(
            data, lengths.clamp(min=1).cpu(), batch_first=True, enforce_sorted=self.enforce_sorted
        )
        packed_output, new_state = self.rnn(packed, state)
        output, _ = pad_packed_sequence(packed_output, batch_first=True, total_length=data.size(1))
        real = (lengths > 0).unsqueeze(-1)  # [B, 1]
        if isinstance(new_state, tuple):
            old = state if isinstance(state, tuple) else (None, None)
            return output, (_keep(real, new_state[0], old[0]), _keep(real, new_state[1], old[1]))
        return output, _keep(real, new_state, state if isinstance(state, Tensor) else None)

    def _sru(self, data: Tensor, state: State | None, mask: Tensor | None) -> tuple[Tensor, State]:
        # SRU is time first and its mask is True at padding; a padded step carries the state on unchanged.
        mask_pad = None if mask is None else (~mask).transpose(0, 1).contiguous()
        output, new_state = self.rnn(data.transpose(0, 1).contiguous(), c0=state, mask_pad=mask_pad)
        return output.transpose(0, 1), new_state


class PooledRNNEncoder(Module):
    """An ``RNNEncoder`` whose states are pooled into one vector a sequence.

    Parameters
    ----------
    pooling: ``last``, ``first``, ``sum`` or ``average``. The others are those of ``RNNEncoder``.

    Attributes
    ----------
    rnn: the ``RNNEncoder``; ``rnn.hidden_size`` can be linked.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        n_layers: int = 1,
        rnn_type: RNNType = "lstm",
        dropout: float = 0,
        bidirectional: bool = False,
        layer_norm: bool = False,
        highway_bias: float = 0,
        rescale: bool = True,
        pooling: PoolingName = "last",
    ) -> None:
        super().__init__()
        self.pooling = get_pooling(pooling)
        self.rnn = RNNEncoder(
            input_size,
            hidden_size,
            n_layers=n_layers,
            rnn_type=rnn_type,
            dropout=dropout,
            bidirectional=bidirectional,
            layer_norm=layer_norm,
            highway_bias=highway_bias,
            rescale=rescale,
        )
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.output_size = self.rnn.output_size

    def forward(self, data: Tensor, state: State | None = None, padding_mask: Tensor | None = None) -> Tensor:
        """``data [B, S, E]``, ``padding_mask [B, S]`` (True for real tokens) to ``[B, H * D]``."""
        # The pooling reads the mask.
        output = self.rnn(data, state=state, padding_mask=padding_mask, return_state=False, zero_padding=False)
        pooled: Tensor = self.pooling(output, padding_mask)
        return pooled


def _keep(real: Tensor, new: Tensor, old: Tensor | None) -> Tensor:
    return torch.where(real, new, new.new_zeros(()) if old is None else old)  # [L * D, B, H]
