"""``Pulse``: the ``run.json`` of a run while it is written. Every ten seconds it says that the run lives."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path

from flambe.record import run
from flambe.record.gpus import measured_gpus
from flambe.record.run import RunRecord, write_record


class Pulse:
    """Writes ``record`` to ``path``, by hand and from a thread. counts: of the units so far."""

    def __init__(self, path: Path, record: RunRecord, counts: Callable[[], dict[str, int]]) -> None:
        self._path = path
        self._record = record
        self._counts = counts
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._beating = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._measuring = threading.Thread(target=self._measure_gpus, name="gpus", daemon=True)

    def begin(self) -> None:
        """Start the thread."""
        self._beating.start()
        self._measuring.start()

    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._beating.is_alive()

    def end(self) -> None:
        """End the thread, which writes nothing any more afterwards."""
        self._stop.set()
        if self._beating.is_alive():
            self._beating.join()

    def write(self, *, durable: bool = False) -> None:
        """Write the record as it is now. durable: wait for the disk. Raises OSError."""
        with self._lock:
            self._record.time.heartbeat = run.now()
            self._record.counts = self._counts()
            write_record(self._path, self._record, durable=durable)

    def _beat(self) -> None:
        while not self._stop.wait(run.HEARTBEAT_S):
            # A full disk for a moment must not make a live run look dead: the next beat tries again.
            with contextlib.suppress(OSError):
                self.write()

    def _measure_gpus(self) -> None:
        # Aside: the driver may take a second to answer, and no run waits for it longer than it takes itself.
        found = measured_gpus()
        if found is not None and self._record.host is not None:
            self._record.host.gpus = found


__all__ = ["Pulse"]
