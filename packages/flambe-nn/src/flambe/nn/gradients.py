"""Sparse gradients, for what knows dense ones only."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor


def strided(parameters: Iterable[Tensor]) -> list[Tensor]:
    """Return ``parameters``, where one with a sparse gradient is stood in for by a tensor whose gradient are the values of that.

    The values are those of the sparse gradient and not a copy: who clips them clips it.
    """
    found = []
    for parameter in parameters:
        if parameter.grad is not None and parameter.grad.is_sparse:
            parameter.grad = parameter.grad.coalesce()  # a row that is named twice has the sum of both as its gradient
            values = parameter.grad.values()
            parameter = values.detach()
            parameter.grad = values
        found.append(parameter)
    return found
