"""Runs one job and writes down how it ended. A process of its own, which holds no connection.

Job: ``job.json`` (argv), ``environment.json``. Written: ``process.json`` (pid, boot), ``stdout.jsonl``, ``output.log``, and
at the end ``exit.json`` (code, ended). While it lives it holds the lock of ``supervisor.lock``: the last word may be to come.
The file is copied into the job's folder, so it imports nothing of ours.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from typing import Any


def load(folder: str, name: str) -> Any:
    """Return what a JSON file of the job holds."""
    with open(os.path.join(folder, name), encoding="utf-8") as stream:
        return json.load(stream)


def store(folder: str, name: str, value: Any) -> None:
    """Replace a JSON file of the job."""
    aside = os.path.join(folder, f".{name}.{os.getpid()}")
    with open(aside, "w", encoding="utf-8") as stream:
        json.dump(value, stream)
    os.replace(aside, os.path.join(folder, name))


def boot() -> str:
    """Return what tells this boot of the machine from others."""
    with open("/proc/sys/kernel/random/boot_id") as stream:
        return stream.read().strip()


def supervise(folder: str) -> None:
    """Run the job in ``folder`` and write down how it ended."""
    record = load(folder, "job.json")
    environment = load(folder, "environment.json")
    with open(os.path.join(folder, "stdout.jsonl"), "ab") as out, open(os.path.join(folder, "output.log"), "ab") as log:
        try:
            process = subprocess.Popen(
                record["argv"],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                cwd=folder,
                start_new_session=True,
                env={**os.environ, **environment},
            )
        except OSError as error:
            log.write(("{}: {}\n".format(record["argv"][0], error.strerror)).encode())
            store(folder, "process.json", {"pid": 0, "boot": boot()})
            store(folder, "exit.json", {"code": 127, "ended": time.time()})
            return
        store(folder, "process.json", {"pid": process.pid, "boot": boot()})
        code = process.wait()
    store(folder, "exit.json", {"code": code if code >= 0 else 128 - code, "ended": time.time()})


if __name__ == "__main__":
    with open(os.path.join(sys.argv[1], "supervisor.lock"), "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        supervise(sys.argv[1])
