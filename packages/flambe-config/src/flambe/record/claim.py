"""Whose folder: the next free number of a name, or the unfinished run that goes on."""

from __future__ import annotations

from pathlib import Path

from flambe.errors import ConfigError
from flambe.record import run
from flambe.record.layout import RUN, RunPaths

CONTINUABLE = frozenset({run.CREATED, run.QUEUED, run.RUNNING, run.PAUSED, run.CANCELLED})


def claim(home: Path) -> RunPaths:
    """Take the next free number below ``home``: ``mkdir`` says whose it is."""
    index = max((_index(path) for path in home.glob("exp.*")), default=-1) + 1
    while True:
        try:
            (home / f"exp.{index}").mkdir()
        except FileExistsError:
            index += 1
        else:
            return RunPaths(home / f"exp.{index}")


def unfinished(home: Path, digest: str) -> Path | None:
    """Return the newest run of an equal spec when it can be continued: it has not ended, and nobody is writing it."""
    for folder in sorted(home.glob("exp.*"), key=_index, reverse=True):
        try:
            record = run.read_record(folder / RUN, run.RunRecord)
        except (FileNotFoundError, ConfigError):
            continue
        if record.spec_digest == digest:
            # Only the newest equal run counts: an older one was given up when the newer one began.
            return folder if record.status in CONTINUABLE and not run.is_alive(record) else None
    return None


def _index(folder: Path) -> int:
    number = folder.name.partition(".")[2]
    return int(number) if number.isdigit() else -1
