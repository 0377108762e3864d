"""Losses of our own, against the formula."""

from __future__ import annotations

import pytest
import torch

from flambe.metric import MultiLabelCrossEntropy, MultiLabelNLLLoss

TARGET = torch.tensor([[1, 0, 1], [0, 1, 0], [0, 0, 0]])


@pytest.fixture
def pred() -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randn(3, 3, requires_grad=True)


def test_each_label_has_its_share(pred: torch.Tensor) -> None:
    log = pred.log_softmax(1)
    rows = torch.stack([-(log[0, 0] + log[0, 2]) / 2, -log[1, 1], torch.zeros(())])
    torch.testing.assert_close(MultiLabelCrossEntropy(reduction=None)(pred, TARGET), rows)
    torch.testing.assert_close(MultiLabelCrossEntropy()(pred, TARGET), rows.mean())
    torch.testing.assert_close(MultiLabelNLLLoss(reduction="sum")(log, TARGET.float()), rows.sum())


def test_one_label_is_torch_cross_entropy(pred: torch.Tensor) -> None:
    classes = torch.tensor([2, 0, 1])
    expected = torch.nn.functional.cross_entropy(pred, classes)
    torch.testing.assert_close(MultiLabelCrossEntropy()(pred, torch.eye(3)[classes]), expected)


def test_weight_and_ignored_class(pred: torch.Tensor) -> None:
    log = pred.log_softmax(1)
    loss = MultiLabelCrossEntropy(weight=[1.0, 2.0, 3.0], reduction=None)(pred, TARGET)
    torch.testing.assert_close(loss[:2], torch.stack([-(log[0, 0] + 3 * log[0, 2]) / 2, -2 * log[1, 1]]))
    loss = MultiLabelCrossEntropy(ignore_index=2, reduction=None)(pred, TARGET)
    torch.testing.assert_close(loss[:2], torch.stack([-log[0, 0], -log[1, 1]]))


def test_nothing_is_changed_and_gradients_are_finite(pred: torch.Tensor) -> None:
    target = TARGET.clone().float()
    MultiLabelCrossEntropy(ignore_index=0)(pred, target).backward()
    assert torch.equal(target, TARGET.float())
    assert torch.isfinite(pred.grad).all()  # type: ignore[arg-type]
    impossible = torch.tensor([[0.0, -float("inf"), -float("inf")]])
    assert MultiLabelNLLLoss()(impossible, torch.tensor([[1, 0, 0]])).item() == 0


def test_bad_reduction() -> None:
    with pytest.raises(ValueError, match="reduction must be mean, sum or null, got 'avg'"):
        MultiLabelNLLLoss(reduction="avg")
    assert MultiLabelNLLLoss().lower_is_better
