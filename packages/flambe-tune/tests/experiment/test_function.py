"""Variants of a plain function: each in a process and a folder of its own."""

from __future__ import annotations

from pathlib import Path

from flambe.experiment.session import Settings, run_experiment
from flambe.record.run import StageRecord, read_record
from flambe.spec.nodes import Spec, Stage

CODE = """
import os

CALLS = []


def main(name, config):
    CALLS.append(name)
    print("call", len(CALLS), "of", name)
    with open("lr.txt", "w") as file:
        file.write(f"{config['lr']} {os.environ['FLAMBE_CWD']}")
    if config["lr"] == 0.2:
        raise ValueError("not this one")
    return {0.1: 1.5, 0.3: 2.5}[config["lr"]]
"""


def test_variants_of_a_function(tmp_path: Path) -> None:
    (tmp_path / "tuned_function.py").write_text(CODE)
    body = {
        "$new": "flambe.runnable:Function", "main": "tuned_function:main", "name": "f", "code": {"$file": str(tmp_path)},
        "config": {"lr": {"$grid": [0.1, 0.2, 0.3]}},
    }  # fmt: skip
    spec = Spec(
        kind="function", name="f", output_dir=str(tmp_path / "out"), max_failures=0,
        stages=[Stage(name="main", body=body, reuse=False)],
    )  # fmt: skip
    summary = run_experiment(spec, Settings(runner="local"))
    assert summary.status == "FAILED"
    assert summary.best == {"stage": "main", "variant": "lr=0.3", "params": {"main.config.lr": 0.3}, "metric": 2.5}
    assert (summary.run / "tuned_function.py").is_file()
    for lr in (0.1, 0.2, 0.3):
        unit = summary.run / "stages/main" / f"lr={lr}"
        assert "call 1 of f\n" in (unit / "outputs.log").read_text()
        record = read_record(unit / "run.json", StageRecord)
        if lr == 0.2:
            assert record.error is not None
            assert "tuned_function.py:13 in main" in record.error
        else:
            assert (unit / "artifacts/lr.txt").read_text() == f"{lr} {Path.cwd()}"
            assert record.result == {0.1: 1.5, 0.3: 2.5}[lr]
