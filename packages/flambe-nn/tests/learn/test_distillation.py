"""The distillation trainer against the formula, and its teacher left as it is."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import nll_loss, softmax

import flambe
from flambe.learn import DistillationTrainer
from flambe.metric import Accuracy
from flambe.sampler import BaseSampler


class Data:
    """Points of three columns: seen by the student, seen by the teacher, class."""

    def __init__(self, count: int = 24, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        points = torch.randn(count, 2, 4, generator=generator)
        examples = [(one[0], one[1], (one[0].sum() > 0).long()) for one in points]
        self.train, self.val = examples[: count // 2], examples[count // 2 :]


class Linear(nn.Module):
    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(4, 3)

    def forward(self, data: Tensor, target: Tensor | None = None) -> Any:
        scores = self.out(self.dropout(data))
        return scores if target is None else (scores, target)


@pytest.fixture(autouse=True)
def unlogged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flambe, "log", lambda tag, data, step: None, raising=False)


def make(teacher: nn.Module | None = None, **arguments: Any) -> DistillationTrainer:
    torch.manual_seed(0)
    student, teacher = Linear(), teacher or Linear(dropout=0.5)
    defaults: dict[str, Any] = {
        "loss_fn": nn.NLLLoss(), "metric_fn": Accuracy(), "teacher_columns": [1, 2], "student_columns": [0, 2],
        "device": "cpu", "max_steps": 2, "iter_per_step": 3, "optimizer": torch.optim.SGD(student.parameters(), lr=0.5),
    }  # fmt: skip
    sampler = BaseSampler(batch_size=4, seed=1)
    return DistillationTrainer(Data(), sampler, BaseSampler(shuffle=False), teacher, student, **(defaults | arguments))


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_the_loss_is_the_formula(alpha: float) -> None:
    trainer = make(alpha_kl=alpha, temperature=3.0)
    seen, taught, target = (torch.stack(column) for column in zip(*Data().train, strict=True))
    student, teacher = trainer.student_model(seen), trainer.teacher_model(taught)
    p, q = softmax(teacher / 3, -1), softmax(student / 3, -1)
    divergence = (p * (p.log() - q.log())).sum(-1).mean()
    expected = (1 - alpha) * nll_loss(softmax(student, -1).log(), target) + alpha * 9 * divergence
    torch.testing.assert_close(trainer._compute_loss((seen, taught, target)), expected)


def test_the_teacher_stays_as_it_was() -> None:
    trainer = make()
    before = copy.deepcopy(trainer.teacher_model.state_dict())
    student = copy.deepcopy(trainer.model.state_dict())
    while trainer.run():
        pass
    assert not trainer.teacher_model.training
    assert not any(parameter.requires_grad for parameter in trainer.teacher_model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in trainer.teacher_model.state_dict().items())
    assert not torch.equal(trainer.model.state_dict()["out.weight"], student["out.weight"])
    assert trainer.metric() is not None


def test_a_student_of_the_divergence_alone_learns_its_teacher() -> None:
    trainer = make(alpha_kl=1.0, teacher_columns=[0], iter_per_step=300)
    trainer.run()
    points = torch.stack([example[0] for example in Data().train])
    student, teacher = (softmax(model(points), -1) for model in (trainer.model, trainer.teacher_model))
    assert (student - teacher).abs().mean() < 0.01


def test_unlabelled_data_count_in_the_divergence_and_go_on_where_they_were() -> None:
    def trainer(**more: Any) -> DistillationTrainer:
        return make(alpha_kl=1.0, max_steps=3, **more)

    def unlabelled() -> DistillationTrainer:
        return trainer(unlabel_dataset=Data(40, seed=5), unlabel_sampler=BaseSampler(batch_size=4, seed=2))

    whole, first, second, plain = unlabelled(), unlabelled(), unlabelled(), trainer()
    for one in (whole, whole, first, plain, plain):
        one.run()
    second.load_state(first.get_state())
    second.run()
    # Before the last step, which would bring the best weights back.
    result = whole.model.state_dict()["out.weight"]
    assert torch.equal(second.model.state_dict()["out.weight"], result)
    assert not torch.equal(plain.model.state_dict()["out.weight"], result)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"alpha_kl": 1.5}, "alpha_kl is 1.5; expected a share between 0 and 1"),
        ({"temperature": 0}, "temperature is 0; expected more than 0"),
        ({"unlabel_dataset": Data()}, "given together"),
    ],
)
def test_refusals(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**arguments)
