"""``Lifeline``: a line from a command to each of its workers on a Ray that it joined. A worker whose line has broken ends.

Ray tells a machine through its head that a command is gone. Where the head is gone as well, the nodes wait for it with all of
their workers, a minute by default; and a machine whose cable was cut waits for as long as that lasts. So a worker watches its command
itself: it holds a connection, which the command's machine closes when the command has ended, however it ended.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import selectors
import signal
import socket
import threading
import time
from typing import NamedTuple

_DRAW_S = 10.0
"""How long a line may take to be drawn."""
_SILENCE_S, _PROBES = 12, 5
"""The other machine is asked whether it is there after that long without a word, and then that often: a minute in all, as long as Ray
waits for a machine."""
_MARK_BYTES = 16


class Address(NamedTuple):
    """Where a command listens. mark: what it says first; another may have its port when it is gone."""

    host: str
    port: int
    mark: bytes


class Lifeline:
    """The command's end, at an address of this machine, until ``close`` or the end of this process. address: for ``hold``.

    Raises OSError where ``host`` is no address of this machine.
    """

    def __init__(self, host: str) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._server = socket.create_server((host, 0), family=family, backlog=1024)
        self._closing, self._closed = socket.socketpair()
        self.address = Address(host, self._server.getsockname()[1], secrets.token_bytes(_MARK_BYTES))
        threading.Thread(target=self._hold, name="lifeline", daemon=True).start()

    def close(self) -> None:
        """Let go of all workers."""
        self._closed.close()

    def _hold(self) -> None:
        with selectors.DefaultSelector() as waiting:
            for end in (self._server, self._closing):
                waiting.register(end, selectors.EVENT_READ, end)
            while self._closing not in (ready := [key.data for key, _ in waiting.select()]):
                for end in ready:
                    if end is self._server:
                        with contextlib.suppress(OSError):
                            line = self._take()
                            waiting.register(line, selectors.EVENT_READ, line)
                    else:  # its worker has ended
                        waiting.unregister(end)
                        end.close()
            for key in list(waiting.get_map().values()):
                key.data.close()

    def _take(self) -> socket.socket:
        try:
            line, _ = self._server.accept()
        except OSError:
            time.sleep(0.1)  # no descriptor is left; the worker waits
            raise
        try:
            _probe(line)
            line.setblocking(False)
            line.send(self.address.mark)
        except OSError:
            line.close()
            raise
        return line


def hold(address: Address) -> None:
    """Let this process be killed when the command at ``address`` is gone. Returns at once.

    Where no line can be drawn from the beginning, as through a wall that lets only Ray's own ports through, it is left to Ray.
    """
    threading.Thread(target=_hold, args=(address,), name="lifeline", daemon=True).start()


def _hold(address: Address) -> None:
    held = False
    while (line := _draw(address)) is not None:
        held = True
        with line, contextlib.suppress(OSError):
            line.recv(1)
        # The command is gone, or somebody between us has cut the line: then it can be drawn anew.
    if held:
        os.kill(os.getpid(), signal.SIGKILL)


def _draw(address: Address) -> socket.socket | None:
    """Return a line to the command, None when it does not answer."""
    with contextlib.ExitStack() as failed, contextlib.suppress(OSError):
        line = failed.enter_context(socket.create_connection((address.host, address.port), timeout=_DRAW_S))
        if line.recv(_MARK_BYTES) == address.mark:
            _probe(line)
            line.settimeout(None)
            failed.pop_all()
            return line
    return None


def _probe(line: socket.socket) -> None:
    """Let the system find out when the other machine is gone without a word."""
    line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    wanted = {"TCP_KEEPIDLE": _SILENCE_S, "TCP_KEEPINTVL": _SILENCE_S, "TCP_KEEPCNT": _PROBES - 1}
    for name, value in wanted.items():
        if hasattr(socket, name):  # not on every system
            line.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


__all__ = ["Address", "Lifeline", "hold"]
