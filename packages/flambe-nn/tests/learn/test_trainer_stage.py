"""A real trainer as a unit: stopped after any step and continued in a new process' worth of objects, it is bit-equal."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from flambe.record.metrics import read_metrics
from flambe.runner.stage import StageRun, run_stage
from flambe.runner.unit import Unit


def reviews(folder: Path) -> str:
    """Sentences of good and bad words."""
    generator = random.Random(0)
    lines = ["text\tlabel"]
    for index in range(120):
        words = ["good", "fine", "nice"] if index % 2 else ["bad", "poor", "dull"]
        length = generator.randint(2, 9)
        lines.append(" ".join(generator.choice([*words, "film", "plot"]) for _ in range(length)) + f"\t{index % 2}")
    path = folder / "reviews.tsv"
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def unit(folder: Path, **more: Any) -> Unit:
    def link(*path: str, attr: list[str]) -> dict[str, Any]:
        return {"$link": ["train", *path], "attr": attr}

    body = {
        "$new": "flambe.learn:Trainer",
        "dataset": {
            "$new": "flambe.dataset:TabularDataset.autogen", "data_path": reviews(folder),
            "transform": {"text": {"$new": "flambe.field:TextField"}, "label": {"$new": "flambe.field:LabelField"}},
        },
        "train_sampler": {"$new": "flambe.sampler:BaseSampler", "batch_size": 8, "bucket": True},
        "val_sampler": {"$new": "flambe.sampler:BaseSampler"},
        "model": {
            "$new": "flambe.nlp.classification:TextClassifier",
            "embedder": {
                "$new": "flambe.nn:Embedder",
                "embedding": {
                    "$new": "torch.nn:Embedding", "num_embeddings": link("dataset", attr=["text", "vocab_size"]),
                    "embedding_dim": 8, "padding_idx": 0,
                },
                "encoder": {
                    "$new": "flambe.nn:PooledRNNEncoder", "input_size": 8, "hidden_size": 6, "rnn_type": "gru",
                    "n_layers": 2, "dropout": 0.3,
                },
                "embedding_dropout": 0.3,
            },
            "output_layer": {"$new": "flambe.nn:SoftmaxLayer", "input_size": 6, "output_size": 2},
            "dropout": 0.5,
        },
        "loss_fn": {"$new": "torch.nn:NLLLoss"},
        "metric_fn": {"$new": "flambe.metric:Accuracy"},
        "optimizer": {
            "$new": "torch.optim:Adam", "params": link("model", attr=["trainable_params"]), "lr": 0.01, "fused": True,
        },
        "scheduler": {
            "$new": "torch.optim.lr_scheduler:MultiStepLR", "optimizer": {"$link": ["train", "optimizer"]},
            "milestones": [1, 3], "gamma": 0.5,
        },
        "max_steps": 4,
        "iter_per_step": 7,
        "device": "cpu",
    } | more  # fmt: skip
    return Unit(stage="train", variant="0", body=body, key="k", seed=5)


def result(scratch: Path) -> dict[str, bytes]:
    """Every saved byte of a committed unit, but for what says when."""
    root = scratch / "checkpoint"
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("stop_after", [1, 2, 3])
@pytest.mark.filterwarnings("error")
def test_a_stopped_unit_goes_on_bit_for_bit(tmp_path: Path, stop_after: int) -> None:
    whole, first, second = tmp_path / "whole", tmp_path / "first", tmp_path / "second"
    for folder in (whole, first, second):
        folder.mkdir()
    expected = run_stage(unit(tmp_path), whole)
    assert expected.step == 4
    assert expected.metric_name == "Best/Accuracy"

    report = run_stage(unit(tmp_path), first, until=stop_after)
    assert report.more
    continued = run_stage(unit(tmp_path), second, resume=first / "steps" / str(stop_after))
    assert (continued.step, continued.metric) == (expected.step, expected.metric)
    assert result(second) == result(whole)


@pytest.mark.parametrize("stop_after", [1, 4])
def test_a_unit_stopped_in_the_middle_of_a_step_goes_on(tmp_path: Path, stop_after: int) -> None:
    """``iter_per_checkpoint`` changes when checkpoints are written, and nothing that is computed."""
    whole, plain, first, second = (tmp_path / name for name in ("whole", "plain", "first", "second"))
    for folder in (whole, plain, first, second):
        folder.mkdir()
    options = {"max_steps": 2, "iter_per_checkpoint": 3}
    expected = run_stage(unit(tmp_path, **options), whole)
    assert expected.step == 6, "three calls of run() a step of seven iterations"
    assert run_stage(unit(tmp_path, max_steps=2), plain).metric == expected.metric
    run_stage(unit(tmp_path, **options), first, until=stop_after)
    run_stage(unit(tmp_path, **options), second, resume=first / "steps" / str(stop_after))
    assert result(second) == result(whole)
    weights = "model/embedder/encoder/state.safetensors"
    assert result(plain)[weights] == result(whole)[weights]


def test_what_is_logged(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    run = StageRun(unit(tmp_path, max_steps=1), scratch)
    run.start()
    data = run.step().streams["metrics/train.jsonl"]
    run.close()
    (tmp_path / "train.jsonl").write_bytes(data)
    lines = list(read_metrics(tmp_path / "train.jsonl"))
    tags = {tag for line in lines for tag in line if "/" in tag}
    assert tags == {
        "Training/Loss", "Training/Gradient_Norm", "Training/Parameter_Norm",
        "Validation/Loss", "Validation/Accuracy", "Best/Accuracy",
    }  # fmt: skip


def test_a_unit_ended_early_has_its_best_weights(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    report = run_stage(unit(tmp_path), scratch, on_step=lambda report: report.step < 2)
    assert report.step == 2
    assert b"Best/Accuracy" in report.streams["metrics/train.jsonl"]
