"""What a trainer leaves behind: no data set of another stage, and each vocabulary once."""

from __future__ import annotations

from pathlib import Path

import pytest

import flambe
from flambe.compile import compile_text
from flambe.runner.execute import execute

PIPELINE = """\
!Experiment
name: films
pipeline:
  data: !TabularDataset.autogen
    data_path: films.tsv
    transform: {text: !TextField {}, label: !LabelField {}}
  train: !Trainer
    dataset: !@ data
    train_sampler: !BaseSampler {batch_size: 8}
    val_sampler: !BaseSampler
    model: !TextClassifier
      embedder: !Embedder
        embedding: !torch.Embedding
          num_embeddings: !@ data.text.vocab_size
          embedding_dim: 8
        encoder: !PooledRNNEncoder {input_size: 8, hidden_size: 6}
      output_layer: !SoftmaxLayer {input_size: 6, output_size: 2}
    loss_fn: !torch.NLLLoss
    metric_fn: !Accuracy
    optimizer: !torch.Adam
      params: !@ train[model].trainable_params
    max_steps: 5
    iter_per_step: 3
"""


def test_a_trainer_keeps_no_data_set_and_each_vocabulary_is_kept_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [f"a zebra {'sings' if number % 2 else 'sleeps'}\t{number % 2}" for number in range(80)]
    (tmp_path / "films.tsv").write_text("text\tlabel\n" + "\n".join(lines) + "\n")
    run, failed = execute(compile_text(PIPELINE, name="films"), tool="test", on_unit=lambda row: None)
    assert failed == 0
    holds = [path for path in run.rglob("*") if path.is_file() and b"zebra" in path.read_bytes()]
    assert {path.relative_to(run / "stages").parts[0] for path in holds} == {"data"}
    assert [path.parent.name for path in holds if b"vocab" in path.read_bytes()] == ["text"]
    assert not (run / "stages/train/0/steps").exists()
    trainer = flambe.load(run / "stages/train/0/checkpoint")
    assert len(trainer.dataset.text.vocab) == len({"a", "zebra", "sings", "sleeps"}) + 2
