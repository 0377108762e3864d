"""Several values: a run each, in processes of their own, in one run directory."""

from __future__ import annotations

import json
import signal
import time
from typing import Any

import pytest

from flambe import Reader

BODY = """
import os, sys, time
how = ctx.config.get("how")
print(f"lr={ctx.config.optimizer.lr} seed={ctx.config.seed} {ctx.info.status}")
ctx.logger.log_metrics({"loss": ctx.config.optimizer.lr}, log_name="train")
if how == "raise":
    raise ValueError("it broke")
if how == "three":
    sys.exit(3)
if how == "kill":
    os.kill(os.getpid(), 9)
if how == "end":
    os.kill(os.getpid(), 15)
    time.sleep(60)
if how == "slow":
    time.sleep(60)
return os.getpid()
"""


def variants(project: Any, number: int = 0) -> dict[str, Any]:
    found = sorted((project.root(number) / "stages/main").glob("*/run.json"))
    return {path.parent.name: project.unit(number, path.parent.name) for path in found if not path.parent.is_symlink()}


def test_each_combination_is_run(project: Any) -> None:
    project.main(BODY)
    done = project.start("optimizer.lr=10.,1.", "seed=1,2")
    *lines, returned = done.stdout.splitlines()
    # The last override changes fastest, whatever the order of the file.
    assert lines == [f"lr={lr} seed={seed} RUNNING" for lr in (10.0, 1.0) for seed in (1, 2)]
    assert len(set(json.loads(returned.removeprefix("returned ")))) == 4  # processes
    record = project.record()
    assert (record.status, record.counts["expected"], record.counts["done"]) == ("COMPLETE", 4, 4)
    assert record.command.overrides == ["optimizer.lr=10.,1.", "seed=1,2"]
    found = variants(project)
    assert sorted(found) == [f"seed={seed},lr={lr}" for seed in (1, 2) for lr in (1.0, 10.0)]
    assert found["seed=1,lr=10.0"].params == {"main.config.seed": 1, "main.config.optimizer.lr": 10.0}
    folder = project.root() / "stages/main/seed=2,lr=1.0"
    assert json.loads((folder / "metrics/train.jsonl").read_text())["loss"] == 1.0
    assert (folder / "outputs.log").read_text() == "lr=1.0 seed=2 RUNNING\n"
    assert "seed: 2\n" in (folder / "config.yml").read_text()
    # One of them again, by itself, with the code of the sweep.
    project.write("main.py", (project.folder / "main.py").read_text().replace("lr={ctx", "rate={ctx"))
    import subprocess
    import sys

    program = [sys.executable, "-m", "flambe.cli.umbrella", "run", str(folder / "config.yml")]
    again = subprocess.run(program, cwd=project.folder, capture_output=True, text=True, check=True)
    assert "lr=1.0 seed=2 RUNNING" in again.stderr
    assert project.record(1).code.tree == record.code.tree


def test_a_failure_does_not_stop_the_others(project: Any) -> None:
    project.main(BODY)
    done = project.start("--jobs", "2", "+how=raise,three,kill,end,ok", code=1)
    assert "lr=" not in done.stdout  # lines of two at once would not be told apart
    found = {name.partition("=")[2]: unit for name, unit in variants(project).items()}
    assert {name: unit.status for name, unit in found.items()} == {
        "raise": "FAILED", "three": "FAILED", "kill": "FAILED", "end": "CANCELLED", "ok": "COMPLETE",
    }  # fmt: skip
    assert (found["end"].status_reason, found["end"].attempt) == ("SIGTERM", 1)
    exits = {name: (unit.exit.code, unit.exit.signal) for name, unit in found.items() if unit.exit is not None}
    assert exits == {"raise": (1, None), "three": (3, None), "kill": (137, "SIGKILL"), "end": (143, "SIGTERM")}
    record = project.record()
    assert (record.status, record.exit.code, record.counts["failed"]) == ("FAILED", 1, 4)
    log = (project.root() / "stages/main/how=raise/outputs.log").read_text()
    assert log.startswith("lr=0.001 seed=None RUNNING\nTraceback")
    assert done.stderr.count("ValueError: it broke\n") == 1
    assert "main/how=end: cancelled by SIGTERM\n" in done.stderr
    assert "Stopped" not in done.stderr
    # Readers say so too, and count it among those that are not done.
    (run,) = Reader(project.folder / "logs", index=None)
    assert {unit.variant: unit.status for unit in run.units()}["how=end"] == "CANCELLED"
    assert run.counts()["failed"] == 4
    # Those that failed are tried again by --resume, the others stay as they are.
    pid = found["ok"].result
    project.start("--resume", "exp.0", "+how=raise,three,kill,end,ok", code=1)
    again = {name.partition("=")[2]: unit for name, unit in variants(project).items()}
    assert (again["ok"].result, again["ok"].attempt, again["raise"].attempt) == (pid, 1, 2)


def test_fail_fast(project: Any) -> None:
    project.main(BODY)
    project.start("--fail-fast", "+how=ok,three,slow", code=1)
    assert {name: unit.status for name, unit in variants(project).items()} == {
        "how=ok": "COMPLETE",
        "how=three": "FAILED",
    }
    assert project.record().counts["pruned"] == 1


def test_a_signal_ends_all_of_them(project: Any) -> None:
    project.main(BODY)
    process = project.begin("--jobs", "2", "+how=slow,ok", "seed=1,2")
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        logs = list(project.folder.glob("logs/my_task/exp.0/stages/main/*slow*/outputs.log"))
        if len(logs) == 2 and all("RUNNING" in log.read_text() for log in logs):
            break
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert said.endswith("main.py: interrupted\n")
    record = project.record()
    assert (record.status, record.exit.signal, record.exit.code) == ("CANCELLED", "SIGINT", 130)
    assert "CANCELLED" in {unit.status for unit in variants(project).values()}


def test_what_refers_to_a_search_follows_it(project: Any) -> None:
    project.main("print(ctx.config.warmup, ctx.config.text)", config="lr: 1\nwarmup: '{lr}'\ntext: 'lr is {lr}'\n")
    done = project.start("lr=1,2")
    assert done.stdout == "1 lr is 1\n2 lr is 2\nreturned [None, None]\n"
    spec = json.loads((project.root() / "spec.json").read_text())
    assert spec["stages"][0]["body"]["config"] == {"lr": {"$grid": [1, 2]}, "warmup": "{lr}", "text": "lr is {lr}"}
    project.start("lr=1,2", "__run__.__name__=x-{lr}")
    assert (project.folder / "logs/x-lr/exp.0/stages/main/lr=2/run.json").is_file()


@pytest.mark.parametrize("words", [("seed=1",), ("seed=1,2",)])
def test_what_is_tried_again_goes_on_from_what_it_had_kept(project: Any, words: tuple[str, ...]) -> None:
    project.main(
        """
import flambe
attempt, logger = ctx.info.attempt, ctx.logger
done = logger.load_checkpoint()["done"] if attempt > 1 else 0
logger.log_metrics({"done": done}, log_name="train")
logger.log_checkpoint({"done": done + 1})
flambe.log("seen", attempt, attempt)
print("attempt", attempt, flush=True)
if attempt < 3:
    raise OSError("again")
return done
""",
        config="seed: 0\n",
    )
    assert project.start("__run__.__retries__=2", *words).stdout.splitlines()[-1] in ("returned 2", "returned [2, 2]")
    sweep = "," in words[0]
    for seed in (1, 2) if sweep else (1,):
        variant = f"seed={seed}" if sweep else "0"
        folder = project.root() / "stages/main" / variant
        home = folder if sweep else project.root()
        lines = (home / "metrics/train.jsonl").read_text().splitlines()
        assert [json.loads(line)["done"] for line in lines] == [0, 1, 2]
        seen = (folder / "metrics/main.jsonl").read_text().splitlines()
        assert [json.loads(line)["seen"] for line in seen] == [1, 2, 3]
        # What was wrong with each of them stays in the log.
        said = (home / "outputs.log").read_text()
        assert [said.count(f"attempt {number}\n") for number in (1, 2, 3)] == [1, 1, 1]
        assert said.count("OSError: again\n") == 2
        unit = project.unit(variant=variant)
        assert (unit.status, unit.attempt, unit.resumes, unit.result) == ("COMPLETE", 3, 0, 2)
