"""``Scope``: what is there while a body is built, and how links are followed in it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from flambe.build.link import LinkError, follow_attributes, step_into, unprepared
from flambe.build.made import Origin
from flambe.build.trust import Extensions
from flambe.errors import Position, ProvenanceError, did_you_mean
from flambe.spec.nodes import NEW, LinkTarget, Path, kind_of

Special = Callable[[dict[str, Any]], tuple[Any, Origin | None]]


class Open(NamedTuple):
    """An object under construction. given: its arguments as nodes, by key of the config path."""

    path: Path
    given: Mapping[str | int, Any]
    origins: dict[Path, Origin]


@dataclass
class Scope:
    """What is there while one body is built.

    stage: name of the stage; None for a config of a single object, whose links start at its own arguments.
    objects: config path (the stage first) → what was built there, plain values too.
    resolve_outside: what a link to another stage gives, attributes followed and calls made; None: there are no others.
    resources: name → path or value, for links to resources.
    extensions: modules that tags may reach beside the usual ones.
    position: where the value at a config path was written, for messages.
    special: more kinds of nodes (``$saved``, …) → how each is built.
    may_call: names that links may call; None: any. What somebody else saved must not call what it likes.
    opened: objects under construction, the innermost last.
    """

    stage: str | None = None
    objects: dict[Path, Any] = field(default_factory=dict)
    resolve_outside: Callable[[LinkTarget], Any] | None = None
    resources: Mapping[str, Any] = field(default_factory=dict)
    extensions: Extensions = ()
    position: Callable[[Path], Position | None] | None = None
    special: Mapping[str, Special] = field(default_factory=dict)
    may_call: Container[str] | None = None
    opened: list[Open] = field(default_factory=list, repr=False)

    @property
    def root(self) -> Path:
        """The config path of the body itself."""
        return () if self.stage is None else (self.stage,)

    def where(self, path: Path) -> Position | None:
        """Return where the value at a config path was written, if that is known."""
        return self.position(path) if self.position is not None else None


def follow(target: LinkTarget, scope: Scope, position: Position | None) -> tuple[Any, Origin]:
    """Return what a link gives and where that came from. Raises ``LinkError``, ``UnpreparedLinkError``, ``ProvenanceError``."""
    text = str(target)
    root = target.path[0]
    inside = root == scope.stage or (scope.stage is None and (_declares(scope, root) or (root,) in scope.objects))
    if inside:
        base = _at(target.path, scope, text, position)
    elif root in scope.resources:
        if len(target.path) > 1:
            raise LinkError(
                f"the link {text!r} has brackets on the resource {root!r}",
                position=position,
                hint="A resource is a value.",
            )
        base = scope.resources[str(root)]
    elif scope.resolve_outside is not None:
        try:
            value = scope.resolve_outside(target)
        except LinkError as error:
            error.position = error.position or position
            raise
        whole = not target.attr and not target.call
        return value, Origin(base=value if whole else None)
    else:
        known = (
            [str(key) for key in (scope.opened[0].given if scope.opened else ())]
            if scope.stage is None
            else [scope.stage]
        )
        raise (
            unprepared(text, f"there is nothing called {root!r}", position)
            if not known
            else LinkError(
                f"the link {text!r} leads nowhere: there is no {root!r}",
                position=position,
                hint=did_you_mean(str(root), known),
            )
        )
    value = follow_attributes(base, target.attr, link=text, position=position)
    if target.call:
        check_call(target.attr, text, scope.may_call)
        value = value()
    if target.copy:
        value = copy.deepcopy(value)
        return value, Origin()
    return value, Origin(base=base, attr=target.attr, call=target.call)


def _declares(scope: Scope, key: str | int) -> bool:
    return bool(scope.opened) and key in scope.opened[0].given


def _at(path: Path, scope: Scope, link: str, position: Position | None) -> Any:
    """Return what stands at a config path: the deepest thing that is built on the way, and then on through its config."""
    for size in range(len(path), -1, -1):
        if path[:size] in scope.objects:
            value = scope.objects[path[:size]]
            for key in path[size:]:
                value = step_into(value, key, link=link, position=position)
            return value
        here = next((one for one in scope.opened if one.path == path[:size]), None)
        if here is None:
            continue
        if size == len(path):
            raise unprepared(link, "it points to an object that it is a part of", position)
        if path[size] not in here.given:
            known = [str(key) for key in here.given]
            raise LinkError(
                f"the link {link!r} leads nowhere: there is no [{path[size]}]",
                position=position,
                hint=did_you_mean(str(path[size]), known) or f"There are: {', '.join(known)}.",
            )
        return _later(here.given[path[size]], path[size + 1 :], scope, link, position)
    raise unprepared(link, "its target is not built yet", position)


def _later(node: Any, rest: Path, scope: Scope, link: str, position: Position | None) -> Any:
    """Return a plain value that stands further down: it needs no building. Anything else there is too late."""
    while rest and kind_of(node) in (None, NEW) and isinstance(node, dict | list):
        node = step_into(node, rest[0], link=link, position=position)
        rest = rest[1:]
    if rest or isinstance(node, dict | list) or not (node is None or isinstance(node, bool | int | float | str)):
        raise unprepared(link, "its target stands further down and is not built yet", position)
    return node


def check_call(attr: tuple[str, ...], text: str, may_call: Container[str] | None) -> None:
    """Raise ``ProvenanceError`` for a call that a saved component may not ask for."""
    if may_call is not None and (not attr or attr[-1] not in may_call):
        raise ProvenanceError(f"{text} would be called, and what is loaded calls nothing but what lists parameters")


__all__ = ["Open", "Scope", "Special", "check_call", "follow"]
