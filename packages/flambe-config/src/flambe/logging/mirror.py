"""``Mirror``: what a unit logs, in the forms of the installed sinks: TensorBoard's event files."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from flambe.record.artifacts import Artifact, Artifacts
from flambe.record.layout import label
from flambe.runnable.secrets import hide

if TYPE_CHECKING:
    from flambe.record.metrics import Line
    from flambe.spec.hooks import Sink


class _Open(NamedTuple):
    sink: Sink
    file: str


class Mirror:
    """Gives the bytes that are to be added to files of a unit's folder, beside its metric lines.

    artifacts: the unit's, None where there are none to show. params: what the variant is known by, path → value in node form.
    began: when the unit began, seconds since the epoch. suffix: of the names of the files. prefix: of all tags (``merge_plot``).
    ``FLAMBE_{NAME}=0`` in the environment (``FLAMBE_TENSORBOARD=0``) leaves a sink out.
    """

    def __init__(
        self,
        artifacts: Artifacts | None,
        params: Mapping[str, Any],
        began: float,
        *,
        suffix: str = "",
        prefix: str = "",
    ) -> None:
        self._artifacts = artifacts
        self._params = {
            path: value if isinstance(value, int | float | str) else label(value) for path, value in params.items()
        }
        self._began = began
        self._suffix = suffix
        self._prefix = prefix
        self._open: list[_Open] | None = None
        self._without_step: Counter[str] = Counter()

    def of(self, lines: Iterable[Line]) -> dict[str, bytes]:
        """Return what lines, and the artifacts since the last call, are in each form: file name in the unit's folder → bytes."""
        lines, artifacts = list(lines), self._fresh()
        if not lines and not artifacts:
            return {}
        records = [(self._step(line), self._shown(line.values), self._began + line.seconds) for line in lines]
        if self._open is None:
            self._open = [_Open(sink, f"{name}/{sink.file_name(time.time())}{self._suffix}") for name, sink in _sinks()]
            tags = list(dict.fromkeys(tag for _, values, _ in records for tag in values))
            begun = [one.sink.begin(self._params, tags) for one in self._open]
        else:
            begun = [b""] * len(self._open)
        return {
            one.file: b"".join(
                [start, one.sink.metrics(records), *(one.sink.artifact(entry, path) for entry, path in artifacts)]
            )
            for one, start in zip(self._open, begun, strict=True)
        }

    def _fresh(self) -> list[tuple[Artifact, Path]]:
        if self._artifacts is None:
            return []
        folder = self._artifacts.folder
        return [
            (msgspec.structs.replace(entry, tag=self._prefix + entry.tag), folder / entry.path)
            for entry in self._artifacts.fresh()
            if entry.tag is not None
        ]

    def _shown(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        if self._prefix or any(isinstance(value, str) for value in values.values()):
            return {
                self._prefix + tag: hide(value) if isinstance(value, str) else value for tag, value in values.items()
            }
        return values

    def _step(self, line: Line) -> int:
        if line.step is not None:
            return int(line.step)
        # Something has to stand on the x axis: how often this was logged before.
        first = next(iter(line.values), "")
        self._without_step[first] += 1
        return self._without_step[first] - 1


def _sinks() -> list[tuple[str, Sink]]:
    from flambe.spec.hooks import sinks

    return [(name, sink) for name, sink in sinks().items() if os.environ.get(f"FLAMBE_{name.upper()}") != "0"]
