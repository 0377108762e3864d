"""A trainer stopped after any iteration goes on bit for bit: weights, optimizer, schedules, scale, metrics and random numbers."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import flambe
from flambe.build.state import read_state, write_state
from flambe.dataset.array import ArrayDataset
from flambe.learn import Trainer
from flambe.metric import AUC, Accuracy
from flambe.runner.seeding import rng_state, set_rng_state
from flambe.sampler import BaseSampler

Lines = list[tuple[str, int, float]]


class Net(nn.Module):
    """Draws from all three generators, so that none of them may be forgotten."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(6, 8)
        self.norm = nn.BatchNorm1d(8)
        self.outer = nn.Linear(8, 2)

    def forward(self, data: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        states = torch.dropout(self.norm(self.inner(data)).relu(), 0.3, self.training)
        if self.training:
            states = states * random.uniform(0.9, 1.1) * float(np.random.uniform(0.9, 1.1))
        return self.outer(states), target


def trainer(options: dict[str, Any]) -> Trainer:
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)
    draw = np.random.default_rng(0)
    data = draw.normal(size=(38, 6)).astype(np.float32)
    labels = (data.sum(1) > 0).astype(np.int64)
    net = Net()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    sampler = {"batch_size": 4, "drop_last": True} | options.pop("sampler", {})
    return Trainer(
        ArrayDataset((data[:30], labels[:30]), (data[30:], labels[30:])),
        BaseSampler(**sampler),
        BaseSampler(batch_size=8, shuffle=False),
        net,
        nn.CrossEntropyLoss(),
        Accuracy(),
        optimizer,
        scheduler=torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, factor=0.5),
        iter_scheduler=torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.97),
        extra_training_metrics=[Accuracy(), nn.CrossEntropyLoss(), lambda pred, target: AUC()(pred[:, 1], target)],
        device="cpu",
        max_grad_norm=1.0,
        **{"max_steps": 3, "iter_per_step": 5, **options},
    )


class Stop(Exception):
    """The process ends here."""


def stop_after(one: Trainer, iterations: int) -> None:
    """End in the middle of ``run()``, after so many updates of the weights in all."""
    made, update = 0, one._update

    def counted(*arguments: Any) -> Any:
        nonlocal made
        norm = update(*arguments)
        made += 1
        return norm

    def advance(text: str, total: int, done: int) -> Any:
        from contextlib import contextmanager

        @contextmanager
        def showing() -> Any:
            def step() -> None:
                if made == iterations:
                    raise Stop

            yield step

        return showing()

    one._update = counted  # type: ignore[method-assign]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flambe.learn.trainer.progress_bar", advance)
        try:
            while one.run():
                pass
        except Stop:
            return
    raise AssertionError("it ended before")


def outcome(one: Trainer, folder: Path) -> list[bytes]:
    """Every byte that would be saved."""
    write_state(folder, one.get_state())
    return [path.read_bytes() for path in sorted(folder.iterdir())]


OPTIONS = [
    {},
    {"batches_per_iter": 3},
    {"precision": "float16", "batches_per_iter": 2},
    {"precision": "bfloat16", "prefetch": 2},
    {"log_interval": 3, "extra_training_metrics_log_interval": 4},
    {"iter_per_checkpoint": 2, "patience": 2},
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: ",".join(options) or "plain")
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(after=st.integers(1, 14))
@pytest.mark.filterwarnings("ignore:.*GradScaler")
def test_stopped_after_any_iteration_it_goes_on(
    options: dict[str, Any], after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: Lines = []
    monkeypatch.setattr(flambe, "log", lambda tag, value, step: lines.append((tag, step, value)), raising=False)
    whole = trainer(dict(options))
    while whole.run():
        pass
    expected, lines = lines, []

    first = trainer(dict(options))
    try:
        stop_after(first, after)
    except AssertionError:
        assert "patience" in options  # it had given up before
        return
    write_state(tmp_path / "state", {"component": first.get_state(), "rng": rng_state()})
    first._update([], False)  # what happens after the checkpoint must not reach it

    second = trainer(dict(options))
    torch.rand(7)
    saved = read_state(tmp_path / "state")
    second.load_state(saved["component"], strict=True)
    set_rng_state(saved["rng"])
    while second.run():
        pass
    assert lines == expected
    assert outcome(second, tmp_path / "second") == outcome(whole, tmp_path / "whole")


def test_the_place_in_the_data_is_found_without_going_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred thousand batches were used; none of them is made again."""
    made: list[int] = []
    load = BaseSampler._load

    def counted(self: BaseSampler, collate: Any, batches: Any) -> Any:
        for batch in load(self, collate, batches):
            made.append(1)
            yield batch

    monkeypatch.setattr(BaseSampler, "_load", counted)
    one = trainer({"max_steps": 1, "iter_per_step": 1})
    state = one.get_state()
    state["batches"] = 100_003
    one.load_state(state)
    one._train_step()
    assert len(made) == 1
    assert one._batches.consumed == 100_004


@pytest.mark.slow
def test_with_workers_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flambe, "log", lambda *line: None, raising=False)
    plain = trainer({"max_steps": 1})
    plain.run()
    options = {"max_steps": 1, "sampler": {"n_workers": 1}}
    first = trainer(dict(options))
    stop_after(first, 3)
    second = trainer(dict(options))
    state, random_numbers = first.get_state(), rng_state()
    second.load_state(state)
    set_rng_state(random_numbers)
    while second.run():
        pass
    assert torch.equal(second.model.inner.weight, plain.model.inner.weight)
