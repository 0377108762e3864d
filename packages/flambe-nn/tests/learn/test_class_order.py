"""A binary metric tells of labels 0 and 1 that were numbered the other way round."""

from __future__ import annotations

import pytest
import torch

from flambe.dataset import TabularDataset
from flambe.field import BoWField, LabelField
from flambe.learn import Evaluator, Trainer
from flambe.metric import F1, BinaryAccuracy, BinaryPrecision, Metric
from flambe.model import LogisticRegression
from flambe.sampler import BaseSampler

ROWS = [("good film", "1"), ("bad film", "0"), ("so bad", "0")]
TOLD = (
    "looks at class {0}, which is the label '{1}': the field 'label' numbers labels by first appearance. "
    "Fix the order: `!LabelField {{labels: ['0', '1']}}`"
)


def data(label: LabelField) -> TabularDataset:
    return TabularDataset(ROWS, ROWS, ROWS, transform={"text": BoWField(min_freq=1), "label": label})


def told(dataset: TabularDataset, metric: Metric, capsys: pytest.CaptureFixture[str]) -> str:
    Evaluator(dataset, LogisticRegression(dataset.text.vocab_size), metric, device="cpu").run()
    return capsys.readouterr().err


def test_an_evaluator_tells(capsys: pytest.CaptureFixture[str]) -> None:
    swapped = data(LabelField())
    assert told(swapped, BinaryPrecision(), capsys) == f"warning: BinaryPrecision {TOLD.format(1, 0)}\n"
    assert told(swapped, F1(positive_label=0), capsys) == f"warning: F1 {TOLD.format(0, 1)}\n"
    assert told(swapped, BinaryAccuracy(), capsys) == ""
    assert told(data(LabelField(labels=["0", "1"])), F1(), capsys) == ""


def test_a_trainer_tells_once(capsys: pytest.CaptureFixture[str]) -> None:
    dataset = data(LabelField())
    model = LogisticRegression(dataset.text.vocab_size)
    trainer = Trainer(
        dataset=dataset,
        train_sampler=BaseSampler(),
        val_sampler=BaseSampler(),
        model=model,
        loss_fn=torch.nn.BCELoss(),
        metric_fn=BinaryAccuracy(),
        extra_validation_metrics=[F1()],
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
        max_steps=2,
        device="cpu",
    )
    while trainer.run():
        pass
    assert capsys.readouterr().err.count("warning: F1 looks at class 1, which is the label '0'") == 1
