"""How an object was made: the call that can make it again.

``Remembering.__new__`` records its arguments, the builder records what it calls for classes that are no components.
"""

from __future__ import annotations

import functools
import inspect
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from flambe.build.registrable import Registrable, target_of
from flambe.spec.hooks import codecs_in_use
from flambe.spec.nodes import ARGS, Path

if TYPE_CHECKING:
    from flambe.compile.comments import Note

MADE = "_flambe_made"


class Origin(NamedTuple):
    """Where an argument came from, when its value alone does not tell.

    node: written back as it is (``{"$env": …}``: the value is never stored). base, attr, call: a link, the object at
    the end of its brackets and the way on from there.
    """

    node: dict[str, Any] | None = None
    base: Any = None
    attr: tuple[str, ...] = ()
    call: bool = False


class _UsedUp:
    """Stands for an iterator that a constructor consumed: it cannot be given again, nor pickled."""

    def __repr__(self) -> str:
        return "<an iterator, used up>"


USED_UP = _UsedUp()


class Written(NamedTuple):
    """How a component stands in a YAML text. tag: with its ``!``. notes: path from it → comments around what stands there."""

    tag: str
    notes: Mapping[Path, Note] = {}


@dataclass(slots=True)
class Made:
    """One call. target: ``module:QualName`` of the class as the config names it; origins: path of an argument → origin.

    written: where a YAML text was read in this process.
    """

    target: str
    factory: str | None
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    call: Callable[..., Any] | None = None
    origins: dict[tuple[str | int, ...], Origin] = field(default_factory=dict)
    written: Written | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        # The call is found again by its name; a pickled function would tie the pickle to it.
        return (Made, (self.target, self.factory, self.args, self.kwargs, None, self.origins, self.written))


# Objects that keep their record here and not in their __dict__: a learning-rate scheduler's state_dict is its __dict__.
_beside: dict[int, tuple[weakref.ref[Any], Made]] = {}


def made_of(value: Any) -> Made | None:
    """Return how ``value`` was made, or None when nobody recorded it."""
    beside = _beside.get(id(value))
    if beside is not None and beside[0]() is value:
        return beside[1]
    try:
        made = object.__getattribute__(value, "__dict__").get(MADE)
    except (AttributeError, TypeError):
        return None
    return made if isinstance(made, Made) else None


def record(value: Any, made: Made) -> None:
    """Remember how ``value`` was made. Values that can carry no record (numbers, text, lists) are left alone.

    Components and modules carry it in their ``__dict__``, so that copies and pickles have it too; anything else keeps it
    beside, for as long as it lives.
    """
    made.args = tuple(_kept(item) for item in made.args)
    made.kwargs = {key: _kept(item) for key, item in made.kwargs.items()}
    try:
        if isinstance(value, Registrable) or any(codec.is_module(value) for codec in codecs_in_use().values()):
            # Not setattr: torch modules refuse attributes before their __init__ and file away modules they are given.
            object.__getattribute__(value, "__dict__")[MADE] = made
        else:
            key = id(value)
            _beside[key] = (weakref.ref(value, functools.partial(_forget, _beside, key)), made)
    except (AttributeError, TypeError):
        return


def _forget(beside: dict[int, Any], key: int, _: object) -> None:
    # Given what it needs: at the end of a process the names of a module may be gone before its objects.
    beside.pop(key, None)


def record_call(
    value: Any, class_: type, factory: str | None, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> None:
    """Remember a call made in plain Python, for objects of ``class_`` only: a factory may return something else."""
    if isinstance(value, class_):
        record(value, Made(target_of(class_), factory, args, dict(kwargs)))


def arguments_of(value: Any, *, defaults: bool = False) -> dict[str, Any] | None:
    """Return the arguments ``value`` was made with, by parameter name; None when nobody recorded them.

    ``$args`` holds what has no name. defaults: add those of the signature.
    """
    made = made_of(value)
    if made is None:
        return None
    return bind(made.call or _callable_of(value, made), made.args, made.kwargs, defaults=defaults)


def bind(
    call: Callable[..., Any] | None, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, defaults: bool = False
) -> dict[str, Any]:
    """Return arguments by name, as the signature of ``call`` names them."""
    signature = None if call is None else signature_of(call)
    if signature is None:
        return {**({ARGS: list(args)} if args else {}), **kwargs}
    try:
        bound = signature.bind_partial(*args, **kwargs)
    except TypeError:
        return {**({ARGS: list(args)} if args else {}), **kwargs}
    if defaults:
        bound.apply_defaults()
    named: dict[str, Any] = {}
    positional: list[Any] = []
    for name, value in bound.arguments.items():
        kind = signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_KEYWORD:
            named.update(value)
        elif kind is inspect.Parameter.VAR_POSITIONAL:
            positional.extend(value)
        elif kind is inspect.Parameter.POSITIONAL_ONLY:
            positional.append(value)
        else:
            named[name] = value
    if positional and any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in signature.parameters.values()):
        # What stands before *args can only be given by position too.
        before = [named.pop(p.name) for p in signature.parameters.values() if _before_rest(p) and p.name in named]
        positional = [*before, *positional]
    return {**({ARGS: positional} if positional else {}), **named}


def _before_rest(parameter: inspect.Parameter) -> bool:
    return parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD


@functools.lru_cache(maxsize=1024)
def signature_of(call: Callable[..., Any]) -> inspect.Signature | None:
    """Return the signature of a class (its constructor's) or function, None for those of C that have none."""
    if isinstance(call, type):
        # inspect prefers __new__ when a class has one, and Remembering's takes anything.
        initialise = call.__init__  # type: ignore[misc]
        if initialise is object.__init__:
            return inspect.Signature()
        try:
            parameters = list(inspect.signature(initialise).parameters.values())[1:]
        except (TypeError, ValueError):
            return None
        return inspect.Signature(parameters)
    try:
        return inspect.signature(call)
    except (TypeError, ValueError):
        return None


def _callable_of(value: Any, made: Made) -> Callable[..., Any] | None:
    class_ = type(value)
    if made.factory is not None:
        return getattr(class_, made.factory, None)
    return class_


def _kept(value: Any) -> Any:
    if isinstance(value, Iterator):
        return USED_UP
    # One level: a constructor that pops from the list it was given must not change what is recorded.
    if type(value) is list:
        return list(value)
    if type(value) is dict:
        return dict(value)
    return value
