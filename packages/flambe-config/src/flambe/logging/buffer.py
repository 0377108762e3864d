"""Where the code of a unit logs to: ``MetricBuffer``, whose lines somebody takes after each step."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from flambe.record.artifacts import Artifacts
from flambe.record.metrics import Line, append_line, check_key, metric_line, open_to_append, plain_number


def encode_lines(lines: Iterable[Line]) -> bytes:
    """Return lines as a metric file has them."""
    return b"".join(metric_line(*line) for line in lines)


class MetricBuffer:
    """The metric lines of one unit that nobody has taken yet. Adding one costs about 2 µs: they are encoded when taken.

    artifacts: where images, histograms and the like go, at once; None to leave them out.
    """

    def __init__(self, artifacts: Artifacts | None = None) -> None:
        self.artifacts = artifacts
        self.began = time.time()
        self._started = time.monotonic()
        self._lines: list[Line] = []

    def add(self, step: int | None, values: Mapping[str, Any], walltime: float | None = None) -> None:
        """Add one line. Raises TypeError for a value that is neither number nor text, ValueError for a key that is ours."""
        # Here, where the mistake is, and not when the lines of a whole step are encoded.
        for key in values:
            check_key(key)
        plain = {key: plain_number(value) for key, value in values.items()}
        seconds = (time.monotonic() - self._started) if walltime is None else walltime - self.began
        self._lines.append(Line(step, plain, seconds))

    def add_encoded(self, lines: bytes) -> None:
        """Add whole lines as they are written to files: those of a child process."""
        for line in lines.splitlines():
            values = msgspec.json.decode(line)
            self._lines.append(Line(values.pop("step", None), values, values.pop("_t", 0.0)))

    def take_lines(self) -> list[Line]:
        """Return the lines since the last call."""
        lines, self._lines = self._lines, []
        return lines

    def take(self) -> bytes:
        """Return the lines since the last call, encoded."""
        return encode_lines(self.take_lines())


METRICS_VARIABLE = "FLAMBE_METRICS"
"""The environment variable by which a program that a unit runs finds the file of the unit's metric lines."""


class _SharedFile(MetricBuffer):
    """Appends each line to a file at once: this process may be killed, and it is one of several perhaps."""

    def __init__(self, path: Path) -> None:
        super().__init__(Artifacts(path.parent))
        self._path = path

    def add(self, step: int | None, values: Mapping[str, Any], walltime: float | None = None) -> None:
        super().add(step, values, walltime)
        # Opened each time: the unit takes the file away when it has read it.
        descriptor = open_to_append(self._path)
        try:
            append_line(descriptor, self.take())
        finally:
            os.close(descriptor)


_buffer: MetricBuffer | None = None


def use_buffer(buffer: MetricBuffer | None) -> None:
    """Send what is logged in this process to ``buffer``; None when no unit is running."""
    global _buffer
    _buffer = buffer


def current_buffer() -> MetricBuffer | None:
    """Return where logged values go: the running unit's, or the one of the unit that runs this program; None outside of both."""
    if _buffer is None and METRICS_VARIABLE in os.environ:
        use_buffer(_SharedFile(Path(os.environ[METRICS_VARIABLE])))
    return _buffer
