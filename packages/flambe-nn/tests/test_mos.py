"""MixtureOfSoftmax."""

from __future__ import annotations

import pytest
import torch

from flambe.nn import MixtureOfSoftmax


def test_it_is_the_formula() -> None:
    torch.manual_seed(0)
    mixture = MixtureOfSoftmax(3, 5, k=4)
    data = torch.randn(2, 7, 3)
    weights = mixture.pi(data).exp()
    expected = sum(weights[..., place, None] * layer(data).exp() for place, layer in enumerate(mixture.layers))
    torch.testing.assert_close(mixture(data).exp(), expected)
    torch.testing.assert_close(mixture(data).exp().sum(-1), torch.ones(2, 7))
    mixture.take_log = False
    torch.testing.assert_close(mixture(data), expected)


def test_every_part_is_trained() -> None:
    mixture = MixtureOfSoftmax(3, 5, k=2)
    mixture(torch.randn(4, 3))[:, 0].sum().backward()
    assert len(list(mixture.parameters())) == 6
    assert all(parameter.grad is not None for parameter in mixture.parameters())
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        MixtureOfSoftmax(3, 5, k=0)
