"""LogisticRegression."""

from __future__ import annotations

import torch

from flambe.metric import BinaryAccuracy
from flambe.model import LogisticRegression


def test_it_is_the_formula() -> None:
    model = LogisticRegression(3)
    data = torch.randn(5, 3)
    expected = 1 / (1 + (-(data @ model.linear.weight[0] + model.linear.bias)).exp())
    torch.testing.assert_close(model(data), expected)
    assert model.num_parameters() == 4
    assert model.input_size == 3


def test_targets_fit_the_loss() -> None:
    model, target = LogisticRegression(3), torch.tensor([1, 0, 1, 1, 0])
    for given in (target, target[:, None], target.double()):
        pred, true = model(torch.randn(5, 3), given)
        assert true.dtype == torch.float
        torch.nn.functional.binary_cross_entropy(pred, true).backward()
        assert 0 <= float(BinaryAccuracy()(pred, true)) <= 1
