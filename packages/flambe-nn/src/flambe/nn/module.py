"""``Module``: a torch module that is also a component."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from flambe.build.component import Component
from flambe.nn.gradients import strided


class Module(Component, torch.nn.Module):  # type: ignore[misc]  # both have a `compile`; ours is meant (documented)
    """Base of every model part: ``torch.nn.Module`` with the names that links and the trainer use.

    The norms are global L2 norms. Each costs one kernel over all tensors and, because they are numbers,
    one synchronisation with the device.
    """

    def __init__(self) -> None:
        super().__init__()

    @property
    def named_trainable_params(self) -> Iterator[tuple[str, torch.nn.Parameter]]:
        """Names and parameters that an optimizer would change."""
        return ((name, parameter) for name, parameter in self.named_parameters() if parameter.requires_grad)

    @property
    def trainable_params(self) -> Iterator[torch.nn.Parameter]:
        """Parameters that an optimizer would change."""
        return (parameter for parameter in self.parameters() if parameter.requires_grad)

    @property
    def gradient_norm(self) -> float:
        """L2 norm of all gradients together; 0 before the first backward pass."""
        return _norm([one.grad for one in strided(self.trainable_params) if one.grad is not None])

    @property
    def parameter_norm(self) -> float:
        """L2 norm of all trainable parameters together."""
        return _norm(list(self.trainable_params))

    def num_parameters(self, trainable: bool = False) -> int:
        """Count numbers in all parameters, or in the trainable ones alone."""
        return sum(parameter.numel() for parameter in (self.trainable_params if trainable else self.parameters()))

    def clip_params(self, threshold: float) -> None:
        """Clamp every parameter into ``[-threshold, threshold]``."""
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.clamp_(-threshold, threshold)

    def clip_gradient_norm(self, threshold: float) -> Tensor:
        """Scale the gradients down to a global L2 norm of at most ``threshold``. Returns the norm before, 0-d."""
        return torch.nn.utils.clip_grad_norm_(strided(self.parameters()), threshold)


def _norm(tensors: list[Tensor]) -> float:
    if not tensors:
        return 0.0
    return float(torch.nn.utils.get_total_norm([tensor.detach() for tensor in tensors]))
