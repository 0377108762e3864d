"""What the orchestrator says of a job whose processes have ended."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path

from flambe.cluster.agent.jobs import job_state


def test_a_job_is_not_lost_while_its_end_may_still_be_written_down(tmp_path: Path) -> None:
    def state() -> str:
        return (job_state(str(tmp_path)) or {})["state"]

    record = {
        "job": "walks",
        "name": "walks",
        "argv": [],
        "results": str(tmp_path),
        "mark": "none has it",
        "submitted": 1.0,
    }
    (tmp_path / "job.json").write_text(json.dumps(record))
    (tmp_path / "process.json").write_text('{"pid": null, "boot": null}')
    assert state() == "LOST"
    with (tmp_path / "supervisor.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert state() == "RUNNING"
        (tmp_path / "exit.json").write_text('{"code": 3, "ended": 2.0}')
        assert state() == "FAILED"
    assert state() == "FAILED"
