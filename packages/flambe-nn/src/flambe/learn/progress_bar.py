"""A progress bar over iterations, for a person who looks at stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from flambe.cli.console import progress, stderr_is_terminal


@contextmanager
def progress_bar(text: str, total: int, done: int) -> Iterator[Callable[[], None] | None]:
    """Show a bar while entered. Gives what is to be called once an iteration, or None where nobody would see it.

    Inside of a unit stderr is its log, and no terminal: the command says a line for each step there.
    """
    if not stderr_is_terminal():
        yield None
        return
    with progress() as bar:
        task = bar.add_task(text, total=total, completed=done)
        yield lambda: bar.advance(task)
