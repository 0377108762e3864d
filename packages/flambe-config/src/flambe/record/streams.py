"""The streams of units: metric lines and what was printed. They grow, and are cut back when a unit goes on from an earlier step."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from flambe.record import layout
from flambe.record.ledger import Event
from flambe.record.run import replace_file


class Streams:
    """Writes the streams of every unit of a run, and knows how long each one is."""

    def __init__(self, paths: layout.RunPaths) -> None:
        self._paths = paths
        self._offsets: dict[str, dict[str, int]] = {}

    def offsets(self, unit: str) -> dict[str, int]:
        """Return the length of each stream of a unit, by file name."""
        return dict(self._offsets.get(unit, {}))

    def append(self, unit: str, streams: Mapping[str, bytes]) -> None:
        """Add what a unit gave, by file name in its folder."""
        root = self._paths.folder(unit).root
        offsets = self._offsets.setdefault(unit, {})
        for name, data in streams.items():
            path = root / name
            if name not in offsets:
                path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as stream:
                stream.write(data)
                offsets[name] = stream.tell()

    def forget(self, unit: str) -> None:
        """Let go of what is known of a unit that has ended."""
        self._offsets.pop(unit, None)

    def cut(self, unit: str, reports: Iterable[Event], from_step: int) -> None:
        """Cut a unit's streams back to what they were when it reported ``from_step``."""
        offsets: dict[str, int] = {}
        for event in reports:
            if event["step"] <= from_step:
                offsets = dict(event["offsets"])
        root = self._paths.folder(unit).root
        # Each sink has a folder (``tensorboard``); those of steps have none but folders in them.
        for path in [*root.glob(layout.OUTPUTS), *(path for path in root.glob("*/*") if path.is_file())]:
            name = path.relative_to(root).as_posix()
            if name not in offsets:
                path.unlink(missing_ok=True)
            elif path.stat().st_nlink > 1:
                # It belongs to another run too.
                replace_file(path, path.read_bytes()[: offsets[name]])
            elif path.stat().st_size > offsets[name]:
                os.truncate(path, offsets[name])
        self._offsets[unit] = offsets
