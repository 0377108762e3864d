"""``WarmupLinearScheduler``."""

from __future__ import annotations

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler


class WarmupLinearScheduler(LRScheduler):
    """Rising linearly to the full rate for ``warmup`` updates, then falling linearly to 0 at ``n_steps``. Step it after
    each update (``iter_scheduler``).

    Parameters
    ----------
    optimizer: whose rate is set.
    warmup: updates of rising.
    n_steps: updates in all.
    last_epoch: updates made before; -1 for none.
    """

    def __init__(self, optimizer: Optimizer, warmup: int, n_steps: int, last_epoch: int = -1) -> None:
        if not 0 <= warmup <= n_steps:
            raise ValueError(f"warmup must be between 0 and n_steps, got {warmup} of {n_steps}")
        self.warmup = warmup
        self.n_steps = n_steps
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float | Tensor]:
        """Rate of each parameter group at this update."""
        update = self.last_epoch
        if update < self.warmup:
            factor = update / self.warmup
        else:
            factor = max(0.0, (self.n_steps - update) / max(1, self.n_steps - self.warmup))
        return [base * factor for base in self.base_lrs]
