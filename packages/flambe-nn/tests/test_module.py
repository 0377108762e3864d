"""Module."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import flambe
from flambe.nn import Module


class Two(Module):
    """Two linear layers, one frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 2)
        self.frozen = nn.Linear(2, 2)
        self.frozen.requires_grad_(False)

    def forward(self, data: torch.Tensor) -> torch.Tensor:
        """Apply both."""
        return self.frozen(self.first(data))


def test_it_is_a_component_and_a_torch_module() -> None:
    assert isinstance(Two(), flambe.Component)
    assert isinstance(Two(), nn.Module)
    assert Two.mro().index(flambe.Component) < Two.mro().index(nn.Module)


def test_trainable_parameters() -> None:
    model = Two()
    assert [name for name, _ in model.named_trainable_params] == ["first.weight", "first.bias"]
    assert [id(p) for p in model.trainable_params] == [id(model.first.weight), id(model.first.bias)]
    assert model.num_parameters() == 14
    assert model.num_parameters(trainable=True) == 8


def test_norms() -> None:
    model = Two()
    assert model.gradient_norm == 0.0
    model(torch.ones(4, 3)).sum().backward()
    together = torch.cat([p.grad.flatten() for p in model.trainable_params if p.grad is not None])
    assert model.gradient_norm == pytest.approx(float(together.norm()))
    assert model.parameter_norm == pytest.approx(float(torch.cat([p.flatten() for p in model.trainable_params]).norm()))
    before = model.gradient_norm
    assert float(model.clip_gradient_norm(before / 2)) == pytest.approx(before)
    assert model.gradient_norm == pytest.approx(before / 2, rel=1e-4)
    model.clip_params(0.01)
    assert max(float(p.detach().abs().max()) for p in model.parameters()) <= 0.01
