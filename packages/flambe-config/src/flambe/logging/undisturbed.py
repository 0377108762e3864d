"""``undisturbed``: other people's code may set up logging as it is imported; ours stays as it was."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Put back what is changed within of the root logger, of the loggers that there are already, and of what is disabled.

    ``logging.basicConfig``, ``logging.config.dictConfig`` and ``logging.disable`` do so. New loggers keep what they are given.
    """
    root = logging.getLogger()
    there = [logger for logger in root.manager.loggerDict.values() if isinstance(logger, logging.Logger)]
    before = [(logger, list(logger.handlers), logger.level, logger.disabled) for logger in (root, *there)]
    disabled = root.manager.disable
    try:
        yield
    finally:
        logging.disable(disabled)
        for logger, handlers, level, is_disabled in before:
            logger.handlers[:] = handlers
            logger.disabled = is_disabled
            if logger.level != level:  # setting it empties a cache in every logger there is
                logger.setLevel(level)


__all__ = ["undisturbed"]
