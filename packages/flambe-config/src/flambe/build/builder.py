"""Nodes of a spec to objects, in the order of the file: it is the order of random numbers."""

from __future__ import annotations

import inspect
import io
import os
from collections.abc import Mapping
from typing import Any

from flambe.build.component import Component
from flambe.build.link import Link
from flambe.build.made import Made, Origin, Written, record, signature_of
from flambe.build.options import Options
from flambe.build.registrable import Registrable, class_of_tag
from flambe.build.scope import Open, Scope, follow
from flambe.build.trust import locate
from flambe.build.tuples import with_tuples
from flambe.errors import ConfigError, FlambeError, Position, did_you_mean
from flambe.spec.codec import unescape, unescape_key
from flambe.spec.nodes import (
    ARGS,
    BYTES,
    ENV,
    FILE,
    FLOAT,
    LINK,
    MAP,
    NEW,
    SEARCHES,
    TAG,
    YAML,
    LinkTarget,
    Path,
    arguments,
    kind_of,
    link_target,
)

_LOAD_FROM_PATH: Any = Component.load_from_path

TUPLE = "$tuple"
"""Only saved components have it; like a list it may hold objects."""


class BuildError(ConfigError):
    """An object that cannot be built from its config. argument: the one that the constructor's own error begins with."""

    argument: str | None = None


def build(node: Any, *, scope: Scope, path: Path | None = None) -> Any:
    """Build what a node describes: a ``$new``, a list or map with some inside, a ``Schema``, or a plain value.

    path: where the node stands in the config; default the place of the body.

    Raises ``BuildError`` (class, arguments, position), ``LinkError`` for links, ``ProvenanceError`` for what a tag may not reach.
    What a constructor raises passes through, with a note that says where it was.
    """
    return _build(node, scope, scope.root if path is None else path)


def evaluate(target: LinkTarget, scope: Scope) -> Any:
    """Return what a link gives: the value at its path in this scope, its attributes, the call, the copy."""
    return follow(target, scope, None)[0]


def _build(node: Any, scope: Scope, path: Path) -> Any:
    kind = kind_of(node)
    if kind is None:
        value = _plain(node, scope, path)
    elif kind == NEW:
        value = _new(node, scope, path)
    elif kind == LINK:
        value, followed = follow(link_target(node), scope, scope.where(path))
        _note(scope, path, followed)
    elif kind == ENV:
        value = _environment(node[ENV], scope.where(path))
        _note(scope, path, Origin(node=dict(node)))
    elif kind == FILE:
        value = _file(str(node[FILE]))
        if "://" not in node[FILE]:  # else whoever loads it would download it
            _note(scope, path, Origin(node=dict(node)))
    elif kind == MAP:
        value = {unescape_key(key): _build(item, scope, (*path, str(key))) for key, item in node[MAP]}
    elif kind == TUPLE:
        value = tuple(_build(item, scope, (*path, index)) for index, item in enumerate(node[TUPLE]))
    elif kind in (FLOAT, BYTES):
        value = unescape(node)
    elif kind == YAML:
        value = _own_yaml(node, scope, path)
    elif kind in SEARCHES:
        raise BuildError(
            f"{_name(path)} is searched and has no single value",
            position=scope.where(path),
            hint="flambe-tune runs a search; `flambe-compile --expand` writes one spec for each variant.",
        )
    elif kind in scope.special:
        value, origin = scope.special[kind](node)
        if origin is not None:
            _note(scope, path, origin)
    else:
        raise BuildError(f"{_name(path)}: nothing here builds a {kind}", position=scope.where(path))
    scope.objects[path] = value
    return value


def _plain(node: Any, scope: Scope, path: Path) -> Any:
    if isinstance(node, list | tuple):
        items = [_build(item, scope, (*path, index)) for index, item in enumerate(node)]
        return items if isinstance(node, list) else tuple(items)
    if isinstance(node, dict):
        return {key: _build(item, scope, (*path, key)) for key, item in node.items()}
    if isinstance(node, Link):
        if node.target is not None:
            return node()
        value, origin = follow(node.link_target, scope, scope.where(path))
        _note(scope, path, origin)
        for hook in node.post_init_hooks:
            hook(value)
        return value
    if isinstance(node, Options):
        return _build(node.to_node(), scope, path)
    build_here = getattr(type(node), "_build_in", None)
    # A Schema; asked for by its method, because schema.py imports this file.
    return node if build_here is None else build_here(node, scope, path)


def _note(scope: Scope, path: Path, origin: Origin) -> None:
    if scope.opened:
        here = scope.opened[-1]
        here.origins[path[len(here.path) :]] = origin


def _file(text: str) -> str:
    """Return the path of a declared file, which is downloaded when it has a URL."""
    if "://" in text:
        from flambe.compile.download import fetch

        return str(fetch(text))
    # A path on the machines of a cluster, written where nobody knew their home folder.
    return os.path.expanduser(text) if text.startswith("~") else text


def _environment(name: str, position: Position | None) -> str:
    try:
        return os.environ[name]
    except KeyError:
        raise BuildError(
            f"the environment variable {name} is not set", position=position, hint=f"export {name}=…"
        ) from None


# --- objects ---


def _new(node: dict[str, Any], scope: Scope, path: Path) -> Any:
    position = scope.where(path)
    try:
        owner, factory = locate(node[NEW], scope.extensions)
    except FlambeError as error:
        error.position = error.position or position
        raise
    positional = node.get(ARGS, ())
    given: dict[Any, Any] = {**dict(enumerate(positional)), **arguments(node)}
    values, origins = build_arguments(owner, given, scope, path)
    args = tuple(values[key] for key in values if isinstance(key, int))
    kwargs = {key: value for key, value in values.items() if isinstance(key, str)}
    try:
        return construct(
            owner,
            factory,
            args,
            kwargs,
            target=_class_target(node[NEW], factory),
            origins=origins,
            path=path,
            position=position,
        )
    except BuildError as error:
        if error.argument is not None and error.argument in values:
            error.position = scope.where((*path, error.argument)) or position
        raise


def build_arguments(
    owner: Any, given: Mapping[Any, Any], scope: Scope, path: Path
) -> tuple[dict[Any, Any], dict[Path, Origin]]:
    """Build the arguments of an object that stands at ``path``, in order. Returns them and where they came from."""
    origins: dict[Path, Origin] = {}
    scope.objects.pop(path, None)
    if _overrides(owner, "setup_dependencies"):
        given = dict(given)
        owner.setup_dependencies(given)
    scope.opened.append(Open(path, given, origins))
    try:
        if _overrides(owner, "precompile") or _overrides(owner, "preinitialize"):
            given = _precompile(owner, given, scope, path)
        values = {key: _build(item, scope, (*path, key)) for key, item in given.items()}
    finally:
        scope.opened.pop()
    return values, origins


def construct(
    owner: Any,
    factory: str | None,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    target: str,
    origins: dict[Path, Origin],
    path: Path = (),
    position: Position | None = None,
    written: Written | None = None,
) -> Any:
    """Call a class, factory or function, and remember the call on what it returns. written: in YAML, if it was."""
    call = owner if factory is None else getattr(owner, factory)
    title = _name(path)
    # What is recorded is what was written: a list in the file is one in a saved config.
    given, named = with_tuples(call, args, kwargs)
    try:
        made = call(*given, **named)
    except FlambeError as error:
        error.position = error.position or position
        raise
    except (TypeError, ValueError) as error:
        raise _constructor_error(error, owner, factory, call, args, kwargs, title, position) from error
    except Exception as error:
        error.add_note(f"{f'{position}: ' if position else ''}while building {title}")
        error.add_note(f"the call: {_call_text(owner, factory, args, kwargs)}")
        raise
    if factory is None or _records(call):
        record(made, Made(target, factory, args, kwargs, call, origins, written))
    return made


def _records(call: Any) -> bool:
    # load_from_path gives back an object that remembers how it was first made.
    return getattr(call, "__func__", None) is not _LOAD_FROM_PATH.__func__


def _class_target(text: str, factory: str | None) -> str:
    return text if factory is None else text.removesuffix(f".{factory}")


def _overrides(owner: Any, hook: str) -> bool:
    """Whether a component class has a hook of its own."""
    if not (isinstance(owner, type) and issubclass(owner, Component)):
        return False
    return getattr(owner, hook).__func__ is not getattr(Component, hook).__func__


def _precompile(owner: Any, given: Mapping[Any, Any], scope: Scope, path: Path) -> dict[Any, Any]:
    """Show a class its arguments before nested objects are built: links as objects, nested objects as schemas."""
    from flambe.build.schema import Schema

    ready: dict[Any, Any] = {}
    shown: dict[str, Any] = {}
    for key, item in given.items():
        ready[key] = Schema.from_node(item, extensions=scope.extensions) if kind_of(item) == NEW else item
        if not isinstance(key, str):
            continue
        shown[key] = ready[key]
        if kind_of(item) == LINK:
            target = link_target(item)
            # A link to a sibling that is not built yet is shown as it stands.
            inside = target.path[: len(path)] == path or (scope.stage is None and not path)
            shown[key] = (
                Link(target.path, target.attr) if inside else follow(target, scope, scope.where((*path, key)))[0]
            )
        elif kind_of(item) is None and not isinstance(item, dict | list):
            shown[key] = item
    owner.precompile(**shown)
    owner.preinitialize(shown)
    return ready


def _constructor_error(
    error: Exception,
    owner: Any,
    factory: str | None,
    call: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    title: str,
    position: Position | None,
) -> BuildError:
    name = f"{getattr(owner, '__qualname__', owner)}{f'.{factory}' if factory else ''}"
    text = _call_text(owner, factory, args, kwargs)
    if isinstance(owner, type) and factory is None and inspect.isabstract(owner):
        missing = ", ".join(sorted(getattr(owner, "__abstractmethods__", ())))
        return BuildError(
            f"{title}: {name} is abstract: it has no {missing}",
            position=position,
            hint="Name a class derived from it, or look for a misspelt method in yours.",
        )
    signature = signature_of(call) if isinstance(error, TypeError) else None
    if signature is not None:
        try:
            signature.bind(*args, **kwargs)
        except TypeError as wrong:
            known = [
                p.name for p in signature.parameters.values() if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)
            ]
            extra = [key for key in kwargs if key not in known]
            hint = next((found for key in extra if (found := did_you_mean(key, known))), None)
            shown = [p.replace(annotation=_as_written(p.annotation)) for p in signature.parameters.values()]
            return BuildError(
                f"{title}: {name} got other arguments than it takes: {wrong}",
                position=position,
                expected=f"{name}{signature.replace(parameters=shown)}",
                hint=hint,
            )
    raised = BuildError(f"{title}: {type(error).__name__}: {error}; the call: {text}", position=position)
    # "batch_size must be at least 1, got 0": the first word is what it is about.
    raised.argument = str(error).partition(" ")[0].strip("'\"`:,") or None
    return raised


class _Written(str):
    """An annotation that is a text, as under ``from __future__ import annotations``; a signature shows it without quotes."""

    __slots__ = ()
    __repr__ = str.__str__


def _as_written(annotation: Any) -> Any:
    return _Written(annotation) if isinstance(annotation, str) else annotation


def _call_text(owner: Any, factory: str | None, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    name = f"{getattr(owner, '__qualname__', owner)}{f'.{factory}' if factory else ''}"
    parts = [_short(value) for value in args] + [f"{key}={_short(value)}" for key, value in kwargs.items()]
    return f"{name}({', '.join(parts)})"


def _short(value: Any) -> str:
    if value is None or isinstance(value, bool | int | float | str):
        text = repr(value)
        return text if len(text) <= 60 else f"{text[:57]}…"
    if isinstance(value, list | tuple) and len(value) <= 4:
        inside = ", ".join(_short(item) for item in value)
        return f"[{inside}]" if isinstance(value, list) else f"({inside})"
    return f"<{type(value).__qualname__}>"


def _own_yaml(node: dict[str, Any], scope: Scope, path: Path) -> Any:
    """Build a class that reads its own YAML: its ``from_yaml`` is given PyYAML's constructor and node."""
    import yaml

    tag = str(node[YAML]).removeprefix("!")
    as_written = Written(node[TAG]) if TAG in node else None
    position = scope.where(path)
    class_, factory = class_of_tag(tag), None
    if class_ is None:
        class_, factory = locate(tag, scope.extensions)
    reader = getattr(class_, "from_yaml", None)
    if reader is None:
        raise BuildError(
            f"{_name(path)}: !{tag} has no from_yaml", position=position, hint="It takes a mapping of arguments."
        )
    dumper = yaml.SafeDumper(io.StringIO())
    written = dumper.represent_data(unescape(node["value"]))
    written.tag = (
        as_written.tag
        if as_written
        else f"!{Registrable.get_default_tag(class_) if issubclass(class_, Registrable) else tag}"
    )
    value = reader(yaml.SafeLoader(""), written, factory)
    plain = {YAML: node[YAML], "value": node["value"]}
    record(value, Made(str(node[YAML]), None, (), {}, None, {(): Origin(node=plain)}, as_written))
    return value


def _name(path: Path) -> str:
    return str(path[0]) + "".join(f".{part}" for part in path[1:]) if path else "the object"


__all__ = ["BuildError", "Scope", "build", "build_arguments", "construct", "evaluate"]
