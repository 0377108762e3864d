"""``FolderLog``: what is logged outside of our runs, in a folder of the caller's."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flambe.logging.buffer import MetricBuffer, encode_lines
from flambe.logging.mirror import Mirror
from flambe.record.artifacts import Artifacts
from flambe.record.layout import METRICS


class FolderLog:
    """Metric lines, artifacts and event files below one folder, as a unit has them.

    buffer: what is logged into it is in the files after ``flush``. params: what the folder's run is known by.
    lines: whether metric lines are written, beside the forms of the sinks.
    """

    def __init__(self, folder: str | Path, params: Mapping[str, Any] | None = None, *, lines: bool = True) -> None:
        self.folder = Path(folder)
        artifacts = Artifacts(self.folder)
        self.buffer = MetricBuffer(artifacts)
        self._mirror = Mirror(artifacts, params or {}, self.buffer.began)
        self._lines = lines

    def flush(self) -> None:
        """Write what was logged since the last call."""
        lines = self.buffer.take_lines()
        files = self._mirror.of(lines)
        if self._lines and lines:
            files[f"{METRICS}/metrics.jsonl"] = encode_lines(lines)
        for name, data in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                os.write(descriptor, data)
            finally:
                os.close(descriptor)

    def close(self) -> None:
        """Write the rest and let go of the files."""
        self.flush()
        if self.buffer.artifacts is not None:
            self.buffer.artifacts.close()
