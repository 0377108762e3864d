"""Finished components as artifacts: built from a YAML file, stored in a folder or on S3, checked by digest."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_NAMES = {
    "Artifact": "flambe.export.artifact",
    "Builder": "flambe.export.builder",
    "Exporter": "flambe.export.exporter",
}

__all__ = ["Artifact", "Builder", "Exporter"]

if TYPE_CHECKING:
    from flambe.export.artifact import Artifact
    from flambe.export.builder import Builder
    from flambe.export.exporter import Exporter


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
