"""Metrics, against scikit-learn and torch; a stream gives what the whole gives."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, precision_score, recall_score, roc_auc_score, roc_curve, top_k_accuracy_score

from flambe.metric import (
    AUC,
    BPC,
    F1,
    Accuracy,
    AverageableMetric,
    BinaryAccuracy,
    BinaryMetric,
    BinaryPrecision,
    BinaryRecall,
    Metric,
    MultiClassAUC,
    Perplexity,
    Recall,
)


def in_pieces(metric: Metric, pred: torch.Tensor, target: torch.Tensor, size: int) -> float:
    state: dict[str, Any] = {}
    for left, right in zip(pred.split(size), target.split(size), strict=True):
        metric.aggregate(state, left, right)
    return metric.finalize(state)


def scores(seed: int, n: int = 41) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(seed)
    return (torch.rand(n) * 10).round() / 10, torch.randint(2, (n,))


def test_accuracy() -> None:
    pred = torch.tensor([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]])
    assert Accuracy()(pred, torch.tensor([1, 0, 0])).item() == pytest.approx(2 / 3)
    assert Accuracy()(pred, torch.tensor([[0, 1], [1, 0], [1, 0]])).item() == pytest.approx(2 / 3)
    assert in_pieces(Accuracy(), pred, torch.tensor([1, 0, 0]), 2) == 2 / 3
    assert str(Accuracy()) == "Accuracy"
    assert not Accuracy().lower_is_better
    assert math.isnan(Accuracy().finalize({}))


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize(
    ("metric", "reference"),
    [(BinaryPrecision, precision_score), (BinaryRecall, recall_score), (F1, f1_score)],
)
def test_binary_metrics_are_those_of_sklearn(metric: Any, reference: Any, label: int) -> None:
    samples = [scores(seed) for seed in range(5)]
    pred, target = samples[0]
    # Nothing of one class among the targets, among the predictions; a batch of one.
    for other in (torch.zeros_like(target), torch.ones_like(target)):
        samples += [(pred, other), (other.float(), target), (pred[:1], target[:1])]
    for pred, target in samples:
        expected = reference(target, pred > 0.4, pos_label=label, zero_division=0)
        ours = metric(threshold=0.4, positive_label=label)
        assert float(ours(pred, target)) == pytest.approx(expected)
        assert float(ours(pred[:, None], target.float())) == pytest.approx(expected)
        assert in_pieces(ours, pred, target, 7) == pytest.approx(expected)


def test_binary_metrics_of_nothing_are_0() -> None:
    none, one = torch.tensor([]), torch.tensor([1, 1])
    for metric in (BinaryAccuracy(), BinaryPrecision(), BinaryRecall(), F1()):
        assert float(metric(none, none)) == 0
        assert metric.finalize({}) == 0
    assert float(BinaryPrecision()(torch.zeros(2), one)) == 0
    assert float(BinaryRecall(positive_label=0)(torch.ones(2), one)) == 0


@pytest.mark.parametrize(
    ("value", "shown"), [(torch.zeros(3), r"a tensor \[3\]"), ({"a": 1.0}, "a dict"), ("good", "a str")]
)
def test_a_metric_that_gives_no_number_is_named(value: Any, shown: str) -> None:
    class Own(Metric):
        def compute(self, pred: torch.Tensor, target: torch.Tensor) -> Any:
            return value

    state = Own().aggregate({}, torch.zeros(3), torch.zeros(3))
    with pytest.raises(TypeError, match=f"Own gives {shown}; expected one number for all examples"):
        Own().finalize(state)


def test_binary_names_and_faults() -> None:
    assert str(BinaryPrecision()) == "PositiveBinaryPrecision"
    assert str(BinaryRecall(positive_label=0)) == "NegativeBinaryRecall"
    assert str(BinaryAccuracy()) == "BinaryAccuracy"
    assert float(BinaryAccuracy(threshold=0.3)(torch.tensor([0.4, 0.2]), torch.tensor([1, 1]))) == 0.5
    with pytest.raises(ValueError, match="positive_label must be 0 or 1, got 2"):
        BinaryPrecision(positive_label=2)
    with pytest.raises(
        ValueError, match=r"BinaryAccuracy: pred is \[3\] and target \[2\]; expected one score for each"
    ):
        BinaryAccuracy()(torch.zeros(3), torch.zeros(2))
    for metric, name in ((F1(), "PositiveF1"), (AUC(), "AUC")):
        with pytest.raises(
            ValueError,
            match=rf"{name} is a metric of two classes .*: pred is \[4, 3\] and target \[4\]; of several .* Recall and",
        ):
            metric(torch.zeros(4, 3), torch.zeros(4))


@given(st.integers(0, 10_000), st.sampled_from([0.1, 0.3, 0.5, 0.77, 1.0]))
@settings(max_examples=25, deadline=None)
def test_auc_is_that_of_sklearn(seed: int, max_fpr: float) -> None:
    pred, target = scores(seed)
    if len(target.unique()) < 2:
        return
    fpr, tpr, _ = roc_curve(target, pred, drop_intermediate=False)
    grid = np.unique(np.concatenate([fpr, [max_fpr]]))
    inside = grid <= max_fpr
    # The curve may rise straight up at one rate: areas between rates are what is added.
    upper = np.array([tpr[fpr <= rate][-1] if rate in fpr else np.interp(rate, fpr, tpr) for rate in grid])
    lower = np.array([tpr[fpr >= rate][0] if rate in fpr else np.interp(rate, fpr, tpr) for rate in grid])
    area = sum((upper[i] + lower[i + 1]) / 2 * (grid[i + 1] - grid[i]) for i in range(len(grid) - 1) if inside[i + 1])
    assert float(AUC(max_fpr)(pred, target)) == pytest.approx(area / max_fpr, abs=1e-6)
    if max_fpr == 1:
        assert float(AUC()(pred, target)) == pytest.approx(roc_auc_score(target, pred), abs=1e-6)
        assert in_pieces(AUC(), pred, target, 7) == pytest.approx(roc_auc_score(target, pred), abs=1e-6)


def test_auc_without_a_class_is_a_half() -> None:
    assert float(AUC()(torch.tensor([]), torch.tensor([]))) == 0.5
    assert float(AUC()(torch.rand(3), torch.ones(3))) == 0.5
    with pytest.raises(ValueError, match=r"max_fpr must be in \(0, 1\], got 0"):
        AUC(0)


def test_perplexity_and_bits() -> None:
    torch.manual_seed(0)
    pred, target = torch.randn(9, 5), torch.randint(5, (9,))
    loss = torch.nn.functional.cross_entropy(pred, target)
    assert float(Perplexity()(pred, target)) == pytest.approx(math.exp(loss))
    assert in_pieces(Perplexity(), pred, target, 4) == pytest.approx(math.exp(loss))
    assert float(Perplexity()(pred.bfloat16(), target)) == pytest.approx(math.exp(loss), rel=1e-2)
    assert float(BPC()(pred.log_softmax(1), target)) == pytest.approx(float(loss) / math.log(2), rel=1e-5)
    assert in_pieces(BPC(), pred, target, 4) == pytest.approx(float(loss) / math.log(2))
    assert Perplexity().lower_is_better
    assert BPC().lower_is_better


def test_perplexity_leaves_out_what_torch_leaves_out_and_may_be_infinite() -> None:
    torch.manual_seed(0)
    pred, target = torch.randn(9, 5), torch.tensor([0, -100, 2, 4, -100, -100, 1, 0, 3])
    assert in_pieces(Perplexity(), pred, target, 2) == pytest.approx(float(Perplexity()(pred, target)))
    shares = torch.rand(9, 5).softmax(1)
    assert in_pieces(BPC(), pred, shares, 2) == pytest.approx(float(BPC()(pred, shares)))
    sure, other = torch.tensor([[1000.0, -1000.0]]), torch.tensor([1])
    assert in_pieces(Perplexity(), sure, other, 1) == float(Perplexity()(sure, other)) == math.inf


class Gap(AverageableMetric):
    def compute(self, pred: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return (pred - target).abs().mean()


OF_CLASSES = [Accuracy(), Recall(2), MultiClassAUC(), Perplexity(), BPC()]
OF_TWO = [BinaryAccuracy(), BinaryPrecision(), BinaryRecall(positive_label=0), F1(), AUC(), AUC(0.3), Gap()]


def examples(metric: Metric, n: int, classes: int | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores and targets that fit; targets of the first classes alone, when their number is given."""
    torch.manual_seed(n)
    if isinstance(metric, (BinaryMetric, Gap)) or type(metric) is AUC:
        return torch.rand(n), torch.randint(classes or 2, (n,))
    return torch.randn(n, 4), torch.randint(classes or 4, (n,))


@pytest.mark.parametrize("metric", OF_CLASSES + OF_TWO, ids=str)
def test_a_stream_is_the_whole_however_it_is_cut(metric: Metric) -> None:
    for n, classes in ((1, None), (2, 1), (13, None), (13, 1), (13, 2)):
        pred, target = examples(metric, n, classes)
        whole = float(metric(pred, target))
        assert math.isfinite(whole)
        for size in (1, 3, n):
            assert in_pieces(metric, pred, target, size) == pytest.approx(whole, rel=1e-5, abs=1e-6), (n, classes, size)
        state: dict[str, Any] = {}
        for part in (slice(0, 0), slice(0, n), slice(0, 0)):
            metric.aggregate(state, pred[part], target[part])
        assert metric.finalize(state) == pytest.approx(whole, rel=1e-5), "an empty batch counts for nothing"
        turned = torch.randperm(n)
        assert float(metric(pred[turned], target[turned])) == pytest.approx(whole, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("metric", OF_CLASSES + OF_TWO, ids=str)
def test_a_score_that_is_no_number_makes_the_metric_none(metric: Metric) -> None:
    """A model that diverged must not win where argmax of NaN, 0, is the class of most examples."""
    pred, target = examples(metric, 12)
    pred[3] = float("nan")
    assert math.isnan(float(metric(pred, target)))
    assert math.isnan(in_pieces(metric, pred, target, 5))


@pytest.mark.parametrize("metric", [Accuracy(), Recall(), MultiClassAUC(), F1(), AUC()], ids=str)
def test_shapes_that_would_be_broadcast_are_refused(metric: Metric) -> None:
    pred, target = examples(metric, 6)
    for wrong in (target[:1], target[:5], target[:, None].expand(6, 3)):
        with pytest.raises(ValueError, match="pred (is|has)"):
            metric(pred, wrong)
    if isinstance(metric, (Accuracy, Recall)):
        assert float(metric(pred, target[:, None])) == float(metric(pred, target))
        for one_score in (pred[:, 0], pred[:, :1]):
            with pytest.raises(ValueError, match="for one score an example take BinaryAccuracy"):
                metric(one_score, target)


def test_the_bases() -> None:
    class Largest(Metric):
        def compute(self, pred: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            return (pred - target).abs().max()

    pred, target = torch.randn(11), torch.randn(11)
    for metric in (Gap(), Largest()):
        assert in_pieces(metric, pred, target, 3) == pytest.approx(float(metric(pred, target)))
        assert math.isnan(metric.finalize({}))
    with pytest.raises(TypeError, match="Metric must implement compute"):
        Metric()(pred, target)


@pytest.mark.parametrize("seed", range(3))
def test_recall_at_k_and_areas_of_classes(seed: int) -> None:
    torch.manual_seed(seed)
    pred, target = torch.randn(50, 4).softmax(1), torch.arange(50) % 4
    for k in (1, 2, 4):
        expected = top_k_accuracy_score(target, pred, k=k)
        assert Recall(k)(pred, target).item() == pytest.approx(expected)
        assert in_pieces(Recall(k), pred, target, 7) == pytest.approx(expected)
    assert str(Recall(2)) == "Recall@2"
    areas = roc_auc_score(target, pred, multi_class="ovr", average="macro")
    assert MultiClassAUC()(pred, target).item() == pytest.approx(areas)
    assert in_pieces(MultiClassAUC(), pred, target, 7) == pytest.approx(areas)
    assert MultiClassAUC()(pred, torch.zeros(50, dtype=torch.long)).item() == 0.5
    with pytest.raises(ValueError, match="top_k is 5, but there are 4 classes"):
        Recall(5)(pred, target)


def test_against_torchmetrics() -> None:
    torchmetrics = pytest.importorskip(
        "torchmetrics", reason="torchmetrics is not installed: its comparison is left out"
    )
    torch.manual_seed(0)
    pred, target = torch.randn(60, 5), torch.randint(5, (60,))
    functional = torchmetrics.functional.classification
    assert Accuracy()(pred, target).item() == pytest.approx(
        functional.multiclass_accuracy(pred, target, 5, "micro").item()
    )
    probability, label = torch.rand(60), torch.randint(2, (60,))
    for ours, theirs in (
        (BinaryPrecision(), functional.binary_precision),
        (BinaryRecall(), functional.binary_recall),
        (F1(), functional.binary_f1_score),
        (AUC(), functional.binary_auroc),
    ):
        assert ours(probability, label).item() == pytest.approx(theirs(probability, label).item())
