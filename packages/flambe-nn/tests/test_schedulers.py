"""Learning-rate schedulers and optimizers, against their formulas."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from flambe.optim import LambdaLR, NoamScheduler, RAdam, WarmupLinearScheduler


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


@pytest.mark.parametrize("degenerated", [True, False])
def test_radam_is_that_of_the_paper(degenerated: bool) -> None:
    beta_1, beta_2, lr = 0.9, 0.99, 0.1
    parameter = torch.nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
    optimizer = RAdam([parameter], lr=lr, betas=(beta_1, beta_2), eps=0, degenerated_to_sgd=degenerated)
    value, first, second = parameter.detach().clone(), torch.zeros(2).double(), torch.zeros(2).double()
    longest = 2 / (1 - beta_2) - 1
    for number in range(1, 12):
        gradient = torch.tensor([0.5, -1.0], dtype=torch.float64) * number
        parameter.grad = gradient.clone()
        optimizer.step()
        first, second = beta_1 * first + (1 - beta_1) * gradient, beta_2 * second + (1 - beta_2) * gradient**2
        mean = first / (1 - beta_1**number)
        length = longest - 2 * number * beta_2**number / (1 - beta_2**number)
        if length > 5:
            top, bottom = (length - 4) * (length - 2) * longest, (longest - 4) * (longest - 2) * length
            value = value - lr * (top / bottom) ** 0.5 * mean / (second / (1 - beta_2**number)).sqrt()
        elif degenerated:
            value = value - lr * mean
        torch.testing.assert_close(parameter.detach(), value)
    assert optimizer.param_groups[0]["lr"] == lr


def test_what_version_04_called_its_own() -> None:
    assert rates(lambda o: LambdaLR(o, lambda n: 0.5**n), 3) == pytest.approx([2, 1, 0.5])
