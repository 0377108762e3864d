"""One worker in this process: what comes back from a unit, whatever its code does."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from flambe.experiment.pool import Failed, Reported, Task
from flambe.experiment.worker import Worker
from flambe.record.layout import OUTPUTS
from flambe.runnable.secrets import read_secrets
from flambe.runner.unit import Unit


@pytest.fixture
def do(bench, tmp_path, monkeypatch):
    """Give a task to a worker: a climber with the arguments."""
    sys.modules.pop("toys", None)  # of another folder, from a test before
    monkeypatch.syspath_prepend(str(bench.folder))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    worker = Worker()
    made: list[Path] = []

    def do(variant: str = "0", **arguments: object) -> Reported | Failed:
        scratch = tmp_path / f"scratch{len(made)}"
        scratch.mkdir()
        made.append(scratch)
        body = {"$new": "toys:Climber", "source": None, "steps": 1, **arguments}
        unit = Unit(stage="climb", variant=variant, body=body, key="k", seed=1, extensions={"toys": str(bench.toys)})
        return worker.do(Task(unit=unit, attempt=1, scratch=str(scratch)))

    yield do
    sys.modules.pop("toys", None)


def test_sys_exit_is_a_failure_of_the_unit_with_what_it_printed(do):
    event = do(leaves=1)
    assert isinstance(event, Failed)
    assert re.fullmatch(
        r"SystemExit: 3 \(\S*toys\.py:\d+ in run; the whole traceback: stages/climb/0/outputs\.log\)", event.error
    )
    assert event.retry
    log = event.streams[OUTPUTS].decode()
    assert "the last words" in log
    assert "sys.exit(3)" in log
    # The worker itself goes on.
    assert isinstance(do("1"), Reported)


def test_what_the_next_attempt_would_raise_again_is_not_tried_again(do):
    event = do(rate="fast")
    assert isinstance(event, Failed)
    assert event.error.startswith("TypeError: ")
    assert not event.retry


def test_seconds_are_those_of_the_whole_task(do):
    event = do(slow=0.2)
    assert event.report.seconds < 0.1
    assert 0.2 < event.seconds < 2


def test_the_imports_of_a_new_process_are_not_time_of_its_first_unit(do, bench):
    bench.toys.write_text(f"{bench.toys.read_text()}\ntime.sleep(0.6)\n")
    event = do()
    assert isinstance(event, Reported)
    assert event.seconds < 0.6


def test_secrets_are_in_no_error(do, tmp_path, monkeypatch):
    monkeypatch.setattr("flambe.runnable.secrets._values", set())
    file = tmp_path / "secrets.ini"
    file.write_text("[a]\ntoken = toys-and-more\n")
    read_secrets(file)
    event = do(dies=1, mark="/toys-and-more/mark")
    assert isinstance(event, Failed)
    assert event.error.startswith("FileNotFoundError: [Errno 2] No such file or directory: '/[secret]/mark' (")
    assert "toys-and-more" not in event.trace + event.streams[OUTPUTS].decode()
