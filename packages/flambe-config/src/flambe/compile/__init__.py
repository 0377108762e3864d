"""The configuration language: YAML → spec, and the documented names around components.

``compile_file`` and ``compile_text`` are the doors; the names that build and save objects live in ``flambe.build``
and are loaded when they are asked for, so that compiling imports nothing of them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_DOOR = {
    "compile_file": "flambe.compile.compiler",
    "compile_text": "flambe.compile.compiler",
    "Component": "flambe.build.component",
    "Schema": "flambe.build.schema",
    "State": "flambe.build.state",
    "Link": "flambe.build.link",
    "FunctionCallLink": "flambe.build.link",
    "Registrable": "flambe.build.registrable",
    "MappedRegistrable": "flambe.build.registrable",
    "RegistrationError": "flambe.build.registrable",
    "alias": "flambe.build.registrable",
    "all_subclasses": "flambe.build.registrable",
    "dynamic_component": "flambe.build.registrable",
    "make_component": "flambe.build.registrable",
    "register": "flambe.build.registrable",
    "registrable_factory": "flambe.build.registrable",
    "registration_context": "flambe.build.registrable",
    "load": "flambe.build.saved",
    "load_state_from_file": "flambe.build.saved",
    "save": "flambe.build.saved",
    "save_state_to_file": "flambe.build.saved",
}

__all__ = sorted(_DOOR)

if TYPE_CHECKING:
    from flambe.build.component import Component
    from flambe.compile.compiler import compile_file, compile_text


def __getattr__(name: str) -> Any:
    if name not in _DOOR:
        raise AttributeError(f"module 'flambe.compile' has no attribute {name!r}")
    value = getattr(importlib.import_module(_DOOR[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_DOOR})
