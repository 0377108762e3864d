"""Lists of a config as the tuples that a signature asks for: YAML has lists only."""

from __future__ import annotations

import collections.abc
import functools
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Union

from flambe.build.made import signature_of

_LISTS = (
    list,
    collections.abc.Sequence,
    collections.abc.MutableSequence,
    collections.abc.Collection,
    collections.abc.Iterable,
)
_MAPS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)


def with_tuples(
    call: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of a call with a tuple in place of each list, to any depth, where the annotation asks for one.

    Where it takes lists as well they stay, but in PyTorch, which writes so of tuples only (``Unflatten``).
    """
    kwargs = dict(kwargs)
    if not any(isinstance(value, list | dict) for value in (*args, *kwargs.values())):
        return args, kwargs
    signature = signature_of(call)
    if signature is None:
        return args, kwargs
    slots = [p.name for p in signature.parameters.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    names = [*slots[: len(args)], *[""] * (len(args) - len(slots))]
    args = tuple(_fitted(value, _hint(call, name)) for value, name in zip(args, names, strict=True))
    return args, {name: _fitted(value, _hint(call, name)) for name, value in kwargs.items()}


@functools.lru_cache(maxsize=1024)
def _hint(call: Callable[..., Any], name: str) -> Any:
    """Return what the annotation of a parameter means, Any where nothing tells."""
    signature = signature_of(call)
    parameter = signature.parameters.get(name) if signature is not None else None
    if parameter is None or parameter.annotation is parameter.empty:
        return Any
    function = inspect.unwrap(call.__init__ if isinstance(call, type) else call)  # type: ignore[misc]
    one = types.SimpleNamespace(__annotations__={name: parameter.annotation})
    try:
        hint = typing.get_type_hints(one, globalns=getattr(function, "__globals__", {}))[name]
    except Exception:  # an annotation may be any expression: of what is imported for type checkers alone, say
        return Any
    if function.__module__.startswith("torch."):
        options = _either(hint)
        if any(_origin(one) is tuple for one in options):
            return Union[tuple(one for one in options if _origin(one) is not list)]  # noqa: UP007  # of a computed number
    return hint


def _fitted(value: Any, hint: Any) -> Any:
    if not isinstance(value, list | dict):
        return value
    options = _either(hint)
    if isinstance(value, dict):
        inner = next((typing.get_args(one) for one in options if _origin(one) in _MAPS), ())
        return {key: _fitted(item, inner[1]) for key, item in value.items()} if len(inner) == 2 else value
    if any(one in (Any, object) for one in options):
        return value
    wanted = next((one for kind in ((*_LISTS,), (tuple,)) for one in options if _origin(one) in kind), None)
    if wanted is None:
        return value
    inner = typing.get_args(wanted)
    if _origin(wanted) is not tuple:
        return [_fitted(item, inner[0]) for item in value] if len(inner) == 1 else value
    if len(inner) == 2 and inner[1] is ...:
        inner = inner[:1] * len(value)
    return tuple(_fitted(item, inner[index] if index < len(inner) else Any) for index, item in enumerate(value))


def _either(hint: Any) -> tuple[Any, ...]:
    """Return the types of a union, of anything else the one."""
    if typing.get_origin(hint) in (Union, types.UnionType):
        return tuple(part for one in typing.get_args(hint) for part in _either(one))
    return (hint,)


def _origin(hint: Any) -> Any:
    return typing.get_origin(hint) or hint


__all__ = ["with_tuples"]
