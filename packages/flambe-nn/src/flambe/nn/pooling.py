"""Poolings: a sequence of states to one state. Shapes: B batch, S longest sequence, H hidden size.

``padding_mask [B, S]`` is True where a token is real; without one every position counts. A row without any
real token gives zeros, also when there is no position at all (S is 0: a batch of empty texts).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from flambe.errors import did_you_mean
from flambe.nn.module import Module


class FirstPooling(Module):
    """The state of the first position."""

    def forward(self, data: Tensor, padding_mask: Tensor | None = None) -> Tensor:
        """``data [B, S, H]`` to ``[B, H]``."""
        if data.size(1) == 0:
            return data.sum(dim=1)
        if padding_mask is None:
            return data[:, 0]
        mask = _checked(padding_mask, data)
        # argmax gives the first True, so left padding is right too.
        return _take(data, mask.int().argmax(dim=1), mask.any(dim=1))


class LastPooling(Module):
    """The state of the last real position."""

    def forward(self, data: Tensor, padding_mask: Tensor | None = None) -> Tensor:
        """``data [B, S, H]`` to ``[B, H]``."""
        if data.size(1) == 0:
            return data.sum(dim=1)
        if padding_mask is None:
            return data[:, -1]
        mask = _checked(padding_mask, data)
        positions = torch.arange(mask.size(1), device=mask.device)
        return _take(data, (positions * mask).amax(dim=1), mask.any(dim=1))


class SumPooling(Module):
    """The sum of the states of real positions."""

    def forward(self, data: Tensor, padding_mask: Tensor | None = None) -> Tensor:
        """``data [B, S, H]`` to ``[B, H]``."""
        return masked(data, padding_mask).sum(dim=1)


class AvgPooling(Module):
    """The mean of the states of real positions."""

    def forward(self, data: Tensor, padding_mask: Tensor | None = None) -> Tensor:
        """``data [B, S, H]`` to ``[B, H]``."""
        if padding_mask is None:
            return data.sum(dim=1) / max(1, data.size(1))
        count = padding_mask.sum(dim=1, keepdim=True).clamp(min=1)  # [B, 1]
        return masked(data, padding_mask).sum(dim=1) / count


def _take(data: Tensor, index: Tensor, real: Tensor) -> Tensor:
    rows = torch.arange(data.size(0), device=data.device)
    # where, not a product: a NaN in a position that does not count must not get through.
    return torch.where(real.unsqueeze(-1), data[rows, index], data.new_zeros(()))  # [B, H]


def masked(data: Tensor, padding_mask: Tensor | None) -> Tensor:
    """Set states ``[B, S, H]`` to zero at padding.

    Raises
    ------
    ValueError: the mask is of another shape.
    """
    if padding_mask is None:
        return data
    return torch.where(_checked(padding_mask, data).unsqueeze(-1), data, data.new_zeros(()))  # [B, S, H]


def _checked(padding_mask: Tensor, data: Tensor) -> Tensor:
    if padding_mask.shape != data.shape[:2]:
        raise ValueError(
            f"states are {list(data.shape)} and their padding_mask is {list(padding_mask.shape)}; expected "
            f"{list(data.shape[:2])}. An encoder that gives another number of positions than it gets cannot be pooled with a mask"
        )
    return padding_mask.bool()


PoolingName = Literal["first", "last", "sum", "average"]
_POOLINGS: dict[PoolingName, type[Module]] = {
    "first": FirstPooling,
    "last": LastPooling,
    "sum": SumPooling,
    "average": AvgPooling,
}


def get_pooling(name: PoolingName) -> Module:
    """Return the pooling called ``first``, ``last``, ``sum`` or ``average``.

    Raises
    ------
    ValueError: for another name.
    """
    try:
        return _POOLINGS[name]()
    except (KeyError, TypeError):
        hint = did_you_mean(str(name), _POOLINGS)
        expected = ", ".join(_POOLINGS)
        raise ValueError(f"pooling {name!r} is not known; expected one of: {expected}. {hint or ''}".rstrip()) from None
