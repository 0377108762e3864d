"""``Culprit``: the part of a stage whose code raised, found by the objects that the frames of a traceback belong to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Any, NamedTuple

from flambe.errors import ArgumentError, FlambeError, Position
from flambe.spec.nodes import Path

_PLAIN = (type(None), bool, int, float, str, bytes, list, dict, tuple)


class Culprit(NamedTuple):
    """path: its config path, the stage first; of a module inside of one that a tag made or a link gave it goes on by attributes."""

    path: Path
    value: Any

    def __str__(self) -> str:
        keys = (f"[{key}]" if isinstance(key, int) or key.isdigit() else f".{key}" for key in self.path[1:])
        return f"{self.path[0]}{''.join(keys)} ({type(self.value).__qualname__})"


def culprit_of(error: BaseException, objects: Mapping[Path, Any]) -> Culprit | None:
    """Return the innermost of ``objects`` (config path → value, in the order in which they were built) that a frame belongs to."""
    known: dict[int, Culprit] = {}
    for path, value in objects.items():
        if not isinstance(value, _PLAIN):
            # An object comes before the links to it.
            known.setdefault(id(getattr(value, "__code__", value)), Culprit(path, value))
    found: Culprit | None = None
    for frame in frames_of(error):
        for one in owners(frame):
            if id(one) not in known:
                continue
            found = known[id(one)]
            if hasattr(one, "named_modules") and not isinstance(one, type):
                for name, module in one.named_modules():
                    known.setdefault(id(module), Culprit((*found.path, *name.split(".")), module))
    return found


def say_where(error: Exception, objects: Mapping[Path, Any], where: Callable[[Path], Position | None]) -> None:
    """Add to an error of running code which part of the stage raised it, and where that was written, if that is known."""
    culprit = culprit_of(error, objects)
    if culprit is None:
        return
    if isinstance(error, FlambeError):
        inner = error.argument if isinstance(error, ArgumentError) else ()
        if error.position is None and (inner or len(culprit.path) > 1):
            error.position = where((*culprit.path, *inner))
    elif len(culprit.path) > 1:  # of the stage itself its own code is all there is to tell
        position = where(culprit.path)
        error.add_note(f"{f'{position}: ' if position else 'in '}{culprit}")


def frames_of(error: BaseException) -> Iterator[FrameType]:
    """Yield the frames that an error came through, the outermost first."""
    trace = error.__traceback__
    while trace is not None:
        yield trace.tb_frame
        trace = trace.tb_next


def owners(frame: FrameType) -> tuple[Any, Any]:
    """Return what a frame may belong to: the object of a method, and the code of a function."""
    code = frame.f_code
    is_method = code.co_argcount > 0 and code.co_varnames[0] == "self"
    return (frame.f_locals.get("self") if is_method else None), code


__all__ = ["Culprit", "culprit_of", "frames_of", "owners", "say_where"]
