"""``Precision``: the number type that a model computes in while its weights stay float32."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim import Optimizer

from flambe.errors import did_you_mean

PrecisionName = Literal["float32", "bfloat16", "float16", "fp32", "bf16", "fp16"]
PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}
_SHORT = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


class Precision:
    """Mixed precision (Micikevicius et al. 2018, https://arxiv.org/abs/1710.03740) by ``torch.autocast``.

    ``bfloat16`` has the range of float32 and needs nothing more. ``float16`` has less: losses are scaled up, so that small
    gradients do not become 0, and an update with an infinite gradient is left out (``torch.amp.GradScaler``).

    Parameters
    ----------
    name: ``float32``, ``bfloat16`` or ``float16`` (``fp32``, ``bf16`` and ``fp16`` are the same).
    device: where the model is.

    Attributes
    ----------
    scaler: of ``float16``; else None.

    Raises
    ------
    ValueError: for another name.
    """

    def __init__(self, name: str, device: str) -> None:
        full = _SHORT.get(name, name)
        if full not in PRECISIONS:
            hint = did_you_mean(str(name), PRECISIONS)
            raise ValueError(f"precision is {name!r}; expected {', '.join(PRECISIONS)}" + (f". {hint}" if hint else ""))
        self.name = full
        self.dtype = PRECISIONS[full]
        self.device = torch.device(device).type
        self.scaler = torch.amp.GradScaler(self.device) if full == "float16" else None

    def computing(self) -> AbstractContextManager[Any]:
        """Enter it around the forward pass and the loss."""
        return nullcontext() if self.dtype is None else torch.autocast(self.device, self.dtype)

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of a loss."""
        (loss if self.scaler is None else self.scaler.scale(loss)).backward()

    def unscale(self, optimizer: Optimizer) -> None:
        """Make the gradients those of the loss, before they are measured or clipped."""
        if self.scaler is not None:
            self.scaler.unscale_(optimizer)

    def step(self, optimizer: Optimizer) -> None:
        """Update the weights."""
        if self.scaler is None:
            optimizer.step()
            return
        self.scaler.step(optimizer)
        self.scaler.update()
        # An update that was left out counts as one for learning-rate schedulers, which would warn.
        optimizer._opt_called = True  # type: ignore[attr-defined]

    def full(self, values: Tensor) -> Tensor:
        """Return predictions as metrics want them: in float32 whatever they were computed in."""
        return values.float() if self.dtype is not None and values.dtype == self.dtype else values

    def state(self) -> dict[str, Any] | None:
        """Return the scale of losses and when it changes; None where there is none."""
        return None if self.scaler is None else self.scaler.state_dict()

    def load(self, state: dict[str, Any] | None) -> None:
        """Take back what ``state`` returned."""
        if self.scaler is not None and state:
            self.scaler.load_state_dict(state)
