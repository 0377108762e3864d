"""A call in a process of its own: what the code of a function leaves behind must not meet the next one."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import click
import msgspec

from flambe.cli.console import QUIET, VERBOSE, level, set_level
from flambe.cli.door import enter
from flambe.errors import RunFailed
from flambe.runner.interrupt import Stopped
from flambe.spec.codec import dump_json

Row = dict[str, Any]


def call_apart(call: Callable[[Callable[[Row], None]], int], on_row: Callable[[Row], None], tool: str) -> None:
    """Fork, and call in the child. ``call`` is given what takes its rows, and returns an exit code; the rows come here.

    Errors are told by the child, as a command tells them. Meant for a process that has loaded little. Raises Stopped when the
    child was ended by SIGINT or SIGTERM, which are handed on to it, and RunFailed for any other code than 0 and 1.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    quiet, verbose = level() == QUIET, level() == VERBOSE
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)

        def inside() -> int:
            set_level(quiet=quiet, verbose=verbose)
            with os.fdopen(writer, "wb", buffering=0) as rows:

                def tell(row: Row) -> None:
                    rows.write(dump_json(row) + b"\n")

                return call(tell)

        # Whatever happens in there, this copy of the caller must not go on.
        try:
            code = enter(click.Command(tool, callback=inside), tool, [])
        except BaseException:
            code = 1
            raise
        finally:
            os._exit(code)
    os.close(writer)
    with _handed_on(child):
        with os.fdopen(reader, "rb") as rows:
            for line in rows:
                on_row(msgspec.json.decode(line))
        _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    number = -code if code < 0 else code - 128
    if number in (signal.SIGINT, signal.SIGTERM):
        raise Stopped(number)
    if code not in (0, 1):
        raise RunFailed(
            f"the process of a function ended with {f'signal {-code}' if code < 0 else f'exit code {code}'}"
        )


@contextmanager
def _handed_on(child: int) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def hand_on(number: int, frame: FrameType | None) -> None:
        os.kill(child, number)

    before = {number: signal.signal(number, hand_on) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


__all__ = ["call_apart"]
