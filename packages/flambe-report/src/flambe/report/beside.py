"""What lies beside runs and is of several: the code that they share (``{output_dir}/.code``), and lists of those that have ended."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from flambe.errors import ConfigError
from flambe.reading.foreign.foreign_run import ForeignRun
from flambe.reading.recorded import RecordedRun
from flambe.record.code_copy import folder_to_run
from flambe.record.git_tree import shared_tree
from flambe.record.layout import FINISHED, RUN, TREE_LIST, TREES
from flambe.report.garbage import LEFT_AFTER_S, Finding, delete, size_of


def collect_beside(folder: Path, runs: Iterable[RecordedRun], *, whole: bool, dry_run: bool) -> list[Finding]:
    """Take away what lies below ``folder`` and no run needs any more, and return all that is of several. runs: all there are below it.

    whole: all of them could be read; else nothing is taken away. Nor is code that was used within the last hour: a run may begin
    with it.
    """
    users: Counter[str] = Counter()
    for run in runs:
        try:
            users.update({_real(run.path.parent), *_tree_of(run)})
        except (ConfigError, ValueError):  # it cannot be read, or its path is none
            whole = False
    found = []
    for place in _shared(folder):
        is_list = place.name == FINISHED
        tree = place.with_name(place.name.removesuffix(TREE_LIST))
        count = users[_real(place.parent if is_list else tree)]
        what, home = ("list", place.parent) if is_list else ("code", place.parent.parent)
        remove = False
        if count:
            why = f"{'tells tables' if is_list else 'the code'} of {count} run{'s' if count > 1 else ''}"
        elif not whole:
            why = "it may be of a run that cannot be read"
        elif not is_list and time.time() - _last_use(place, tree) < LEFT_AFTER_S:
            why = "no run has it, but one may be about to begin"
        else:
            remove, why = True, "no run has it any more"
        found.append(Finding(home, place, what, *size_of(place), remove, why))
    for one in found:
        if one.remove and not dry_run:
            delete(one.path)
    return found


def _tree_of(run: RecordedRun) -> list[str]:
    code = None if isinstance(run, ForeignRun) else run.record.code
    folder = None if code is None else folder_to_run(run.path, code)
    shared = None if folder is None else shared_tree(folder)
    return [] if shared is None else [_real(shared.root)]


def _real(place: Path) -> str:
    return os.path.realpath(place)


def _shared(folder: Path) -> Iterator[Path]:
    """Yield what is of several runs below ``folder``, without going down into runs."""
    todo = [folder.absolute()]
    while todo:
        place = todo.pop()
        if (place / RUN).exists():
            continue
        try:
            entries = sorted(os.scandir(place), key=lambda entry: entry.name)
            folders = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
            if TREES in folders:
                yield from sorted(place / TREES / name for name in os.listdir(place / TREES))
        except OSError:
            continue  # gone, or not ours to read
        yield from (place / entry.name for entry in entries if entry.name == FINISHED)
        todo += [place / name for name in folders if not name.startswith(".")]


def _last_use(place: Path, tree: Path) -> float:
    """Return when a tree was last used: a run that begins with it gives it the time."""
    times = []
    for path in (place, tree):
        try:
            times.append(path.lstat().st_mtime)
        except FileNotFoundError:
            continue
    return max(times, default=0.0)


__all__ = ["collect_beside"]
