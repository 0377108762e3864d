"""The loop is free: ``Trainer`` against a loop written by hand, on the same model, data and order.

Usage: python benchmarks/fit.py [--pairs N] [--small] [--threads N] [--peers PYTHON]

Each pair fits twice, once each way, in alternating order: validate, train, validate. The loop by hand (``fit_loop.py``) pads its own
batches, clips, validates with the same batch size and clones the best weights, as the trainer does. Prints the median
over the pairs of trainer seconds / loop seconds, of the wall and of the processor, and whether all losses were equal bit for bit.

``--small``: a model so small that the loop is most of the work, which shows the cost of an iteration in microseconds.
``--peers``: a Python that has torch, lightning, transformers and accelerate. It fits the same way with the trainers of Lightning and of
Hugging Face beside the same loop (``fit_peers.py``), a round after each pair, and their ratios are printed too:

    uv venv peers && VIRTUAL_ENV=peers uv pip install torch==2.13.0 numpy lightning transformers accelerate
    python benchmarks/fit.py --peers peers/bin/python
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
from pathlib import Path
from typing import Any

import torch
from fit_loop import BATCH, CLIP, SIZES, Examples, Seconds, by_hand, fresh, sentences
from torch import Tensor, nn

import flambe
from flambe.dataset.column import pack
from flambe.learn import Trainer
from flambe.metric import Accuracy
from flambe.sampler import BaseSampler


class Rows(list[tuple[Tensor, Tensor]]):
    """Examples that know their packed columns, as those of a ``TabularDataset`` do."""

    def packed(self) -> list[Any]:
        self.columns = getattr(self, "columns", None) or [pack(column) for column in zip(*self, strict=True)]
        return self.columns


class Data:
    def __init__(self, train: Examples, val: Examples) -> None:
        self.train, self.val, self.test = Rows(train), Rows(val), Rows(val)


def with_trainer(
    net: nn.Module, optimizer: torch.optim.Optimizer, data: Data, iterations: int
) -> tuple[tuple[float, float], list[float]]:
    """Fit with ``Trainer``. Returns seconds and the losses."""
    losses: list[Tensor] = []

    class Noting(Trainer):
        def _compute_loss(self, batch: tuple[Tensor, ...]) -> Tensor:
            loss = super()._compute_loss(batch)
            if self is trainer:  # and not its twin, with which it tries a batch first
                losses.append(loss.detach())
            return loss

    trainer = Noting(
        data, BaseSampler(batch_size=BATCH, seed=1), BaseSampler(batch_size=BATCH, shuffle=False, seed=0), net,
        nn.CrossEntropyLoss(), Accuracy(), optimizer, device="cpu", max_steps=1, iter_per_step=iterations, max_grad_norm=CLIP,
    )  # fmt: skip
    clock = Seconds()
    trainer.run()
    seconds = clock.passed()
    return seconds, torch.stack(losses).tolist()


class Peers:
    """Another process that makes a round whenever it is asked to."""

    def __init__(self, python: str, threads: int, small: bool) -> None:
        command = [python, str(Path(__file__).with_name("fit_peers.py")), "--threads", str(threads)]
        self._process = subprocess.Popen(
            [*command, *(["--small"] if small else [])], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def round(self, order: list[list[int]]) -> dict[str, Any]:
        """Return way → ratio to the loop by hand (wall, processor), and whether the losses came out equal."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        self._process.communicate()


def main() -> None:
    """Measure and print one JSON line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--peers", metavar="PYTHON")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    words, _, _, iterations = SIZES[arguments.small]
    train, val = sentences(iterations * BATCH, 10 * BATCH, words)
    data = Data(train, val)
    # The order of the sampler's first epoch, seen through a data set of positions.
    positions = [(torch.tensor(index),) for index in range(len(train))]
    order = [batch.tolist() for (batch,) in BaseSampler(batch_size=BATCH, seed=1).sample(positions)]
    flambe.log("warm", 0.0, 0)

    peers = Peers(arguments.peers, arguments.threads, arguments.small) if arguments.peers else None
    ratios: dict[str, list[tuple[float, float]]] = {}
    extra, equal = [], {"ours": True}
    for pair in range(arguments.pairs + 1):
        seconds, losses = {}, {}
        for way in ("hand", "trainer") if pair % 2 else ("trainer", "hand"):
            net, optimizer = fresh(arguments.small, pair)
            if way == "hand":
                seconds[way], losses[way] = by_hand(net, optimizer, train, val, order)
            else:
                seconds[way], losses[way] = with_trainer(net, optimizer, data, iterations)
        equal["ours"] = equal["ours"] and losses["hand"] == losses["trainer"]
        beside = peers.round(order) if peers else {}
        if not pair:  # the first one warms up
            continue
        wall, processor = (mine / theirs for mine, theirs in zip(seconds["trainer"], seconds["hand"], strict=True))
        ratios.setdefault("ours", []).append((wall, processor))
        extra.append((seconds["trainer"][1] - seconds["hand"][1]) / iterations * 1e6)
        for way, one in beside.items():
            ratios.setdefault(way, []).append(tuple(one["ratios"]))
            equal[way] = equal.get(way, True) and one["equal"]
    if peers:
        peers.close()

    def median(way: str, which: int) -> float:
        return round(statistics.median(one[which] for one in ratios[way]), 4)

    print(
        json.dumps(
            {
                "benchmark": "fit" + ("-small" if arguments.small else ""),
                "wall": {way: median(way, 0) for way in ratios},
                "processor": {way: median(way, 1) for way in ratios},
                "equal": equal,
                "extra_us_per_iteration": round(statistics.median(extra), 1),
                "pairs": arguments.pairs,
                "threads": arguments.threads,
                "ratios": [round(wall, 4) for wall, _ in ratios["ours"]],
            }
        )
    )


if __name__ == "__main__":
    main()
