"""``TrialLogging``: what a unit of ours gets, around code that runs without our runner."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from flambe.logging.buffer import current_buffer, use_buffer
from flambe.logging.folder import FolderLog
from flambe.logging.log import DataHandler

_KEPT = "%(asctime)s | %(levelname)s | %(name)s | %(message)s"


class TrialLogging:
    """While it is entered ``flambe.log`` and the like write into a folder, and log records go to its ``console.out``.

    log_dir: the folder; it is made. verbose: keep records of every level, and show them too; else from INFO up, and show errors.
    root_log_level: of the root logger, in place of that. capture_warnings: keep what ``warnings.warn`` says. console_prefix:
    what is shown begins with it. hyper_params: name → value, what TensorBoard compares by.
    """

    def __init__(
        self,
        log_dir: str | Path,
        verbose: bool = False,
        root_log_level: int | None = None,
        capture_warnings: bool = True,
        console_prefix: str | None = None,
        hyper_params: Mapping[str, Any] | None = None,
    ) -> None:
        self.log_dir = Path(log_dir)
        self.verbose = verbose
        self.level = root_log_level if root_log_level is not None else logging.DEBUG if verbose else logging.INFO
        self.capture_warnings = capture_warnings
        self.console_prefix = console_prefix
        self.hyper_params = dict(hyper_params or {})
        self._handlers: list[logging.Handler] = []

    def __enter__(self) -> TrialLogging:
        root = logging.getLogger()
        self._before = root.level, current_buffer()
        self.log_dir.mkdir(parents=True, exist_ok=True)
        self._log = FolderLog(self.log_dir, self.hyper_params)
        use_buffer(self._log.buffer)
        file = logging.FileHandler(self.log_dir / "console.out", encoding="utf-8")
        file.setFormatter(logging.Formatter(_KEPT))
        shown = logging.StreamHandler()
        shown.setLevel(logging.NOTSET if self.verbose else logging.ERROR)
        prefix = f"{self.console_prefix}: " if self.console_prefix else ""
        # A brace or per cent sign in a prefix is no field.
        shown.setFormatter(logging.Formatter(prefix.replace("%", "%%") + "%(message)s"))
        self._handlers = [file, shown, DataHandler()]
        for handler in self._handlers:
            root.addHandler(handler)
        root.setLevel(self.level)
        if self.capture_warnings:
            logging.captureWarnings(True)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        root = logging.getLogger()
        if self.capture_warnings:
            logging.captureWarnings(False)
        for handler in self._handlers:
            root.removeHandler(handler)
            handler.close()
        level, buffer = self._before
        root.setLevel(level)
        use_buffer(buffer)
        self._log.close()
