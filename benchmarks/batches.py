"""Batches cost little: ``BaseSampler`` on packed columns against a ``DataLoader`` that pads, on the same examples and order.

Usage: [FLAMBE_DATA=…] python benchmarks/batches.py [--pairs N] [--examples N]

An epoch of batches of 64 sequences with their labels, made and thrown away, in alternating order, in processor seconds: the
machine may be busy. Of made-up sequences, and where FLAMBE_DATA says where they are, of SST-2 and TREC. Prints for each the median of
loader seconds / sampler seconds, and whether all batches were equal.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from flambe.dataset.column import Column, pack
from flambe.field import LabelField, TextField
from flambe.nlp.classification import SSTDataset, TRECDataset
from flambe.sampler import BaseSampler

BATCH = 64
Batch = tuple[Tensor, ...]


class Rows(list[Batch]):
    """Examples that know their packed columns, as those of a ``TabularDataset`` do."""

    def packed(self) -> list[Column]:
        self.columns: list[Column] = getattr(self, "columns", None) or [
            pack(column) for column in zip(*self, strict=True)
        ]
        return self.columns


def padded(examples: list[Batch]) -> Batch:
    """Collate as everybody does."""
    texts, labels = zip(*examples, strict=True)
    return torch.nn.utils.rnn.pad_sequence(list(texts), batch_first=True), torch.stack(labels)


def seconds(batches: Callable[[], Iterator[Batch]]) -> float:
    """Processor seconds of one epoch."""
    began = time.process_time()
    for _ in batches():
        pass
    return time.process_time() - began


def made_up(examples: int) -> Rows:
    """Return sequences of up to 50 numbers, as long as sentences are."""
    generator = torch.Generator().manual_seed(0)
    lengths = (torch.randn(examples, generator=generator) * 9 + 19).clamp(2, 50).long().tolist()
    return Rows(
        (torch.randint(1, 9999, (length,), generator=generator), torch.tensor(length % 2)) for length in lengths
    )


def measured(data: Sequence[Any], pairs: int) -> dict[str, Any]:
    """Measure both on the same examples in the same order."""
    sampler = BaseSampler(batch_size=BATCH, seed=0)
    order = [batch.tolist() for batch in sampler.batches(data, 0)]
    # The loader has its examples as a list of tensors, which is the fastest for it.
    loader: DataLoader[Batch] = DataLoader(list(data), batch_sampler=order, collate_fn=padded)  # type: ignore[arg-type]
    ways: dict[str, Callable[[], Iterator[Batch]]] = {
        "sampler": lambda: sampler.iterate(data, n_epochs=1),
        "loader": lambda: iter(loader),
    }
    equal = all(
        torch.equal(ours, theirs)
        for one, other in zip(ways["sampler"](), ways["loader"](), strict=True)
        for ours, theirs in zip(one, other, strict=True)
    )
    ratios, microseconds = [], []
    for pair in range(pairs):
        took = {name: seconds(ways[name]) for name in (list(ways) if pair % 2 else list(ways)[::-1])}
        ratios.append(took["loader"] / took["sampler"])
        microseconds.append(took["sampler"] / len(order) * 1e6)
    return {
        "ratio": round(statistics.median(ratios), 2),
        "equal": equal,
        "us_per_batch": round(statistics.median(microseconds), 1),
    }


def main() -> None:
    """Measure and print one JSON line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--examples", type=int, default=20_000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found = {"made_up": measured(made_up(arguments.examples), arguments.pairs)}
    if "FLAMBE_DATA" in os.environ:
        for name, kind in {"sst2": SSTDataset, "trec": TRECDataset}.items():
            dataset = kind(transform={"text": TextField(), "label": LabelField()})
            found[name] = measured(dataset.train, arguments.pairs)
    print(json.dumps({"benchmark": "batches", **found, "pairs": arguments.pairs}))


if __name__ == "__main__":
    main()
