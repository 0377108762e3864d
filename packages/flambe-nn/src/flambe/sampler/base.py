"""``BaseSampler``: shuffled, padded batches whose order depends on a seed alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from flambe.dataset.column import Column, ListColumn, pad_nested
from flambe.sampler.seeded import SeededSampler

Indices = npt.NDArray[np.int64]

# Batches that are sorted by length together. Of 50 the order within an epoch is still almost free, and the share of
# padding is down to a few per cent.
BUCKET = 50


class BaseSampler(SeededSampler):
    """Batches of examples, padded to the longest one on every level.

    The order of epoch e depends on the seed and e alone, so a run can go on at any batch of any epoch at once
    (``iterate(start=…)``), and on another machine.

    Parameters
    ----------
    batch_size: examples in a batch; the last one may be smaller.
    shuffle: another order in every epoch.
    pad_index: what padding is filled with; one number, or one for each column.
    n_workers: processes that prepare batches. Rarely of use: packed data needs none.
    pin_memory: put batches into page-locked memory, from where they go to a GPU faster.
    seed: of the order. None draws one from torch's generator when the sampler is made, so it follows the seed of the
        run. It is part of the saved state.
    downsample: share of the examples to use, in (0, 1].
    downsample_seed: which ones; None takes ``seed``.
    drop_last: leave out a last batch that is smaller.
    downsample_max_samples: number of the examples to use; instead of ``downsample``.
    bucket: put examples of like length into a batch, which saves padding: sequences are sorted within groups of 50
        batches (a number: of so many), and the batches come in random order. The groups are drawn anew each epoch.
        Off by default, because every example then no longer meets every other equally often.

    Raises
    ------
    ValueError: a parameter out of its range.
    """

    def __init__(
        self,
        batch_size: int = 64,
        shuffle: bool = True,
        pad_index: int | Sequence[int] = 0,
        n_workers: int = 0,
        pin_memory: bool = False,
        seed: int | None = None,
        downsample: float | None = None,
        downsample_seed: int | None = None,
        drop_last: bool = False,
        downsample_max_samples: int | None = None,
        bucket: bool | int = False,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        if downsample is not None and not 0 < downsample <= 1:
            raise ValueError(f"downsample must be in (0, 1], got {downsample}")
        if downsample is not None and downsample_max_samples is not None:
            raise ValueError("downsample and downsample_max_samples exclude each other")
        if downsample_max_samples is not None and downsample_max_samples < 1:
            raise ValueError(f"downsample_max_samples must be at least 1, got {downsample_max_samples}")
        if int(bucket) < 0:
            raise ValueError(f"bucket must be true, false or a number of batches, got {bucket}")
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.pad_index = pad_index
        self.n_workers = n_workers
        self.pin_memory = pin_memory
        self.downsample = downsample
        self.downsample_seed = downsample_seed
        self.downsample_max_samples = downsample_max_samples
        self.drop_last = drop_last
        self.bucket = BUCKET if bucket is True else int(bucket)
        super().__init__(seed)

    def sample(self, data: Sequence[Any], n_epochs: int = 1) -> Iterator[tuple[Tensor, ...]]:
        """Give ``n_epochs`` epochs of batches (-1: without end).

        A later call goes on with the next epoch's order. Each batch is a tuple of tensors ``[B, …]``.

        Raises
        ------
        ValueError: there are no examples, or ``pad_index`` has another number of columns.
        """
        self._check(data)
        return self._sample(data, n_epochs)

    def _sample(self, data: Sequence[Any], n_epochs: int) -> Iterator[tuple[Tensor, ...]]:
        for _ in count() if n_epochs < 0 else range(n_epochs):
            epoch = self._epochs_sampled
            self._epochs_sampled += 1
            yield from self.iterate(data, start=(epoch, 0), n_epochs=epoch + 1)

    def iterate(
        self,
        data: Sequence[Any],
        *,
        start: tuple[int, int] = (0, 0),
        n_epochs: int = -1,
        shard: tuple[int, int] = (0, 1),
    ) -> Iterator[tuple[Tensor, ...]]:
        """Give the batches of epochs ``start[0]``, …, ``n_epochs - 1``, beginning with batch ``start[1]``.

        Parameters
        ----------
        data: examples.
        start: epoch and batch of the first one given. Finding the place costs one permutation, not an epoch.
        n_epochs: where to end; -1: never.
        shard: (k, n) gives of each batch the k-th of n parts. Together they are the batch; one that has fewer than n examples
            is given whole to all.

        Raises
        ------
        ValueError: as ``sample``, and for parts of which some would always be empty.
        """
        self._check(data)
        if self.batch_size < shard[1]:
            raise ValueError(f"batches of {self.batch_size} examples cannot be shared among {shard[1]} processes")
        return self._iterate(data, start, n_epochs, shard)

    def _iterate(
        self, data: Sequence[Any], start: tuple[int, int], n_epochs: int, shard: tuple[int, int]
    ) -> Iterator[tuple[Tensor, ...]]:
        collate = _Collate(data, self.pad_index)
        epoch, batch = start
        while n_epochs < 0 or epoch < n_epochs:
            batches = self.batches(data, epoch)[batch:]
            if shard[1] > 1:
                batches = [_part(indices, *shard) for indices in batches]
            yield from self._load(collate, batches)
            epoch, batch = epoch + 1, 0

    def shares(self, data: Sequence[Any], start: tuple[int, int], shard: tuple[int, int]) -> Iterator[float]:
        """Give for each batch of ``iterate``, without end, n times the part's share of its examples."""
        (epoch, batch), (number, parts) = start, shard
        while True:
            for indices in self.batches(data, epoch)[batch:]:
                whole = len(indices)
                yield 1.0 if whole < parts else len(_part(indices, number, parts)) * parts / whole
            epoch, batch = epoch + 1, 0

    def length(self, data: Sequence[Any]) -> int:
        """Number of batches in an epoch."""
        examples = self._n_examples(len(data))
        return examples // self.batch_size if self.drop_last else -(-examples // self.batch_size)

    def batches(self, data: Sequence[Any], epoch: int) -> list[Indices]:
        """Return the indices of every batch of an epoch."""
        chosen = self._chosen(len(data))
        random = np.random.default_rng([self.seed % 2**64, epoch])
        order = random.permutation(chosen) if self.shuffle else chosen
        size = self.batch_size
        lengths = _lengths(data) if self.bucket else None
        if lengths is not None:
            group = size * self.bucket
            order = np.concatenate(
                [
                    part[np.argsort(lengths[part], kind="stable")]
                    for part in (order[at : at + group] for at in range(0, len(order), group))
                ]
            )
        cut = [order[at : at + size] for at in range(0, len(order), size)]
        if self.drop_last and cut and len(cut[-1]) < size:
            cut.pop()
        if lengths is not None and self.shuffle:
            cut = [cut[place] for place in random.permutation(len(cut))]
        return cut

    def _check(self, data: Sequence[Any]) -> None:
        if len(data) == 0:
            raise ValueError("there are no examples to sample from")
        if self.length(data) == 0:
            raise ValueError(
                f"with drop_last nothing is left of {self._n_examples(len(data))} examples, fewer than batch_size "
                f"{self.batch_size}"
            )

    def _n_examples(self, total: int) -> int:
        if self.downsample is not None:
            return max(1, int(total * self.downsample))
        return total if self.downsample_max_samples is None else min(total, self.downsample_max_samples)

    def _chosen(self, total: int) -> Indices:
        examples = self._n_examples(total)
        if examples == total:
            return np.arange(total)
        seed = self.seed if self.downsample_seed is None else self.downsample_seed
        # Sorted, so that without shuffling the examples keep their order.
        return np.sort(np.random.default_rng([seed % 2**64]).permutation(total)[:examples])

    def _load(self, collate: _Collate, batches: list[Indices]) -> Iterator[tuple[Tensor, ...]]:
        pin = self.pin_memory and torch.cuda.is_available()
        if self.n_workers > 0:
            yield from DataLoader(
                collate,  # type: ignore[arg-type]  # anything with __getitem__ will do
                batch_size=None,
                sampler=batches,
                num_workers=self.n_workers,
                pin_memory=pin,
            )
            return
        for indices in batches:
            batch = collate[indices]
            yield tuple(tensor.pin_memory() for tensor in batch) if pin else batch


class _Collate:
    """Indices of a batch to its tensors."""

    def __init__(self, data: Sequence[Any], pad_index: int | Sequence[int]) -> None:
        self._data = data
        self._columns = _packed(data)
        self._pad_index = pad_index

    def __getitem__(self, indices: Indices) -> tuple[Tensor, ...]:
        if self._columns is not None:
            pads = self._pads(len(self._columns))
            return tuple(column.batch(indices, pad) for column, pad in zip(self._columns, pads, strict=True))
        return collate_fn([self._data[int(index)] for index in indices], self._pad_index)

    def _pads(self, columns: int) -> list[int]:
        return pads_for(self._pad_index, columns)


def collate_fn(data: Sequence[Any], pad: int | Sequence[int]) -> tuple[Tensor, ...]:
    """Join examples (tuples of tensors, numbers, or nested lists of them) into a batch, padding every level."""
    rows = [example if isinstance(example, (tuple, list)) else (example,) for example in data]
    widths = {len(row) for row in rows}
    if len(widths) > 1:
        raise ValueError(f"examples have different numbers of columns: {sorted(widths)}")
    pads = pads_for(pad, widths.pop())
    return tuple(pad_nested(column, value) for column, value in zip(zip(*rows, strict=True), pads, strict=True))


def _part(indices: Indices, number: int, parts: int) -> Indices:
    # Every n-th: in a batch that is sorted by length all parts have sequences of all lengths.
    return indices if len(indices) < parts else indices[number::parts]


def pads_for(pad: int | Sequence[int], columns: int) -> list[int]:
    """Return the padding of each column.

    Raises
    ------
    ValueError: ``pad`` has another number of columns.
    """
    if isinstance(pad, (int, float)):
        return [pad] * columns
    if len(pad) != columns:
        raise ValueError(f"pad_index has {len(pad)} values, but the examples have {columns} columns")
    return list(pad)


def _packed(data: Any) -> list[Column] | None:
    packed = getattr(data, "packed", None)
    columns: list[Column] | None = packed() if callable(packed) else None
    return columns


def _lengths(data: Any) -> Indices | None:
    """Lengths of the first column that has any."""
    columns: Sequence[Column] | None = _packed(data)
    if columns is None:
        columns = [ListColumn(column) for column in zip(*(_row(example) for example in data), strict=True)]
    return next((lengths for column in columns if (lengths := column.lengths()) is not None), None)


def _row(example: Any) -> Any:
    return example if isinstance(example, (tuple, list)) else (example,)
