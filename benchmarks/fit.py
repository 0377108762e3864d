"""The loop is free: ``Trainer`` against a loop written by hand, on the same model, data and order.

Usage: python benchmarks/fit.py [--pairs N] [--small] [--threads N]

Each pair fits twice, once each way, in alternating order: validate, train, validate. The loop by hand pads its own
batches, clips, validates with the same batch size and clones the best weights, as the trainer does. Prints the median
over the pairs of trainer seconds / loop seconds, and whether all losses were equal bit for bit.
``--small``: a model so small that the loop is most of the work, which shows the cost of an iteration in microseconds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

import flambe
from flambe.dataset.column import pack
from flambe.learn import Trainer
from flambe.metric import Accuracy
from flambe.sampler import BaseSampler

BATCH = 32


class Rows(list[tuple[Tensor, Tensor]]):
    """Examples that know their packed columns, as those of a ``TabularDataset`` do."""

    def packed(self) -> list[Any]:
        self.columns = getattr(self, "columns", None) or [pack(column) for column in zip(*self, strict=True)]
        return self.columns


class Data:
    """Sequences of ids as long as the sentences of SST-2: 2 to 50 tokens, 19 on average."""

    def __init__(self, train: int, val: int, words: int) -> None:
        generator = torch.Generator().manual_seed(0)

        def examples(count: int) -> Rows:
            lengths = (torch.randn(count, generator=generator) * 9 + 19).clamp(2, 50).long().tolist()
            rows = [torch.randint(1, words, (length,), generator=generator) for length in lengths]
            return Rows((row, row[0] % 2) for row in rows)

        self.train, self.val = examples(train), examples(val)


class Net(nn.Module):
    def __init__(self, words: int, embedding: int, hidden: int, recurrent: bool) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, embedding, padding_idx=0)
        self.rnn = nn.GRU(embedding, hidden, batch_first=True) if recurrent else None
        self.dropout = nn.Dropout(0.5)
        self.out = nn.Linear(hidden, 2)

    def forward(self, data: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        # data [B, S] → states [B, S, H] → logits [B, 2]
        states = self.dropout(self.embedding(data))
        if self.rnn is not None:
            states, _ = self.rnn(states)
        return self.out(self.dropout(states.mean(dim=1))), target


def by_hand(
    net: Net, optimizer: torch.optim.Optimizer, data: Data, order: list[list[int]]
) -> tuple[float, list[float]]:
    """Fit with a plain loop. Returns seconds and the losses."""

    def batches(rows: list[tuple[Tensor, Tensor]], indices: list[list[int]]) -> Iterator[tuple[Tensor, Tensor]]:
        for batch in indices:
            padded = nn.utils.rnn.pad_sequence([rows[index][0] for index in batch], batch_first=True)
            yield padded, torch.stack([rows[index][1] for index in batch])

    def validate() -> tuple[float, float]:
        net.eval()
        loss_sum, hits = torch.zeros(()), torch.zeros((), dtype=torch.long)
        whole = [list(range(start, min(start + BATCH, len(data.val)))) for start in range(0, len(data.val), BATCH)]
        with torch.inference_mode():
            for batch in batches(data.val, whole):
                pred, target = net(*batch)
                loss_sum += nn.functional.cross_entropy(pred, target, reduction="sum")
                hits += (pred.argmax(1) == target).sum()
        return loss_sum.item() / len(data.val), hits.item() / len(data.val)

    began = time.perf_counter()
    losses = []
    _, best = validate()
    weights = {name: value.clone() for name, value in net.state_dict().items()}
    net.train()
    for batch in batches(data.train, order):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(*net(*batch))
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimizer.step()
        losses.append(loss.detach())
    _, accuracy = validate()
    if accuracy > best:
        weights = {name: value.clone() for name, value in net.state_dict().items()}
    net.load_state_dict(weights)
    seconds = time.perf_counter() - began
    return seconds, torch.stack(losses).tolist()


def with_trainer(net: Net, optimizer: torch.optim.Optimizer, data: Data, iterations: int) -> tuple[float, list[float]]:
    """Fit with ``Trainer``. Returns seconds and the losses."""
    losses: list[Tensor] = []

    class Noting(Trainer):
        def _compute_loss(self, batch: tuple[Tensor, ...]) -> Tensor:
            loss = super()._compute_loss(batch)
            losses.append(loss.detach())
            return loss

    trainer = Noting(
        data, BaseSampler(batch_size=BATCH, seed=1), BaseSampler(batch_size=BATCH, shuffle=False, seed=0), net,
        nn.CrossEntropyLoss(), Accuracy(), optimizer, device="cpu", max_steps=1, iter_per_step=iterations, max_grad_norm=5.0,
    )  # fmt: skip
    began = time.perf_counter()
    trainer.run()
    seconds = time.perf_counter() - began
    return seconds, torch.stack(losses).tolist()


def main() -> None:
    """Measure and print one JSON line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    words, embedding, hidden, iterations = (50, 4, 4, 400) if arguments.small else (16000, 300, 256, 60)
    data = Data(train=iterations * BATCH, val=10 * BATCH, words=words)
    # The order of the sampler's first epoch, seen through a data set of positions.
    positions = [(torch.tensor(index),) for index in range(len(data.train))]
    order = [batch.tolist() for (batch,) in BaseSampler(batch_size=BATCH, seed=1).sample(positions)]
    flambe.log("warm", 0.0, 0)

    ratios, extra, equal = [], [], True
    for pair in range(arguments.pairs + 1):
        seconds, losses = {}, {}
        for way in ("hand", "trainer") if pair % 2 else ("trainer", "hand"):
            torch.manual_seed(pair)
            net = Net(words, embedding, hidden, recurrent=not arguments.small)
            optimizer = torch.optim.Adam(net.parameters(), 1e-3, fused=True)
            torch.manual_seed(pair)
            if way == "hand":
                seconds[way], losses[way] = by_hand(net, optimizer, data, order)
            else:
                seconds[way], losses[way] = with_trainer(net, optimizer, data, iterations)
        equal = equal and losses["hand"] == losses["trainer"]
        if pair:  # the first one warms up
            ratios.append(seconds["trainer"] / seconds["hand"])
            extra.append((seconds["trainer"] - seconds["hand"]) / iterations * 1e6)
    print(
        json.dumps(
            {
                "benchmark": "fit" + ("-small" if arguments.small else ""),
                "ratio": round(statistics.median(ratios), 4),
                "ratios": [round(ratio, 4) for ratio in ratios],
                "extra_us_per_iteration": round(statistics.median(extra), 1),
                "losses_equal": equal,
                "pairs": arguments.pairs,
                "threads": arguments.threads,
            }
        )
    )


if __name__ == "__main__":
    main()
