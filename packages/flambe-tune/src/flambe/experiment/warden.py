"""A process that outlives us by a second: when we are gone, however we went, it ends the Ray that we started.

Ray's own reaper ends its servers when a driver is killed, but leaves two helpers of the node (its agents) behind. All
processes of our Ray keep log files open below a private folder; the warden waits for the end of its stdin, which is our
end, kills whoever has a file open there, and removes the folder. It is a script without imports from this package, so
that it starts in 20 ms. Linux only (it reads ``/proc``); elsewhere only the folder is removed.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time

_PATIENCE_S = 10.0


def processes_of(folder: str, but: set[int]) -> list[int]:
    """Return the pids of processes other than ``but`` with a file open below ``folder``."""
    found = []
    for entry in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if not entry.isdigit() or int(entry) in but:
            continue
        try:
            for descriptor in os.scandir(f"/proc/{entry}/fd"):
                if os.readlink(descriptor.path).startswith(folder + os.sep):
                    found.append(int(entry))
                    break
        except OSError:
            continue  # it ended meanwhile, or is somebody else's
    return found


def main() -> None:
    """Wait for the end of stdin; then end every process of the folder ``sys.argv[1]`` and remove it.

    The process ``sys.argv[2]``, whose end this is about, is spared: it may have closed its Ray and live on.
    """
    folder = os.path.realpath(sys.argv[1])
    but = {os.getpid(), int(sys.argv[2])}
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while os.read(0, 4096):
        continue
    deadline = time.monotonic() + _PATIENCE_S
    quiet = 0
    while quiet < 3 and time.monotonic() < deadline:
        pids = processes_of(folder, but)
        quiet = 0 if pids else quiet + 1
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.05)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
