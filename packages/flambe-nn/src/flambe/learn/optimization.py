"""``check_optimization``: whether an optimizer and its schedules train the model that they are given with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau

from flambe.errors import ArgumentError


def check_optimization(model: nn.Module, optimizer: Any, schedules: Iterable[tuple[str, Any, int | None]]) -> None:
    """Raise ``ArgumentError`` for an optimizer of another model, and for a schedule of another optimizer or of too few steps.

    schedules: (argument, scheduler or None, how often it will be stepped; None where that is not known).
    """
    groups = getattr(optimizer, "param_groups", None)
    if groups is None:
        return
    ours = {id(parameter) for parameter in model.parameters()}
    if not any(id(parameter) in ours for group in groups for parameter in group["params"]):
        raise ArgumentError(
            f"{type(optimizer).__qualname__} has no parameter of the model that is trained",
            argument=["optimizer", "params"],
            hint="Link them: params: !@ STAGE[model].trainable_params, with the name of this stage.",
        )
    for name, schedule, steps in schedules:
        if schedule is not None:
            _check_schedule(name, schedule, steps, groups)


def _check_schedule(name: str, schedule: Any, steps: int | None, groups: list[Any]) -> None:
    kind = type(schedule).__qualname__
    theirs = getattr(getattr(schedule, "optimizer", None), "param_groups", None)
    if theirs is not None and not {id(one) for one in theirs} & {id(one) for one in groups}:
        raise ArgumentError(
            f"{kind} changes the learning rate of another optimizer than the one that trains",
            argument=[name, "optimizer"],
            hint="Link it: optimizer: !@ STAGE[optimizer], with the name of this stage.",
        )
    if name == "iter_scheduler" and isinstance(schedule, ReduceLROnPlateau):
        raise ArgumentError(
            f"{kind} waits for validation losses, and there is none after each iteration",
            argument=[name],
            hint="Give it as scheduler.",
        )
    if isinstance(schedule, OneCycleLR) and steps is not None and steps > schedule.total_steps:
        raise ArgumentError(
            f"{kind} ends after {schedule.total_steps} steps, and {steps} are made",
            argument=[name, "total_steps"],
            expected=f"{steps} or more",
        )


__all__ = ["check_optimization"]
