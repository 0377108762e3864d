"""``pair_of``: what a model gives for a batch, checked to be (prediction, target)."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from flambe.errors import ArgumentError

BOTH = "Its forward(data, target) returns both."


class NoPair(ArgumentError):
    """A model gave something else than (prediction, target)."""


def pair_of(gave: Any, model: nn.Module, argument: str = "model") -> tuple[Tensor, Tensor]:
    """Return the prediction and the target that ``model`` gave. A tensor of two rows is no pair.

    argument: what the model is called where it was written. Raises ``NoPair``.
    """
    if isinstance(gave, tuple | list) and len(gave) == 2:
        return gave[0], gave[1]
    raise NoPair(
        f"{argument} ({type(model).__qualname__}) gives {shown(gave)}",
        argument=[argument],
        expected="(prediction, target)",
        hint=BOTH,
    )


def shown(value: Any) -> str:
    """Return what a value is in a few words: a tensor by its shape and type."""
    if isinstance(value, Tensor):
        return f"a tensor {shape_of(value)}"
    if isinstance(value, list | tuple) and all(isinstance(one, Tensor) for one in value):
        return f"{len(value)} tensors ({', '.join(map(shape_of, value))})"
    return f"a {type(value).__qualname__}"


def shape_of(tensor: Tensor) -> str:
    """Return ``[4, 3] float32``."""
    return f"{list(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"


__all__ = ["BOTH", "NoPair", "pair_of", "shape_of", "shown"]
