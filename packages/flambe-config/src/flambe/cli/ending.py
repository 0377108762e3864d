"""How a command ends: what it raised becomes a line on stderr and an exit code."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from flambe.cli.console import set_level, tell
from flambe.cli.streams import ClosedPipe, claim_stdout, close_quietly
from flambe.errors import FlambeError

_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS})
"""What a disk says that does not take any more, whoever was writing: no bug to show a traceback of."""

_running = False


def is_running() -> bool:
    """Whether this process is one of our commands, and not a program that imports us."""
    return _running


def run_to_end(run: Callable[[], object], name: str, *, writes_data: bool = True) -> int:
    """Call ``run`` as the program ``name`` and return its exit code: what it returns, if that is a number.

    Exit codes: 0 done, 1 a run failed, 2 config or usage, 3 provenance refused, 4 machine refused,
    130 and 143 after SIGINT and SIGTERM. A reader that closed its end of the pipe is no failure.
    writes_data: whether stdout is kept for data, so that whatever else is printed goes to stderr.
    """
    global _running
    _running = True
    if writes_data:
        claim_stdout()
    set_level()
    try:
        result = run()
        code = result if isinstance(result, int) else 0
    except FlambeError as error:
        tell("\n".join(f"{name}: error: {line}" for line in str(error).splitlines()))
        code = error.exit_code
    except KeyboardInterrupt as stop:
        tell(f"{name}: interrupted")
        code = 128 + getattr(stop, "number", signal.SIGINT)
    except (ClosedPipe, BrokenPipeError):
        code = 0
    except OSError as error:
        if error.errno not in _DISK:
            raise
        tell(f"{name}: error: cannot write{f' {error.filename}' if error.filename else ''}: {error.strerror}")
        code = 1
    except SystemExit as end:
        # click ends so when it meets a closed pipe; a library may for any reason.
        if isinstance(end.code, str):
            tell(f"{name}: error: {end.code}")
        code = (
            0
            if isinstance(end.__context__, BrokenPipeError)
            else end.code
            if isinstance(end.code, int)
            else bool(end.code)
        )
    if writes_data:
        close_quietly(claim_stdout())
    _running = False
    set_level()  # whoever called it from Python goes on with their own
    return code


def end_at_once(code: int) -> NoReturn:
    """End this process when all its work is done, and take nothing down: a library's threads may crash in what is going away."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or none
            stream.flush()
    os._exit(code)
