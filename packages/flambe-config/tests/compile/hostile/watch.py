"""What reading must never do, told by the interpreter itself (PEP 578): import, execute, write, talk to anybody."""

from __future__ import annotations

import os
import sys
from typing import Any

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_NEVER = (
    "socket.", "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.kill", "os.remove",
    "os.rmdir", "os.chmod", "os.chown", "os.link", "os.symlink", "os.truncate", "os.putenv", "os.unsetenv", "os.chdir",
    "shutil.", "ctypes.", "pickle.", "urllib.", "http.", "ftplib.", "smtplib.", "webbrowser.", "tempfile.", "code.",
    "pty.", "signal.pthread_kill",
)  # fmt: skip


class Watch:
    """Notes what happens while it is on. written: the one folder that may change, the cache of signatures.

    An audit hook stays until the process ends, so each watch wants a process of its own.
    """

    def __init__(self, written: str) -> None:
        self._written = os.path.realpath(written) + os.sep
        self.on = False
        self.seen: list[str] = []
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.on and self._is_forbidden(event, arguments):
            self.seen.append(f"{event} {arguments!r}"[:300])

    def _is_forbidden(self, event: str, arguments: tuple[Any, ...]) -> bool:
        if event == "open":
            path, mode, flags = arguments
            changes = any(letter in mode for letter in "wax+") if isinstance(mode, str) else bool(flags & _WRITES)
            return changes and not self._is_ours(path)
        if event in ("os.mkdir", "os.rename"):
            return not self._is_ours(arguments[0])
        # What reads configs is imported before the watch begins: nothing has to come after.
        return event in ("import", "exec") or event.startswith(_NEVER)

    def _is_ours(self, path: Any) -> bool:
        return isinstance(path, str) and (os.path.realpath(path) + os.sep).startswith(self._written)
