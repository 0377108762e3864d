"""What does not fit is told before the first validation, at the place of the argument at fault."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from flambe.compile.compiler import compile_whole
from flambe.learn import Trainer
from flambe.metric import Accuracy
from flambe.runner.execute import execute

CONFIG = """\
own: own.py
---
!Experiment
name: t
pipeline:
  train: !Trainer
    dataset: !TabularDataset.from_path
      train_path: train.tsv
      val_path: val.tsv
      transform: {text: !TextField , label: !LabelField }
    train_sampler: !BaseSampler {batch_size: 4}
    val_sampler: !BaseSampler {batch_size: 4}
    model: !TextClassifier
      embedder: !Embedder
        embedding: !Embeddings {num_embeddings: !@ 'train[dataset].text.vocab_size', embedding_dim: 4}
        encoder: !PooledRNNEncoder {input_size: 4, hidden_size: 5}
      output_layer: !SoftmaxLayer {input_size: 5, output_size: 3}
    loss_fn: !torch.NLLLoss
    metric_fn: !Accuracy
    optimizer: !torch.Adam {params: !@ 'train[model].trainable_params'}
    max_steps: 1
    device: cpu
"""


OWN = """
import torch
from torch import nn


class Late(nn.Module):
    def forward(self, pred, target):
        self.calls = getattr(self, "calls", 0) + 1
        if self.calls == 3:
            raise RuntimeError("the third time")
        return nn.functional.nll_loss(pred, target)


def flat(pred, target):
    return pred.view(-1) - target


def make_flat():
    return flat


def hits(pred, target):
    return pred.argmax(dim=1) == target


def make_hits():
    return hits


def others():
    return [nn.Parameter(torch.zeros(2))]
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unfit")
    for name, rows in (("train", 24), ("val", 9)):
        lines = [f"w{number} is word {'abc'[number % 3]}\tl{number % 3}\n" for number in range(rows)]
        (folder / f"{name}.tsv").write_text("".join(["text\tlabel\n", *lines]))
    (folder / "own.py").write_text(OWN)
    return folder


@pytest.fixture
def folder(written: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(written)
    return written


def rows_of(text: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    compiled = compile_whole(text, name="t", file="t.yaml", overrides=(), argv=())
    execute(compiled.spec, tool="test", on_unit=rows.append)
    return rows


def error_of(text: str) -> str:
    row = rows_of(text)[0]
    assert row["status"] == "FAILED"
    return str(row["error"])


TRAIN, VAL = "train_sampler: !BaseSampler {batch_size: 4}", "val_sampler: !BaseSampler {batch_size: 4}"
EPISODES = "!EpisodicSampler {n_support: 1, n_query: 2, n_episodes: 2}"
LOSS, METRIC, LAST = "loss_fn: !torch.NLLLoss", "metric_fn: !Accuracy", "max_steps: 1"
IDS = "num_embeddings: !@ 'train[dataset].text.vocab_size'"
PARAMS = "params: !@ 'train[model].trainable_params'"
OPTIMIZER = "optimizer: !@ 'train[optimizer]'"
CLASSES = "expected log-probabilities [N, C] and classes [N] (int64)"
GIVEN = "given [4, 3] float32 and [4] int64"

UNFIT = {
    (TRAIN, f"train_sampler: {EPISODES}"): (
        "11:20: train_sampler (EpisodicSampler), with the first batch of train, makes 4 tensors ([2, 4] int64, [2] int64, "
        "[3, 4] int64, [3] int64); expected what TextClassifier.forward(data, target=None) takes"
    ),
    (VAL, f"val_sampler: {EPISODES}"): (
        "12:18: val_sampler (EpisodicSampler), with the first batch of val, makes 4 tensors ([2, 4] int64, [2] int64, "
        "[3, 4] int64, [3] int64); expected what TextClassifier.forward(data, target=None) takes"
    ),
    (TRAIN, "train_sampler: !BaseSampler {batch_size: 40, drop_last: true}"): (
        "11:20: train_sampler (BaseSampler) makes no batch of the split 'train': with drop_last nothing is left of 24 examples, fewer "
        "than batch_size 40"
    ),
    ("      val_path: val.tsv\n", ""): (
        "7:14: the TabularDataset has no examples in its split 'val'. Give it some, or another data set that has val."
    ),
    ("{text: !TextField , label: !LabelField }", "{text: !TextField }"): (
        "13:12: model (TextClassifier), with the first batch of train, gives a tensor [4, 3] float32; expected (prediction, target). "
        "No column of the dataset is a target."
    ),
    ("label: !LabelField", "label: !LabelField {one_hot: true}"): (
        "18:14: loss_fn (NLLLoss), with the first batch of train, fails, given [4, 3] float32 and [4, 3] int64: RuntimeError: 0D or 1D "
        f"target tensor expected, multi-target not supported; {CLASSES}"
    ),
    (LOSS, "loss_fn: !torch.MSELoss"): (
        f"18:14: loss_fn (MSELoss), with the first batch of train, fails, {GIVEN}: RuntimeError: The size of tensor a (3) must match the "
        "size of tensor b (4) at non-singleton dimension 1; expected predictions and targets, both floating-point and of one shape"
    ),
    (LOSS, "loss_fn: !torch.NLLLoss {reduction: maen}"): (
        f"18:14: loss_fn (NLLLoss), with the first batch of train, fails, {GIVEN}: ValueError: maen is not a valid value for reduction; "
        f"{CLASSES}"
    ),
    (LOSS, "loss_fn: !torch.NLLLoss {reduction: none}"): (
        "18:14: loss_fn (NLLLoss), with the first batch of train, gives a tensor [4] float32; expected a tensor with one number. "
        "Set reduction: mean."
    ),
    (LOSS, "loss_fn: !Accuracy"): (
        "18:14: loss_fn (Accuracy), with the first batch of train, has no gradient; expected a differentiable function of the prediction"
    ),
    (LOSS, "loss_fn: !own.make_flat"): (
        f"18:14: loss_fn (flat), with the first batch of train, fails, {GIVEN}: RuntimeError: The size of tensor a (12) must match the "
        "size of tensor b (4) at non-singleton dimension 0"
    ),
    (METRIC, "metric_fn: !torch.BCELoss"): (
        f"19:16: metric_fn (BCELoss), with the first batch of val, fails, {GIVEN}: ValueError: Using a target size"
    ),
    (METRIC, "metric_fn: !own.make_hits"): (
        "19:16: metric_fn (hits), with the first batch of val, gives a tensor [4]; expected one number for all examples"
    ),
    (METRIC, "metric_fn: !torch.NLLLoss {reduction: none}"): (
        "19:16: metric_fn (NLLLoss), with the first batch of val, gives a tensor [4]; expected one number for all examples: reduction: mean"
    ),
    (METRIC, "metric_fn: !AUC"): (
        "19:16: train.metric_fn (AUC): ValueError: AUC is a metric of two classes and takes one score an example, that of class 1: pred is "
        "[9, 3] and target [9]; of several classes there are Accuracy, Recall and MultiClassAUC"
    ),
    (LAST, f"{LAST}\n    extra_validation_metrics: [!Accuracy , !F1 ]"): (
        f"22:44: extra_validation_metrics[1] (F1), with the first batch of val, fails, {GIVEN}: ValueError: PositiveF1 is a metric "
        "of two classes and takes one score an example, that of class 1: pred is [4, 3] and target [4]; of several classes"
    ),
    (LAST, f"{LAST}\n    extra_training_metrics: [!Accuracy , !F1 ]"): (
        f"22:42: extra_training_metrics[1] (F1), with the first batch of train, fails, {GIVEN}: ValueError: PositiveF1 is a metric "
        "of two classes and takes one score an example, that of class 1: pred is [4, 3] and target [4]; of several classes"
    ),
    ("output_size: 3", "output_size: 2"): (
        "17:64: the model gives scores of 2 classes, and train has the label 2; expected output_size of 3 or more. Link it to the labels: "
        "output_size: !@ DATASET.FIELD.vocab_size."
    ),
    # The first batch has no such id.
    (IDS, "num_embeddings: 30"): (
        "15:49: there are 30 embeddings, and train has the id 30; expected num_embeddings of 31 or more. Link it to the vocabulary: "
        "num_embeddings: !@ DATASET.FIELD.vocab_size."
    ),
    ("input_size: 4, hidden", "input_size: 6, hidden"): (
        "16:18: model.embedder.encoder.rnn.rnn (LSTM), with the first batch of train, fails, given [4, 4, 4] float32: RuntimeError: "
        "input.size(-1) must be equal to input_size. Expected 6, got 4"
    ),
    ("input_size: 5, output", "input_size: 6, output"): (
        "17:21: model.output_layer.mlp.seq.0 (Linear), with the first batch of train, fails, given [4, 5] float32: RuntimeError: mat1 and "
        "mat2 shapes cannot be multiplied (4x5 and 6x3)"
    ),
    (PARAMS, "params: !own.others "): (
        "20:37: Adam has no parameter of the model that is trained. Link them: params: !@ STAGE[model].trainable_params, with the name of "
        "this stage."
    ),
    (LAST, f"{LAST}\n    iter_scheduler: !torch.ReduceLROnPlateau {{{OPTIMIZER}}}"): (
        "22:21: ReduceLROnPlateau waits for validation losses, and there is none after each iteration. Give it as scheduler."
    ),
    (LAST, f"{LAST}\n    iter_scheduler: !torch.OneCycleLR {{{OPTIMIZER}, max_lr: 0.1, total_steps: 3}}"): (
        "22:100: OneCycleLR ends after 3 steps, and 6 are made; expected 6 or more"
    ),
    (LAST, f"{LAST}\n    scheduler: !torch.StepLR {{optimizer: !torch.SGD {{{PARAMS}, lr: 0.1}}, step_size: 1}}"): (
        "22:42: StepLR changes the learning rate of another optimizer than the one that trains. Link it: optimizer: !@ STAGE[optimizer], "
        "with the name of this stage."
    ),
}  # fmt: skip


@pytest.mark.parametrize("change", UNFIT, ids=[new.strip()[:40] or old.strip()[:9] for old, new in UNFIT])
def test_what_does_not_fit(change: tuple[str, str], folder: Path) -> None:
    assert error_of(CONFIG.replace(*change, 1)).startswith(f"t.yaml:{UNFIT[change]}")


def test_what_fails_later_has_its_place_too(folder: Path) -> None:
    assert error_of(CONFIG.replace(LOSS, "loss_fn: !own.Late", 1)).startswith(
        "t.yaml:18:14: train.loss_fn (Late): RuntimeError: the third time (own.py:10 in forward;"
    )


def test_a_part_of_a_linked_model_is_named(folder: Path) -> None:
    first, last = CONFIG.index("    model: !Text"), CONFIG.index("    loss_fn:")
    model = CONFIG[first:last].replace("train[dataset].text.vocab_size", "data.text.vocab_size")
    data = CONFIG[CONFIG.index("    dataset:") : CONFIG.index("    train_sampler:")]
    text = CONFIG.replace(CONFIG[first:last], "    model: !@ model\n").replace(data, "    dataset: !@ data\n")
    stages = (
        (data + model).replace("dataset:", "data:").replace("\n  ", "\n")[2:].replace("input_size: 5", "input_size: 6")
    )
    rows = rows_of(text.replace("  train: !Trainer", f"{stages.rstrip(' ')}  train: !Trainer"))
    assert rows[2]["error"].startswith(
        "t.yaml:19:12: model.output_layer.mlp.seq.0 (Linear), with the first batch of train, fails, given [4, 5] float32"
    )


class Noisy:
    """A sampler whose order follows the global generator, of which the next call begins where the last one ended."""

    def __init__(self) -> None:
        self.drawn = 0

    def sample(self, data: Any, n_epochs: int = 1) -> Iterator[Any]:
        for _ in count() if n_epochs < 0 else range(n_epochs):
            for index in torch.randperm(len(data)).split(4):
                self.drawn += 1
                yield tuple(torch.stack(column) for column in zip(*(data[int(one)] for one in index), strict=True))

    def length(self, data: Any) -> int:
        return len(data) // 4


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.out, self.calls = nn.BatchNorm1d(3), nn.Linear(3, 2), 0

    def forward(self, data: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        self.calls += 1
        return self.out(nn.functional.dropout(self.norm(data), 0.5, self.training)), target


class Counting(nn.CrossEntropyLoss):
    calls = 0

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(pred, target)


def trained(*, tried: bool, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    if not tried:
        monkeypatch.setattr("flambe.learn.trainer.try_first_batches", lambda trainer: None)
    torch.manual_seed(0)
    rows = [(torch.randn(3), torch.tensor(number % 2)) for number in range(24)]
    net = Net()
    trainer = Trainer(SimpleNamespace(train=rows, val=rows[:8]), Noisy(), Noisy(), net, Counting(), Accuracy(),
                      torch.optim.Adam(net.parameters()), extra_training_metrics=[Counting()], max_steps=2, device="cpu")  # fmt: skip
    while trainer.run():
        pass
    counts = [net.calls, trainer.loss_fn.calls, trainer.train_sampler.drawn, trainer.val_sampler.drawn]
    return {**net.state_dict(), "counts": torch.tensor(counts), "random": torch.get_rng_state()}


def test_trying_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    with_, without = (trained(tried=tried, monkeypatch=monkeypatch) for tried in (True, False))
    assert {name for name in with_ if not torch.equal(with_[name], without[name])} == set()


POSITIONS = ("embedding_dim: 4}", "embedding_dim: 4, positional_encoding: true, positional_max_length: 3}")


def test_a_text_longer_than_there_are_positions_is_told_before_its_batch(folder: Path) -> None:
    said = error_of(CONFIG.replace(*POSITIONS))
    assert said == (
        "t.yaml:15:20: train has a text of 4 ids, and there are 3 positions. Cut texts in the field: max_seq_len (max_len_truncate of a "
        "pretrained one) of 3 or less."
    )


LINKED = "!Embeddings.from_pretrained {embeddings: !@ 'train[dataset].text.embedding_matrix'}"
READ = ("text: !TextField", "text: !TextField {embeddings: vectors.txt, unk_init_all: true}")
FRESH = f"!Embeddings {{{IDS}, embedding_dim: 4}}"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ([], []),
        ([("output_size: 3", "output_size: 5")], ["the model gives scores of 5 classes, and there are 3 labels: "]),
        ([READ], ["the field 'text' has read word vectors, and the model's embeddings begin with random ones. Link them: "]),
        ([READ, (FRESH, LINKED)], []),
        ([("text: !TextField", "text: !TextField {pad_token: null, tokenizer: !CharTokenizer }")],
         ["the field 'text' has no pad_token, and the sampler pads with 0, which is '<unk>'. "]),
    ],
)  # fmt: skip
def test_what_trains_and_is_hardly_meant(
    folder: Path, changes: list[tuple[str, str]], said: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "vectors.txt").write_text("is 0.1 0.2 0.3 0.4\nword 0.2 0.3 0.4 0.5\na 1 2 3 4\nb 4 3 2 1\n")
    text = CONFIG
    for change in changes:
        assert change[0] in text
        text = text.replace(*change, 1)
    assert rows_of(text)[0]["status"] == "COMPLETE"
    told = [line.partition("warning: ")[2] for line in capfd.readouterr().err.splitlines() if "warning: " in line]
    assert [line[: len(start)] for line, start in zip(told, said, strict=True)] == said
