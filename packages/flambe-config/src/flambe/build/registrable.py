"""``Registrable``: what YAML tags may name, and the decorators that give a class more tags and factories."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

_F = TypeVar("_F", bound=Callable[..., object])


class Registrable:
    """Base of classes that YAML tags may name."""


def registrable_factory(method: _F) -> _F:
    """Make a class method usable as ``!Class.method``. Stands above ``@classmethod``."""
    method.__dict__["_flambe_factory"] = True
    return method
