"""What is told of an exception that ended an attempt of a unit: one text, the traceback, whether trying again could help."""

from __future__ import annotations

import os
import re
import signal
import sysconfig
import traceback
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from types import CodeType, TracebackType
from typing import Any, NamedTuple

from flambe.errors import ConfigError, FlambeError, ProvenanceError
from flambe.record.layout import OUTPUTS, RunPaths
from flambe.record.run import Exit
from flambe.runnable.secrets import hide
from flambe.runner.unit import Unit

PERMANENT = (
    SyntaxError,
    ImportError,
    NameError,
    AttributeError,
    TypeError,
    ConfigError,
    ProvenanceError,
    KeyboardInterrupt,
)
"""Faults of what is written. The seed of a unit is fixed, so the next attempt would come to the same line again. And somebody's will."""

_PLACED = re.compile(r".+?:\d+:\d+: ")
"""A note that says where in the config it was, as those of the builder do."""


class Failure(NamedTuple):
    """An exception, for people. error: what it was and where. trace: the whole traceback. is_permanent: no attempt can succeed.

    end: how the process of a function would have ended by itself; None of other units.
    """

    error: str
    trace: str
    is_permanent: bool
    end: Exit | None = None


def failure_of(error: BaseException, unit: Unit) -> Failure:
    """Return what to tell of an exception of ``unit``, without the values of secrets.

    The place in brackets is the innermost frame that lies in an extension of the unit or outside of what is installed: the
    user's own code. Without one it is the innermost frame; an error of flambe's own says what to do and needs none.
    """
    trace = "".join(traceback.format_exception(type(error), error, _trace(error, unit)))
    end = _end(error) if unit.is_function else None
    return Failure(hide(_text(error, unit)), hide(trace), isinstance(error, PERMANENT), end)


def told_of(error: str, before: str | None, *, final: bool, again: str = "is tried again") -> str:
    """Return the words for an attempt that failed. before: the error of the one before it, which need not be read twice."""
    return f"failed{'' if final else f', {again}'}: {'as before' if error == before else error}"


def _end(error: BaseException) -> Exit:
    """Return the exit code and the last line of the traceback, as Python would have ended."""
    last = hide(traceback.format_exception_only(error)[-1].strip())
    if isinstance(error, SystemExit):
        return Exit(code=error.code if isinstance(error.code, int) else 1, error=last)
    if isinstance(error, KeyboardInterrupt):
        number = getattr(error, "number", signal.SIGINT)
        return Exit(code=128 + number, signal=signal.Signals(number).name, error=last)
    return Exit(code=1, error=last)


def _trace(error: BaseException, unit: Unit) -> TracebackType | None:
    """Return the traceback of an error; that of a plain function begins in its own code."""
    trace = error.__traceback__
    while unit.is_program and trace is not None:
        if _is_outside(trace.tb_frame.f_code.co_filename):
            return trace
        trace = trace.tb_next
    return error.__traceback__


def _text(error: BaseException, unit: Unit) -> str:
    what = str(error)
    if isinstance(error, SyntaxError):
        what = error.msg  # the rest of its text is the place, without the folder
    # A position is the first thing to read, and editors follow it there.
    placed = isinstance(error, FlambeError) and error.position is not None
    text = what if placed else f"{type(error).__name__}: {what}" if what else type(error).__name__
    for note in getattr(error, "__notes__", ()):
        text = f"{note}: {text}" if _PLACED.match(note) else f"{text}; {note}"
    place = _place(error, unit)
    if place is None and isinstance(error, FlambeError):
        return text
    own = RunPaths(Path()).unit(unit.stage, unit.variant).outputs
    log = OUTPUTS if unit.log and not unit.log.endswith(f"{os.sep}{own}") else own
    return f"{text} ({f'{place}; ' if place else ''}the whole traceback: {log})"


def _place(error: BaseException, unit: Unit) -> str | None:
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_name(error.filename, '', unit)}:{error.lineno}"
    own = {name.partition(".")[0] for name in unit.extensions}
    chain: BaseException | None = error
    # What flambe raises about the user's code was caused there.
    while chain is not None:
        for frame in reversed(list(_frames(chain.__traceback__))):
            if frame.module.partition(".")[0] in own or _is_outside(frame.code.co_filename):
                return frame.text(unit)
        chain = chain.__cause__
    if isinstance(error, FlambeError):
        return None
    innermost = list(_frames(error.__traceback__))
    return innermost[-1].text(unit) if innermost else None


class _Frame(NamedTuple):
    code: CodeType
    module: str
    line: int | None

    def text(self, unit: Unit) -> str:
        where = f"{_name(self.code.co_filename, self.module, unit)}:{self.line}"
        return where if self.code.co_name.startswith("<") else f"{where} in {self.code.co_name}"


def _frames(trace: TracebackType | None) -> Iterator[_Frame]:
    while trace is not None:
        # What exec() ran may have globals without a name, or any value as its name.
        globals_: dict[str, Any] = trace.tb_frame.f_globals
        yield _Frame(trace.tb_frame.f_code, str(globals_.get("__name__", "")), trace.tb_lineno)
        trace = trace.tb_next


def _is_outside(file: str) -> bool:
    """Whether a source file belongs to no installed distribution, nor to Python, nor to flambe (which may lie in a checkout)."""
    if file.startswith("<"):
        return False
    path = Path(os.path.abspath(file))
    return not {"site-packages", "dist-packages"} & set(path.parts) and not _is_below(path, _installed())


@cache
def _installed() -> tuple[Path, ...]:
    import flambe

    named = sysconfig.get_paths()
    folders = [named[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    return tuple(Path(os.path.abspath(folder)) for folder in (*folders, *flambe.__path__))


def _is_below(path: Path, folders: Iterable[Path]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)


def _name(file: str, module: str, unit: Unit) -> str:
    """Return a file as seen from the user's folder; elsewhere as it is imported, ``torch/nn/functional.py``."""
    path = Path(os.path.abspath(file))
    if unit.cwd and path.is_relative_to(unit.cwd):
        return str(path.relative_to(unit.cwd))
    parts = module.split(".")
    whole = path.parent if path.name == "__init__.py" else path.with_suffix("")
    if list(whole.parts[-len(parts) :]) == parts:
        return str(path.relative_to(whole.parents[len(parts) - 1]))
    return str(path)


__all__ = ["PERMANENT", "Failure", "failure_of", "told_of"]
