"""The examples compile, and the ones that need no download run, made small by overrides."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))


@pytest.mark.parametrize("example", [pytest.param(path, id=path.stem) for path in EXAMPLES])
def test_an_example_compiles(example: Path, shell: Callable) -> None:
    done = shell(f"flambe-compile --check {example}")
    assert done.returncode == 0, done.stderr


def test_the_main_experiments_are_there() -> None:
    assert {"reviews", "sst2", "digits", "language_model", "transformer", "fewshot", "distillation", "script"} <= {
        path.stem for path in EXAMPLES
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", ["reviews", "digits", "language_model", "transformer", "fewshot"])
def test_an_example_runs(name: str, shell: Callable) -> None:
    small = f"train.max_steps=1 train.iter_per_step={36 if name == 'digits' else 3}"
    done = shell(f"flambe-compile {ROOT}/examples/{name}.yaml {small} | flambe-tune --runner local")
    assert done.returncode == 0, done.stderr
    *variants, run = (json.loads(line) for line in done.stdout.splitlines())
    assert Path(run["run"]).name.startswith("exp.")
    metrics = {line["stage"]: line["metric"] for line in variants if line["metric"] is not None}
    assert "train" in metrics
    # Images are learnt in an instant; of ten digits one is right by chance.
    assert name != "digits" or metrics["eval"] > 0.4


@pytest.mark.slow
def test_the_distillation_example_runs(shell: Callable) -> None:
    pytest.importorskip("transformers")
    done = shell(f"{sys.executable} {ROOT}/examples/tiny_bert.py tiny-bert")
    assert done.returncode == 0, done.stderr
    small = " ".join(f"{stage}.max_steps=1 {stage}.iter_per_step=3" for stage in ("finetune", "distill", "alone"))
    done = shell(f"flambe-compile {ROOT}/examples/distillation.yaml {small} | flambe-tune --runner local")
    assert done.returncode == 0, done.stderr
    metrics = {line["stage"]: line["metric"] for line in map(json.loads, done.stdout.splitlines()[:-1])}
    assert all(metrics[stage] > 0.4 for stage in ("of_teacher", "of_student", "of_student_alone"))


@pytest.mark.slow
def test_the_script_example_runs(shell: Callable) -> None:
    done = shell(f"flambe-compile {ROOT}/examples/script.yaml | flambe-tune --runner local")
    assert done.returncode == 0, done.stderr
    *variants, run = (json.loads(line) for line in done.stdout.splitlines())
    written = sorted(Path(run["run"]).rglob("pi.txt"))
    assert len(written) == len(variants) == 2
    assert all(2.5 < float(path.read_text()) < 3.8 for path in written)


@pytest.mark.slow
def test_sst2_runs(shell: Callable) -> None:
    if not os.environ.get("FLAMBE_DATA"):
        pytest.skip("FLAMBE_DATA names no folder with sst2/")
    small = "train.max_steps=1 train.iter_per_step=3"
    done = shell(f"flambe-compile {ROOT}/examples/sst2.yaml {small} | flambe-tune --runner local")
    assert done.returncode == 0, done.stderr
