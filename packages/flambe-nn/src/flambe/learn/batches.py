"""Batches on their way from a sampler to a device; ``BatchStream`` knows its place, so that training can go on there."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from flambe.errors import ArgumentError, ConfigError
from flambe.learn.processes import ALONE, Processes, started
from flambe.runner.culprit import frames_of, owners


class BatchStream:
    """The batches of a sampler, epoch after epoch, from a given place on.

    sampler: has ``iterate(data, start=(epoch, batch), n_epochs=-1)`` (``flambe.sampler.BaseSampler``), whose order
        depends on its seed and the epoch only. One that has only ``sample(data, n_epochs)`` is drawn from and the
        batches already used are thrown away, which gives the same batches if its order depends on nothing else.
    consumed: batches that were used already.
    prefetch: batches that a thread makes ahead.
    processes: with several, this one's share of each batch is given; needs ``batches(data, epoch)`` and ``shard`` too.

    Attributes
    ----------
    share: what the loss of the last batch counts, so that the mean over the processes is that over the whole batch.

    Raises
    ------
    ValueError: the sampler lacks what ``prefetch`` or ``processes`` need.
    """

    def __init__(self, sampler: Any, consumed: int = 0, prefetch: int = 0, processes: Processes = ALONE) -> None:
        if prefetch and not hasattr(sampler, "iterate"):
            raise ValueError(
                f"prefetch needs a sampler whose order depends on its seed alone (it has iterate); "
                f"{type(sampler).__name__} would draw its random numbers in a thread"
            )
        if processes.several and not hasattr(sampler, "shares"):
            raise ValueError(
                f"{type(sampler).__name__} cannot share its batches among {processes.world} processes; BaseSampler can"
            )
        self.sampler = sampler
        self.consumed = consumed
        self.share = 1.0
        self._prefetch = prefetch
        self._processes = processes
        self._shares: Iterator[float] | None = None
        self._source: Iterator[Any] | None = None

    def open(self, data: Any) -> None:
        """Start drawing from ``data``, unless that was done already."""
        if self._source is not None:
            return
        if hasattr(self.sampler, "iterate"):
            # Of a sampler that makes no batch `iterate` says why.
            start = divmod(self.consumed, self.sampler.length(data) or 1)
            if self._processes.several:
                # It may have been drawn, and every process draws its own unless a seed was set before.
                self.sampler.seed = self._processes.broadcast(self.sampler.seed)
                self._shares = self.sampler.shares(data, start, self._processes)
                self._source = iter(self.sampler.iterate(data, start=start, n_epochs=-1, shard=self._processes))
            else:
                self._source = iter(self.sampler.iterate(data, start=start, n_epochs=-1))
            if self._prefetch:
                self._source = _ahead(self._source, self._prefetch)
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
        if self._shares is not None:
            self.share = next(self._shares)
        self.consumed += 1
        return batch


def _ahead(source: Iterator[Any], count: int) -> Iterator[Any]:
    """Give what ``source`` gives, made in a thread and up to ``count`` ahead."""
    end = object()
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as pool:
        waiting = deque(pool.submit(next, source, end) for _ in range(count))
        while (batch := waiting.popleft().result()) is not end:
            waiting.append(pool.submit(next, source, end))
            yield batch


def one_pass(sampler: Any, data: Any) -> Iterator[Any]:
    """Return an iterator over all of ``data`` once, in the order of the sampler's first epoch every time."""
    if hasattr(sampler, "iterate"):
        return iter(sampler.iterate(data, start=(0, 0), n_epochs=1))
    return iter(sampler.sample(data, n_epochs=1))


@contextmanager
def naming_split(split: str, sampler: Any, argument: str) -> Iterator[None]:
    """Turn the ValueError by which ``sampler`` itself refuses a split into an ``ArgumentError`` of ``argument`` that names it."""
    try:
        yield
    except ValueError as error:
        *_, innermost = frames_of(error)
        if owners(innermost)[0] is not sampler:
            raise
        what = f"{argument} ({type(sampler).__qualname__}) makes no batch of the split {split!r}: {error}"
        raise ArgumentError(what, argument=[argument]) from error


def default_device(device: object | None) -> str:
    """Return the name of ``device``; of none: that of FLAMBE_DEVICE, else ``cuda`` if there is one, else ``cpu``.

    Each of several processes has a GPU of its own. Raises ``ConfigError`` for a name that PyTorch does not know, and for a GPU where
    it sees none.
    """
    chosen = str(device or os.environ.get("FLAMBE_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu"))
    try:
        kind = torch.device(chosen).type
    except RuntimeError:
        hint = "Did you mean 'cuda'?" if "gpu" in chosen.lower() else None
        raise ConfigError(f"there is no device {chosen!r}", expected="cpu, cuda, cuda:1, …", hint=hint) from None
    if kind == "cuda" and not torch.cuda.is_available():
        what = f"the device is {chosen}, and PyTorch {torch.__version__} sees no GPU here"
        raise ConfigError(what, hint="Leave device away, and a GPU is used where there is one.")
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if chosen == "cuda" and started() > 1 else chosen


def to_device(batch: tuple[Tensor, ...], device: str) -> tuple[Tensor, ...]:
    """Return the batch on ``device``; nobody waits for the copy if the sampler pinned its memory."""
    if device == "cpu":
        return batch
    return tuple(tensor.to(device, non_blocking=True) for tensor in batch)
