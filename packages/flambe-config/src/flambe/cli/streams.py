"""Standard streams of a command: stdout belongs to data, stderr to people, ``-`` is stdin.

``claim_stdout`` keeps file descriptor 1 for the command's own data and then points descriptor 1 at stderr,
so that no library's ``print`` (nor a C extension's) can break the next command of a pipe.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable
from typing import IO, Any, TextIO

from flambe.errors import ConfigError, FlambeError, UsageError, near_file

_data: TextIO | None = None


class ClosedPipe(Exception):
    """The next command of the pipe has closed its end: there is nothing more to do, and nothing wrong.

    No OSError, because click would turn that into exit code 1.
    """


def claim_stdout() -> TextIO:
    """Return the stream for data; afterwards whatever is printed goes to stderr. Calling it again is harmless."""
    global _data
    if _data is None:
        _fill_descriptors()
        if sys.stdout is not None:
            sys.stdout.flush()
        kept = os.dup(1)
        os.dup2(2, 1)
        _data = os.fdopen(kept, "w", encoding="utf-8", buffering=1)
        sys.stdout = sys.stderr
    return _data


def _fill_descriptors() -> None:
    """Put /dev/null where a standard descriptor was closed (``>&-``): the next file that is opened would take its place."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null != descriptor:
                os.dup2(null, descriptor)
                os.close(null)
            os.set_inheritable(descriptor, True)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)


def data_is_terminal() -> bool:
    """Whether a person is looking at the data stream."""
    return claim_stdout().isatty()


def emit(text: str) -> None:
    """Write one line of data and flush it, so that the next command of a pipe sees it at once.

    Raises ClosedPipe when that command is gone, FlambeError when the text cannot be written (a full disk).
    """
    emit_lines([(text if text.endswith("\n") else text + "\n").encode()])


def emit_lines(lines: Iterable[bytes]) -> None:
    """Write many lines of data, each with its line end, and flush them together. Raises as ``emit``."""
    out = claim_stdout().buffer
    try:
        for line in lines:
            out.write(line)
        out.flush()
    except BrokenPipeError:
        raise ClosedPipe from None
    except OSError as error:
        raise FlambeError(f"cannot write to stdout: {error.strerror}") from error


def emit_json(value: Any) -> None:
    """Write plain data as one line of JSON, without spaces. Raises as ``emit``, and ValueError for NaN and infinities."""
    import json  # compiling writes its own

    emit(json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")))


def read_text(path: str, *, what: str, largest: int = 2**30) -> str:
    """Read the text of ``path``, where ``-`` is stdin. largest: in bytes; a device has no end.

    Raises ``UsageError`` for an empty or interactive stdin, ``ConfigError`` for a file that cannot be read.
    """
    if path == "-":
        if sys.stdin is None or sys.stdin.isatty():
            raise UsageError(f"no {what} came on stdin", hint="Name a file, or pipe one in.")
        try:
            if hasattr(sys.stdin, "buffer"):
                text = _text(sys.stdin.buffer.read(largest + 1), "stdin", largest)
            else:
                text = sys.stdin.read()
        except (OSError, UnicodeDecodeError) as error:
            raise _unreadable("stdin", error) from error
        if not text.strip():
            raise UsageError(f"stdin is empty, a {what} was expected")
        return text
    try:
        with open(path, "rb") as stream:
            return _text(stream.read(largest + 1), path, largest)
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error


def _text(data: bytes, name: str, largest: int) -> str:
    if len(data) > largest:
        raise ConfigError(f"{name} is larger than {largest // 2**20:,} MiB", rule="too-large")
    return data.decode("utf-8").replace("\r\n", "\n")


def _unreadable(path: str, error: OSError | UnicodeDecodeError) -> ConfigError:
    reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
    hint = near_file(path) if isinstance(error, FileNotFoundError) else None
    return ConfigError(f"cannot read {path}: {reason}", rule="unreadable-file", hint=hint)


def close_quietly(stream: IO[str]) -> None:
    """Close a stream whose reader may have gone: a closed pipe is no crash, and ``emit`` has told of anything else."""
    with contextlib.suppress(OSError):
        stream.close()
