"""The learning-rate schedules of BERT's fine-tuning, under their names of version 0.4. Step them after each update
(``iter_scheduler``)."""

from __future__ import annotations

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from flambe.optim.linear import WarmupLinearScheduler


class ConstantLRSchedule(LRScheduler):
    """The rate of the optimizer, always.

    Parameters
    ----------
    optimizer: whose rate is set.
    last_epoch: updates made before; -1 for none.
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float | Tensor]:
        """Rate of each parameter group at this update."""
        return list(self.base_lrs)


class WarmupConstantSchedule(LRScheduler):
    """Rising linearly to the full rate for ``warmup_steps`` updates, then constant.

    Parameters
    ----------
    optimizer: whose rate is set.
    warmup_steps: updates of rising.
    last_epoch: updates made before; -1 for none.
    """

    def __init__(self, optimizer: Optimizer, warmup_steps: int, last_epoch: int = -1) -> None:
        if warmup_steps < 0:
            raise ValueError(f"warmup_steps must be 0 or more, got {warmup_steps}")
        self.warmup_steps = warmup_steps
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float | Tensor]:
        """Rate of each parameter group at this update."""
        factor = min(1.0, self.last_epoch / self.warmup_steps) if self.warmup_steps else 1.0
        return [base * factor for base in self.base_lrs]


class WarmupLinearSchedule(WarmupLinearScheduler):
    """Rising linearly to the full rate for ``warmup_steps`` updates, then falling linearly to 0 at ``t_total``.

    Parameters
    ----------
    optimizer: whose rate is set.
    warmup_steps: updates of rising.
    t_total: updates in all.
    last_epoch: updates made before; -1 for none.
    """

    def __init__(self, optimizer: Optimizer, warmup_steps: int, t_total: int, last_epoch: int = -1) -> None:
        super().__init__(optimizer, warmup=warmup_steps, n_steps=t_total, last_epoch=last_epoch)
