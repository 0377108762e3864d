"""What a folder of runs holds and nobody needs any more, and why the rest is kept.

Taken away are: scratch of runs that nobody writes any more, states of the steps of finished variants in complete runs, and what a kill
has left of a file that was being replaced. Results stay: what a run has taken over from another is a hard link or a copy of
its own, so neither needs the other's folder. A run that is being written is not touched.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from flambe.errors import FlambeError
from flambe.reading.foreign.foreign_run import ForeignRun
from flambe.reading.inside import folders
from flambe.reading.recorded import RecordedRun
from flambe.record import layout
from flambe.record.run import COMPLETE, PRUNED, RUNNING

LEFT_AFTER_S = 3600.0
"""For how long what nobody seems to need may be somebody's who is just beginning."""
_ASIDE = ".deleted."


class Finding(NamedTuple):
    """A part of a run. bytes: its size on disk, files of several names counted once; shared: those of it that other runs link too."""

    run: Path
    path: Path
    what: str
    bytes: int
    shared: int
    remove: bool
    why: str

    def row(self, *, done: bool) -> dict[str, Any]:
        action = ("removed" if done else "remove") if self.remove else "keep"
        return {
            "run": str(self.run), "path": str(self.path.relative_to(self.run)), "what": self.what, "bytes": self.bytes,
            "shared": self.shared, "action": action, "why": self.why,
        }  # fmt: skip


def findings(run: RecordedRun) -> Iterator[Finding]:
    """Yield the parts of a run: everything in it once."""
    if isinstance(run, ForeignRun):
        yield _finding(run, run.path, "run", False, "made by another tool")
        return
    live, complete = run.status == RUNNING, run.status == COMPLETE
    ended = {unit.path: unit.status for unit in run.units() if unit.path is not None}
    for entry in _entries(run.path):
        path = Path(entry.path)
        if live:
            yield _finding(run, path, "run", False, "it is running")
        elif entry.name == layout.SCRATCH:
            yield _finding(run, path, "scratch", True, f"it is {run.status}: nobody works in it any more")
        elif _is_torn(entry):
            yield _finding(run, path, "torn", True, "left by a kill while a file was being replaced")
        elif entry.name == layout.STAGES and entry.is_dir(follow_symlinks=False):
            for stage in folders(path):
                for variant in folders(path / stage):
                    yield from _of_unit(run, path / stage / variant, ended.get(path / stage / variant), complete)
        else:
            yield _finding(run, path, "record", False, "what was run, and how it went")


def _of_unit(run: RecordedRun, folder: Path, status: str | None, complete: bool) -> Iterator[Finding]:
    for entry in _entries(folder):
        path = Path(entry.path)
        if _is_torn(entry):
            yield _finding(run, path, "torn", True, "left by a kill while a file was being replaced")
        elif entry.name == layout.STEPS:
            if complete and status in (COMPLETE, PRUNED):
                yield _finding(run, path, "steps", True, f"the variant is {status}, and its run complete")
            else:
                yield _finding(run, path, "steps", False, f"the run is {run.status}: it may go on from here")
        elif entry.name in (layout.CHECKPOINT, layout.EXPORTS, layout.EXPORT_TENSORS):
            yield _finding(run, path, "result", False, "the result: the same command takes it from here")
        else:
            yield _finding(run, path, "record", False, "what was logged and written")


def collect(run: RecordedRun, *, dry_run: bool) -> list[Finding]:
    """Take away what can go of a run, and return everything that was found."""
    if dry_run or isinstance(run, ForeignRun):
        return list(findings(run))
    with writing(run) as free:
        found = list(findings(run))
        if not free:
            return [one._replace(remove=False, why="another process writes it") if one.remove else one for one in found]
        for one in found:
            if one.remove:
                delete(one.path)
    return found


def remove(run: RecordedRun, *, dry_run: bool) -> int:
    """Delete a whole run and return its bytes. Raises FlambeError while it is being written, and when it cannot be deleted."""
    size = sum(size_of(Path(entry.path))[0] for entry in _entries(run.path))
    if not isinstance(run, ForeignRun):
        with writing(run) as free:
            if not free or run.status == RUNNING:
                raise FlambeError(f"{run.path} is running", hint="Stop it first; nothing was deleted.")
    if not dry_run:
        delete(run.path)
    return size


@contextlib.contextmanager
def writing(run: RecordedRun) -> Iterator[bool]:
    """Hold the lock of whoever writes a run, so that nobody begins to; gives whether it was free."""
    try:
        descriptor = os.open(run.paths.ledger, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        yield True
        return
    except OSError as error:
        raise FlambeError(f"{run.paths.ledger} cannot be opened: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(descriptor)


def _half_deleted(folder: Path) -> list[Path]:
    """Return what a kill, or a broken disk, has left below ``folder`` of whole runs that were being deleted."""
    found: list[Path] = []
    todo = [] if (folder / layout.RUN).exists() else [folder]
    while todo:
        for entry in _entries(todo.pop()):
            path = Path(entry.path)
            if not entry.is_dir(follow_symlinks=False):
                continue
            if entry.name.startswith(_ASIDE):
                found.append(path)
            elif not entry.name.startswith(".") and not (path / layout.RUN).exists():
                todo.append(path)
    return sorted(found)


def collect_half_deleted(folder: Path, *, dry_run: bool) -> list[Finding]:
    """Delete what a kill has left of whole runs below ``folder``, and return it."""
    left = _half_deleted(folder)
    why = "the rest of a run that was deleted"
    found = [Finding(path.parent, path, "torn", *size_of(path), True, why) for path in left]
    for path in () if dry_run else left:
        delete(path)
    return found


def delete(path: Path) -> None:
    """Delete a file or folder. A folder goes away at once, under another name, and then from the disk: a kill leaves no half run."""
    try:
        if path.is_dir() and not path.is_symlink():
            aside = path
            if not path.name.startswith(_ASIDE):
                aside = path.with_name(f"{_ASIDE}{path.name}.{os.getpid()}")
                os.rename(path, aside)
            shutil.rmtree(aside)
        else:
            path.unlink()
    except OSError as error:
        raise FlambeError(f"{error.filename or path} cannot be deleted: {error.strerror}") from error


def _is_torn(entry: os.DirEntry[str]) -> bool:
    if entry.name.startswith(_ASIDE):
        return True
    if not entry.name.startswith(".") or not entry.is_file(follow_symlinks=False):
        return False
    known = (layout.RUN, layout.SPEC, layout.LEDGER, layout.EXPORTS, layout.OUTPUTS)
    ours = any(entry.name.startswith(f".{name}.") for name in known)
    return ours and time.time() - entry.stat(follow_symlinks=False).st_mtime > LEFT_AFTER_S


def _finding(run: RecordedRun, path: Path, what: str, remove: bool, why: str) -> Finding:
    size, shared = size_of(path)
    return Finding(run.path, path, what, size, shared, remove, why)


def size_of(path: Path) -> tuple[int, int]:
    """Return the bytes of a file or all files below a folder, and how many of them have another name elsewhere."""
    seen: set[int] = set()
    size = shared = 0
    todo = [path]
    while todo:
        place = todo.pop()
        try:
            stat = place.lstat()
            if not place.is_symlink() and place.is_dir():
                todo += [Path(entry.path) for entry in _entries(place)]
            elif stat.st_ino not in seen:
                seen.add(stat.st_ino)
                size += stat.st_size
                shared += stat.st_size if stat.st_nlink > 1 else 0
        except OSError:
            continue  # gone meanwhile
    return size, shared


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return []


__all__ = [
    "LEFT_AFTER_S",
    "Finding",
    "collect",
    "collect_half_deleted",
    "delete",
    "findings",
    "remove",
    "size_of",
    "writing",
]
