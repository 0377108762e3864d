"""Whose folder: the next free number of a name, or the unfinished run that goes on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from flambe.errors import ConfigError, ProvenanceError, UsageError
from flambe.record import run
from flambe.record.layout import DEBUG, LEDGER, RUN, RunPaths
from flambe.record.ledger import Event, read_events, spec_left_open
from flambe.spec.codec import FlambeVersionError
from flambe.spec.digest import spec_digest
from flambe.spec.nodes import Spec, is_concrete

if TYPE_CHECKING:
    from flambe.record.code_copy import CodeCopy

CONTINUABLE = frozenset({run.CREATED, run.QUEUED, run.RUNNING, run.PAUSED, run.CANCELLED})


class Wish(NamedTuple):
    """Which folder somebody wants a run to be written to. number: exactly ``exp.{number}``, which must not be there. resume: a run
    that is gone on with. allow_change: also with another spec than its own.
    """

    number: int | None = None
    resume: Path | None = None
    allow_change: bool = False


NEXT = Wish()
"""The next free number, or the unfinished run that goes on."""


def resumed(folder: Path, spec: Spec, *, allow_change: bool) -> RunPaths:
    """Return the paths of a run that is to go on with ``spec``.

    Raises ConfigError when there is no run, ProvenanceError when it is being written, or was of another config that nobody allowed.
    """
    try:
        record = run.read_record(folder / RUN, run.RunRecord)
    except FileNotFoundError:
        raise UsageError(f"there is no run in {folder}", expected="a folder with run.json") from None
    except ConfigError:
        # Torn with the power. The ledger was synced, and has what matters of it.
        opened = _opened(folder / LEDGER)
        if opened is None:
            raise
        record = run.RunRecord(id="", kind=spec.kind, name=spec.name, index=_index(folder), spec_digest=opened["spec"])
    if run.is_alive(record):
        raise ProvenanceError(
            f"{folder} is running (process {record.host.pid if record.host else '?'})",
            hint="Wait for it, or stop it first.",
        )
    if record.spec_digest != spec_digest(spec) and not allow_change:
        given = " ".join(record.command.overrides)
        again = f"Give its overrides again ({given}), or" if given else "Give"
        raise ProvenanceError(
            f"the config is not that of {folder}",
            hint=f"{again} --allow-change to go on with this one. See flambe diff {folder} FILE.",
        )
    return RunPaths(folder)


def code_opened(events: Iterable[Event]) -> run.Code | None:
    """Return the code that the last process of a run executed, as its ledger has it."""
    found = [event["code"] for event in events if event["event"] == "open" and "code" in event]
    return msgspec.convert(found[-1], run.Code) if found else None


def _opened(ledger: Path) -> Event | None:
    try:
        opened = [event for event in read_events(ledger) if event["event"] == "open"]
    except (OSError, ConfigError):
        return None
    return opened[-1] if opened else None


def home_of(spec: Spec) -> Path:
    """Return the folder of the runs of a spec: ``{output_dir}/{name}``, of functions in debug mode ``{output_dir}/DEBUG/{name}``."""
    folder = Path(spec.output_dir).expanduser().absolute()
    return folder / DEBUG / spec.name if spec.kind == "function" and spec.debug else folder / spec.name


def can_go_on(found: Path, spec: Spec, copy: CodeCopy | None) -> bool:
    """Whether an unfinished run of a function is gone on with: only its variants can be done in part, and only by equal code.

    A function that runs alone has no state to go on from, and begins anew in the next folder.
    """
    try:
        code = run.read_record(found / RUN, run.RunRecord).code
    except (FileNotFoundError, ConfigError):
        return False  # torn with the power: nobody knows what code it ran
    return not is_concrete(spec) and code is not None and code.tree == (None if copy is None else copy.tree)


def claim(home: Path, number: int | None = None) -> RunPaths:
    """Take the next free number below ``home``, or the one that is asked for: ``mkdir`` says whose it is.

    Raises UsageError when the number that is asked for is taken.
    """
    if number is not None:
        try:
            (home / f"exp.{number}").mkdir()
        except FileExistsError:
            hint = f"Go on with it by --resume {home / f'exp.{number}'}, or leave --exp out for the next free number."
            raise UsageError(f"there is an exp.{number} in {home}", hint=hint) from None
        return RunPaths(home / f"exp.{number}")
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


def going_on(home: Path, digest: str) -> run.RunRecord | None:
    """Return the newest run of an equal spec if a process is working on it now."""
    for folder in sorted(home.glob("exp.*"), key=_index, reverse=True):
        with contextlib.suppress(FileNotFoundError, ConfigError, FlambeVersionError):
            record = run.read_record(folder / RUN, run.RunRecord)
            if record.spec_digest == digest and run.is_alive(record):
                return record
    return None


def _index(folder: Path) -> int:
    number = folder.name.partition(".")[2]
    return int(number) if number.isdigit() else -1
