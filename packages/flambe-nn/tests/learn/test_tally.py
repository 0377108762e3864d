"""Tallies give what the metric gives of the whole."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from flambe.learn.tally import MeanTally, StreamTally, WholeTally, is_lower_better, metric_label, tally
from flambe.learn.validation import tally_batches
from flambe.metric import Accuracy

GENERATOR = torch.Generator().manual_seed(0)
LOGITS = torch.randn(11, 4, generator=GENERATOR)
CLASSES = torch.randint(0, 4, (11,), generator=GENERATOR)
SOME_IGNORED = torch.where(torch.arange(11) % 3 == 0, -100, CLASSES)
SOFT = torch.softmax(torch.randn(11, 4, generator=GENERATOR), 1)


def cut(pred: Tensor, target: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Batches of 3, 3, 3 and 2."""
    return list(zip(pred.split(3), target.split(3), strict=True))


@pytest.mark.parametrize(
    ("loss", "pred", "target"),
    [
        (nn.CrossEntropyLoss(), LOGITS, CLASSES),
        (nn.CrossEntropyLoss(), LOGITS, SOME_IGNORED),
        (nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 3.0, 4.0])), LOGITS, SOME_IGNORED),
        (nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 3.0, 4.0]), ignore_index=3), LOGITS, CLASSES),
        (nn.CrossEntropyLoss(label_smoothing=0.1), LOGITS, CLASSES),
        (nn.CrossEntropyLoss(label_smoothing=0.1, weight=torch.tensor([1.0, 2.0, 3.0, 4.0])), LOGITS, CLASSES),
        (nn.CrossEntropyLoss(), LOGITS, SOFT),
        (nn.CrossEntropyLoss(), LOGITS.view(11, 2, 2), CLASSES.view(11, 1).expand(11, 2) % 2),
        (nn.NLLLoss(ignore_index=2), LOGITS.log_softmax(1), CLASSES),
        (nn.MSELoss(), LOGITS, SOFT),
        (nn.L1Loss(), LOGITS, SOFT),
        (nn.SmoothL1Loss(), LOGITS, SOFT),
        (nn.HuberLoss(), LOGITS, SOFT),
        (nn.BCELoss(), LOGITS.sigmoid(), SOFT),
        (nn.BCEWithLogitsLoss(pos_weight=torch.tensor(2.0)), LOGITS, SOFT),
    ],
    ids=lambda value: repr(value)[:40] if isinstance(value, nn.Module) else "",
)
def test_torch_losses_are_those_of_the_whole(loss: Any, pred: Tensor, target: Tensor) -> None:
    counted = tally(loss)
    assert isinstance(counted, MeanTally)
    for part in cut(pred, target):
        counted.add(*part)
    assert counted.value() == pytest.approx(loss(pred, target).item(), rel=1e-6)
    assert loss.reduction == "mean", "the user's own loss is left alone"


def test_a_batch_where_all_is_ignored() -> None:
    counted = tally(nn.CrossEntropyLoss())
    counted.add(LOGITS[:2], torch.tensor([-100, -100]))
    counted.add(LOGITS[2:], CLASSES[2:])
    expected = nn.functional.cross_entropy(LOGITS[2:], CLASSES[2:]).item()
    assert counted.value() == pytest.approx(expected, rel=1e-6)


def test_metrics_stream_if_they_can() -> None:
    counted = tally(Accuracy())
    assert isinstance(counted, StreamTally)
    for part in cut(LOGITS, CLASSES):
        counted.add(*part)
    assert counted.value() == pytest.approx((LOGITS.argmax(1) == CLASSES).float().mean().item())


def test_other_functions_get_everything_at_once() -> None:
    def largest(pred: Tensor, target: Tensor) -> Tensor:
        return pred.max() + len(target)

    for metric in (largest, nn.MultiMarginLoss(), nn.MSELoss(reduction="sum")):
        counted = tally(metric)
        assert isinstance(counted, WholeTally)
        target = SOFT if isinstance(metric, nn.MSELoss) else CLASSES
        for part in cut(LOGITS, target):
            counted.add(*part)
        assert counted.value() == pytest.approx(float(metric(LOGITS, target)))
    assert metric_label(largest) == "largest"


def test_names() -> None:
    assert metric_label(nn.CrossEntropyLoss()) == "CrossEntropyLoss"
    assert metric_label(Accuracy()) == "Accuracy"


def test_directions() -> None:
    assert is_lower_better(nn.NLLLoss())
    assert not is_lower_better(Accuracy())


def test_nothing_to_evaluate() -> None:
    with pytest.raises(ValueError, match="no batch to evaluate"):
        tally_batches([Accuracy()], [], lambda batch: batch)
