"""What a trainer is given is checked before anything is built; an object needs no base class to do, only what is used of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from flambe.compile.compiler import compile_whole
from flambe.errors import ConfigFaults

CONFIG = """
!Experiment
name: t
pipeline:
  data: !DigitsDataset
  sampler: !BaseSampler
  model: !ImageClassifier
    encoder: !CNNEncoder {input_channels: 1, channels: [3]}
    output_layer: !SoftmaxLayer {input_size: 108, output_size: 10}
  train: !Trainer
    dataset: !@ data
    train_sampler: !@ sampler
    val_sampler: !@ sampler
    model: !@ model
    loss_fn: !torch.NLLLoss
    metric_fn: !Accuracy
    optimizer: !torch.Adam {params: !@ 'train[model].trainable_params'}
    scheduler: !torch.StepLR {optimizer: !@ 'train[optimizer]', step_size: 1}
    iter_scheduler: !NoamScheduler {optimizer: !@ 'train[optimizer]', warmup: 5, d_model: 4}
    extra_validation_metrics: [!Perplexity ]
  eval: !Evaluator
    dataset: !@ data
    model: !@ model
    metric_fn: !Accuracy
"""

WRONG = {
    ("[!Perplexity ]", "!Perplexity"): (
        "19:31: extra_validation_metrics of Trainer is an object of Perplexity; expected a list of Measure or null"
    ),
    ("dataset: !@ data", "dataset: !@ sampler"): (
        "10:14: train.dataset: the link 'sampler' gives a BaseSampler; expected an object with train and val"
    ),
    ("train_sampler: !@ sampler", "train_sampler: !@ data"): (
        "11:20: train.train_sampler: the link 'data' gives a DigitsDataset; expected an object with sample"
    ),
    ("val_sampler: !@ sampler", "val_sampler: 5"): (
        "12:18: val_sampler of Trainer is 5; expected an object with sample"
    ),
    ("val_sampler: !@ sampler", "val_sampler: null"): (
        "12:18: val_sampler of Trainer is null; expected an object with sample"
    ),
    ("  model: !@ model\n    loss", "  model: null\n    loss"): (
        "13:12: model of Trainer is null; expected torch.nn.Module"
    ),
    ("loss_fn: !torch.NLLLoss", "loss_fn: !BaseSampler"): (
        "14:14: train.loss_fn: a BaseSampler came; expected something to call"
    ),
    ("metric_fn: !Accuracy", "metric_fn: !DigitsDataset"): (
        "15:16: train.metric_fn: a DigitsDataset came; expected something to call or an object with aggregate and finalize"
    ),
    ("scheduler: !torch.StepLR {optimizer: !@ 'train[optimizer]', step_size: 1}", "scheduler: !torch.Dropout"): (
        "17:16: train.scheduler: a Dropout came; expected an object with step, state_dict and load_state_dict or null"
    ),
    ("!Perplexity ", "!BaseSampler "): (
        "19:32: train.extra_validation_metrics[0]: a BaseSampler came; expected something to call or an object with aggregate "
        "and finalize"
    ),
    ("eval: !Evaluator\n    dataset: !@ data", "eval: !Evaluator\n    dataset: !BaseSampler"): (
        "21:14: eval.dataset: a BaseSampler came; expected an object with train, an object with val or an object with test"
    ),
}


def faults(text: str, file: str = "t") -> list[str]:
    try:
        compiled = compile_whole(text, name="t", file=file, overrides=(), argv=())
    except ConfigFaults as error:
        return [str(fault) for fault in error.faults]
    return [str(warning) for warning in compiled.warnings]


def test_right_ones_are_no_fault() -> None:
    assert faults(CONFIG.lstrip()) == []


@pytest.mark.parametrize("change", WRONG, ids=[new.split(":")[0].strip() for _, new in WRONG])
def test_a_wrong_one_is_found_with_its_place(change: tuple[str, str]) -> None:
    text = CONFIG.lstrip().replace(*change, 1)
    assert faults(text) == [f"t:{WRONG[change]}"]


OWN = """
import dataclasses
import functools
from typing import NamedTuple

import torch


class Plain:
    def __init__(self):
        self.train, self.val = [1], [2]


@dataclasses.dataclass
class Fields:
    train: list
    val: list


class Named(NamedTuple):
    train: list = []
    val: list = []


class Late:
    def __init__(self):
        for name in ("train", "val"):
            setattr(self, name, [])


class Asked:
    def __getattr__(self, name):
        return []


class Together:
    train, (val, *rest) = [1], ([2], [3])


class Worked:
    for name in ("train", "val"):
        locals()[name] = [1]


class Brought:
    from os import environ as train, name as val


class Below(Plain):
    @functools.cached_property
    def test(self):
        return []


class Walk:
    def sample(self, data, n_epochs=1):
        yield data


class Loss:
    def __call__(self, pred, target):
        return (pred - target).sum()


class Streams:
    def aggregate(self, state, pred, target):
        return state

    def finalize(self, state):
        return 0.0


class Rate:
    def __init__(self, optimizer):
        self.optimizer = optimizer

    def step(self): ...
    def state_dict(self): ...
    def load_state_dict(self, state): ...


class Net(torch.nn.Module):
    def forward(self, data, target):
        return data, target


def loss():
    return lambda pred, target: 0


def data():
    return Plain()
"""


@pytest.mark.parametrize(
    "data",
    [
        "Plain",
        "Fields {train: [1], val: [2]}",
        "Named",
        "Late",
        "Asked",
        "Together",
        "Worked",
        "Brought",
        "Below",
        "data",
    ],
)
@pytest.mark.parametrize("loss", ["Loss", "loss"])
def test_objects_of_ones_own_need_no_base(data: str, loss: str, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    text = f"""
own: {tmp_path}/own.py
---
!Trainer
dataset: !own.{data}
train_sampler: !own.Walk
val_sampler: !own.Walk
model: !own.Net
loss_fn: !own.{loss}
metric_fn: !own.Streams
optimizer: !torch.SGD {{params: !@ model.parameters, lr: 0.1}}
scheduler: !own.Rate {{optimizer: !@ optimizer}}
extra_training_metrics: [!own.Loss , !own.Streams ]
"""
    assert faults(text, str(tmp_path / "t.yaml")) == []


def test_objects_of_ones_own_that_lack_something(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    text = f"own: {tmp_path}/own.py\n---\n!Evaluator\ndataset: !own.Loss\nmodel: !own.Net\nmetric_fn: !own.Plain\n"
    file = str(tmp_path / "t.yaml")
    assert faults(text, file) == [
        f"{file}:4:10: evaluator.dataset: a Loss came; expected an object with train, an object with val or an object with test",
        f"{file}:6:12: evaluator.metric_fn: a Plain came; expected something to call or an object with aggregate and finalize",
    ]
