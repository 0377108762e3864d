"""What a command says to people, on stderr; colour and progress only where a terminal is."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

QUIET = 0
NORMAL = 1
VERBOSE = 2

_level = NORMAL


def set_level(*, quiet: bool = False, verbose: bool = False) -> None:
    """Choose how much ``say`` prints."""
    global _level
    _level = QUIET if quiet else VERBOSE if verbose else NORMAL


def level() -> int:
    """Return the level that ``set_level`` chose."""
    return _level


def say(text: str, *, level: int = NORMAL) -> None:
    """Print one line for people, unless the user asked for less."""
    if _level >= level:
        tell(text)


def tell(text: str) -> None:
    """Print one line for people in any case. When nobody can read it, the work goes on."""
    if sys.stderr is None:
        return
    try:
        print(text, file=sys.stderr, flush=True)
    except BrokenPipeError:
        # Whatever is printed from now on, here or by a library, must not fail again.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 2)
        os.close(null)
    except (OSError, ValueError):
        # A full disk, or a stream that somebody has closed.
        return


def stderr_is_terminal() -> bool:
    """Whether a person is looking at stderr."""
    return sys.stderr is not None and sys.stderr.isatty()


def rich_console() -> Console:
    """Return a rich console on stderr. Imported late: rich costs 60 ms."""
    from rich.console import Console

    return Console(stderr=True)


def progress(*, transient: bool = True) -> Progress:
    """Return a rich progress bar on stderr that draws nothing when stderr is no terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=rich_console(),
        transient=transient,
        disable=_level == QUIET or not stderr_is_terminal(),
    )
