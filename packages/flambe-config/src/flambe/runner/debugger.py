"""A debugger at the terminal, for units whose own streams lead elsewhere: stdin brings the spec, what is printed goes to a log."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

TERMINAL = "FLAMBE_TERMINAL"
"""The environment variable with the terminal of a command that debugs, for its children too, which may have none of their own."""


def offer_terminal() -> None:
    """Let units be debugged at the terminal that stderr is, if it is one. Nobody would answer elsewhere."""
    if os.isatty(2):
        os.environ[TERMINAL] = os.ttyname(2)


def call(function: Callable[..., Any], arguments: Mapping[str, Any], *, stop: bool) -> Any:
    """Call a function whose ``breakpoint()`` stops at the terminal. stop: stop at its first line too.

    Raises KeyboardInterrupt when the debugger is quit.
    """
    import bdb
    import pdb

    class Debugger(pdb.Pdb):
        was_quit = False

        def set_quit(self) -> None:
            self.was_quit = True  # runcall() keeps it to itself
            super().set_quit()

    path = os.environ[TERMINAL]
    with open(path) as words, open(path, "w") as screen:

        def stop_here(*_: Any, **__: Any) -> None:
            Debugger(stdin=words, stdout=screen).set_trace(sys._getframe(1))

        before, sys.breakpointhook = sys.breakpointhook, stop_here
        try:
            if not stop:
                return function(**arguments)
            first = Debugger(stdin=words, stdout=screen)
            result = first.runcall(function, **arguments)
            if first.was_quit:
                raise bdb.BdbQuit
            return result
        except bdb.BdbQuit:
            raise KeyboardInterrupt("the debugger was quit") from None
        finally:
            sys.breakpointhook = before
