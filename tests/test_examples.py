"""The examples compile, and the ones that need no download run, made small by overrides."""

from __future__ import annotations

import json
import os
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
    assert {"reviews", "sst2", "digits", "language_model", "transformer", "fewshot", "script"} <= {
        path.stem for path in EXAMPLES
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", ["reviews", "digits", "language_model", "transformer", "fewshot"])
def test_an_example_runs(name: str, shell: Callable) -> None:
    small = "train.max_steps=1 train.iter_per_step=3"
    done = shell(f"flambe-compile {ROOT}/examples/{name}.yaml {small} | flambe-tune --runner local")
    assert done.returncode == 0, done.stderr
    *variants, run = (json.loads(line) for line in done.stdout.splitlines())
    assert Path(run["run"]).name.startswith("exp.") or "exp." in run["run"]
    assert any(line.get("metric") is not None for line in variants)


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
