"""Finding runs and making rows of them.

A directory is a run if and only if it holds a ``run.json`` that is not the one of a unit.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from flambe.errors import ConfigError
from flambe.record import layout
from flambe.record.query import Query, parse
from flambe.record.recorded import RUN_COLUMNS, UNIT_COLUMNS, RecordedRun, RecordedUnit, natural
from flambe.record.run import RunRecord, read_record

__all__ = ["RUN_COLUMNS", "UNIT_COLUMNS", "Reader", "RecordedRun", "RecordedUnit", "find_runs", "is_run"]


class Reader:
    """The runs at and below some folders, in natural order of their paths, each once.

    Raises ConfigError for a path that does not exist. ``problems`` tells which records could not be read.
    """

    def __init__(self, *paths: str | os.PathLike[str]) -> None:
        self.problems: list[str] = []
        self._known: dict[Path, RecordedRun] = {}
        self._roots = [Path(path) for path in paths]
        for root in self._roots:
            if not root.exists():
                raise ConfigError(f"{root} does not exist", expected="a run directory, or a folder of runs")

    def __iter__(self) -> Iterator[RecordedRun]:
        self.problems = []
        seen: set[Path] = set()
        for root in self._roots:
            for path in find_runs(root, self.problems):
                place = path.resolve()
                if place not in seen:
                    seen.add(place)
                    yield self._known.setdefault(place, RecordedRun(path))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def rows(self, where: str | Query = "") -> Iterator[dict[str, Any]]:
        """Yield a row for each run that ``where`` is true of."""
        query = parse(where) if isinstance(where, str) else where
        return (row for run in self if query(row := run.row()))

    def unit_rows(self, where: str | Query = "") -> Iterator[dict[str, Any]]:
        """Yield a row for each unit of each run that ``where`` is true of."""
        query = parse(where) if isinstance(where, str) else where
        return (row for run in self for unit in run.units() if query(row := unit.row()))


def is_run(path: Path) -> bool:
    """Whether ``path`` is the directory of a whole run. Raises ConfigError when its record cannot be read."""
    record = path / layout.RUN
    try:
        head = msgspec.json.decode(record.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, msgspec.MsgspecError) as error:
        raise ConfigError(f"{record} cannot be read: {error}") from error
    return isinstance(head, dict) and "flambe_record" in head and head.get("kind") != "stage"


def find_runs(root: Path, problems: list[str]) -> Iterator[Path]:
    """Yield the run directories at and below ``root``; what cannot be read is added to ``problems``."""
    try:
        if is_run(root):
            read_record(root / layout.RUN, RunRecord)
            yield root
            return
        children = [entry for entry in os.scandir(root) if entry.is_dir(follow_symlinks=False)]
    except (OSError, ConfigError) as error:
        problems.append(str(error))
        return
    for entry in sorted(children, key=lambda entry: natural(entry.name)):
        # The stages of a run hold no runs, and hidden folders are somebody's scratch.
        if not entry.name.startswith(".") and entry.name != layout.STAGES:
            yield from find_runs(Path(entry.path), problems)
