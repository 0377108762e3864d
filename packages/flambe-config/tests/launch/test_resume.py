"""Going on in the folder of a run, and claiming one."""

from __future__ import annotations

import json
import time
from typing import Any

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
    assert "--allow-change" in project.start("--resume", "exp.0", code=3).stderr
    assert project.record().spec_digest == digest
    project.start("--resume", "exp.0", "--allow-change", "seed=6")
    root = project.root()
    assert "seed: 5\n" in (root / "config.yml").read_text()
    assert "seed: 6\n" in (root / "config.1.yml").read_text()
    assert "seed: 6\n" in (root / "raw_config.1.yml").read_text()
    assert json.loads((root / "spec.1.json").read_text())["stages"][0]["body"]["config"]["seed"] == 6
    assert project.record().spec_digest != digest


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
