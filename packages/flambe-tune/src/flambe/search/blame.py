"""Whose fault an exception is: code that we call, and somebody else has written, is named with the place."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from flambe.errors import FlambeError


@contextmanager
def blamed(what: str) -> Iterator[None]:
    """Raise a FlambeError that says ``what`` raised, and where, in place of any exception that is none."""
    try:
        yield
    except FlambeError:
        raise
    except Exception as error:  # any, for it is not ours
        place = traceback.extract_tb(error.__traceback__)[-1]
        said = f"{what} raised {type(error).__name__}: {error} ({place.filename}:{place.lineno})"
        raise FlambeError(said) from error
