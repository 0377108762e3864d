"""``flambe.log``: metrics from anywhere inside a running unit, as metric lines of its run directory."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flambe.record.layout import ARTIFACTS
from flambe.record.metrics import check_key, metric_line, plain_number
from flambe.runner.environment import active

_logger = logging.getLogger(__name__)


class MetricBuffer:
    """The metric lines of one unit that nobody has taken yet. Adding one costs about 2 µs: they are encoded when taken."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._lines: list[tuple[int | None, dict[str, Any], float]] = []
        self._encoded = b""

    def add(self, step: int | None, values: dict[str, Any], walltime: float | None = None) -> None:
        """Add one line. Raises TypeError for a value that is neither number nor text, ValueError for a key that is ours."""
        # Here, where the mistake is, and not when the lines of a whole step are encoded.
        for key in values:
            check_key(key)
        plain = {key: plain_number(value) for key, value in values.items()}
        self._lines.append((step, plain, (time.monotonic() - self._started) if walltime is None else walltime))

    def add_encoded(self, lines: bytes) -> None:
        """Add whole lines as they are written to files: those of a child process."""
        self._encoded = self.take() + lines

    def take(self) -> bytes:
        """Return the encoded lines since the last call."""
        (lines, self._lines), (encoded, self._encoded) = (self._lines, []), (self._encoded, b"")
        return encoded + b"".join(metric_line(step, values, seconds) for step, values, seconds in lines)


METRICS_VARIABLE = "FLAMBE_METRICS"
"""The environment variable by which a program that a unit runs finds the file of the unit's metric lines."""


class _MetricFile(MetricBuffer):
    """Appends each line to a file at once: this process may be killed, and it is one of several perhaps."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def add(self, step: int | None, values: dict[str, Any], walltime: float | None = None) -> None:
        super().add(step, values, walltime)
        with open(self._path, "ab", buffering=0) as stream:
            stream.write(self.take())


_buffer: MetricBuffer | None = None


def use_buffer(buffer: MetricBuffer | None) -> None:
    """Send what is logged in this process to ``buffer``; None when no unit is running."""
    global _buffer
    _buffer = buffer


def current_buffer() -> MetricBuffer | None:
    """Return where logged values go: the running unit's, or the one of the unit that runs this program; None outside of both."""
    if _buffer is None and METRICS_VARIABLE in os.environ:
        use_buffer(_MetricFile(os.environ[METRICS_VARIABLE]))
    return _buffer


def log(tag: str, data: Any, global_step: int | None = None, walltime: float | None = None) -> None:
    """Log a number, several (a mapping) or a text under ``tag``.

    Numbers are int, float, bool or anything with ``.item()`` (a 0-dim tensor). Other data is named in an INFO line and not
    recorded. Outside a running unit nothing is recorded.
    """
    if isinstance(data, Mapping):
        log_scalars(tag, data, global_step, walltime)
    elif isinstance(data, str):
        log_text(tag, data, global_step, walltime)
    elif isinstance(data, bool | int | float) or (hasattr(data, "item") and getattr(data, "ndim", 0) == 0):
        log_scalar(tag, data, global_step, walltime)
    else:
        _logger.info("%s: %s is no number, mapping or text; it was not recorded", tag, type(data).__qualname__)


def log_scalar(
    tag: str, data: Any, global_step: int | None = None, walltime: float | None = None, logger: Any = None
) -> None:
    """Log one number."""
    if (buffer := current_buffer()) is not None:
        buffer.add(global_step, {tag: data}, walltime)


def log_scalars(
    tag: str, data: Mapping[str, Any], global_step: int | None = None, walltime: float | None = None, logger: Any = None
) -> None:
    """Log several numbers as ``tag/key``."""
    if (buffer := current_buffer()) is not None:
        buffer.add(global_step, {f"{tag}/{key}": value for key, value in data.items()}, walltime)


def log_text(
    tag: str, data: str, global_step: int | None = None, walltime: float | None = None, logger: Any = None
) -> None:
    """Log a text."""
    if (buffer := current_buffer()) is not None:
        buffer.add(global_step, {tag: str(data)}, walltime)


def get_trial_dir() -> Path | None:
    """Return the folder that the running unit's code may write into; None outside a unit.

    What is there when the unit ends goes into the run directory with its result.
    """
    running = active()
    if running is not None:
        return running.folder / ARTIFACTS
    if METRICS_VARIABLE in os.environ:  # a program that a unit runs
        from flambe.runnable.environment import get_env

        return Path(get_env().output_path)
    return None
