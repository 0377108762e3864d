"""The lock that torch takes while it builds C++: a build that was killed leaves it, and torch waits for it without end."""

from __future__ import annotations

import os
import time
from pathlib import Path

from flambe.cli.console import say
from flambe.errors import ConfigError

# A build takes a minute at most. One of another machine, or of another container, cannot be seen from here.
_LIMIT_S = 300.0
_PAUSE_S = 0.1


def wait_for_build(lock: Path, what: str) -> None:
    """Wait as long as somebody builds ``what``, and take away the lock of whoever is gone.

    Raises
    ------
    ConfigError: the lock is old, and this system does not say whether a process has it.
    """
    told = False
    while (found := _stat(lock)) is not None:
        held = _is_open(found)
        age_s = time.time() - found.st_mtime
        if held is None and age_s > _LIMIT_S:
            raise ConfigError(
                f"{what} cannot be used: a build of it was interrupted {age_s / 60:.0f} minutes ago",
                hint=f"If nothing is building it now, remove {lock}",
            )
        if held is False and age_s > _LIMIT_S:
            _remove(lock, found)
            say(f"warning: a build of {what} was interrupted {age_s / 60:.0f} minutes ago; it begins anew")
            return
        if not held and not told:
            say(
                f"warning: {what} is being built, by no process that can be seen here: waiting for {_LIMIT_S - age_s:.0f} s at most. "
                f"If that build was killed, remove {lock}"
            )
            told = True
        time.sleep(_PAUSE_S)


def _stat(path: str | Path) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None


def _is_open(lock: os.stat_result) -> bool | None:
    """Whether a process of this machine has the lock open, as torch has while it builds; None where nobody says."""
    processes = Path("/proc")
    if not (processes / "self" / "fd").is_dir():
        return None
    for process in processes.glob("[0-9]*"):
        try:
            names = os.listdir(process / "fd")
        except OSError:  # somebody else's, or over
            continue
        for name in names:
            opened = _stat(process / "fd" / name)
            if opened is not None and os.path.samestat(opened, lock):
                return True
    return False


def _remove(lock: Path, found: os.stat_result) -> None:
    """Remove the lock that was found, and none that was made since."""
    aside = lock.with_name(f"{lock.name}.{os.getpid()}")
    try:
        os.rename(lock, aside)
        taken = os.stat(aside)
        if not os.path.samestat(taken, found):
            os.rename(aside, lock)
        else:
            aside.unlink()
    except FileNotFoundError:
        return  # another process was faster


__all__ = ["wait_for_build"]
