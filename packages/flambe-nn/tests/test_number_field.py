"""NumberField, and a regression with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from flambe.compile.compiler import compile_whole
from flambe.dataset import TabularDataset
from flambe.field import LabelField, NumberField
from flambe.runner.execute import execute

REGRESSION = """\
!Experiment
name: regression
pipeline:
  dataset: !TabularDataset.from_path
    train_path: flats.tsv
    val_path: flats.tsv
    transform:
      flat: {field: !NumberField , columns: [size, rooms]}
      rent: {field: !NumberField , columns: rent}
  train: !Trainer
    dataset: !@ dataset
    model: !ImageClassifier
      encoder: !torch.Identity
      output_layer: !torch.Linear {in_features: 2, out_features: 1}
    train_sampler: !BaseSampler {batch_size: 16}
    val_sampler: !BaseSampler {batch_size: 64, shuffle: false}
    loss_fn: !torch.MSELoss
    metric_fn: !torch.L1Loss
    optimizer: !torch.Adam {params: !@ 'train[model].trainable_params', lr: 0.2}
    iter_per_step: 150
    max_steps: 1
    device: cpu
"""


def test_a_column_and_several() -> None:
    rows = [(1, "2.5", 7), (3.0, "-4", 8)]
    data = TabularDataset(rows, transform={"y": NumberField(), "x": {"field": NumberField(), "columns": [1, 2]}})
    y, x = data.train[0]
    assert (y.tolist(), x.tolist(), y.dtype, x.dtype) == ([1.0], [2.5, 7.0], torch.float32, torch.float32)
    packed = data.train.packed()
    assert packed is not None
    batch = [column.batch(np.array([1, 0]), 0) for column in packed]
    assert batch[0].tolist() == [[3.0], [1.0]]
    assert batch[1].tolist() == [[-4.0, 8.0], [2.5, 7.0]]


def test_what_is_no_number() -> None:
    with pytest.raises(ValueError, match="'cheap' is no number; text is for a TextField, classes are for a LabelField"):
        TabularDataset([(1,), ("cheap",)], transform={"y": NumberField()})
    for absent in (None, float("nan"), ""):
        rows = [(1,), (absent,)]
        with pytest.raises(ValueError, match="row 1, counted from 0, is missing. Say what to put there: `missing: 0`"):
            TabularDataset(rows, transform={"y": NumberField()})
        filled = TabularDataset(rows, transform={"y": NumberField(missing=-1)})
        assert [example[0].item() for example in filled.train] == [1.0, -1.0]


def test_classes_made_of_measurements_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    LabelField().setup(np.array([0.37, 1.52, 2.0, 8.1], dtype=object))
    assert capsys.readouterr().err == (
        "warning: LabelField makes classes of numbers (0.37, 1.52, 2, …); a regression reads them with !NumberField\n"
    )
    for labels in ([0, 1, 2, 3], ["a", 0.5, 0.7, 0.9], [1, 1.5, 2, 2.5]):
        LabelField().setup(np.array(labels, dtype=object))
    LabelField(labels=["0.5", "1.5", "2.5"]).setup(np.array([0.5], dtype=object))
    assert capsys.readouterr().err == ""


def test_a_warning_of_a_stage_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rents.tsv").write_text("rent\n0.37\n1.52\n8.1\n")
    monkeypatch.chdir(tmp_path)
    stage = "!TabularDataset.from_path {train_path: rents.tsv, transform: {rent: !LabelField }}"
    text = f"!Experiment\nname: rents\npipeline:\n  dataset: {stage}\n"
    execute(
        compile_whole(text, name="r", file="r.yaml", overrides=(), argv=()).spec, tool="test", on_unit=lambda row: None
    )
    assert "dataset/0: warning: LabelField makes classes of numbers (0.37, 1.52, 8.1, …)" in capfd.readouterr().err


def test_a_regression(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    flats = np.stack([random.uniform(0.2, 2, 200), random.integers(1, 6, 200)], axis=1)
    rents = 3 * flats[:, 0] + 0.5 * flats[:, 1] - 1
    lines = [f"{size}\t{rooms}\t{rent}\n" for (size, rooms), rent in zip(flats, rents, strict=True)]
    (tmp_path / "flats.tsv").write_text("size\trooms\trent\n" + "".join(lines))
    monkeypatch.chdir(tmp_path)
    rows: list[dict[str, Any]] = []
    spec = compile_whole(REGRESSION, name="r", file="r.yaml", overrides=(), argv=()).spec
    execute(spec, tool="test", on_unit=rows.append)
    error = next(row["metric"] for row in rows if row.get("stage") == "train")
    assert error < np.abs(rents - rents.mean()).mean() / 10
