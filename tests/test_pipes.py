"""End to end: real commands, joined by real pipes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

Shell = Callable[..., object]

# Trains on forty sentences, so that a sweep of two takes seconds.
SMALL = """\
!Experiment
name: tiny
seed: 3
pipeline:
  dataset: !TabularDataset.from_path
    train_path: train.csv
    val_path: train.csv
    sep: ","
    header: infer
    transform:
      text: !TextField
      label: !LabelField
  model: !TextClassifier
    embedder: !Embedder
      embedding: !torch.Embedding
        num_embeddings: !@ dataset.text.vocab_size
        embedding_dim: 8
      encoder: !PooledRNNEncoder
        input_size: 8
        rnn_type: gru
        n_layers: 1
        hidden_size: !g [4, 6]
    output_layer: !SoftmaxLayer
      input_size: !@ model[embedder][encoder].rnn.hidden_size
      output_size: !@ dataset.label.vocab_size
  train: !Trainer
    dataset: !@ dataset
    train_sampler: !BaseSampler
      batch_size: 8
    val_sampler: !BaseSampler
      batch_size: 8
    model: !@ model
    loss_fn: !torch.NLLLoss
    metric_fn: !Accuracy
    optimizer: !torch.Adam
      params: !@ train[model].trainable_params
      lr: 0.02
    max_steps: 2
    iter_per_step: 5
  export: !Exporter
    model: !@ train.model
reduce:
  train: 1
"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A small experiment and its data, in the folder where ``shell`` starts."""
    words = ["good", "fine", "great", "nice"], ["bad", "poor", "awful", "dull"]
    rows = [f"a {words[n % 2][n % 4]} film number{n % 5},{n % 2}" for n in range(40)]
    (tmp_path / "train.csv").write_text("text,label\n" + "\n".join(rows) + "\n", encoding="utf-8")
    path = tmp_path / "small.yaml"
    path.write_text(SMALL, encoding="utf-8")
    return path


def lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_the_spec_is_one_line_of_json(small: Path, shell: Shell) -> None:
    done = shell("flambe-compile small.yaml")
    assert done.returncode == 0, done.stderr
    (spec,) = lines(done.stdout)
    assert spec["flambe_spec"] == "1.0"
    assert [stage["name"] for stage in spec["stages"]] == ["dataset", "model", "train", "export"]


def test_a_closed_pipe_is_no_crash(small: Path, shell: Shell) -> None:
    done = shell("flambe-compile --expand small.yaml | head -c 1")
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr
    assert done.stdout == "{"


@pytest.mark.parametrize("command", ["flambe-tune", "flambe-train", "flambe-build", "flambe-report ls -"])
def test_an_empty_stdin_is_wrong_usage(command: str, shell: Shell) -> None:
    done = shell(command)
    assert done.returncode == 2, done.stderr
    assert "stdin" in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "command", ["flambe-compile", "flambe-tune", "flambe-train", "flambe-build", "flambe run", "flambe"]
)
def test_a_file_that_is_not_there_is_wrong_usage(command: str, shell: Shell) -> None:
    done = shell(f"{command} nowhere.yaml")
    assert done.returncode == 2, done.stderr
    assert "nowhere.yaml" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["flambe-tune", "flambe-train", "flambe-build"])
@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ('{"flambe_spec": "2.0", "name": "x", "stages": []}', "version 2.0"),
        ('{"name": "x"}', "no flambe spec"),
        ("{", "not JSON"),
    ],
)
def test_what_is_no_spec_of_ours_is_refused(command: str, spec: str, said: str, shell: Shell) -> None:
    done = shell(command, stdin=spec)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_option_is_wrong_usage(shell: Shell) -> None:
    done = shell("flambe-compile --nonsense")
    assert done.returncode == 2
    assert "nonsense" in done.stderr


@pytest.mark.slow
def test_compile_tune_report(small: Path, shell: Shell) -> None:
    done = shell("flambe-compile small.yaml | flambe-tune --runner local")
    assert done.returncode == 0, done.stderr
    *variants, run = lines(done.stdout)
    folder = Path(small.parent, run["run"])
    assert (folder / "run.json").is_file()
    assert len(variants) >= 2

    again = shell("flambe-compile small.yaml | flambe-tune --runner local | flambe-report ls --format json -")
    assert again.returncode == 0, again.stderr
    rows = lines(again.stdout)
    assert {row.get("stage") for row in rows} >= {"train"}, rows

    # What nothing measures has one variant after a reduce, and that is the best there is.
    assert (folder / "stages/export/best/checkpoint/model/manifest.json").is_file()

    for row in lines(shell("flambe-report ls --format json flambe-output").stdout):
        assert row["best"].startswith("train/"), "a stage without a metric stands for the run"

    picked = shell(f"flambe-report ls --format json --where \"stage == 'train'\" {folder}")
    assert picked.returncode == 0, picked.stderr
    assert len(lines(picked.stdout)) == 2

    model = json.loads(shell(f"flambe-build --inspect {folder}/stages/train/best/checkpoint/model").stdout)
    assert model["class"].endswith(":TextClassifier")


@pytest.mark.slow
def test_train_and_tune_agree(small: Path, shell: Shell) -> None:
    tuned = shell("flambe-compile small.yaml | flambe-tune --runner local")
    assert tuned.returncode == 0, tuned.stderr
    trained = shell("flambe-compile --expand small.yaml | flambe-train")
    assert trained.returncode == 0, trained.stderr
    best = max(line["metric"] for line in lines(tuned.stdout) if line.get("stage") == "train")
    assert best == max(line["metric"] for line in lines(trained.stdout) if line.get("stage") == "train")


@pytest.mark.slow
def test_the_umbrella_takes_the_right_tool(small: Path, shell: Shell) -> None:
    done = shell("flambe run small.yaml")
    assert done.returncode == 0, done.stderr
    assert "run" in lines(done.stdout)[-1]
    shown = shell("flambe run --show small.yaml")
    assert "flambe-compile" in shown.stdout + shown.stderr
    assert "flambe-tune" in shown.stdout + shown.stderr


@pytest.mark.slow
def test_a_failing_stage_ends_with_one(small: Path, shell: Shell) -> None:
    # The sizes do not fit together; no static check can see that.
    small.write_text(SMALL.replace("input_size: 8", "input_size: 9"), encoding="utf-8")
    done = shell("flambe-compile small.yaml | flambe-tune --runner local")
    assert done.returncode == 1, done.stderr
    assert done.stdout.splitlines()


@pytest.mark.slow
def test_build_from_a_finished_run(small: Path, shell: Shell) -> None:
    done = shell("flambe run small.yaml")
    assert done.returncode == 0, done.stderr
    run = lines(done.stdout)[-1]["run"]
    (small.parent / "builder.yaml").write_text(
        "!Builder\n"
        f"component: !TextClassifier.load_from_path\n  path: {run}/stages/train/best/checkpoint/model\n"
        "destination: shipped\n",
        encoding="utf-8",
    )
    built = shell("flambe-compile builder.yaml | flambe-build")
    assert built.returncode == 0, built.stderr
    (line,) = lines(built.stdout)
    assert Path(line["artifact"]) == small.parent / "shipped"
    again = shell("flambe-build builder.yaml")
    assert again.returncode == 2
    assert "--force" in again.stderr
    forced = shell("flambe-build --force builder.yaml")
    assert lines(forced.stdout)[0]["digest"] == line["digest"]
