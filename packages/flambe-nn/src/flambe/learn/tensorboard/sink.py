"""``TensorBoard``: what a unit logs as event files, which TensorBoard shows while they grow."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from flambe.learn.tensorboard import event

if TYPE_CHECKING:
    from flambe.record.artifacts import Artifact

_NOT_FINITE = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
_CURVE = ("tp", "fp", "tn", "fn", "precision", "recall")


class TensorBoard:
    """The ``flambe.sink`` hook named ``tensorboard``, version 1. See ``flambe.spec.hooks.Sink``."""

    version = 1

    def file_name(self, began: float) -> str:
        """Return ``events.out.tfevents.TIME.PID``: TensorBoard takes the files of a folder in this order."""
        return f"events.out.tfevents.{int(began):010d}.{os.getpid()}"

    def begin(self, params: Mapping[str, Any], tags: Sequence[str]) -> bytes:
        """Return the version of the file and, for a variant of a search, what the HParams page needs."""
        now = time.time()
        messages = [event.file_version(now)]
        if params:
            messages += [event.event(now, 0, value) for value in event.hparams(dict(params), tags)]
        return event.frame(messages)

    def metrics(self, lines: Iterable[tuple[int, Mapping[str, Any], float]]) -> bytes:
        """Return an event for each line, with its numbers as scalars and its texts for the text page."""
        return event.frame(
            event.event(seconds, step, *(_value(tag, value) for tag, value in values.items() if value is not None))
            for step, values, seconds in lines
        )

    def artifact(self, artifact: Artifact, path: Path) -> bytes:
        """Return the event of an image, a sound, a histogram or a precision-recall curve."""
        value = _drawn(artifact.tag or artifact.name, artifact.type, path)
        return b"" if value is None else event.frame([event.event(_seconds(artifact.t), artifact.step or 0, value)])


def _value(tag: str, value: Any) -> bytes:
    if isinstance(value, str):
        if value not in _NOT_FINITE:
            return event.text(tag, value)
        value = _NOT_FINITE[value]
    return event.scalar(tag, value)


def _drawn(tag: str, kind: str, path: Path) -> bytes | None:
    data = path.read_bytes()
    match kind:
        case "image":
            # The header of a PNG file: width and height at 16, and at 25 what a pixel is.
            width, height = int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
            return event.image(tag, height, width, {0: 1, 4: 2, 2: 3, 6: 4}.get(data[25], 3), data)
        case "audio":
            import wave

            with wave.open(str(path), "rb") as file:
                return event.audio(tag, file.getframerate(), file.getnchannels(), file.getnframes(), data)
        case "histogram":
            found = msgspec.json.decode(data)
            sums = found["num"], found["sum"], found["sum_squares"]
            return event.histogram(tag, found["edges"], found["counts"], low=found["min"], high=found["max"], sums=sums)
        case "pr_curve":
            found = msgspec.json.decode(data)
            return event.pr_curve(tag, [found[name] for name in _CURVE])
    return None


def _seconds(stamp: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(stamp).timestamp()
