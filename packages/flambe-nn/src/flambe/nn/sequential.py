"""``Sequential``: named modules, one after the other."""

from __future__ import annotations

import torch
from torch import Tensor

from flambe.nn.module import Module


class Sequential(Module):
    """Modules run in the order in which they are given.

    Parameters
    ----------
    kwargs: name to module; each becomes an attribute.
    """

    def __init__(self, **kwargs: torch.nn.Module) -> None:
        super().__init__()
        for name, module in kwargs.items():
            if not isinstance(module, torch.nn.Module):
                raise ValueError(f"{name} must be a module, got {type(module).__name__}")
            if hasattr(self, name):
                raise ValueError(f"a module cannot be called {name!r}, Sequential uses that name itself")
            self.add_module(name, module)

    def forward(self, data: Tensor) -> Tensor:
        """What the last module makes of what the others made."""
        for module in self.children():
            data = module(data)
        return data
