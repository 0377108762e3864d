"""``AdamW`` with the defaults that BERT is fine-tuned with."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


class AdamW(torch.optim.AdamW):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2017, https://arxiv.org/abs/1711.05101): PyTorch's,
    without weight decay and with a larger ``eps`` unless told otherwise.

    Parameters
    ----------
    params: what is optimised (``!@ train[model].trainable_params``).
    lr: learning rate.
    betas: how slowly the means of the gradient and of its square forget.
    eps: added to the root of the second.
    weight_decay: share of each weight, times lr, taken away in each update.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)
