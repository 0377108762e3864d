"""Ray kept out of the way of our signals.

Ctrl-C on a terminal, ``timeout`` and batch systems signal a whole process group. Ray's servers would die of it at once, and
take this process with them (exit 134) before it has closed its run. And ``ray.init`` puts handlers of its own in the
place of ours: SIGTERM would end this process with exit 15, or with a dump from C++.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_WAIT = [sys.executable, "-I", "-S", "-c", "import sys; sys.stdin.read()"]


@contextlib.contextmanager
def with_our_handlers() -> Iterator[None]:
    """Put our signal handlers back afterwards. A SIGTERM that Ray's own handler took meanwhile is raised then."""
    in_main = threading.current_thread() is threading.main_thread()
    handlers = {number: signal.getsignal(number) for number in _SIGNALS} if in_main else {}
    taken: int | None = None
    try:
        yield
    except SystemExit as end:
        # Ray's handler of SIGTERM is sys.exit(number).
        if end.code not in _SIGNALS:
            raise
        taken = int(end.code)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if taken is not None:
        signal.raise_signal(taken)
        raise KeyboardInterrupt(signal.Signals(taken).name)


@contextlib.contextmanager
def apart(leader: int) -> Iterator[None]:
    """Let processes that are started inside belong to the process group of ``leader``, a child that leads one.

    Afterwards this process is in its own group again, with its own signal handlers, and a signal for the group that it
    missed is raised. Where the group cannot be left (the leader of a session) only the handlers are kept.
    """
    before = os.getpgrp()
    # Our group must not be empty while we are away, or nobody could come back to it. It also hears what we miss.
    stand_in = subprocess.Popen(_WAIT, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)  # it dies with a traceback
    heard: int | None = None
    try:
        with with_our_handlers():
            with contextlib.suppress(PermissionError):
                os.setpgid(0, leader)
            yield
    finally:
        with contextlib.suppress(PermissionError):
            os.setpgid(0, before)
        heard = stand_in.poll()
        stand_in.communicate()
    if heard is not None and -heard in _SIGNALS:
        signal.raise_signal(-heard)
