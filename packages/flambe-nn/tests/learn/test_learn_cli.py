"""``flambe-train`` as a command: what it reads, prints and returns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TOY = '''
import gc

import torch
from flambe.build.component import Component

class Walk(Component):
    """Adds random numbers and sums up; ``fail`` makes it raise."""

    def __init__(self, steps=2, fail=False):
        super().__init__()
        self.steps, self.fail, self.done, self.sum = steps, fail, 0, torch.zeros(())

    def run(self):
        assert gc.isenabled(), "the collector rests while PyTorch comes in, and no longer"
        print("a print of the stage")
        if self.fail:
            raise RuntimeError("walked into a wall")
        self.done += 1
        self.sum = self.sum + torch.rand(())
        return self.done < self.steps

    def metric(self):
        return float(self.sum)

    def _state(self, state_dict, prefix, local_metadata):
        state_dict[prefix + "done"], state_dict[prefix + "sum"] = self.done, self.sum
        return state_dict

    def _load_state(self, state_dict, prefix, *rest):
        self.done, self.sum = state_dict[prefix + "done"], state_dict[prefix + "sum"]
'''


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    module = tmp_path / "walks.py"
    module.write_text(TOY)
    return module


def spec(toy: Path, **more: Any) -> dict[str, Any]:
    body = {"$new": "walks:Walk"} | more
    return {
        "flambe_spec": "1.0", "name": "walk", "stages": [{"name": "walk", "body": body}],
        "environment": {"extensions": {"walks": str(toy)}},
    }  # fmt: skip


def train(stdin: str, cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "flambe.learn.cli", *arguments]
    return subprocess.run(
        command, input=stdin, capture_output=True, text=True, cwd=cwd, env={**os.environ}, timeout=120
    )


def test_a_line_for_each_stage_and_one_for_the_run(toy: Path, tmp_path: Path) -> None:
    done = train(json.dumps(spec(toy)), tmp_path)
    assert done.returncode == 0, done.stderr
    stage, run = (json.loads(line) for line in done.stdout.splitlines())
    assert (stage["stage"], stage["status"], stage["step"]) == ("walk", "COMPLETE", 2)
    assert 0 < stage["metric"] < 2
    assert "stage" not in run
    assert Path(run["run"], "run.json").is_file()
    assert "a print of the stage" not in done.stdout

    again = train(json.dumps(spec(toy)), tmp_path)
    assert json.loads(again.stdout.splitlines()[0])["metric"] == stage["metric"]
    assert json.loads(again.stdout.splitlines()[0])["reused"]


def test_several_specs_a_file_and_another_folder(toy: Path, tmp_path: Path) -> None:
    lines = [json.dumps(spec(toy, steps=steps)) for steps in (1, 3)]
    (tmp_path / "specs.jsonl").write_text("\n".join(lines) + "\n\n")
    done = train("", tmp_path, "specs.jsonl", "--output-dir", "elsewhere", "--quiet", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["step"] for row in rows if "stage" in row] == [1, 3]
    runs = [row["run"] for row in rows if "stage" not in row]
    assert len(set(runs)) == 2
    assert all(Path(tmp_path, run).is_relative_to(tmp_path / "elsewhere") for run in runs)
    assert done.stderr == ""


def test_a_spec_over_several_lines(toy: Path, tmp_path: Path) -> None:
    done = train(json.dumps(spec(toy, steps=1), indent=2), tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_failing_stage_is_exit_code_1(toy: Path, tmp_path: Path) -> None:
    done = train(json.dumps(spec(toy, fail=True) | {"max_failures": 0}), tmp_path)
    assert done.returncode == 1
    stage, run = (json.loads(line) for line in done.stdout.splitlines())
    assert stage["status"] == run["status"] == "FAILED"
    assert "walked into a wall" in stage["error"]
    assert "walked into a wall" in done.stderr


@pytest.mark.parametrize(
    ("stdin", "arguments", "text"),
    [
        ("", (), "stdin is empty"),
        ("!Experiment\nname: x\n", (), "is not JSON"),
        ('{"a": 1}', (), "is no flambe spec"),
        ("", ("nowhere.json",), "cannot read nowhere.json"),
        ("", ("--devise", "cpu"), "No such option"),
    ],
)
def test_usage_faults_are_exit_code_2(stdin: str, arguments: tuple[str, ...], text: str, tmp_path: Path) -> None:
    done = train(stdin, tmp_path, *arguments)
    assert done.returncode == 2
    assert text in done.stderr
    assert done.stdout == ""
    assert not list(tmp_path.iterdir())


def test_search_left_names_the_tools_that_take_it(toy: Path, tmp_path: Path) -> None:
    lines = [json.dumps(spec(toy)), json.dumps(spec(toy, steps={"$grid": [1, 2]}))]
    done = train("\n".join(lines), tmp_path)
    assert done.returncode == 2
    assert "stdin, line 2 has search left" in done.stderr
    assert "flambe-tune" in done.stderr
    assert "--expand" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["walks.py"], "nothing runs before all lines are read"
