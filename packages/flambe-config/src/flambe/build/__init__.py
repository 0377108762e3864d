"""Spec to objects, objects to saved components. Names load on first use; nothing here imports torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flambe.lazy import lazily

__all__ = [
    "BuildError",
    "Component",
    "FunctionCallLink",
    "InputPath",
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

__getattr__ = lazily(
    __name__,
    {
        "BuildError": "builder",
        "Component": "component",
        "FunctionCallLink": "link",
        "InputPath": "input_path",
        "Link": "link",
        "LinkError": "link",
        "LoadError": "state",
        "MalformedLinkError": "link",
        "MappedRegistrable": "registrable",
        "Registrable": "registrable",
        "RegistrationError": "registrable",
        "SaveError": "saving",
        "Schema": "schema",
        "Scope": "scope",
        "State": "encoding",
        "UnpreparedLinkError": "link",
        "alias": "registrable",
        "build": "builder",
        "dynamic_component": "component",
        "evaluate": "builder",
        "import_extensions": "trust",
        "load": "saved",
        "load_component": "loading",
        "load_state_from_file": "saved",
        "make_component": "component",
        "register": "registrable",
        "registrable_factory": "registrable",
        "registration_context": "registrable",
        "save": "saved",
        "save_component": "saving",
        "save_state_to_file": "saved",
    },
)

if TYPE_CHECKING:
    from flambe.build.builder import BuildError, build, evaluate
    from flambe.build.component import Component, dynamic_component, make_component
    from flambe.build.encoding import State
    from flambe.build.input_path import InputPath
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
