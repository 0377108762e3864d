"""tags.json is current, and every tag in it is what it says."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from flambe.compile import compile_text
from flambe.errors import ConfigFaults

TOOL = Path(__file__).parent.parent / "tools" / "make_tags.py"
TAGS: dict[str, str] = json.loads(
    (TOOL.parent.parent / "src" / "flambe" / "nn" / "tags.json").read_text(encoding="utf-8")
)


def test_the_file_is_current() -> None:
    check = subprocess.run([sys.executable, str(TOOL), "--check"], capture_output=True, text=True)
    assert check.returncode == 0, check.stderr


def test_every_target_is_there() -> None:
    for tag, target in TAGS.items():
        module, name = target.split(":")
        kind = getattr(importlib.import_module(module), name)
        assert isinstance(kind, type), tag
        # A tag of ours is written as the class is called, one of torch under its flat name.
        assert tag == "MLPDecoder" or kind.__name__ == tag.removeprefix("torch."), tag


def test_what_the_quickstart_needs() -> None:
    for tag in [
        "SSTDataset",
        "TextField",
        "LabelField",
        "TextClassifier",
        "Embedder",
        "PooledRNNEncoder",
        "SoftmaxLayer",
        "Trainer",
        "BaseSampler",
        "Accuracy",
        "Evaluator",
        "torch.Embedding",
        "torch.NLLLoss",
        "torch.Adam",
        "torch.StepLR",
        "torch.ReduceLROnPlateau",
    ]:
        assert tag in TAGS


def test_a_learning_rate_is_a_number_though_torch_allows_tensors() -> None:
    text = "!Experiment\npipeline:\n  a: !torch.Linear [2, 2]\n  b: !torch.Adam {params: !call a.parameters, lr: %s}\n"
    for wrong, right in (("3e-3s", 0.003), ("'0.01'", None)):
        remedy = "Remove the quotes." if right is None else f"Write {right}."
        with pytest.raises(ConfigFaults, match=rf"expected a number or .*Tensor\. {remedy}"):
            compile_text(text % wrong, name="t")
    assert compile_text(text % "3e-3", name="t").stages[1].body["lr"] == 0.003
