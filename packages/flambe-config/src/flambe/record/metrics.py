"""Metric lines: ``{"step": 3, "Training/Loss": 0.61, "_t": 12.4}``, one JSON object each.

NaN and infinities are the texts ``"NaN"``, ``"Infinity"``, ``"-Infinity"``. Keys that begin with ``_`` are ours
(``_t``: seconds since the unit started) and stay out of result digests.
"""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from flambe.errors import RunFailed, UsageError

_encode = msgspec.json.Encoder().encode
_LONGEST_LINE = 1 << 16


class Line(NamedTuple):
    """One metric line that is not encoded yet. seconds: since the unit began."""

    step: int | None
    values: Mapping[str, Any]
    seconds: float


def metric_line(step: int | None, values: Mapping[str, Any], seconds: float) -> bytes:
    """Return one encoded line. Numbers, text, booleans; anything with ``.item()`` is converted.

    Raises TypeError for other values, ValueError for a key that is ours (``step``, or one that begins with ``_``).
    """
    line: dict[str, Any] = {} if step is None else {"step": plain_number(step)}
    for key, value in values.items():
        check_key(key)
        line[key] = plain_number(value)
    line["_t"] = round(seconds, 3)
    return _encode(line) + b"\n"


def check_key(key: str) -> None:
    """Raise ValueError for a key of a metric line that is ours."""
    if key.startswith("_"):
        raise ValueError(f"the metric key {key!r} begins with '_', which is kept for our own keys")
    if key == "step":
        raise ValueError("the metric key 'step' is kept for the step of a line; call it otherwise")


class NoNumber(RunFailed, TypeError):
    """What gives a metric gave something else, as it would again."""


def metric_value(value: Any, source: str) -> float | None:
    """Return what a metric is compared by. source: what gave it, for words. Raises NoNumber for what is none: a text, say."""
    if value is None:
        return None
    if not isinstance(value, str | bytes | bytearray):
        try:
            return float(value)
        except (TypeError, ValueError):
            pass  # told below, as a text is
    raise NoNumber(f"{source} returned {value!r}, a {type(value).__qualname__}", expected="a number or None")


def plain_number(value: Any) -> Any:
    """Return a metric value as JSON has it. Raises TypeError for what is neither number nor text."""
    kind = type(value)
    if kind is float:
        return value if math.isfinite(value) else _not_finite(value)
    if kind in _PLAIN:
        return value
    if isinstance(value, int | float | str):  # a kind of it: numpy's float64, an IntEnum
        return plain_number(next(plain for plain in (int, float, str) if isinstance(value, plain))(value))
    if hasattr(value, "item"):
        found = value.item()
        if type(found) in (float, *_PLAIN):
            return plain_number(found)
    raise TypeError(f"a metric is a number or text, not {kind.__qualname__}")


_PLAIN = frozenset({type(None), bool, int, str})


def _not_finite(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


_LOG_NAME = re.compile(r"[A-Za-z0-9][\w-]{0,99}", re.A)
_RESERVED_LOGS = frozenset({"info", "config", "params", "mlxp", "artifact", "artifacts"})
"""First words of the columns of a table of runs: no metric file can have one."""


class InvalidLogName(UsageError, ValueError):
    """A metric file that cannot be called so."""


def check_log_name(name: str) -> None:
    """Raise InvalidLogName for a name that no metric file can have."""
    if name in _RESERVED_LOGS:
        raise InvalidLogName(f"the log name {name!r} is kept for our own columns", hint="Call it otherwise.")
    if not isinstance(name, str) or not _LOG_NAME.fullmatch(name):
        raise InvalidLogName(
            f"the log name {name!r} is no name of a metric file", expected="letters, digits, '_' and '-'"
        )


class MetricFile:
    """Appends lines to one metric file. Each is encoded wholly, then written by one call, so several processes can share it."""

    def __init__(self, path: Path, *, began: float | None = None) -> None:
        """path: made with its folder at the first line. began: when its unit began, seconds since the epoch; default now, and in a
        file that goes on as long ago as its last line says.
        """
        self.path = path
        self._began = time.time() - _seconds_so_far(path) if began is None else began
        self._descriptor: int | None = None

    def add(self, step: int | None, values: Mapping[str, Any], walltime: float | None = None) -> None:
        """Add one line; it is in the file when this returns. Raises as ``metric_line``, and has written nothing then."""
        from flambe.runnable.secrets import hide_bytes  # whoever reads metrics needs it not

        line = hide_bytes(metric_line(step, values, (time.time() if walltime is None else walltime) - self._began))
        if self._descriptor is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = open_to_append(self.path)
        append_line(self._descriptor, line)

    def close(self) -> None:
        """Let go of the file; another line opens it again."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def open_to_append(path: Path) -> int:
    """Return a descriptor at the end of a file of lines. What a killed writer left of a last line is cut off."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        os.ftruncate(descriptor, path.read_bytes().rfind(b"\n") + 1)
    return descriptor


def _seconds_so_far(path: Path) -> float:
    try:
        with path.open("rb") as stream:
            stream.seek(max(0, os.fstat(stream.fileno()).st_size - _LONGEST_LINE))
            data = stream.read()
        line = msgspec.json.decode(data[: data.rfind(b"\n")].rpartition(b"\n")[2], type=dict[str, Any])
        return float(line["_t"])
    except (FileNotFoundError, msgspec.MsgspecError, KeyError, TypeError, ValueError):
        return 0.0  # nothing is there, or no line of ours


def append_line(descriptor: int, line: bytes) -> None:
    """Add one line, or more, to a file that was opened to append. Raises OSError, and has added nothing, when the disk is full."""
    written = os.write(descriptor, line)
    if written == len(line):
        return
    try:
        # A disk that is full takes a part, and says so at the rest.
        while written < len(line):
            written += os.write(descriptor, line[written:])
    except OSError:
        # The next line must not begin in the middle of this one. Whoever shares the file may have added theirs meanwhile.
        end = os.fstat(descriptor).st_size - written
        if os.pread(descriptor, written, end) == line[:written]:
            os.ftruncate(descriptor, end)
        raise


def read_metrics(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of a metric file; a torn last line is left out."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return
    for line in data[: data.rfind(b"\n") + 1].splitlines():
        yield msgspec.json.decode(line)
