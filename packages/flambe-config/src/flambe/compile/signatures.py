"""What a tag's class, factory or function wants as arguments, told from source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from flambe.compile.library import Found, Library
from flambe.compile.source import (
    KEYWORD,
    KEYWORDS,
    POSITIONAL,
    POSITIONAL_ONLY,
    REST,
    Class,
    Function,
    Parameter,
)
from flambe.errors import ConfigError, did_you_mean


class Signature(NamedTuple):
    """The arguments of something that a tag builds.

    name: as people call it. forms: its parameters; more than one list where ``@overload`` gives several.
    is_class: whether building it gives an object of that class.
    """

    name: str
    forms: list[list[Parameter]]
    is_class: bool


def signature_of(library: Library, target: str) -> Signature | None:
    """Return the signature of ``module:QualName``; None when the source does not tell it.

    Raises ``ConfigError`` (without a position) when the source shows that there is no such factory.
    """
    module, _, name = target.partition(":")
    head, _, factory = name.partition(".")
    found = library.find(module, head)
    if found is None or found.item is None:
        return None
    if isinstance(found.item, Function):
        return None if factory else _plain(head, found.item)
    if not isinstance(found.item, Class) or "." in factory:
        return None
    ancestors, complete = library.ancestors(found)
    if factory:
        return _factory(head, factory, ancestors, complete)
    if any(isinstance(one.item, Class) and one.item.opaque for one in ancestors):
        return None
    for index, one in enumerate(ancestors):
        assert isinstance(one.item, Class)
        made_by = next((method for method in ("__init__", "__new__") if method in one.item.methods), None)
        if made_by is not None:
            if index and not complete:
                return None  # a class that cannot be read might come first and bring its own
            forms = _forms(made_by, ancestors, index, complete)
            return None if forms is None else Signature(head, forms, True)
    return Signature(head, [[]], True) if complete else None


def _plain(name: str, function: Function) -> Signature:
    return Signature(name, function.overloads or [function.parameters], False)


def factories_of(library: Library, target: str, within: str = "") -> list[str]:
    """Return the class methods of ``module:Class`` that make objects, as far as the source tells.

    within: how the names of the modules begin whose classes are read.
    """
    module, _, name = target.partition(":")
    found = library.find(module, name)
    if found is None or not isinstance(found.item, Class):
        return []
    return _factories([one for one in library.ancestors(found)[0] if one.module.startswith(within)])


def _factories(ancestors: Sequence[Found]) -> list[str]:
    makers: dict[str, None] = {}
    hooks: set[str] = set()  # what every component has, for the system's own use
    for one in ancestors:
        assert isinstance(one.item, Class)
        names = [name for name, known in one.item.methods.items() if known.kind in ("class", "static")]
        if one.module.startswith("flambe.build."):
            hooks.update(names)
        makers.update(dict.fromkeys(name for name in names if not name.startswith("_")))
    return [name for name in makers if name not in hooks or name == "load_from_path"]


def _factory(head: str, factory: str, ancestors: Sequence[Found], complete: bool) -> Signature | None:
    for index, one in enumerate(ancestors):
        assert isinstance(one.item, Class)
        method = one.item.methods.get(factory)
        if method is not None and method.kind in ("class", "static"):
            forms = _forms(factory, ancestors, index, complete)
            return None if forms is None else Signature(f"{head}.{factory}", forms, False)
        if factory in one.item.names or (method is not None and factory == "__init__"):
            what = f"{head}.{factory} is a method of {head} objects and makes none"
            raise ConfigError(what, rule="unknown-factory", hint="Name a class method.")
    if complete:
        factories = _factories(ancestors)
        raise ConfigError(
            f"{head} has no factory {factory!r}",
            rule="unknown-factory",
            expected=f"one of {', '.join(dict.fromkeys(factories))}" if factories else None,
            hint=did_you_mean(factory, factories),
        )
    return None


def _forms(method: str, ancestors: Sequence[Found], index: int, complete: bool) -> list[list[Parameter]] | None:
    item = ancestors[index].item
    assert isinstance(item, Class)
    function = item.methods[method]
    if function.overloads:
        return function.overloads
    return [_with_passed_on(method, function, ancestors, index, complete)]


def _with_passed_on(
    method: str, function: Function, ancestors: Sequence[Found], index: int, complete: bool
) -> list[Parameter]:
    """Return the parameters, with those of the parent's method in place of ``**keywords`` that are passed on to it."""
    if function.passed_on is None or not complete:
        return function.parameters
    for further, one in enumerate(ancestors[index + 1 :], start=index + 1):
        assert isinstance(one.item, Class)
        parent = one.item.methods.get(method)
        if parent is None:
            continue
        inherited = _with_passed_on(method, parent, ancestors, further, complete)
        taken = {name for name in function.passed_on if not name.startswith("#")}
        skipped = len(function.passed_on) - len(taken)
        own = {parameter.name for parameter in function.parameters if parameter.kind != KEYWORDS}
        more = [
            Parameter(parameter.name, KEYWORD, parameter.required, parameter.type)
            if parameter.kind == POSITIONAL
            else parameter
            for parameter in inherited[skipped:]
            if parameter.name not in taken and parameter.name not in own
            if parameter.kind not in (POSITIONAL_ONLY, REST)
        ]
        return [parameter for parameter in function.parameters if parameter.kind != KEYWORDS] + more
    return function.parameters


def takes_any(parameters: Sequence[Parameter]) -> bool:
    """Whether any further keyword is accepted."""
    return any(parameter.kind == KEYWORDS for parameter in parameters)


__all__ = ["KEYWORD", "KEYWORDS", "POSITIONAL", "POSITIONAL_ONLY", "REST", "Signature", "signature_of", "takes_any"]
