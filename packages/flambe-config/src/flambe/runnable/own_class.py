"""Classes of the user's in the place of ours, named in ``__run__``: ``{name: package.module.Class, argument: value}``."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

from flambe.errors import ConfigError, did_you_mean


def make_own(named: Mapping[str, Any], offered: Mapping[str, Any], *, base: type, what: str) -> Any:
    """Import the class that ``named`` names, and make one of it with the other keys, and those of ``offered`` that it takes.

    base: what it has to inherit from. Raises ConfigError, naming the class, when it is not there or cannot be made.
    """
    given = {key: value for key, value in named.items() if key != "name"}
    target = str(named.get("name", ""))
    module_name, _, name = target.replace(":", ".").rpartition(".")
    if not module_name:
        raise ConfigError(f"{what} is named {target!r}", expected="package.module.Class")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise ConfigError(f"{what} is {target}, and there is no module {error.name}") from error
    found = getattr(module, name, None)
    if not inspect.isclass(found) or not issubclass(found, base):
        known = [key for key, value in vars(module).items() if inspect.isclass(value) and issubclass(value, base)]
        kind = "is no class" if not inspect.isclass(found) else f"is no {base.__name__}"
        raise ConfigError(
            f"{what} is {target}, which {kind}",
            expected=f"a class that inherits from {base.__module__}.{base.__name__}",
            hint=did_you_mean(name, known),
        )
    parameters = inspect.signature(found).parameters
    takes_any = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values())
    unknown = [key for key in given if key not in parameters and not takes_any]
    if unknown:
        hint = did_you_mean(unknown[0], parameters)
        expected = None if hint else f"one of {', '.join(parameters)}"
        raise ConfigError(f"{target} takes no {unknown[0]!r}", expected=expected, hint=hint)
    return found(**{key: value for key, value in offered.items() if key in parameters and key not in given}, **given)


__all__ = ["make_own"]
