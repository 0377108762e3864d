"""Whose folder: the next free number of a name, or the unfinished run that goes on."""

from __future__ import annotations

from pathlib import Path

from flambe.errors import ConfigError
from flambe.record import run
from flambe.record.layout import DEBUG, LEDGER, RUN, RunPaths
from flambe.record.ledger import spec_left_open
from flambe.record.snapshot import Snapshot
from flambe.spec.codec import FlambeVersionError
from flambe.spec.nodes import Spec, is_concrete

CONTINUABLE = frozenset({run.CREATED, run.QUEUED, run.RUNNING, run.PAUSED, run.CANCELLED})


def home_of(spec: Spec) -> Path:
    """Return the folder of the runs of a spec: ``{output_dir}/{name}``, of functions in debug mode ``{output_dir}/DEBUG/{name}``."""
    folder = Path(spec.output_dir).expanduser().absolute()
    return folder / DEBUG / spec.name if spec.kind == "function" and spec.debug else folder / spec.name


def can_go_on(found: Path, spec: Spec, snapshot: Snapshot | None) -> bool:
    """Whether an unfinished run of a function is gone on with: only its variants can be done in part, and only by equal code.

    A function that runs alone has no state to go on from, and begins anew in the next folder.
    """
    code = run.read_record(found / RUN, run.RunRecord).code
    return not is_concrete(spec) and code is not None and code.tree == (None if snapshot is None else snapshot.tree)


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
        except FlambeVersionError:
            continue
        except (FileNotFoundError, ConfigError):
            # Torn with the power; the ledger was synced. Its lock tells whether somebody is writing.
            if spec_left_open(folder / LEDGER) == digest:
                return folder
            continue
        if record.spec_digest == digest:
            # Only the newest equal run counts: an older one was given up when the newer one began.
            return folder if record.status in CONTINUABLE and not run.is_alive(record) else None
    return None


def _index(folder: Path) -> int:
    number = folder.name.partition(".")[2]
    return int(number) if number.isdigit() else -1
