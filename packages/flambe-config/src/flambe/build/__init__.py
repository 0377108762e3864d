"""Spec to objects, objects to saved components. Names load on first use; nothing here imports torch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_DOOR = {
    "BuildError": "flambe.build.builder",
    "Component": "flambe.build.component",
    "FunctionCallLink": "flambe.build.link",
    "Link": "flambe.build.link",
    "LinkError": "flambe.build.link",
    "LoadError": "flambe.build.state",
    "MalformedLinkError": "flambe.build.link",
    "MappedRegistrable": "flambe.build.registrable",
    "Registrable": "flambe.build.registrable",
    "RegistrationError": "flambe.build.registrable",
    "SaveError": "flambe.build.saving",
    "Schema": "flambe.build.schema",
    "Scope": "flambe.build.scope",
    "State": "flambe.build.encoding",
    "UnpreparedLinkError": "flambe.build.link",
    "alias": "flambe.build.registrable",
    "build": "flambe.build.builder",
    "dynamic_component": "flambe.build.component",
    "evaluate": "flambe.build.builder",
    "import_extensions": "flambe.build.trust",
    "load": "flambe.build.saved",
    "load_component": "flambe.build.loading",
    "load_state_from_file": "flambe.build.saved",
    "make_component": "flambe.build.component",
    "register": "flambe.build.registrable",
    "registrable_factory": "flambe.build.registrable",
    "registration_context": "flambe.build.registrable",
    "save": "flambe.build.saved",
    "save_component": "flambe.build.saving",
    "save_state_to_file": "flambe.build.saved",
}

__all__ = [
    "BuildError",
    "Component",
    "FunctionCallLink",
    "Link",
    "LinkError",
    "LoadError",
    "MalformedLinkError",
    "MappedRegistrable",
    "Registrable",
    "RegistrationError",
    "SaveError",
    "Schema",
    "Scope",
    "State",
    "UnpreparedLinkError",
    "alias",
    "build",
    "dynamic_component",
    "evaluate",
    "import_extensions",
    "load",
    "load_component",
    "load_state_from_file",
    "make_component",
    "register",
    "registrable_factory",
    "registration_context",
    "save",
    "save_component",
    "save_state_to_file",
]

if TYPE_CHECKING:
    from flambe.build.builder import BuildError, build, evaluate
    from flambe.build.component import Component, dynamic_component, make_component
    from flambe.build.encoding import State
    from flambe.build.link import FunctionCallLink, Link, LinkError, MalformedLinkError, UnpreparedLinkError
    from flambe.build.loading import load_component
    from flambe.build.registrable import (
        MappedRegistrable,
        Registrable,
        RegistrationError,
        alias,
        register,
        registrable_factory,
        registration_context,
    )
    from flambe.build.saved import load, load_state_from_file, save, save_state_to_file
    from flambe.build.saving import SaveError, save_component
    from flambe.build.schema import Schema
    from flambe.build.scope import Scope
    from flambe.build.state import LoadError
    from flambe.build.trust import import_extensions


def __getattr__(name: str) -> Any:
    if name not in _DOOR:
        raise AttributeError(f"module 'flambe.build' has no attribute {name!r}")
    value = getattr(importlib.import_module(_DOOR[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_DOOR})
