"""The documented names around tags; they are defined in ``flambe.build``."""

from __future__ import annotations

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

__all__ = [
    "MappedRegistrable",
    "Registrable",
    "RegistrationError",
    "alias",
    "all_subclasses",
    "register",
    "registrable_factory",
    "registration_context",
]
