"""``NoamScheduler``."""

from __future__ import annotations

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler


class NoamScheduler(LRScheduler):
    """Rising linearly for ``warmup`` updates, then falling with the inverse square root of the updates made
    (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, section 5.3). Step it after each update (``iter_scheduler``).

    The rate is ``lr · d_model^-0.5 · min(n^-0.5, n · warmup^-1.5)`` at update n.

    Parameters
    ----------
    optimizer: whose rate is set; its ``lr`` scales the whole.
    warmup: updates of rising.
    d_model: size of the model.
    """

    def __init__(self, optimizer: Optimizer, warmup: int, d_model: int) -> None:
        if warmup < 1:
            raise ValueError(f"warmup must be at least 1, got {warmup}")
        self.warmup = warmup
        self.d_model = d_model
        super().__init__(optimizer)

    def get_lr(self) -> list[float | Tensor]:
        """Rate of each parameter group at this update."""
        update = self.last_epoch + 1
        factor = self.d_model**-0.5 * min(update**-0.5, update * self.warmup**-1.5)
        return [base * factor for base in self.base_lrs]
