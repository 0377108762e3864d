"""Training on a GPU in bfloat16: ``Trainer`` against a loop written by hand, and how much of the card both use.

Usage: python benchmarks/gpu.py [--model encoder|lstm] [--pairs N] [--iterations N] [--device cuda] [--small]

Two text classifiers on random ids: a Transformer encoder (8 layers of 1024 features, 512 positions, batch 32) and a two-layer LSTM (1024
features, 256 positions, batch 256). Each pair trains the same weights on the same batches, once each way, in alternating order: the same
autocast, fused Adam, clipping and pinned batches, with the same log of the loss ten times a step. Prints, by model:

* ``trainer/loop``: median over the pairs of trainer seconds / loop seconds, and whether all losses were equal bit for bit;
* ``utilisation``: multiplications and additions that forward and backward need, a second, over what the card was measured to do in
  products of bfloat16 matrices of 8192 rows;
* the most memory of the card that was in use.

``--small --device cpu`` runs the same code on models of a few thousand weights, for machines without a card.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

import flambe
from flambe.dataset.array import ArrayDataset
from flambe.learn import Trainer
from flambe.metric import Accuracy
from flambe.nlp.classification import TextClassifier
from flambe.nn import AvgPooling, Embedder, Embeddings, PooledRNNEncoder, SoftmaxLayer, TransformerEncoder
from flambe.sampler import BaseSampler

WORDS, CLASSES, CLIP, LOGS = 8000, 4, 1.0, 10


class Size(NamedTuple):
    """features, layers, positions of a text and texts of a batch."""

    width: int
    layers: int
    length: int
    batch: int


SIZES = {
    ("encoder", False): Size(1024, 8, 512, 32),
    ("encoder", True): Size(16, 2, 8, 4),
    ("lstm", False): Size(1024, 2, 256, 256),
    ("lstm", True): Size(16, 2, 8, 4),
}


def network(kind: str, size: Size) -> nn.Module:
    """Return a classifier; the random generator decides about its weights."""
    encoder: nn.Module
    if kind == "encoder":
        encoder = TransformerEncoder(
            size.width, size.width, max(1, size.width // 64), size.layers, 4 * size.width, dropout=0.0
        )
        embedder = Embedder(Embeddings(WORDS, size.width, positional_encoding=True), encoder, pooling=AvgPooling())
    else:
        embedder = Embedder(Embeddings(WORDS, size.width), PooledRNNEncoder(size.width, size.width, size.layers))
    return TextClassifier(embedder, SoftmaxLayer(size.width, CLASSES))


def operations(kind: str, size: Size) -> float:
    """Multiplications and additions of forward and backward for one batch: two for each weight and position, and twice that back."""
    tokens = size.batch * size.length
    if kind == "encoder":
        weights = size.layers * 12 * size.width**2
        attention = size.layers * 2 * size.length * size.width  # scores, and what they weigh
    else:
        weights, attention = size.layers * 8 * size.width**2, 0
    return 6.0 * tokens * (weights + attention)


def wait(device: str) -> None:
    """Wait until the card has done all it was given."""
    if device != "cpu":
        torch.cuda.synchronize()


def peak(device: str, rows: int) -> float:
    """Multiplications and additions a second of the best of many products of bfloat16 matrices."""
    one = torch.randn(rows, rows, device=device, dtype=torch.bfloat16)
    found = []
    for _ in range(12):
        wait(device)
        began = time.perf_counter()
        for _ in range(4):
            one @ one
        wait(device)
        found.append(4 * 2.0 * rows**3 / (time.perf_counter() - began))
    return max(found)


def by_hand(
    net: nn.Module, optimizer: torch.optim.Optimizer, data: ArrayDataset, order: list[list[int]], device: str
) -> tuple[float, list[float]]:
    """Train with a plain loop. Returns seconds and the losses."""
    ids, labels = (column.values for column in data.train.packed() or ())
    loss_fn, losses, interval = nn.NLLLoss(), [], max(1, len(order) // LOGS)
    net.train()
    wait(device)
    began = time.perf_counter()
    for number, places in enumerate(order, start=1):
        batch = [torch.from_numpy(column[places]) for column in (ids, labels)]
        if device != "cpu":
            batch = [one.pin_memory().to(device, non_blocking=True) for one in batch]
        with torch.autocast(torch.device(device).type, torch.bfloat16):
            loss = loss_fn(*net(*batch))
        loss.backward()
        norm = nn.utils.clip_grad_norm_(net.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.detach())
        if number % interval == 0:
            float(loss.detach() + norm)  # what a log waits for
    wait(device)
    return time.perf_counter() - began, torch.stack(losses).tolist()


def with_trainer(
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    data: ArrayDataset,
    order: list[list[int]],
    size: Size,
    device: str,
) -> tuple[float, list[float]]:
    """Train with ``Trainer``. Returns the seconds of its iterations and the losses."""
    losses: list[Tensor] = []
    seconds: list[float] = []

    class Noting(Trainer):
        def _compute_loss(self, batch: tuple[Tensor, ...]) -> Tensor:
            loss = super()._compute_loss(batch)
            losses.append(loss.detach())
            return loss

        def _train_step(self) -> None:
            wait(device)
            losses.clear()
            began = time.perf_counter()
            super()._train_step()
            wait(device)
            seconds.append(time.perf_counter() - began)

    trainer = Noting(
        data, BaseSampler(batch_size=size.batch, seed=1, pin_memory=device != "cpu"), BaseSampler(batch_size=size.batch, shuffle=False), net,
        nn.NLLLoss(), Accuracy(), optimizer, device=device, max_steps=1, iter_per_step=len(order), max_grad_norm=CLIP, precision="bfloat16",
    )  # fmt: skip
    trainer.run()
    return seconds[0], torch.stack(losses).tolist()


def measure(kind: str, small: bool, device: str, pairs: int, iterations: int, best: float) -> dict[str, Any]:
    """Train both ways ``pairs`` times, after a round that warms up."""
    size = SIZES[kind, small]
    draw = np.random.default_rng(0)
    count = size.batch * iterations
    ids = draw.integers(1, WORDS, size=(count, size.length))
    labels = ids[:, 0] % CLASSES
    data = ArrayDataset((ids, labels), (ids[: size.batch], labels[: size.batch]))
    places = ArrayDataset((np.arange(count),))
    order = [batch.tolist() for (batch,) in BaseSampler(batch_size=size.batch, seed=1).sample(places.train)]
    ways: dict[str, Callable[..., tuple[float, list[float]]]] = {
        "loop": lambda net, optimizer: by_hand(net, optimizer, data, order, device),
        "trainer": lambda net, optimizer: with_trainer(net, optimizer, data, order, size, device),
    }
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    equal = True
    for pair in range(pairs + 1):
        losses = {}
        for way in list(ways) if pair % 2 else list(ways)[::-1]:
            torch.manual_seed(pair)
            net = network(kind, size).to(device)
            optimizer = torch.optim.Adam(net.parameters(), 1e-4, fused=True)
            passed, losses[way] = ways[way](net, optimizer)
            if pair:
                seconds[way].append(passed)
        equal = equal and losses["loop"] == losses["trainer"]
    ratios = [ours / theirs for ours, theirs in zip(seconds["trainer"], seconds["loop"], strict=True)]
    done = operations(kind, size) * iterations
    return {
        "trainer/loop": round(statistics.median(ratios), 4),
        "equal": equal,
        "utilisation": {way: round(done / statistics.median(found) / best, 3) for way, found in seconds.items()},
        "ms_per_iteration": {way: round(1e3 * statistics.median(found) / iterations, 3) for way, found in seconds.items()},
        **({"gigabytes": round(torch.cuda.max_memory_allocated() / 1e9, 2)} if device != "cpu" else {}),
    }  # fmt: skip


def main() -> None:
    """Measure and print one JSON line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=["encoder", "lstm"], action="append")
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--iterations", type=int, default=60)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true")
    asked = parser.parse_args()
    flambe.log("warm", 0.0, 0)
    best = peak(asked.device, 256 if asked.small else 8192)
    found = {
        kind: measure(kind, asked.small, asked.device, asked.pairs, asked.iterations, best)
        for kind in asked.model or ["encoder", "lstm"]
    }
    card = torch.cuda.get_device_name() if asked.device != "cpu" else "cpu"
    print(
        json.dumps(
            {"benchmark": "gpu", "card": card, "peak_teraflops": round(best / 1e12, 1), **found, "pairs": asked.pairs}
        )
    )


if __name__ == "__main__":
    main()
