"""Code that we call and somebody else has written: how its class is found, and that it is named where it fails."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from flambe.errors import FlambeError


def class_of(target: str, extensions: Mapping[str, str]) -> Any:
    """Return the class of a scheduler or a search. Raises FlambeError for a module that cannot be imported, and as ``resolve``."""
    from flambe.build.trust import import_extensions, resolve

    module = target.partition(":")[0].partition(".")[0]
    with blamed(f"the module {module}"):
        if module in extensions:
            import_extensions({module: extensions[module]})
        return resolve(target, extensions=dict(extensions))


@contextmanager
def blamed(what: str) -> Iterator[None]:
    """Raise a FlambeError that says ``what`` raised, and where, in place of any exception that is none."""
    try:
        yield
    except FlambeError:
        raise
    except Exception as error:  # any, for it is not ours
        said, place = str(error), traceback.extract_tb(error.__traceback__)[-1]
        file, line = place.filename, place.lineno
        if isinstance(error, SyntaxError):
            said, file, line = error.msg, error.filename or file, error.lineno
        raise FlambeError(f"{what} raised {type(error).__name__}: {said} ({file}:{line})") from error
