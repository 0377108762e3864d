"""Processes of this cluster: found again, and ended."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable

from .files import Refusal

POLL_S = 0.2


def boot() -> str:
    """Return what tells this boot of the machine from others."""
    with open("/proc/sys/kernel/random/boot_id") as stream:
        return stream.read().strip()


def processes() -> dict[int, tuple[int, int, int]]:
    """Return pid -> (parent, session, start time in ticks) of everything that runs, zombies left out."""
    found: dict[int, tuple[int, int, int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as stream:
                    fields = stream.read().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[0] != "Z":
                found[int(name)] = (int(fields[1]), int(fields[3]), int(fields[19]))
    return found


def marked(mark: str) -> set[int]:
    """Return the pids whose environment holds ``mark`` (NAME=VALUE)."""
    found: set[int] = set()
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/environ", "rb") as stream:
                    if mark.encode() in stream.read().split(b"\0"):
                        found.add(int(name))
            except OSError:
                continue
    return found


def members(mark: str, session: int | None = None, started_on: str | None = None) -> set[int]:
    """Return the pids that carry ``mark``, those of their session, and all that they started."""
    everything = processes()
    found = marked(mark) & set(everything)
    # While a process of a session lives, its number is not given to a new one; a leader of that number is a stranger's.
    if session and started_on == boot() and session not in everything:
        found |= {pid for pid, (_, its, _) in everything.items() if its == session}
    grown: bool = True
    while grown:
        children = {pid for pid, (parent, _, _) in everything.items() if parent in found} - found
        found |= children
        grown = bool(children)
    return found - {os.getpid()}


def stop(find: Callable[[], set[int]], patience: float = 4.0) -> int:
    """Ask the processes that ``find`` returns to end, then make them. Returns how many there were."""
    first = find()
    for number, wait in ((signal.SIGTERM, patience), (signal.SIGKILL, 5.0)):
        deadline = time.monotonic() + wait
        left = find()
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)
        while left and time.monotonic() < deadline:
            time.sleep(POLL_S)
            left = find()
    if left:
        raise Refusal(f"{len(left)} processes do not end: {sorted(left)}")
    return len(first)
