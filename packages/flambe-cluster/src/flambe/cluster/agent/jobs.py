"""Jobs on the orchestrator: started, looked at, listened to, ended."""

from __future__ import annotations

import codecs
import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time

from . import SOURCES
from .answers import answer
from .files import Refusal, Result, read_json, resolve, write_file, write_json
from .processes import POLL_S, members, stop
from .ray_node import ray_environment


def job_folder(workdir: str, job: str) -> str:
    """Return the folder of a job."""
    if not job or "/" in job or job.startswith("."):
        raise Refusal(f"{job!r} is no name of a job")
    return os.path.join(resolve(workdir), "jobs", job)


def job_state(folder: str) -> Result | None:
    """Return the record of a job with its state: RUNNING, COMPLETE, FAILED, CANCELLED or LOST."""
    record = read_json(os.path.join(folder, "job.json"))
    if record is None:
        return None
    process = read_json(os.path.join(folder, "process.json"))
    # In this order: when nothing lives any more, the last word has been written.
    live = bool(job_members(record, process)) or _is_supervised(folder)
    ended = read_json(os.path.join(folder, "exit.json"))
    if ended is not None:
        cancelled = os.path.exists(os.path.join(folder, "cancelled"))
        state = "COMPLETE" if ended["code"] == 0 else "CANCELLED" if cancelled else "FAILED"
    else:
        state = "RUNNING" if live else "LOST"
    return {
        "job": record["job"],
        "name": record["name"],
        "state": state,
        "code": ended["code"] if ended else None,
        "submitted": record["submitted"],
        "ended": ended["ended"] if ended else None,
        "run": job_run(folder, record, process),
        "folder": folder,
    }


def _is_supervised(folder: str) -> bool:
    """Whether somebody is still there to write down how a job ends: its own processes end a moment before."""
    try:
        with open(os.path.join(folder, "supervisor.lock")) as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def job_members(record: Result, process: Result | None) -> set[int]:
    """Return the pids of a job."""
    its = process or {"pid": None, "boot": None}
    return members("FLAMBE_JOB=" + record["mark"], its["pid"], its["boot"])


def job_run(folder: str, record: Result, process: Result | None) -> str | None:
    """Return the run directory that a job writes: the one whose process it is, or the one it named at its end."""
    parent = os.path.join(record["results"], record["name"])
    if process is not None and os.path.isdir(parent):
        for entry in sorted(os.listdir(parent), reverse=True):
            run = read_json(os.path.join(parent, entry, "run.json"))
            host = (run and run.get("host")) or {}
            if host.get("pid") == process["pid"] and host.get("boot") in (process["boot"], "", None):
                return os.path.join(parent, entry)
    found = None
    with contextlib.suppress(OSError), open(os.path.join(folder, "stdout.jsonl"), encoding="utf-8") as stream:
        for line in stream:
            with contextlib.suppress(ValueError, AttributeError):
                found = json.loads(line).get("run") or found
    return found


def jobs(workdir: str) -> Result:
    """Return the state of every job, the oldest first."""
    parent = os.path.join(resolve(workdir), "jobs")
    states = [job_state(os.path.join(parent, name)) for name in (os.listdir(parent) if os.path.isdir(parent) else [])]
    return {"jobs": sorted((state for state in states if state), key=lambda state: (state["submitted"], state["job"]))}


def job_start(
    workdir: str,
    job: str,
    name: str,
    argv: list[str],
    environment: dict[str, str],
    results: str,
    force: bool,
) -> Result:
    """Start a job that outlives this connection. One job at a time, unless ``force`` ends the others."""
    folder = job_folder(workdir, job)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(os.path.dirname(folder), ".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        running = [state["job"] for state in jobs(workdir)["jobs"] if state["state"] == "RUNNING"]
        if running and not force:
            raise Refusal("busy:" + ",".join(running))
        for other in running:
            job_stop(workdir, other)
        mark = f"{folder}:{os.getpid()}"
        record = {"job": job, "name": name, "argv": argv, "results": results, "mark": mark, "submitted": time.time()}
        os.makedirs(results, exist_ok=True)
        write_json(
            os.path.join(folder, "environment.json"),
            {**environment, **ray_environment(resolve(workdir)), "FLAMBE_JOB": mark},
        )
        write_file(os.path.join(folder, "supervisor.py"), SOURCES["supervisor"], 0o644)
        write_json(os.path.join(folder, "job.json"), record)
        with open(os.path.join(folder, "supervisor.log"), "ab") as log:
            subprocess.Popen(
                [sys.executable, os.path.join(folder, "supervisor.py"), folder],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=folder,
            )
        deadline = time.monotonic() + 10
        while not os.path.exists(os.path.join(folder, "process.json")) and time.monotonic() < deadline:
            time.sleep(0.02)
        if not os.path.exists(os.path.join(folder, "process.json")):
            raise Refusal("the job did not start; see {}".format(os.path.join(folder, "supervisor.log")))
    return {"folder": folder, "stopped": running}


def job_stop(workdir: str, job: str) -> Result:
    """End a job: it may close its records first."""
    folder = job_folder(workdir, job)
    record = read_json(os.path.join(folder, "job.json"))
    if record is None:
        raise Refusal(f"there is no job {job}")
    process = read_json(os.path.join(folder, "process.json"))
    if job_members(record, process) and not os.path.exists(os.path.join(folder, "exit.json")):
        write_file(os.path.join(folder, "cancelled"), "")
    # The main process alone first, so that it can end its children in order.
    if process and process["pid"] in job_members(record, process):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process["pid"], signal.SIGTERM)
        deadline = time.monotonic() + 10
        while job_members(record, process) and time.monotonic() < deadline:
            time.sleep(POLL_S)
    count = stop(lambda: job_members(record, process))
    deadline = time.monotonic() + 10
    while not os.path.exists(os.path.join(folder, "exit.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    return {"stopped": count, "state": (job_state(folder) or {})["state"]}


def job_tail(workdir: str, job: str, offsets: dict[str, int], follow: bool) -> Result:
    """Send what a job has written since ``offsets``, as JSON lines; with ``follow`` until it ends.

    ``{"stream": "stdout" | "log", "offset": bytes read so far, "text": …}``, at the end ``{"state": …, "code": …}``. An
    empty line every few seconds makes an abandoned tail end.
    """
    folder = job_folder(workdir, job)
    if job_state(folder) is None:
        raise Refusal(f"there is no job {job}")
    files = {"stdout": "stdout.jsonl", "log": "output.log"}
    decoders = {name: codecs.getincrementaldecoder("utf-8")("replace") for name in files}
    beat = time.monotonic()
    while True:
        state = job_state(folder) or {}  # before the read: what was written before the end is always sent
        for name, file in files.items():
            with contextlib.suppress(FileNotFoundError), open(os.path.join(folder, file), "rb") as stream:
                stream.seek(offsets[name])
                while True:
                    data = stream.read(1 << 16)
                    if not data:
                        break
                    offsets[name] += len(data)
                    answer({"stream": name, "offset": offsets[name], "text": decoders[name].decode(data)})
        if state["state"] != "RUNNING" or not follow:
            return {"state": state["state"], "code": state["code"], "run": state["run"]}
        if time.monotonic() - beat > 5:
            answer(None)
            beat = time.monotonic()
        time.sleep(POLL_S)
