"""MLPEncoder and SoftmaxLayer."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from flambe.nn import MLPDecoder, MLPEncoder, SoftmaxLayer


def test_layers() -> None:
    assert [type(layer) for layer in MLPEncoder(3, 2).seq] == [nn.Linear]
    mlp = MLPEncoder(
        3, 2, n_layers=3, hidden_size=5, hidden_activation=nn.PReLU(), output_activation=nn.Tanh(), dropout=0.1
    )
    assert [type(layer).__name__ for layer in mlp.seq] == [
        "Linear", "PReLU", "Dropout", "Linear", "PReLU", "Dropout", "Linear", "Tanh",
    ]  # fmt: skip
    assert mlp.seq[1] is not mlp.seq[4]
    assert [layer.weight.shape for layer in mlp.seq if isinstance(layer, nn.Linear)] == [(5, 3), (5, 5), (2, 5)]
    assert (mlp.input_size, mlp.hidden_size, mlp.output_size) == (3, 5, 2)
    assert MLPEncoder(3, 2, n_layers=2).seq[0].out_features == 3
    assert MLPDecoder is MLPEncoder
    with pytest.raises(ValueError, match="n_layers must be at least 1, got 0"):
        MLPEncoder(3, 2, n_layers=0)


def test_it_is_the_formula() -> None:
    mlp = MLPEncoder(3, 2, n_layers=2, hidden_activation=nn.ReLU())
    data = torch.randn(4, 7, 3)
    first, last = mlp.seq[0], mlp.seq[2]
    expected = (data @ first.weight.T + first.bias).clamp(min=0) @ last.weight.T + last.bias
    torch.testing.assert_close(mlp(data), expected)


def test_softmax() -> None:
    torch.manual_seed(0)
    log = SoftmaxLayer(3, 4)
    torch.manual_seed(0)
    share = SoftmaxLayer(3, 4, take_log=False)
    data = torch.randn(2, 5, 3)
    torch.testing.assert_close(log(data).exp(), share(data))
    torch.testing.assert_close(share(data).sum(-1), torch.ones(2, 5))
    assert len(SoftmaxLayer(3, 4, mlp_layers=2, mlp_hidden_activation=nn.ReLU()).mlp.seq) == 3
