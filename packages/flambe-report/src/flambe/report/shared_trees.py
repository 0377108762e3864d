"""The code that runs share (``{output_dir}/.code``): kept while a run of that folder executes it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from flambe.errors import ConfigError
from flambe.reading.foreign.foreign_run import ForeignRun
from flambe.reading.recorded import RecordedRun
from flambe.record.code_copy import folder_to_run
from flambe.record.git_tree import shared_tree
from flambe.record.layout import RUN, TREE_LIST, TREES
from flambe.report.garbage import LEFT_AFTER_S, Finding, delete, size_of


def collect_trees(folder: Path, runs: Iterable[RecordedRun], *, whole: bool, dry_run: bool) -> list[Finding]:
    """Take away the trees below ``folder`` that no run has any more, and return all of them. runs: all there are below ``folder``.

    whole: all of them could be read; else nothing is taken away. Nor is what was used within the last hour: a run may begin with it.
    """
    users: dict[str, int] = {}
    for run in runs:
        try:
            used = _tree_of(run)
        except ConfigError:
            whole = False
            continue
        if used is not None:
            users[used] = users.get(used, 0) + 1
    found = []
    for place in _shared(folder):
        tree = place.with_name(place.name.removesuffix(TREE_LIST))
        count = users.get(_real(tree), 0)
        if count:
            remove, why = False, f"the code of {count} run{'s' if count > 1 else ''}"
        elif not whole:
            remove, why = False, "it may be the code of a run that cannot be read"
        elif time.time() - _last_use(place, tree) < LEFT_AFTER_S:
            remove, why = False, "no run has it, but one may be about to begin"
        else:
            remove, why = True, "no run has it any more"
        found.append(Finding(place.parent.parent, place, "code", *size_of(place), remove, why))
    for one in found:
        if one.remove and not dry_run:
            delete(one.path)
    return found


def _tree_of(run: RecordedRun) -> str | None:
    code = None if isinstance(run, ForeignRun) else run.record.code
    folder = None if code is None else folder_to_run(run.path, code)
    shared = None if folder is None else shared_tree(folder)
    return None if shared is None else _real(shared.root)


def _real(place: Path) -> str:
    return os.path.realpath(place)


def _shared(folder: Path) -> Iterator[Path]:
    """Yield what lies in the folders of shared code below ``folder``, without going down into runs."""
    todo = [folder.absolute()]
    while todo:
        place = todo.pop()
        if (place / RUN).exists():
            continue
        try:
            names = sorted(entry.name for entry in os.scandir(place) if entry.is_dir(follow_symlinks=False))
            if TREES in names:
                yield from sorted(place / TREES / name for name in os.listdir(place / TREES))
        except OSError:
            continue  # gone, or not ours to read
        todo += [place / name for name in names if not name.startswith(".")]


def _last_use(place: Path, tree: Path) -> float:
    """Return when a tree was last used: a run that begins with it gives it the time."""
    times = []
    for path in (place, tree):
        try:
            times.append(path.lstat().st_mtime)
        except FileNotFoundError:
            continue
    return max(times, default=0.0)


__all__ = ["collect_trees"]
