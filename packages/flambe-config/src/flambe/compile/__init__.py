"""The configuration language: YAML → spec, and the documented names around components.

``compile_file`` and ``compile_text`` are the doors; the names that build and save objects live in ``flambe.build``
and are loaded when they are asked for, so that compiling imports nothing of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flambe.lazy import lazily

if TYPE_CHECKING:
    from flambe.build.component import Component, dynamic_component, make_component
    from flambe.build.link import FunctionCallLink, Link
    from flambe.build.registrable import (
        MappedRegistrable,
        Registrable,
        RegistrationError,
        alias,
        all_subclasses,
        register,
        registrable_factory,
        registration_context,
    )
    from flambe.build.saved import load, load_state_from_file, save, save_state_to_file
    from flambe.build.schema import Schema
    from flambe.build.state import State
    from flambe.compile.compiler import compile_file, compile_text

_HOMES = {
    "flambe.build.component": ("Component", "dynamic_component", "make_component"),
    "flambe.build.link": ("FunctionCallLink", "Link"),
    "flambe.build.registrable": (
        "MappedRegistrable", "Registrable", "RegistrationError", "alias", "all_subclasses", "register",
        "registrable_factory", "registration_context",
    ),
    "flambe.build.saved": ("load", "load_state_from_file", "save", "save_state_to_file"),
    "flambe.build.schema": ("Schema",),
    "flambe.build.state": ("State",),
    "flambe.compile.compiler": ("compile_file", "compile_text"),
}  # fmt: skip
__all__ = [
    "Component",
    "FunctionCallLink",
    "Link",
    "MappedRegistrable",
    "Registrable",
    "RegistrationError",
    "Schema",
    "State",
    "alias",
    "all_subclasses",
    "compile_file",
    "compile_text",
    "dynamic_component",
    "load",
    "load_state_from_file",
    "make_component",
    "register",
    "registrable_factory",
    "registration_context",
    "save",
    "save_state_to_file",
]

# Documented modules, reached as attributes too: ``flambe.compile.yaml.load`` after ``import flambe``.
_MODULES = ("component", "downloader", "extensions", "registrable", "serialization", "yaml")

__getattr__ = lazily(__name__, {name: home for home, names in _HOMES.items() for name in names}, _MODULES)
