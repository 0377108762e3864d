"""The evaluator."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import flambe
from flambe.errors import ArgumentError
from flambe.learn import Evaluator
from flambe.metric import Accuracy, Perplexity
from flambe.sampler import BaseSampler


class Data:
    def __init__(self) -> None:
        rows = [(torch.tensor([float(index), 1.0]), torch.tensor(int(index > 20))) for index in range(50)]
        self.train, self.val, self.test = rows[:10], rows[10:20], rows[20:]


class Threshold(nn.Module):
    """Says 1 for what is above 25."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.9)

    def forward(self, data: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        score = self.dropout(data[:, 0] - 25.5)
        return torch.stack([-score, score], dim=1), target


@pytest.fixture(autouse=True)
def logged(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, float, int]]:
    lines: list[tuple[str, float, int]] = []
    monkeypatch.setattr(flambe, "log", lambda *line: lines.append(line), raising=False)
    return lines


@pytest.mark.parametrize(("split", "expected"), [("test", 25 / 30), ("val", 1.0), ("train", 1.0)])
def test_a_split(split: str, expected: float, logged: list[Any]) -> None:
    evaluator = Evaluator(Data(), Threshold(), Accuracy(), eval_data=split, device="cpu")
    assert evaluator.metric() is None
    assert evaluator.run() is False
    assert evaluator.metric() == pytest.approx(expected)
    assert logged == [("Eval Accuracy", evaluator.metric(), 0)]


class ScoresOnly(nn.Module):
    def forward(self, data: Tensor, target: Tensor) -> Tensor:
        return data


def test_scores_without_their_target_are_told() -> None:
    # Two rows of scores would be unpacked as a prediction and a target.
    evaluator = Evaluator(Data(), ScoresOnly(), nn.MSELoss(), BaseSampler(batch_size=2), device="cpu")
    with pytest.raises(ArgumentError, match=r"model \(ScoresOnly\) gives a tensor \[2, 2\] float32; expected \(pred"):
        evaluator.run()


def test_running_again_and_a_block_name(logged: list[Any]) -> None:
    evaluator = Evaluator(Data(), Threshold(), Accuracy(), BaseSampler(batch_size=7), device="cpu")
    evaluator.run()
    evaluator.run(block_name="late")
    assert [tag for tag, _, _ in logged] == ["Eval Accuracy", "late Eval Accuracy"]
    assert logged[0][1] == logged[1][1]


def test_more_metrics_see_the_same_predictions(logged: list[Any]) -> None:
    loss = nn.CrossEntropyLoss()
    both = Evaluator(Data(), Threshold(), Accuracy(), device="cpu", extra_metrics=[loss, Perplexity()])
    both.run()
    alone = Evaluator(Data(), Threshold(), loss, device="cpu")
    alone.run()
    assert [tag for tag, _, _ in logged] == [
        "Eval Accuracy",
        "Eval CrossEntropyLoss",
        "Eval Perplexity",
        "Eval CrossEntropyLoss",
    ]
    assert both.metric() == logged[0][1]
    assert logged[1][1] == alone.metric() == pytest.approx(math.log(logged[2][1]))
    assert not both.lower_is_better


def test_a_split_without_examples() -> None:
    data = Data()
    data.test = []
    with pytest.raises(ArgumentError, match="the Data has no examples in its split 'test'"):
        Evaluator(data, Threshold(), Accuracy(), device="cpu").run()


def test_a_sampler_that_refuses_a_split() -> None:
    evaluator = Evaluator(Data(), Threshold(), Accuracy(), BaseSampler(batch_size=31, drop_last=True), device="cpu")
    with pytest.raises(ArgumentError) as refused:
        evaluator.run()
    assert str(refused.value) == (
        "eval_sampler (BaseSampler) makes no batch of the split 'test': with drop_last nothing is left of 30 examples, fewer than "
        "batch_size 31"
    )
    assert refused.value.argument == ("eval_sampler",)


def test_default_sampler_keeps_the_order() -> None:
    sampler = Evaluator(Data(), Threshold(), Accuracy(), device="cpu").eval_sampler
    assert (sampler.batch_size, sampler.shuffle) == (16, False)


def test_the_random_numbers_are_left_alone() -> None:
    evaluator = Evaluator(Data(), Threshold(), Accuracy(), BaseSampler(batch_size=7), device="cpu")
    before = torch.get_rng_state()
    evaluator.run()
    assert torch.equal(torch.get_rng_state(), before)


def test_direction() -> None:
    assert Evaluator(Data(), Threshold(), nn.CrossEntropyLoss(), device="cpu").lower_is_better
    assert not Evaluator(Data(), Threshold(), Accuracy(), device="cpu").lower_is_better


def test_state() -> None:
    evaluator = Evaluator(Data(), Threshold(), Accuracy(), device="cpu")
    evaluator.run()
    fresh = Evaluator(Data(), Threshold(), Accuracy(), device="cpu")
    fresh._load_state(evaluator._state({}, "eval.", {}), "eval.", {}, True, [], [], [])
    assert fresh.metric() == evaluator.metric()


def test_an_unknown_split() -> None:
    with pytest.raises(ValueError, match="eval_data is 'dev'; expected train, val or test"):
        Evaluator(Data(), Threshold(), Accuracy(), eval_data="dev")
