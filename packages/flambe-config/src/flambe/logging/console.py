"""What commands show of log records, and where they keep them.

On the console: from INFO up what our loggers and ``__main__`` say, from WARNING up what anybody says; of a running unit errors
only, after its name, because the rest is in its ``outputs.log``. In the user's log file: everything from INFO up.
``--verbose``: everything, in both.
"""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path

from flambe.cli.console import QUIET, VERBOSE, level, tell
from flambe.logging.log_file import LogFile, default_log_file
from flambe.runnable.secrets import hide, hide_environment
from flambe.runner.environment import active

_SHOWN = "%(asctime)s | %(unit)s%(message)s"
_KEPT = "%(asctime)s | %(levelname)s | %(name)s | %(lineno)d | %(unit)s%(message)s"

_handlers: list[logging.Handler] = []


def setup_global_logging(console_log_level: int = logging.NOTSET, *, file: Path | None = None) -> None:
    """Show the records of this process on stderr and keep them in the user's log file. A second call replaces the first.

    console_log_level: what is shown at least; default what ``--quiet`` and ``--verbose`` say. file: in place of the user's.
    """
    end_global_logging()
    hide_environment()
    least = logging.DEBUG if level() == VERBOSE else logging.INFO
    console = Console()
    console.setLevel(console_log_level or (logging.ERROR if level() == QUIET else least))
    if level() != VERBOSE:
        console.addFilter(FlambeFilter())
    _add(console, Masked(_SHOWN, datefmt="%H:%M:%S"))
    # A home that cannot be written to is no reason to stop.
    with contextlib.suppress(OSError):
        _add(LogFile(file or default_log_file()), Masked(_KEPT))
    logging.getLogger().setLevel(min(least, console_log_level or least))


def end_global_logging() -> None:
    """Take back what ``setup_global_logging`` did."""
    root = logging.getLogger()
    while _handlers:
        handler = _handlers.pop()
        root.removeHandler(handler)
        handler.close()
        if isinstance(handler, Console):
            handler.let_go()
    root.setLevel(logging.WARNING)


def _add(handler: logging.Handler, formatter: logging.Formatter) -> None:
    handler.setFormatter(formatter)
    logging.getLogger().addHandler(handler)
    _handlers.append(handler)


class Masked(logging.Formatter):
    """A formatter that knows ``%(unit)s``, the running unit and a colon if one is running, and leaves out the values of secrets."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a record."""
        running = active()
        record.unit = "" if running is None else f"{running.unit.id}: "
        return hide(super().format(record))


class FlambeFilter(logging.Filter):
    """Lets through what our loggers and ``__main__`` say, and warnings of anybody."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record passes."""
        ours = record.name.partition(".")[0] in ("flambe", "__main__")
        return ours or record.levelno >= logging.WARNING


class Console(logging.Handler):
    """Writes to stderr, through whatever draws progress there; while a unit runs, which has its own, to what stderr was before."""

    def __init__(self) -> None:
        super().__init__()
        try:
            self._terminal: int | None = os.dup(2)
        except OSError:
            self._terminal = None  # closed, as by ``2>&-``

    def emit(self, record: logging.LogRecord) -> None:
        """Show a record."""
        running = active()
        if running is None:
            tell(self.format(record))
        elif not running.is_echoed and (record.levelno >= logging.ERROR or level() == VERBOSE):
            self._write(f"{self.format(record)}\n")

    def _write(self, text: str) -> None:
        if self._terminal is not None:
            with contextlib.suppress(OSError):
                os.write(self._terminal, text.encode(errors="replace"))

    def let_go(self) -> None:
        """Let go of the terminal. Not in ``close``: whoever sets up logging anew closes handlers that are not his."""
        if self._terminal is not None:
            os.close(self._terminal)
            self._terminal = None
