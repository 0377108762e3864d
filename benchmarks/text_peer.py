"""The peer of ``text.py``: SST-2 by a careful script without flambe. Prints the accuracies on dev and test.

Usage: python benchmarks/text_peer.py FOLDER EPOCHS SEED THREADS

Embedding 300, GRU 256, last state, linear; batches of 32 by length, fused Adam, norm clipped at 5, the best weights kept.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

Example = tuple[Tensor, int]
folder, epochs, seed, threads = Path(sys.argv[1]), *map(int, sys.argv[2:5])
torch.set_num_threads(threads)
torch.manual_seed(seed)
random.seed(seed)

splits = {}
for split in ("train", "dev", "test"):
    lines = (folder / f"stsa.binary.{split}").read_text(encoding="utf-8").split("\n")
    splits[split] = [(line[2:].split(), int(line[0])) for line in lines if line]
words = dict.fromkeys(word for text, _ in splits["train"] for word in text)
ids = {word: place for place, word in enumerate(words, 2)}
data = {
    split: [(torch.tensor([ids.get(word, 1) for word in text]), label) for text, label in rows]
    for split, rows in splits.items()
}


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(ids) + 2, 300, padding_idx=0)
        self.rnn = nn.GRU(300, 256, batch_first=True)
        self.out = nn.Linear(256, 2)
        self.dropout = nn.Dropout(0.5)

    def forward(self, texts: Tensor, lengths: Tensor) -> Tensor:
        states = self.rnn(self.dropout(self.embedding(texts)))[0]
        return self.out(self.dropout(states[torch.arange(len(texts)), lengths - 1]))


def batches(rows: list[Example], size: int, shuffle: bool) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    order = random.sample(range(len(rows)), len(rows)) if shuffle else list(range(len(rows)))
    groups = [order[at : at + 50 * size] for at in range(0, len(order), 50 * size)]
    order = [place for group in groups for place in sorted(group, key=lambda one: len(rows[one][0]))]
    cut = [order[at : at + size] for at in range(0, len(order), size)]
    if shuffle:
        random.shuffle(cut)
    for places in cut:
        texts = [rows[place][0] for place in places]
        yield (
            nn.utils.rnn.pad_sequence(texts, batch_first=True),
            torch.tensor([len(text) for text in texts]),
            torch.tensor([rows[place][1] for place in places]),
        )


def accuracy(net: Net, rows: list[Example]) -> float:
    net.eval()
    with torch.inference_mode():
        hits = sum(
            (net(texts, lengths).argmax(1) == labels).sum() for texts, lengths, labels in batches(rows, 256, False)
        )
    return int(hits) / len(rows)


net = Net()
optimizer = torch.optim.Adam(net.parameters(), 1e-3, fused=True)
best, weights = -1.0, {}
for _ in range(epochs):
    net.train()
    for texts, lengths, labels in batches(data["train"], 32, True):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(texts, lengths), labels).backward()
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimizer.step()
    if (found := accuracy(net, data["dev"])) > best:
        best, weights = found, {name: value.clone() for name, value in net.state_dict().items()}
net.load_state_dict(weights)
print(json.dumps({"dev": best, "test": accuracy(net, data["test"])}))
