"""``TensorboardXHandler``: records of data as event files, with Python's logging alone."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flambe.logging.datatypes import DATA_TYPES
from flambe.logging.folder import FolderLog
from flambe.logging.log import record as log_record


class TensorboardXHandler(logging.Handler):
    """Writes records of data (``logger.info(ScalarT("loss", 0.5, 3))``) to event files in ``log_dir``; others pass by.

    log_dir: images and the like are below it as artifacts too. hyper_params: name → value, what TensorBoard compares by.
    Without flambe-nn, which knows event files, nothing is written.
    """

    def __init__(self, log_dir: str | Path, hyper_params: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._log = FolderLog(log_dir, hyper_params, lines=False)

    @property
    def writers(self) -> dict[str, list[Path]]:
        """The folder, and the event files in it."""
        folder = self._log.folder
        return {str(folder): sorted(folder.glob("*/*tfevents*"))}

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record, if it is one of data."""
        if isinstance(record.msg, DATA_TYPES):
            log_record(record.msg, self._log.buffer)
            self.flush()

    def flush(self) -> None:
        """Write what is not written yet."""
        self._log.flush()

    def close(self) -> None:
        """Write the rest and end."""
        self._log.close()
        super().close()
