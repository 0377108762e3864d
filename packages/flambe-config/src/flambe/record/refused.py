"""``DiskRefused``: the disk does not take what is to be kept. It ends a run, and the same command goes on later."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

from flambe.errors import FlambeError

_Method = TypeVar("_Method", bound=Callable[..., Any])
_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


class DiskRefused(FlambeError):
    """A full or broken disk, or one that may not be written to. No fault of what is run, so nothing is marked as failed."""


@contextmanager
def kept_in(place: Path) -> Iterator[None]:
    """Raise ``DiskRefused`` for any OSError inside, which writes below ``place``."""
    try:
        yield
    except OSError as error:
        # A write has no name of its own in its error; a rename has two.
        where = error.filename if isinstance(error.filename, str) else str(place)
        what = error.strerror or _first_of(error)
        hint = "Make room, then give" if error.errno in _ROOM else "Mend it, then give"
        raise DiskRefused(
            f"cannot write {where}: {what}", hint=f"{hint} the same command again: it goes on from what was kept."
        ) from error


def _first_of(error: OSError) -> str:
    """Return what the first file of a copied folder met: ``shutil.Error`` is a list of (source, target, why)."""
    match error.args:
        case ([(_, _, why), *_],):
            return str(why)
    return str(error) or type(error).__name__


def on_disk(method: _Method) -> _Method:
    """Let a method of what has ``paths`` of a run raise ``DiskRefused`` in place of OSError."""

    @wraps(method)
    def call(self: Any, *args: Any, **more: Any) -> Any:
        with kept_in(self.paths.root):
            return method(self, *args, **more)

    return call  # type: ignore[return-value]


__all__ = ["DiskRefused", "kept_in", "on_disk"]
