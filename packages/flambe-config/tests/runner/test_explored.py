"""What was chosen anew counts, whatever a state that was taken over brings with it."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

from flambe.record.layout import EXPLORED
from flambe.runner.explored import explored_step, set_again


def test_a_state_of_its_own_is_left_alone(tmp_path):
    assert explored_step(tmp_path) is None


def test_attributes_and_parameter_groups_are_set_again(tmp_path):
    choice = {
        "rate": 0.5,
        "optimizer.lr": 0.1,
        "optimizer.momentum": 0.9,
        "network": {"$new": "m:N"},
        "gone.lr": 1,
        "a\\.b": 2,
    }
    (tmp_path / EXPLORED).write_text(json.dumps({"step": 7, "choice": choice}))
    assert explored_step(tmp_path) == 7
    groups: list[dict[str, Any]] = [{"lr": 3.0, "initial_lr": 3.0, "momentum": 0.0}, {"lr": 4.0, "weight_decay": 0.1}]
    optimizer = SimpleNamespace(param_groups=groups, lr="no attribute of an optimizer")
    schedule = SimpleNamespace(optimizer=optimizer, base_lrs=[3.0, 4.0])
    network = SimpleNamespace()
    trainer = SimpleNamespace(rate=9.0, network="old", **{"a.b": 0})
    objects: dict[tuple[str | int, ...], Any] = {
        ("train",): trainer,
        ("train", "rate"): 0.5,
        ("train", "network"): network,
        ("train", "a.b"): 2,
        ("train", "optimizer"): optimizer,
        ("train", "optimizer", "lr"): 0.1,
        ("train", "optimizer", "momentum"): 0.9,
        ("train", "scheduler"): schedule,
    }
    set_again(tmp_path, objects)
    assert (trainer.rate, trainer.network, vars(trainer)["a.b"]) == (0.5, "old", 2)
    assert groups == [{"lr": 0.1, "initial_lr": 0.1, "momentum": 0.9}, {"lr": 0.1, "weight_decay": 0.1}]
    assert schedule.base_lrs == [0.1, 0.1]
    assert optimizer.lr == "no attribute of an optimizer"
