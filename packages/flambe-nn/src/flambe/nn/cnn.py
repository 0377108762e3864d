"""``CNNEncoder``: a stack of convolutions."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from flambe.nn.module import Module

_CONVOLUTIONS: dict[int, type[torch.nn.Module]] = {1: torch.nn.Conv1d, 2: torch.nn.Conv2d, 3: torch.nn.Conv3d}
_NORMS: dict[int, type[torch.nn.Module]] = {1: torch.nn.BatchNorm1d, 2: torch.nn.BatchNorm2d, 3: torch.nn.BatchNorm3d}


class CNNEncoder(Module):
    """Blocks of convolution, pooling, batch normalisation, activation and dropout. Shapes: B batch, C channels, S positions.

    With ``conv_dim: 1`` and ``padding: same`` it is an encoder of text, below an ``Embedder``.

    Parameters
    ----------
    input_channels: channels that come in.
    channels: channels after each block; their number is the number of blocks.
    conv_dim: 1, 2 or 3 dimensions.
    kernel_size: one number for all, or one for each block (a number or ``conv_dim`` of them).
    activation, pooling: modules; each block has a copy of its own.
    dropout: at the end of each block.
    batch_norm: normalise.
    stride, padding: of all convolutions. ``padding: same`` gives as many positions as come in.

    Attributes
    ----------
    cnn: the blocks.

    Raises
    ------
    ValueError: another ``conv_dim``, or kernel sizes that do not fit.
    """

    def __init__(
        self,
        input_channels: int,
        channels: Sequence[int],
        conv_dim: Literal[1, 2, 3] = 2,
        kernel_size: int | Sequence[int | Sequence[int]] = 3,
        activation: torch.nn.Module | None = None,
        pooling: torch.nn.Module | None = None,
        dropout: float = 0,
        batch_norm: bool = True,
        stride: int = 1,
        padding: int | Literal["same"] = 0,
    ) -> None:
        super().__init__()
        if conv_dim not in _CONVOLUTIONS:
            raise ValueError(f"conv_dim must be 1, 2 or 3, got {conv_dim}")
        kernels = [kernel_size] * len(channels) if isinstance(kernel_size, int) else list(kernel_size)
        if len(kernels) != len(channels):
            raise ValueError(f"kernel_size has {len(kernels)} values for {len(channels)} blocks")
        if not channels:
            raise ValueError("channels must name at least one block")
        self.conv_dim = conv_dim
        self.input_size = input_channels
        self.hidden_size = self.output_size = channels[-1]
        blocks = []
        for before, after, kernel in zip([input_channels, *channels], channels, kernels, strict=False):
            if not isinstance(kernel, int):
                kernel = tuple(kernel)
                if len(kernel) != conv_dim:
                    raise ValueError(f"kernel {list(kernel)} has {len(kernel)} sizes for conv_dim {conv_dim}")
            convolution = _CONVOLUTIONS[conv_dim](before, after, kernel, stride=stride, padding=padding)
            norm = _NORMS[conv_dim](after) if batch_norm else None
            blocks.append(conv_block(convolution, activation, pooling, dropout, norm))
        self.cnn = torch.nn.Sequential(*blocks)

    def forward(self, data: Tensor, padding_mask: Tensor | None = None) -> Tensor:
        """``data [B, input_channels, …]`` to ``[B, channels[-1], …]``.

        padding_mask: ``[B, S]`` of ``data [B, input_channels, S]``, True where a position is real. Each block sees zeros at the others, as
        beyond the end: a text is encoded alike beside a longer one.

        Raises
        ------
        ValueError: with ``padding_mask``, when a block gives another number of positions than it gets.
        """
        if padding_mask is None:
            encoded: Tensor = self.cnn(data)
            return encoded
        real = padding_mask.unsqueeze(1)  # [B, 1, S]
        if data.size(-1) == 0:
            return data.new_zeros(data.size(0), self.output_size, 0)
        for number, block in enumerate(self.cnn):
            before, data = data, block(torch.where(real, data, data.new_zeros(())))
            if data.size(-1) != before.size(-1):
                raise ValueError(
                    f"block {number} of the CNNEncoder makes {data.size(-1)} positions of {before.size(-1)}, so nobody knows which of "
                    "them are padding; set padding: same and leave out stride and pooling"
                )
        return data


def conv_block(
    conv_mod: torch.nn.Module,
    activation: torch.nn.Module | None,
    pooling: torch.nn.Module | None,
    dropout: float,
    batch_norm: torch.nn.Module | None = None,
) -> torch.nn.Sequential:
    """Put a block together; activation and pooling are copied."""
    block: list[torch.nn.Module] = [conv_mod]
    if pooling is not None:
        block.append(copy.deepcopy(pooling))
    if batch_norm is not None:
        block.append(batch_norm)
    if activation is not None:
        block.append(copy.deepcopy(activation))
    block.append(torch.nn.Dropout(dropout))
    return torch.nn.Sequential(*block)
