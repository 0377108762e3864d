"""The runs that a server shows, found again every few seconds, each under a key that is safe in a URL."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flambe.errors import ConfigError
from flambe.reading.reader import Reader
from flambe.reading.recorded import RecordedRun
from flambe.record.run import FINISHED

_AGAIN_AFTER_S = 2.0
_KEY = re.compile(r"[0-9A-Za-z]{8,40}")


class Library:
    """The runs at and below some folders. Raises ConfigError for a path that does not exist."""

    def __init__(self, roots: Sequence[Path]) -> None:
        self._reader = Reader(*roots)
        self._lock = threading.Lock()
        self._looked = -_AGAIN_AFTER_S
        self._runs: dict[str, RecordedRun] = {}
        self._rows: dict[str, tuple[int, dict[str, Any]]] = {}

    def runs(self) -> dict[str, RecordedRun]:
        """Return key → run. The key is the run's id, so links survive moving a folder; a copy gets one of its own."""
        with self._lock:
            if time.monotonic() - self._looked >= _AGAIN_AFTER_S:
                runs: dict[str, RecordedRun] = {}
                for run in self._reader:
                    runs[self._key(run, runs)] = run
                self._runs, self._looked = runs, time.monotonic()
            return self._runs

    def problems(self) -> list[str]:
        """Return what could not be read at the last look."""
        return list(self._reader.problems)

    def get(self, key: str) -> RecordedRun | None:
        """Return the run of a key, None when there is none (any more)."""
        run = self.runs().get(key)
        return run if run is not None and run.paths.record.exists() else None

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each run, newest first, with its ``key``. Rows of finished runs are kept."""
        rows = []
        for key, run in self.runs().items():
            try:
                stamp = run.paths.record.stat().st_mtime_ns
                kept = self._rows.get(key)
                row = kept[1] if kept and kept[0] == stamp else run.row() | {"key": key}
            except (ConfigError, OSError):
                continue  # deleted since the look; problems() tells of others
            if row["status"] in FINISHED:
                self._rows[key] = (stamp, row)
            rows.append(row)
        return sorted(rows, key=lambda row: str(row.get("created", "")), reverse=True)

    @staticmethod
    def _key(run: RecordedRun, taken: dict[str, RecordedRun]) -> str:
        key = run.record.id
        if _KEY.fullmatch(key) and key not in taken:
            return key
        return hashlib.sha256(str(run.path).encode()).hexdigest()[:24]
