"""Several processes that train one model: what they compute is what one process would, and only the first one commits."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from flambe.dataset.array import ArrayDataset
from flambe.errors import UsageError
from flambe.learn import Trainer
from flambe.learn.batches import BatchStream
from flambe.learn.processes import Processes
from flambe.learn.tally import tally
from flambe.learn.validation import _counted, _devices, _merged, tally_batches
from flambe.metric import Accuracy, MultiClassAUC, Perplexity, Recall
from flambe.optim import DeferredAdam
from flambe.sampler import BaseSampler, EpisodicSampler

ROWS = [(torch.arange(1, 2 + place % 5), torch.tensor(place)) for place in range(23)]


# --- shares of batches ---


@pytest.mark.parametrize("bucket", [False, True])
@pytest.mark.parametrize("world", [2, 3, 4])
def test_the_parts_of_a_batch_are_the_batch(world: int, bucket: bool) -> None:
    sampler = BaseSampler(batch_size=8, seed=3, bucket=bucket)
    whole = [batch[1].tolist() for batch in sampler.iterate(ROWS, n_epochs=2)]
    parts = [list(sampler.iterate(ROWS, n_epochs=2, shard=(rank, world))) for rank in range(world)]
    shares = [sampler.shares(ROWS, (0, 0), (rank, world)) for rank in range(world)]
    for place, batch in enumerate(whole):
        given = [part[place][1].tolist() for part in parts]
        assert sorted(chain.from_iterable(given)) == sorted(batch), "no example is missing, and none is there twice"
        counted = [next(share) for share in shares]
        assert sum(counted) == pytest.approx(world)
        assert [len(one) / len(batch) * world for one in given] == pytest.approx(counted)


def test_a_batch_too_small_for_all_goes_to_all() -> None:
    rows = ROWS[:9]
    sampler = BaseSampler(batch_size=8, shuffle=False, seed=0)
    for rank in range(2):
        parts = list(sampler.iterate(rows, n_epochs=1, shard=(rank, 2)))
        assert parts[-1][1].tolist() == [8]
        shares = sampler.shares(rows, (0, 0), (rank, 2))
        assert [next(shares) for _ in parts] == [1.0, 1.0]


def test_what_cannot_be_shared_is_refused() -> None:
    with pytest.raises(ValueError, match="batches of 3 examples cannot be shared among 4 processes"):
        BaseSampler(batch_size=3).iterate(ROWS, shard=(0, 4))
    with pytest.raises(ValueError, match="EpisodicSampler cannot share its batches among 2 processes; BaseSampler can"):
        BatchStream(EpisodicSampler(1, 1, 1), processes=Processes(0, 2))


def test_processes_that_were_not_brought_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="2 processes were started .* each of them would train a model of its own"):
        Processes.current()
    monkeypatch.setenv("WORLD_SIZE", "two")
    with pytest.raises(UsageError, match="WORLD_SIZE is 'two'"):
        Processes.current()


# --- real processes ---

METRICS = [
    nn.CrossEntropyLoss(weight=torch.tensor([1.0, 3.0])), Accuracy(), Perplexity(), Recall(top_k=1), MultiClassAUC(),
    lambda pred, target: (pred.argmax(1) == target).float().std(),
]  # fmt: skip


class Largest(Accuracy):
    """Keeps what cannot be added up: nobody may put two of its states together."""

    def aggregate(self, state: dict[str, Any], pred: torch.Tensor, target: torch.Tensor) -> dict[str, Any]:
        return {"largest": max(state.get("largest", 0.0), float(self.compute(pred, target)))}

    def finalize(self, state: dict[str, Any]) -> float:
        return state["largest"]


@pytest.mark.parametrize("world", [2, 3, 8])
def test_what_processes_counted_is_put_together_bit_for_bit(world: int) -> None:
    torch.manual_seed(0)
    batches = [(torch.randn(size, 2), torch.randint(0, 2, (size,))) for size in (4, 4, 4, 4, 3)]
    everyone = [[_counted(METRICS, *batch) for batch in islice(batches, rank, None, world)] for rank in range(world)]
    merged = _merged(METRICS, everyone, _devices(everyone[0]))
    assert [value.hex() for value in merged] == [v.hex() for v in tally_batches(METRICS, batches, lambda batch: batch)]
    assert not tally(Largest()).can_merge
    with pytest.raises(ValueError, match="there is no batch to evaluate"):
        _merged(METRICS, [[] for _ in range(world)], _devices([]))


WORK = """
import os, sys, json
import torch
from torch import distributed, nn
sys.path.insert(0, {tests!r})
from learn_processes import METRICS, Largest, make
from flambe.learn.processes import Processes
from flambe.learn.validation import validate
from flambe.sampler import BaseSampler
distributed.init_process_group("gloo")
trained = []
for options in json.loads(sys.argv[1]):
    trainer = make(**options)
    while trainer.run():
        pass
    trained.append([trainer.metric(), sum(weights.double().abs().sum().item() for weights in trainer.model.parameters())])
batches = []
def predict(batch):
    batches.append(len(batch))
    return trainer._predict_in_full(batch)
trainer.model.eval()
with torch.inference_mode():
    # Shuffled, by a seed that each process has drawn for itself.
    sampler = BaseSampler(batch_size=2)
    shared = validate(METRICS, sampler, trainer.dataset.val, predict, Processes.current())
    share = len(batches)
    alone = validate(METRICS, sampler, trainer.dataset.val, predict)
    batches.clear()
    (largest,) = validate([Largest()], sampler, trainer.dataset.val, predict, Processes.current())
validated = [share, len(batches), [value.hex() for value in shared], [value.hex() for value in alone], largest]
with open(f"result.{{distributed.get_rank()}}", "w") as file:
    json.dump([trained, validated], file)
distributed.barrier()
os._exit(0)  # at the end of a process, threads of gloo may be torn down in an order that aborts it
"""


def make(sparse: bool = False, **options: Any) -> Trainer:
    if sparse:
        return make_sparse(**options)
    torch.manual_seed(0)
    draw = np.random.default_rng(0)
    data = draw.normal(size=(43, 6)).astype(np.float32)
    labels = (data.sum(1) > 0).astype(np.int64)
    net = Straight()
    return Trainer(
        ArrayDataset((data[:30], labels[:30]), (data[30:], labels[30:])), BaseSampler(batch_size=8, drop_last=True), BaseSampler(), net,
        nn.CrossEntropyLoss(), Accuracy(), torch.optim.SGD(net.parameters(), lr=0.5), device="cpu",
        **{"max_steps": 2, "iter_per_step": 6, **options},
    )  # fmt: skip


def make_sparse(**options: Any) -> Trainer:
    """Words of which no process sees all, and an optimizer that leaves alone what is not seen."""
    torch.manual_seed(0)
    ids = np.random.default_rng(0).zipf(1.5, size=(43, 6)).clip(max=49)
    labels = ids.sum(1) % 2
    net = Words()
    return Trainer(
        ArrayDataset((ids[:30], labels[:30]), (ids[30:], labels[30:])), BaseSampler(batch_size=8, drop_last=True), BaseSampler(), net,
        nn.CrossEntropyLoss(), nn.CrossEntropyLoss(), DeferredAdam(net.parameters(), lr=0.01), device="cpu",
        **{"max_steps": 2, "iter_per_step": 6, **options},
    )  # fmt: skip


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(50, 8, padding_idx=0, sparse=True)
        self.outer = nn.Linear(8, 2)

    def forward(self, data: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.outer(self.table(data).mean(1)), target


class Straight(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(6, 8)
        self.outer = nn.Linear(8, 2)

    def forward(self, data: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.outer(self.inner(data).relu()), target


def torchrun(*command: str, cwd: Path, world: int = 2) -> subprocess.CompletedProcess[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    run = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(world), "--master-port", str(port)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run([*run, *command], capture_output=True, text=True, cwd=cwd, env=environment, timeout=300)


@pytest.mark.slow
def test_two_processes_compute_what_one_does(tmp_path: Path) -> None:
    ways: list[dict[str, Any]] = [
        {"sparse": True}, {"sparse": True, "batches_per_iter": 2, "max_grad_norm": 0.1},
        {}, {"batches_per_iter": 3, "max_grad_norm": 0.5},
    ]  # fmt: skip
    (tmp_path / "learn_processes.py").write_text(Path(__file__).read_text())
    (tmp_path / "work.py").write_text(WORK.format(tests=str(tmp_path)))
    done = torchrun("work.py", json.dumps(ways), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (first, validated), (second, others) = (json.loads((tmp_path / f"result.{rank}").read_text()) for rank in range(2))
    assert first == second, "all processes have the same weights"
    for options, (_, total) in zip(ways, first, strict=True):
        alone = make(**options)
        while alone.run():
            pass
        expected = sum(parameter.double().abs().sum().item() for parameter in alone.model.parameters())
        assert total == pytest.approx(expected, rel=1e-5)
    # 13 examples for validation make 7 batches: of these one process sees 4 and the other one 3.
    (share, whole, shared, single, largest), (other, *same) = validated, others
    assert (share, other) == (4, 3)
    assert shared == single
    assert same == [whole, shared, single, largest]
    assert whole == 7, "a metric that cannot be put together is computed by each of them"


TRAIN = {
    "$new": "flambe.learn:Trainer",
    "dataset": {"$link": ["dataset"]},
    "train_sampler": {"$new": "flambe.sampler:BaseSampler", "batch_size": 16},
    "val_sampler": {"$new": "flambe.sampler:BaseSampler", "batch_size": 64, "shuffle": False},
    "model": {
        "$new": "flambe.vision.classification:ImageClassifier",
        "encoder": {
            "$new": "flambe.nn:CNNEncoder", "input_channels": 1, "channels": [3], "activation": {"$new": "torch.nn:ReLU"},
            "dropout": 0.2,
        },
        "output_layer": {"$new": "flambe.nn:SoftmaxLayer", "input_size": 108, "output_size": 10},
    },
    "loss_fn": {"$new": "torch.nn:NLLLoss"},
    "metric_fn": {"$new": "flambe.metric:Accuracy"},
    "optimizer": {"$new": "torch.optim:Adam", "params": {"$link": ["train", "model"], "attr": ["trainable_params"]}},
    "max_steps": 2,
    "iter_per_step": 5,
}  # fmt: skip


def spec(name: str, **more: Any) -> str:
    evaluator = {
        "$new": "flambe.learn:Evaluator", "dataset": {"$link": ["dataset"]}, "model": {"$link": ["train"], "attr": ["model"]},
        "metric_fn": {"$new": "flambe.metric:Accuracy"},
    }  # fmt: skip
    stages = [
        {"name": "dataset", "body": {"$new": "flambe.vision.classification:DigitsDataset"}},
        {"name": "train", "body": TRAIN | more},
        {"name": "eval", "body": evaluator},
    ]
    return json.dumps({"flambe_spec": "1.0", "name": name, "seed": 1, "max_failures": 0, "stages": stages})


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(text: str, folder: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "spec.json").write_text(text)
        return torchrun("-m", "flambe.learn.cli", "spec.json", "--output-dir", folder, cwd=tmp_path)

    return run


@pytest.mark.slow
def test_a_run_in_two_processes(start: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    """Equal bit for bit from run to run, also when it was stopped in between; one record; one line a stage."""
    digests = []
    for folder in ("one", "two"):
        done = start(spec("digits"), folder)
        assert done.returncode == 0, done.stderr
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        assert [row["stage"] for row in rows[:-1]] == ["dataset", "train", "eval"], "the second process prints nothing"
        digests.append(rows[-1]["result_digest"])
        root = tmp_path / rows[-1]["run"]
        events = [json.loads(line) for line in (root / "ledger.jsonl").read_text().splitlines()]
        commits = [event["unit"] for event in events if event.get("event") == "commit"]
        assert sorted(commits) == sorted(set(commits)), "only the first process commits"
        assert len(list(root.parent.glob("exp.*"))) == 1, "and only it has a run directory"
    assert digests[0] == digests[1]


@pytest.mark.slow
def test_a_model_that_is_called_past_the_others(
    start: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    (tmp_path / "own.py").write_text(
        "from flambe.learn import Trainer\n"
        "class Own(Trainer):\n"
        "    def _compute_batch(self, batch, metrics=()):\n"
        "        return self.loss_fn(*self.model(*batch))\n"
    )
    text = json.loads(spec("own"))
    text["stages"][1]["body"]["$new"] = "own:Own"
    text["environment"] = {"extensions": {"own": str(tmp_path / "own.py")}}
    done = start(json.dumps(text), "out")
    assert done.returncode != 0
    assert "must call self.network" in done.stderr
