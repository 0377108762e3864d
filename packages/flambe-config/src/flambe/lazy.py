"""Names of a room that load on first use (PEP 562), so that the door of a command stays light."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Collection, Mapping
from typing import Any


def lazily(room: str, names: Mapping[str, str], modules: Collection[str] = ()) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of the package ``room``.

    names: public name → the module that defines it (``"trainer"`` is ``<room>.trainer``, a dotted one is taken as it is).

    modules: files of the room that are public names too (``flambe.compile.yaml``).

    >>> __getattr__ = lazily(__name__, {"Trainer": "trainer"})      # in flambe/learn/__init__.py
    """

    def __getattr__(name: str) -> Any:
        if name in modules:
            return importlib.import_module(f"{room}.{name}")
        if name not in names:
            raise AttributeError(f"module {room!r} has no attribute {name!r}")
        module = names[name] if "." in names[name] else f"{room}.{names[name]}"
        value = getattr(importlib.import_module(module), name)
        setattr(sys.modules[room], name, value)
        return value

    return __getattr__
