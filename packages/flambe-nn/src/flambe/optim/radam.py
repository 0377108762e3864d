"""``RAdam``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


class RAdam(torch.optim.RAdam):
    """Adam whose step is corrected for the variance of its first rates (Liu et al. 2020, https://arxiv.org/abs/1908.03265).

    It is PyTorch's, with the argument of version 0.4 that decides about the first updates, for which there is no correction yet.

    Parameters
    ----------
    params, lr, betas, eps, weight_decay: as in ``torch.optim.RAdam``.
    degenerated_to_sgd: these updates follow the mean gradient; False makes none.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-08,
        weight_decay: float = 0,
        degenerated_to_sgd: bool = True,
    ) -> None:
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)
        self.degenerated_to_sgd = degenerated_to_sgd

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update the parameters."""
        if self.degenerated_to_sgd:
            return super().step(closure)
        rates = [group["lr"] for group in self.param_groups]
        try:
            for group in self.param_groups:
                if not self._is_corrected(group):
                    group["lr"] = 0.0  # the running means go on
            return super().step(closure)
        finally:
            for group, rate in zip(self.param_groups, rates, strict=True):
                group["lr"] = rate

    def _is_corrected(self, group: dict[str, Any]) -> bool:
        beta = group["betas"][1]
        made = max((float(self.state[p]["step"]) for p in group["params"] if self.state.get(p)), default=0.0)
        number = made + 1
        longest = 2 / (1 - beta) - 1
        # Length of the running mean of squares, equation (5) of the paper; there is a variance from 5 on.
        return longest - 2 * number * beta**number / (1 - beta**number) > 5
