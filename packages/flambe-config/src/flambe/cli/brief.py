"""``brief``: a process that ends as soon as it has answered."""

from __future__ import annotations

import gc
from collections.abc import Callable


def brief(run: Callable[[], int]) -> int:
    """Return what ``run`` returns, and look for no cycles among all that was imported and read: that takes a tenth of the time of
    a short process, now and once more at its end. What stays after all says so, see ``lasting``.
    """
    gc.disable()
    code = run()
    gc.freeze()
    return code


def lasting() -> None:
    """Look for cycles again: this process stays."""
    gc.enable()


__all__ = ["brief", "lasting"]
