"""Standard streams of a command: stdout belongs to data, stderr to people, ``-`` is stdin.

``claim_stdout`` keeps file descriptor 1 for the command's own data and then points descriptor 1 at stderr,
so that no library's ``print`` (nor a C extension's) can break the next command of a pipe.
"""

from __future__ import annotations

import os
import sys
from typing import IO, TextIO

from flambe.errors import ConfigError, UsageError

_data: TextIO | None = None


class ClosedPipe(Exception):
    """The next command of the pipe has closed its end: there is nothing more to do, and nothing wrong.

    No OSError, because click would turn that into exit code 1.
    """


def claim_stdout() -> TextIO:
    """Return the stream for data; afterwards whatever is printed goes to stderr. Calling it again is harmless."""
    global _data
    if _data is None:
        sys.stdout.flush()
        kept = os.dup(1)
        os.dup2(2, 1)
        _data = os.fdopen(kept, "w", encoding="utf-8", buffering=1)
        sys.stdout = sys.stderr
    return _data


def data_is_terminal() -> bool:
    """Whether a person is looking at the data stream."""
    return claim_stdout().isatty()


def emit(text: str) -> None:
    """Write one line of data and flush it, so that the next command of a pipe sees it at once.

    Raises ClosedPipe when that command is gone.
    """
    out = claim_stdout()
    try:
        out.write(text if text.endswith("\n") else text + "\n")
        out.flush()
    except BrokenPipeError:
        raise ClosedPipe from None


def read_text(path: str, *, what: str) -> str:
    """Read the text of ``path``, where ``-`` is stdin.

    Raises ``UsageError`` for an empty or interactive stdin, ``ConfigError`` for a file that cannot be read.
    """
    if path == "-":
        if sys.stdin is None or sys.stdin.isatty():
            raise UsageError(f"no {what} came on stdin", hint="Name a file, or pipe one in.")
        text = sys.stdin.read()
        if not text.strip():
            raise UsageError(f"stdin is empty, a {what} was expected")
        return text
    try:
        with open(path, encoding="utf-8") as stream:
            return stream.read()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigError(f"cannot read {path}: {reason}") from error


def close_quietly(stream: IO[str]) -> None:
    """Close a stream whose reader may have gone: a closed pipe is no crash."""
    try:
        stream.close()
    except BrokenPipeError:
        # The interpreter would try to flush once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
