"""Tables and pages over run directories."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_NAMES = {"make_app": "flambe.report.server", "serve": "flambe.report.server"}

__all__ = ["make_app", "serve"]

if TYPE_CHECKING:
    from flambe.report.server import make_app, serve


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        value = getattr(importlib.import_module(_NAMES[name]), name)
        globals()[name] = value
        return value
    try:
        return importlib.import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"{__name__}.{name}":
            raise
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_NAMES})
