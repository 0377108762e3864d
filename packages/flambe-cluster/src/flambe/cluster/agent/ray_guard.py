"""Ends what a Ray node of this machine leaves behind when it dies. A process of its own, for as long as the node lives.

Most workers notice the end of their node at once. One that is just starting does not: it asks the node, or the head, for half a minute.

Called with what all processes of the node have in their environment (NAME=VALUE). The file is copied into the node's folder, so
it imports nothing of ours.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time

NAME = "flambe-guard"
"""What the system calls the process."""
_NODE = b"RAY_RAYLET_PID="
"""Ray gives this to all that a node starts, and they to what they start."""
_POLL_S = 0.1
_QUIET = 5
"""So often nothing must be left: what is being started has no environment for a moment."""


def processes(mark: str) -> dict[int, list[bytes]]:
    """Return the processes with ``mark`` in their environment, with the whole of it."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/environ", "rb") as stream:
                    words = stream.read().split(b"\0")
            except OSError:
                continue  # it ended meanwhile, or is somebody else's
            if mark.encode() in words:
                found[int(name)] = words
    return found


def is_node(pid: int) -> bool:
    """Return whether a process is a Ray node that lives."""
    try:
        with open(f"/proc/{pid}/stat") as stream:
            before, _, after = stream.read().rpartition(")")
    except OSError:
        return False
    return before.partition("(")[2] == "raylet" and after.split()[0] not in ("Z", "X")


def wait_for_end(pid: int) -> None:
    """Return when a Ray node has ended."""
    while is_node(pid):
        try:
            descriptor = os.pidfd_open(pid)
        except (AttributeError, OSError):  # an old system, or it has just ended
            time.sleep(_POLL_S)
            continue
        select.select([descriptor], [], [])
        os.close(descriptor)


def guard(mark: str) -> None:
    """Wait for the end of the node, then end all that it has started."""
    for pid in processes(mark):
        wait_for_end(pid)
    quiet = 0
    while quiet < _QUIET:
        left = [pid for pid, words in processes(mark).items() if any(word.startswith(_NODE) for word in words)]
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        quiet = 0 if left else quiet + 1
        time.sleep(_POLL_S)


if __name__ == "__main__":
    with contextlib.suppress(OSError), open("/proc/self/comm", "w") as own:
        own.write(NAME)
    guard(sys.argv[1])
