"""What ``fit.py`` measures against: a network, sentences of random ids, and a plain loop over them. Imports torch and nothing else."""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch
from torch import Tensor, nn

BATCH = 32
CLIP = 5.0
RATE = 1e-3
SIZES = {False: (16000, 300, 256, 60), True: (50, 4, 4, 400)}
"""Small or not → words, width of the embedding, width of the network, iterations."""

Examples = list[tuple[Tensor, Tensor]]


class Seconds:
    """Of the wall and of the processors, since it was made."""

    def __init__(self) -> None:
        self.began = time.perf_counter(), time.process_time()

    def passed(self) -> tuple[float, float]:
        return time.perf_counter() - self.began[0], time.process_time() - self.began[1]


def sentences(train: int, val: int, words: int) -> tuple[Examples, Examples]:
    """Return ids as long as the sentences of SST-2 (2 to 50 tokens, 19 on average) with their labels."""
    generator = torch.Generator().manual_seed(0)

    def examples(count: int) -> Examples:
        lengths = (torch.randn(count, generator=generator) * 9 + 19).clamp(2, 50).long().tolist()
        rows = [torch.randint(1, words, (length,), generator=generator) for length in lengths]
        return [(row, row[0] % 2) for row in rows]

    return examples(train), examples(val)


def fresh(small: bool, seed: int) -> tuple[Net, torch.optim.Optimizer]:
    """Return a new network and its optimizer; random numbers begin anew."""
    words, embedding, hidden, _ = SIZES[small]
    torch.manual_seed(seed)
    net = Net(words, embedding, hidden, recurrent=not small)
    optimizer = torch.optim.Adam(net.parameters(), RATE, fused=True)
    torch.manual_seed(seed)
    return net, optimizer


def padded(rows: Examples) -> tuple[Tensor, Tensor]:
    """Return a batch: ids ``[B, S]``, labels ``[B]``."""
    return nn.utils.rnn.pad_sequence([row for row, _ in rows], batch_first=True), torch.stack(
        [label for _, label in rows]
    )


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
    net: Net, optimizer: torch.optim.Optimizer, train: Examples, val: Examples, order: list[list[int]]
) -> tuple[tuple[float, float], list[float]]:
    """Validate, train, validate, with a plain loop. Returns seconds and the losses."""

    def batches(rows: Examples, indices: list[list[int]]) -> Iterator[tuple[Tensor, Tensor]]:
        for batch in indices:
            yield padded([rows[index] for index in batch])

    def validate() -> tuple[float, float]:
        net.eval()
        loss_sum, hits = torch.zeros(()), torch.zeros((), dtype=torch.long)
        whole = [list(range(start, min(start + BATCH, len(val)))) for start in range(0, len(val), BATCH)]
        with torch.inference_mode():
            for batch in batches(val, whole):
                pred, target = net(*batch)
                loss_sum += nn.functional.cross_entropy(pred, target, reduction="sum")
                hits += (pred.argmax(1) == target).sum()
        return loss_sum.item() / len(val), hits.item() / len(val)

    clock = Seconds()
    losses = []
    _, best = validate()
    weights = {name: value.clone() for name, value in net.state_dict().items()}
    net.train()
    for batch in batches(train, order):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(*net(*batch))
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), CLIP)
        optimizer.step()
        losses.append(loss.detach())
    _, accuracy = validate()
    if accuracy > best:
        weights = {name: value.clone() for name, value in net.state_dict().items()}
    net.load_state_dict(weights)
    seconds = clock.passed()
    return seconds, torch.stack(losses).tolist()
