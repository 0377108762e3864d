"""Going on in the folder of a run, and claiming one."""

from __future__ import annotations

import json
import signal
import time
from typing import Any

import pytest

from flambe import Logger, Reader

BODY = """
import time
try:
    epoch = ctx.logger.load_checkpoint()["epoch"]
except Exception:
    epoch = 0
ctx.logger.log_metrics({"epoch": epoch}, log_name="train")
ctx.logger.log_checkpoint({"epoch": epoch + 1})
print("epoch", epoch, flush=True)
if ctx.config.get("how") == "slow":
    time.sleep(60)
return epoch
"""


def test_a_run_goes_on_in_its_folder(project: Any) -> None:
    project.main(BODY)
    project.start("seed=5")
    first = project.record()
    # By its path, its number, its id, the beginning of that.
    for number, name in enumerate((str(project.root()), "exp.0", first.id, first.id[:12].lower()), 1):
        assert project.start("--resume", name, "seed=5").stdout == f"epoch {number}\nreturned {number}\n"
    record = project.record()
    assert (record.id, record.resumes, record.flambe_record) == (first.id, 4, "1.1")
    assert record.time.created == first.time.created < record.time.started
    lines = (project.root() / "metrics/train.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [0, 1, 2, 3, 4]
    events = [json.loads(line)["event"] for line in (project.root() / "ledger.jsonl").read_text().splitlines()]
    assert events.count("open") == events.count("close") == 5
    assert (project.root() / "outputs.log").read_text().count("epoch ") == 5


def test_a_changed_config_is_refused_unless_allowed(project: Any) -> None:
    project.main(BODY)
    project.start("seed=5")
    digest = project.record().spec_digest
    said = project.start("--resume", "exp.0", "seed=6", code=3).stderr
    assert "the config is not that of" in said
    assert "Give its overrides again (seed=5), or --allow-change" in said
    assert project.record().spec_digest == digest
    project.start("--resume", "exp.0", "--allow-change", "seed=6")
    root = project.root()
    assert "seed: 5\n" in (root / "config.yml").read_text()
    assert "seed: 6\n" in (root / "config.1.yml").read_text()
    assert "seed: 6\n" in (root / "raw_config.1.yml").read_text()
    assert json.loads((root / "spec.1.json").read_text())["stages"][0]["body"]["config"]["seed"] == 6
    assert project.record().spec_digest != digest
    # Readers show what it went on with, and so it goes on from there.
    (run,) = Reader(project.folder / "logs", index=None)
    assert run.spec.stages[0].body["config"]["seed"] == 6
    assert "exp.0 goes on with its own overrides: seed=6\n" in project.start("--resume", "exp.0").stderr


def test_nothing_said_is_what_was_said_before(project: Any) -> None:
    project.main(BODY, config="seed: null\nlr: !required\n")
    project.start("lr=5", "__run__.__name__=other", "+how=quick")
    done = project.start("--resume", "exp.0")
    assert "exp.0 goes on with its own overrides: lr=5 __run__.__name__=other +how=quick\n" in done.stderr
    assert "exp.0 is COMPLETE; its function is called once more, and goes on from there\n" in done.stderr
    assert done.stdout == "epoch 1\nreturned 1\n"


SWEEP = """
import os, time, numpy, flambe
from flambe.logging import log_histogram
seed, resumes = ctx.config.seed, ctx.info.resumes
done = ctx.logger.load_checkpoint()["done"] if resumes else 0
ctx.logger.log_metrics({"done": done}, log_name="train")
ctx.logger.log_checkpoint({"done": done + 1})
log_histogram("seeds", numpy.full(3, seed), 1)
print(f"seed {seed} resumes {resumes}", flush=True)
while seed != 1 and not os.path.exists("go"):
    time.sleep(0.02)
return done + 1
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_the_variants_of_a_sweep_that_was_ended_go_on(project: Any, number: signal.Signals) -> None:
    project.main(SWEEP)
    process = project.begin("--jobs", "2", "seed=1,2,3,4")
    folders = {seed: project.root() / f"stages/main/seed={seed}" for seed in (1, 2, 3, 4)}
    until = time.monotonic() + 30
    while time.monotonic() < until:
        logs = [folders[seed] / "outputs.log" for seed in (1, 2, 3)]
        if all(log.exists() and log.read_text().endswith("resumes 0\n") for log in logs):
            break
        time.sleep(0.02)
    process.send_signal(number)
    process.communicate(timeout=30)
    project.write("go", "")
    done = project.start("--jobs", "2", "--resume", "exp.0")
    assert done.stdout == "returned [1, 2, 2, 1]\n"
    for seed, folder in folders.items():
        often = 2 if seed in (2, 3) else 1
        unit = project.unit(variant=folder.name)
        assert (unit.status, unit.attempt, unit.resumes) == ("COMPLETE", often, often - 1)
        assert (folder / "outputs.log").read_text() == "".join(f"seed {seed} resumes {n}\n" for n in range(often))
        lines = (folder / "metrics/train.jsonl").read_text().splitlines()
        assert [json.loads(line)["done"] for line in lines] == list(range(often))
        # What a run logs and what its own logger writes lie beside each other.
        logger = Logger(folder)
        assert logger.load_checkpoint() == {"done": often}
        assert {"checkpoint", "histogram"} <= {entry.type for entry in logger.artifacts()}
    assert "exp.0 is COMPLETE; nothing is left to run\n" in project.start("--resume", "exp.0").stderr


def test_the_code_of_a_run_stays_its_code(project: Any) -> None:
    project.main("print('first')")
    project.start()
    project.main("print('second')")
    assert project.start("--resume", "exp.0").stdout == "first\nreturned None\n"
    assert project.start().stdout == "second\nreturned None\n"


def test_a_run_that_is_running_is_refused(project: Any) -> None:
    project.main(BODY)
    process = project.begin("+how=slow")
    log = project.root() / "outputs.log"
    until = time.monotonic() + 30
    while not (log.exists() and "epoch" in log.read_text()) and time.monotonic() < until:
        time.sleep(0.02)
    said = project.start("--resume", "exp.0", "+how=slow", code=3).stderr
    assert f"is running (process {process.pid}). Wait for it, or stop it first." in said
    process.terminate()
    process.communicate(timeout=30)
    assert project.record().status == "CANCELLED"


def test_numbers(project: Any) -> None:
    project.main("return ctx.logger.log_id")
    assert project.start("--exp", "7").stdout == "returned 7\n"
    said = project.start("--exp", "7", code=2).stderr
    assert said.startswith(
        f"main.py: error: there is an exp.7 in {project.folder}/logs/my_task. Go on with it by --resume "
    )
    assert project.start().stdout == "returned 8\n"
    # mlxpy had one option for both.
    assert project.start("+mlxpy.logger.forced_log_id=7").stdout == "returned 7\n"
    assert project.start("+mlxpy.logger.forced_log_id=2").stdout == "returned 2\n"
    assert (project.record(7).resumes, project.record(2).resumes) == (1, 0)
    assert project.start("--output-dir", "elsewhere").stdout == "returned 0\n"
    assert (project.folder / "elsewhere/my_task/exp.0/run.json").is_file()
    # exp.7 is that of this function, if others have one too; elsewhere it has to be the only one.
    project.start("--exp", "7", "__run__.__name__=other")
    assert project.start("--resume", "exp.7").stdout == "returned 7\n"
    said = project.start("--resume", "exp.7", "__run__.__name__=third", code=2).stderr
    assert "2 runs are called 'exp.7': " in said
