"""``Updates``: what makes new weights of the losses of batches, one update after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from flambe.errors import ConfigError
from flambe.learn.batches import BatchStream
from flambe.learn.network import Network
from flambe.learn.optimizer_state import copied
from flambe.learn.precision import Precision
from flambe.learn.processes import Processes
from flambe.nn.gradients import strided
from flambe.optim import DeferredAdam

# Those of torch whose step raises for a sparse gradient.
_DENSE = (
    torch.optim.Adam, torch.optim.AdamW, torch.optim.NAdam, torch.optim.RAdam, torch.optim.RMSprop, torch.optim.Adadelta,
    torch.optim.Adamax, torch.optim.ASGD, torch.optim.Rprop,
)  # fmt: skip


class Updates:
    """Makes updates: the gradients of one batch or several, in the precision asked for, clipped, and a step of the optimizer.

    losses: of the batches since they were last told, on their device: nobody waits for it.
    """

    def __init__(
        self, model: nn.Module, optimizer: Optimizer, network: Network, precision: Precision, processes: Processes
    ) -> None:
        self.optimizer = optimizer
        self.losses: list[Tensor] = []
        self._network = network
        self._precision = precision
        self._processes = processes
        if isinstance(optimizer, DeferredAdam):
            optimizer.attach(model)
        elif isinstance(optimizer, _DENSE):
            _refuse_sparse(
                model,
                f"{type(optimizer).__name__} takes no sparse gradients",
                "Use !DeferredAdam, whose weights are those of Adam, or leave out sparse: true.",
            )
        if processes.several and any(parameter.is_cuda for parameter in model.parameters()):
            _refuse_sparse(
                model,
                "NCCL does not add up the sparse gradients of several GPUs",
                "Leave out sparse: true, or start one process.",
            )

    def make(
        self,
        batches: BatchStream,
        loss_of: Callable[[Any], Tensor],
        parameters: list[nn.Parameter],
        *,
        count: int,
        max_norm: float | None,
        max_value: float | None,
        measure: bool,
    ) -> Tensor | None:
        """Make one update of ``parameters`` with the next ``count`` batches.

        loss_of: batch → loss. max_norm, max_value: what gradients are clipped to.
        Returns the norm of the gradients before clipping, if ``measure`` asks for it or clipping needs it.
        """
        precision, last = self._precision, count - 1
        self.optimizer.zero_grad()
        for number in range(count):
            batch = next(batches)
            with nullcontext() if number == last else self._network.accumulating():
                with precision.computing():
                    loss = loss_of(batch)
                    # Each batch has its share of the update, and each process its share of the batch.
                    if self._processes.several:
                        loss = loss * batches.share
                    part = loss / count if last else loss
                precision.backward(part)
            self.losses.append(loss.detach())
        self._network.check_used()
        precision.unscale(self.optimizer)
        norm = None
        if max_norm is not None:
            norm = nn.utils.clip_grad_norm_(strided(parameters), max_norm)
        elif measure:
            norm = _norm(parameter.grad for parameter in parameters if parameter.grad is not None)
        if max_value is not None:
            nn.utils.clip_grad_value_(strided(parameters), max_value)
        precision.step(self.optimizer)
        return norm

    def tell(self, norm: Tensor, parameters: list[nn.Parameter]) -> dict[str, float]:
        """Return the mean loss since the last call, ``norm``, and that of the parameters. Waits for the device."""
        losses, self.losses = self.losses, []
        self.settle()
        with torch.no_grad():
            loss = self._processes.mean(torch.stack(losses).mean())
            # One transfer for the three numbers.
            values = torch.stack([loss, norm.to(loss.dtype), _norm(parameters)]).tolist()
        return dict(zip(("Loss", "Gradient_Norm", "Parameter_Norm"), values, strict=True))

    def settle(self) -> None:
        """Bring all weights up to date, before somebody looks at them."""
        if isinstance(self.optimizer, DeferredAdam):
            self.optimizer.settle()

    def kept(self) -> dict[str, Any]:
        """Return what ``take_back`` takes."""
        return {
            "losses": torch.stack(self.losses) if self.losses else None,
            "optimizer": self.optimizer.state_dict(),
            "scaler": self._precision.state(),
        }

    def take_back(self, kept: Mapping[str, Any], device: str, *, begun: bool) -> None:
        """Take back what ``kept`` returned, its losses to ``device``. begun: updates were made before."""
        self.losses = [] if kept["losses"] is None else list(copied(kept["losses"], device).unbind())
        self._precision.load(kept["scaler"])
        # Copied: the optimizer would take the tensors as they are and write into the memory of the saved file.
        self.optimizer.load_state_dict(copied(kept["optimizer"]))
        if begun:
            # The scheduler is stepped first when training goes on, and would warn that no update was made yet.
            self.optimizer._opt_called = True  # type: ignore[attr-defined]


def _norm(tensors: Iterable[Tensor]) -> Tensor:
    """Return the 2-norm over all values of all tensors, as a tensor: nobody waits for the device."""
    parts = [
        torch.linalg.vector_norm(tensor.coalesce().values() if tensor.is_sparse else tensor.detach())
        for tensor in tensors
    ]
    return torch.linalg.vector_norm(torch.stack(parts)) if parts else torch.zeros(())


def _refuse_sparse(model: nn.Module, why: str, hint: str) -> None:
    """Raise ConfigError for an embedding whose gradients something does not take: before the first step, not in it."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Embedding | nn.EmbeddingBag) and module.sparse and module.weight.requires_grad:
            raise ConfigError(
                f"{name or 'the model'} is an embedding of sparse: true, and {why}",
                hint=hint,
            )
