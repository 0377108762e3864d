"""``Registrable``: what YAML tags may name, and the decorators that give a class more tags and factories.

Every subclass enters the run-time registry when its class statement runs. The compiler never asks it (it imports
nothing); a process that builds objects asks it first, so classes of a script, a notebook or ``make_component`` work.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from contextvars import ContextVar
from types import TracebackType
from typing import Any, TypeVar, cast

from flambe.errors import FlambeError, did_you_mean

_F = TypeVar("_F", bound=Callable[..., object])
_C = TypeVar("_C", bound=type)

_NO_NAMESPACE = frozenset({"flambe", "tests"})
_context: ContextVar[str | None] = ContextVar("flambe_registration_namespace", default=None)

_by_tag: dict[str, type] = {}
_by_target: dict[str, type] = {}
_tags: dict[type, list[str]] = {}
_namespaces: dict[type, str | None] = {}


class RegistrationError(FlambeError):
    """A tag, an alias or a factory that cannot be registered or is not there."""


def target_of(class_: type) -> str:
    """Return ``module:QualName`` of a class."""
    return f"{class_.__module__}:{class_.__qualname__}"


def public_target(class_: type) -> str:
    """Return ``module:QualName`` of a class as configs name it: ours, PyTorch's and Tune's by the package that offers them."""
    parts = class_.__module__.split(".")
    if parts[0] in ("flambe", "torch", "ray") and "." not in class_.__qualname__:
        for size in range(3 if parts[0] == "ray" else 2, len(parts)):
            package = sys.modules.get(".".join(parts[:size]))
            if getattr(package, class_.__qualname__, None) is class_:
                return f"{'.'.join(parts[:size])}:{class_.__qualname__}"
    return target_of(class_)


class Registrable:
    """Base of classes that YAML tags may name.

    Class keywords: ``should_register`` (default True), ``tag_override`` (another tag than the class name) and
    ``tag_namespace``. The namespace is that of an active ``registration_context``, else ``tag_namespace``, else the
    top-level module, which is left out for flambe's own.

    A subclass that reads its own YAML defines ``from_yaml(constructor, node, factory_name)`` and
    ``to_yaml(representer, node, tag)`` with PyYAML's objects. Those of this class take and give a plain mapping of arguments.
    """

    def __init_subclass__(
        cls,
        should_register: bool = True,
        tag_override: str | None = None,
        tag_namespace: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init_subclass__(**kwargs)
        _by_target[target_of(cls)] = cls
        if should_register:
            Registrable.register_tag(cls, tag_override or cls.__name__, tag_namespace)

    @classmethod
    def from_yaml(cls, constructor: Any, node: Any, factory_name: str | None = None) -> Any:
        """Make an object from a PyYAML mapping node: its arguments."""
        arguments = constructor.construct_mapping(node, deep=True) if getattr(node, "value", None) else {}
        return (getattr(cls, factory_name) if factory_name else cls)(**arguments)

    @classmethod
    def to_yaml(cls, representer: Any, node: Any, tag: str) -> Any:
        """Return the PyYAML node of an object: the arguments that it was made with; where none were recorded, its attributes."""
        from flambe.build.made import arguments_of

        given = arguments_of(node)
        if given is None:
            given = {name: value for name, value in vars(node).items() if not name.startswith("_")}
        return representer.represent_mapping(tag, given)

    @staticmethod
    def register_tag(class_: type, tag: str, tag_namespace: str | None = None) -> None:
        """Make ``tag`` name ``class_``. The namespace of a class is settled the first time; another one later is ignored, with a warning."""
        wanted = _context.get() or tag_namespace or _top_level(class_)
        namespace = _namespaces.setdefault(class_, wanted)
        if namespace != wanted and (tag_namespace or _context.get()):
            from flambe.cli.console import say

            say(f"warning: {class_.__qualname__} keeps the namespace {namespace!r}, {wanted!r} is ignored")
        full = f"{namespace}.{tag}" if namespace else tag
        _by_tag[full] = class_
        _by_target.setdefault(target_of(class_), class_)
        tags = _tags.setdefault(class_, [])
        if full in tags:
            tags.remove(full)
        tags.append(full)

    @staticmethod
    def get_default_tag(class_: type, factory_name: str | None = None) -> str:
        """Return the tag a class is dumped with: the one that was registered last.

        Raises ``RegistrationError`` for a class without a tag and for an unknown factory.
        """
        tags = _tags.get(class_)
        if not tags:
            raise RegistrationError(
                f"the class {class_.__qualname__} has no tag", hint="Derive it from flambe.Component, or register() it."
            )
        if factory_name is None:
            return tags[-1]
        known = factories_of(class_)
        if factory_name not in known:
            raise RegistrationError(
                f"{class_.__qualname__} has no factory {factory_name!r}",
                hint=did_you_mean(factory_name, known) or "Factories are class methods under @registrable_factory.",
            )
        return f"{tags[-1]}.{factory_name}"


class Remembering(Registrable, should_register=False):
    """A registrable whose objects remember the arguments that they were made with, in YAML or in Python."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Make the object and remember the arguments, so that it can be dumped and saved however it was made."""
        from flambe.build.made import Made, record

        parent = super().__new__
        made = parent(cls) if parent is object.__new__ else parent(cls, *args, **kwargs)
        if (args or kwargs) and cls.__init__ is object.__init__:
            raise TypeError(f"{cls.__name__}() takes no arguments")
        record(made, Made(target_of(cls), None, args, kwargs))
        return made


class MappedRegistrable(Remembering, should_register=False):
    """A registrable that is made at once from the mapping under its tag, and remembers it; components below it stay schemas."""


class _Factory:
    """Stands in the class body until the class exists, then leaves a class method that remembers how it was called."""

    def __init__(self, method: Any) -> None:
        if not isinstance(method, classmethod):
            raise RegistrationError(
                "@registrable_factory stands above a method that is no class method",
                hint="Write @registrable_factory above @classmethod.",
            )
        self._method: Any = method

    def __set_name__(self, owner: type, name: str) -> None:
        if not issubclass(owner, Registrable):
            raise RegistrationError(
                f"{owner.__qualname__} is not Registrable, so {name} can be no factory of it",
                hint="Derive the class from flambe.Component.",
            )
        method = self._method
        function = method.__func__

        @functools.wraps(function)
        def factory(cls: type, /, *args: Any, **kwargs: Any) -> Any:
            from flambe.build.made import record_call

            made = method.__get__(None, cls)(*args, **kwargs)
            record_call(made, cls, name, args, kwargs)
            return made

        factory.__dict__["_flambe_factory"] = True
        setattr(owner, name, classmethod(factory))


def registrable_factory(fn: _F) -> _F:
    """Make a class method usable as ``!Class.method``. Stands above ``@classmethod``.

    What the factory returns remembers the factory and its arguments, in place of those of the constructor.
    """
    return cast(_F, _Factory(fn))


def factories_of(class_: type) -> list[str]:
    """Return the names of the factories of a class, inherited ones too."""
    return [
        name
        for name in dir(class_)
        if getattr(getattr(getattr(class_, name, None), "__func__", None), "_flambe_factory", False)
    ]


def alias(tag: str, tag_namespace: str | None = None) -> Callable[[_C], _C]:
    """Give a class one more tag. The topmost of several is the one it is dumped with."""

    def decorate(class_: _C) -> _C:
        if not (isinstance(class_, type) and issubclass(class_, Registrable)):
            raise RegistrationError(f"{class_!r} is not Registrable", hint="Use register(cls, tag).")
        Registrable.register_tag(class_, tag, tag_namespace)
        return class_

    return decorate


def register(cls: _C, tag: str) -> _C:
    """Make ``tag`` name a class that need not be Registrable. Returns the class."""
    Registrable.register_tag(cls, tag)
    return cls


class registration_context:
    """Set the namespace of what is registered inside; a context manager or a decorator."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self._before: list[str | None] = []

    def __enter__(self) -> registration_context:
        self._before.append(_context.get())
        _context.set(self.namespace)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _context.set(self._before.pop())

    def __call__(self, func: _F) -> _F:
        @functools.wraps(func)
        def inside(*args: Any, **kwargs: Any) -> Any:
            with self:
                return func(*args, **kwargs)

        return cast(_F, inside)


def class_of_tag(tag: str) -> type | None:
    """Return the class that was registered for a tag (without ``!``) in this process, or None."""
    return _by_tag.get(tag)


def class_of_target(target: str) -> type | None:
    """Return the class ``module:QualName`` if it was registered in this process, else None."""
    return _by_target.get(target)


def registered_tags() -> dict[str, type]:
    """Return every tag of this process with its class."""
    return dict(_by_tag)


def reads_own_yaml(class_: type) -> bool:
    """Whether a class has a ``from_yaml`` that is none of ours."""
    return any("from_yaml" in vars(one) for one in class_.__mro__ if not one.__module__.startswith("flambe."))


def writes_own_yaml(class_: type) -> bool:
    """Whether a class has a ``to_yaml`` that is none of ours."""
    return any("to_yaml" in vars(one) for one in class_.__mro__ if not one.__module__.startswith("flambe."))


def all_subclasses(class_: type) -> set[type]:
    """Return all classes below ``class_``, at any depth."""
    found: set[type] = set()
    waiting = [class_]
    while waiting:
        children: list[type] = type.__subclasses__(waiting.pop())
        for child in children:
            if child not in found:
                found.add(child)
                waiting.append(child)
    return found


def _top_level(class_: type) -> str | None:
    top = class_.__module__.partition(".")[0]
    return None if top in _NO_NAMESPACE else top


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
