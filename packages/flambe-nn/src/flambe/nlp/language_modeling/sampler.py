"""``CorpusSampler``: one long text, read in parallel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

import torch
from torch import Tensor

from flambe.sampler.sampler import Sampler


class CorpusSampler(Sampler):
    """Pieces of one text for a language model: it is cut into ``batch_size`` streams, and a batch has the next piece of each.

    So a batch goes on where the one before ended, row by row. What does not fill the streams, and with ``drop_last`` a last
    shorter piece, is left out.

    Parameters
    ----------
    batch_size: streams.
    unroll_size: positions of a batch.
    n_workers: not used: a piece is a view of the text, and takes no time to make.
    pin_memory: put batches into page-locked memory.
    downsample: share of the text to use, from its beginning; in (0, 1].
    drop_last: leave out a last piece that is shorter.
    """

    def __init__(
        self,
        batch_size: int = 128,
        unroll_size: int = 128,
        n_workers: int = 0,
        pin_memory: bool = False,
        downsample: float | None = None,
        drop_last: bool = True,
    ) -> None:
        for name, value in (("batch_size", batch_size), ("unroll_size", unroll_size)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if downsample is not None and not 0 < downsample <= 1:
            raise ValueError(f"downsample must be in (0, 1], got {downsample}")
        self.batch_size = batch_size
        self.unroll_size = unroll_size
        self.n_workers = n_workers
        self.pin_memory = pin_memory
        self.downsample = downsample
        self.drop_last = drop_last

    def sample(self, data: Sequence[Any], n_epochs: int = 1) -> Iterator[tuple[Tensor, ...]]:
        """Give batches ``[batch_size, unroll_size]`` of each column; ``n_epochs=-1`` never ends.

        Raises
        ------
        ValueError: there is not exactly one example, or it is too short for a batch.
        """
        return self.iterate(data, n_epochs=n_epochs)

    def iterate(
        self, data: Sequence[Any], *, start: tuple[int, int] = (0, 0), n_epochs: int = -1
    ) -> Iterator[tuple[Tensor, ...]]:
        """Give the batches of epochs ``start[0]``, …, ``n_epochs - 1``, beginning with batch ``start[1]``."""
        if self.length(data) == 0:
            raise ValueError(
                f"a text of {len(data[0][0])} tokens is too short for {self.batch_size} streams of {self.unroll_size}"
            )
        return self._iterate([self._streams(column) for column in data[0]], start, n_epochs)

    def length(self, data: Sequence[Any]) -> int:
        """Number of batches in an epoch. Raises ValueError as ``sample``."""
        if len(data) != 1:
            raise ValueError(
                f"a corpus is one example with the whole text, and here are {len(data)}. Read files of text with "
                "`!CorpusDataset {train_path: …, val_path: …}`; PTBDataset, Wiki103 and Enwiki8 need `split_by_line: false`"
            )
        positions = self._positions(len(data[0][0]))
        return positions // self.unroll_size if self.drop_last else -(-positions // self.unroll_size)

    def _positions(self, tokens: int) -> int:
        return int(tokens * (self.downsample or 1)) // self.batch_size

    def _streams(self, column: Tensor) -> Tensor:
        positions = self._positions(len(column))
        return column[: positions * self.batch_size].view(self.batch_size, positions)

    def _iterate(self, streams: list[Tensor], start: tuple[int, int], n_epochs: int) -> Iterator[tuple[Tensor, ...]]:
        epoch, first = start
        positions, size = streams[0].size(1), self.unroll_size
        last = positions - size + 1 if self.drop_last else positions
        pin = self.pin_memory and torch.cuda.is_available()
        for _ in count(epoch) if n_epochs < 0 else range(epoch, n_epochs):
            for place in range(first * size, last, size):
                batch = tuple(stream[:, place : place + size].contiguous() for stream in streams)
                yield tuple(tensor.pin_memory() for tensor in batch) if pin else batch
            first = 0
