"""``Network``: a model as training calls it, perhaps compiled, perhaps one of several that stay equal."""

from __future__ import annotations

import gc
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from flambe.learn.processes import Processes


class Network:
    """Calls a model. The model keeps its names, its state and its place in the trainer; this holds what stands around it.

    Parameters
    ----------
    model: what is called.
    compiled: translate it with ``torch.compile`` at its first call.
    processes: those that train it; with several, gradients are averaged over them while they are computed
        (``DistributedDataParallel``).
    """

    def __init__(self, model: nn.Module, compiled: bool, processes: Processes) -> None:
        self._compiled: Any = torch.compile(model) if compiled else model
        self._replica: DistributedDataParallel | None = None
        self._processes = processes
        self._used = False
        # What the trainer calls: without compiling and other processes it is the model itself, and costs nothing.
        self.call: Callable[..., Any] = self._together if processes.several else self._compiled
        self.evaluate: Callable[..., Any] = self._compiled

    def _together(self, *arguments: Any) -> Any:
        if self._replica is None:
            # Made late: it waits for the other processes.
            self._replica = DistributedDataParallel(self._compiled)
        self._used = True
        return self._replica(*arguments)

    def accumulating(self) -> AbstractContextManager[Any]:
        """Enter it around a batch whose gradients are not the last ones of an update: they need not be averaged yet."""
        if self._replica is None:
            return nullcontext()
        return self._replica.no_sync()

    def check_used(self) -> None:
        """Raise RuntimeError when the gradients of this update were not averaged over the processes."""
        if self._processes.several and not self._used:
            raise RuntimeError(
                "with several processes, _compute_batch and _compute_loss must call self.network(…) in place of self.model(…): "
                "gradients are averaged there"
            )
        self._used = False

    def release(self) -> None:
        """Let go of what was made for training in several processes; it is made again if training goes on."""
        if self._replica is not None:
            self._replica = None
            # It is part of a cycle, and a process that still has it when it ends may abort there (seen with torch 2.13).
            gc.collect()
