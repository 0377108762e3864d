"""Metric lines: ``{"step": 3, "Training/Loss": 0.61, "_t": 12.4}``, one JSON object each.

NaN and infinities are the texts ``"NaN"``, ``"Infinity"``, ``"-Infinity"``. Keys that begin with ``_`` are ours
(``_t``: seconds since the unit started) and stay out of result digests.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

_encode = msgspec.json.Encoder().encode


def metric_line(step: int | None, values: dict[str, Any], seconds: float) -> bytes:
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


def plain_number(value: Any) -> Any:
    """Return a metric value as JSON has it. Raises TypeError for what is neither number nor text."""
    if not isinstance(value, bool | int | float | str | None) and hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a metric is a number or text, not {type(value).__qualname__}")


def read_metrics(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of a metric file; a torn last line is left out."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return
    for line in data[: data.rfind(b"\n") + 1].splitlines():
        yield msgspec.json.decode(line)
