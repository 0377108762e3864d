"""Batches on their way from a sampler to a device; ``BatchStream`` knows its place, so that training can go on there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor


class BatchStream:
    """The batches of a sampler, epoch after epoch, from a given place on.

    sampler: has ``iterate(data, start=(epoch, batch), n_epochs=-1)`` (``flambe.sampler.BaseSampler``), whose order
        depends on its seed and the epoch only. One that has only ``sample(data, n_epochs)`` is drawn from and the
        batches already used are thrown away, which gives the same batches if its order depends on nothing else.
    consumed: batches that were used already.
    """

    def __init__(self, sampler: Any, consumed: int = 0) -> None:
        self.sampler = sampler
        self.consumed = consumed
        self._source: Iterator[Any] | None = None

    def open(self, data: Any) -> None:
        """Start drawing from ``data``, unless that was done already."""
        if self._source is not None:
            return
        if hasattr(self.sampler, "iterate"):
            start = divmod(self.consumed, self.sampler.length(data))
            self._source = iter(self.sampler.iterate(data, start=start, n_epochs=-1))
            return
        self._source = iter(self.sampler.sample(data, n_epochs=-1))
        if self.consumed:
            state = torch.get_rng_state()
            for _ in range(self.consumed):
                next(self._source)
            torch.set_rng_state(state)

    def __iter__(self) -> BatchStream:
        return self

    def __next__(self) -> Any:
        if self._source is None:
            raise RuntimeError("open() was not called")
        try:
            batch = next(self._source)
        except StopIteration:
            raise RuntimeError(
                f"{type(self.sampler).__name__} ran out of batches; with n_epochs=-1 it must begin again and again"
            ) from None
        self.consumed += 1
        return batch


def one_pass(sampler: Any, data: Any) -> Iterator[Any]:
    """Return an iterator over all of ``data`` once, in the order of the sampler's first epoch every time."""
    if hasattr(sampler, "iterate"):
        return iter(sampler.iterate(data, start=(0, 0), n_epochs=1))
    return iter(sampler.sample(data, n_epochs=1))


def default_device(device: object | None) -> str:
    """Return the name of ``device``; of none: that of FLAMBE_DEVICE, else ``cuda`` if there is one, else ``cpu``."""
    chosen = device or os.environ.get("FLAMBE_DEVICE")
    return str(chosen) if chosen else "cuda" if torch.cuda.is_available() else "cpu"


def to_device(batch: tuple[Tensor, ...], device: str) -> tuple[Tensor, ...]:
    """Return the batch on ``device``; nobody waits for the copy if the sampler pinned its memory."""
    if device == "cpu":
        return batch
    return tuple(tensor.to(device, non_blocking=True) for tensor in batch)
