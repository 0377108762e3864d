"""Learning-rate schedulers, against their formulas."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from flambe.optim import NoamScheduler, WarmupLinearScheduler


def rates(make: Any, steps: int, lr: float = 2.0) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    scheduler = make(optimizer)
    seen = []
    for _ in range(steps):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return seen


def test_noam() -> None:
    expected = [2 * 16**-0.5 * min(n**-0.5, n * 4**-1.5) for n in range(1, 9)]
    assert rates(lambda o: NoamScheduler(o, warmup=4, d_model=16), 8) == pytest.approx(expected)
    with pytest.raises(ValueError, match="warmup must be at least 1"):
        rates(lambda o: NoamScheduler(o, warmup=0, d_model=16), 1)


def test_linear() -> None:
    assert rates(lambda o: WarmupLinearScheduler(o, warmup=2, n_steps=6), 8) == pytest.approx(
        [0, 1, 2, 1.5, 1, 0.5, 0, 0]
    )
    assert rates(lambda o: WarmupLinearScheduler(o, 0, 2), 3) == pytest.approx([2, 1, 0])
    with pytest.raises(ValueError, match="warmup must be between 0 and n_steps, got 7 of 6"):
        rates(lambda o: WarmupLinearScheduler(o, 7, 6), 1)


def test_state_is_plain_and_comes_back() -> None:
    def make() -> tuple[Any, Any]:
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        return optimizer, WarmupLinearScheduler(optimizer, 2, 6)

    optimizer, scheduler = make()
    for _ in range(3):
        optimizer.step()
        scheduler.step()
    state = scheduler.state_dict()
    assert all(isinstance(value, (int, float, bool, list, type(None))) for value in state.values())
    other, again = make()
    again.load_state_dict(state)
    other.step()
    again.step()
    assert other.param_groups[0]["lr"] == pytest.approx(0.5)
