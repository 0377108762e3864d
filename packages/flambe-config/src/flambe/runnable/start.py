"""Starting an object from a command: what it is given before ``run()``, and with it."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from typing import Any

from flambe.build.component import Component
from flambe.cli.console import VERBOSE, level
from flambe.runnable.environment import get_env
from flambe.runnable.runnable import Runnable
from flambe.runnable.secrets import secrets_file

FORCE = "FLAMBE_FORCE"
"""The environment variable by which ``--force`` comes to the process that runs the object."""


def make_ready(obj: Any, extensions: Mapping[str, str]) -> None:
    """Give a ``Runnable`` its secrets and extensions, and ask it to check itself. Other objects need nothing.

    Raises ``ResourceError`` for a malformed file of secrets, and what ``parse()`` raises.
    """
    if isinstance(obj, Runnable):
        file = secrets_file()
        if file is not None:
            obj.inject_secrets(str(file))
        obj.inject_extensions(dict(extensions))
        obj.parse()


def run_arguments(obj: Any) -> dict[str, Any]:
    """Return those of ``force``, ``verbose`` and ``debug`` that the ``run()`` of an object takes."""
    try:
        parameters = inspect.signature(obj.run).parameters.values()
    except (TypeError, ValueError):
        return {}
    if not parameters:
        return {}
    given = {"force": bool(os.environ.get(FORCE)), "verbose": level() >= VERBOSE, "debug": get_env().debug}
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return given
    names = {p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)}
    return {name: value for name, value in given.items() if name in names}


def wants_more(obj: Any, result: Any) -> bool:
    """Whether ``run()`` asks to be called again: a component by any true value, another object by True alone.

    What a program of the user's returns is its result; a path or a table of figures must not make it run for ever.
    """
    if isinstance(obj, Component):
        return bool(result)
    return result is True or (type(result).__name__ == "bool_" and bool(result))
