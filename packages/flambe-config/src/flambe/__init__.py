"""flambe: from a YAML file to a trained, compared, reported and shipped model.

This file is the only ``flambe/__init__.py``: the other distributions add rooms beside the floor's
(``flambe.nn``, ``flambe.experiment``, …) and ``extend_path`` joins them. Names below load on first use,
so that ``import flambe`` costs nothing.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, Any

__path__ = pkgutil.extend_path(__path__, __name__)
__version__ = "0.1.0"

_DOOR = {
    "Component": "flambe.build.component",
    "ConfigDict": "flambe.runnable.config_dict",
    "Context": "flambe.runnable.context",
    "Link": "flambe.build.link",
    "Logger": "flambe.record.logger",
    "Reader": "flambe.reading.reader",
    "Schema": "flambe.build.schema",
    "launch": "flambe.runnable.launch",
    "load": "flambe.build.saved",
    "save": "flambe.build.saved",
    "log": "flambe.logging.log",
    "get_trial_dir": "flambe.logging.log",
    "env": "flambe.runnable.environment",
    "get_env": "flambe.runnable.environment",
    "set_env": "flambe.runnable.environment",
}
_ROOMS = {
    "flambe-nn": "nn learn dataset field tokenizer sampler metric optim nlp vision model",
    "flambe-tune": "search pipeline experiment",
    "flambe-cluster": "cluster",
    "flambe-report": "report",
    "flambe-export": "export",
}

__all__ = [
    "Component",
    "ConfigDict",
    "Context",
    "Link",
    "Logger",
    "Reader",
    "Schema",
    "__version__",
    "env",
    "get_env",
    "get_trial_dir",
    "launch",
    "load",
    "log",
    "save",
    "set_env",
]

if TYPE_CHECKING:
    from flambe.build.component import Component
    from flambe.build.link import Link
    from flambe.build.saved import load, save
    from flambe.build.schema import Schema
    from flambe.logging.log import get_trial_dir, log
    from flambe.reading.reader import Reader
    from flambe.record.logger import Logger
    from flambe.runnable.config_dict import ConfigDict
    from flambe.runnable.context import Context
    from flambe.runnable.environment import env, get_env, set_env
    from flambe.runnable.launch import launch


def __getattr__(name: str) -> Any:
    if name in _DOOR:
        value = getattr(importlib.import_module(_DOOR[name]), name)
        globals()[name] = value
        return value
    try:
        return importlib.import_module(f"flambe.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"flambe.{name}":
            raise
    for distribution, rooms in _ROOMS.items():
        if name in rooms.split():
            raise AttributeError(f"flambe.{name} is not installed: pip install {distribution}")
    raise AttributeError(f"module 'flambe' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_DOOR})
