"""Objects back to nodes: the config of a built object, for people and for its manifest."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from flambe.build.component import Component
from flambe.build.encoding import TENSOR, Encoder, unsavable
from flambe.build.made import USED_UP, Made, Origin, arguments_of, made_of
from flambe.errors import FlambeError
from flambe.spec.nodes import ARGS, LINK, MAP, NEW, NOTES, TAG, Path, arguments, kind_of

SAVED = "$saved"
RESULT = "$result"
MAY_CALL = frozenset({"parameters", "named_parameters"})
"""What a saved config may call on a part: optimizers are made with it. Anything else would be code of its choice."""
_DEEP = "/" + "_/" * 64
_PLAIN = frozenset({type(None), bool, int, float, str, bytes})


class ConfigWriter:
    """Writes the config of one part: the call that made it, with links replaced by what they gave.

    folders: id of a part → its folder under the root; borrowed: id → reference, its path relative to the root's folder;
    here: folder of the part that is written. encoder: takes tensors among the arguments.
    """

    def __init__(
        self,
        encoder: Encoder,
        folders: Mapping[int, str],
        borrowed: Mapping[int, Mapping[str, Any]],
        here: str,
    ) -> None:
        self._encoder = encoder
        self._folders = folders
        self._borrowed = borrowed
        self._here = here
        self._places: dict[int, Path] = {}

    def write(self, value: Any) -> dict[str, Any]:
        """Return the config. Raises FlambeError naming the argument that cannot be written."""
        made = made_of(value)
        if made is None:
            raise self._unmade(value, ())
        return self._call(value, made, ())

    def _call(self, value: Any, made: Made, path: Path) -> dict[str, Any]:
        self._places[id(value)] = path
        whole = made.origins.get(())
        if whole is not None and whole.node is not None:
            return whole.node
        given = arguments_of(value) or {}
        # Defaults of other libraries come and go with their releases, ours are kept: a later default must not change what was saved.
        everything = (arguments_of(value, defaults=True) or {}) if isinstance(value, Component) else given
        named = {key: item for key, item in everything.items() if key in given or (key != ARGS and _is_plain(item))}
        named = self._chosen(named, value, made)
        # What came by position has its origin under its number.
        by_position = (
            {key: index for index, key in enumerate(list(given)[: len(made.args)])} if ARGS not in given else {}
        )
        node: dict[str, Any] = {NEW: made.target + (f".{made.factory}" if made.factory else "")}
        if ARGS in named:
            node[ARGS] = [
                self._value(item, (*path, index), made.origins, (index,)) for index, item in enumerate(named.pop(ARGS))
            ]
        for name, item in named.items():
            inside: Path = (name,) if (name,) in made.origins or name not in by_position else (by_position[name],)
            node[name] = self._value(item, (*path, name), made.origins, inside)
        return node

    def _chosen(self, named: dict[str, Any], value: Any, made: Made) -> dict[str, Any]:
        """Return the arguments to write."""
        return value.saved_arguments(named) if isinstance(value, Component) else named

    def _value(self, value: Any, path: Path, origins: Mapping[Path, Origin], inside: Path) -> Any:
        origin = origins.get(inside)
        if origin is not None and origin.node is not None:
            return origin.node
        reference = self._reference(value)
        if reference is not None:
            return reference
        if origin is not None and not _is_plain(value):
            reference = self._through(origin)
            if reference is not None:
                return reference
        if type(value) in (list, tuple):
            items = [self._value(item, (*path, index), origins, (*inside, index)) for index, item in enumerate(value)]
            return items if isinstance(value, list) else {"$tuple": items}
        if type(value) is dict:
            return self._map(value, path, origins, inside)
        made = None if hasattr(value, "dtype") and hasattr(value, "shape") else made_of(value)
        if made is not None:
            # The same object again: a scheduler steps the very optimizer that stands beside it.
            return {LINK: list(self._places[id(value)])} if id(value) in self._places else self._call(value, made, path)
        if value is USED_UP:
            raise unsavable(
                value,
                _text(path),
                "give a list, or a link to the object that it comes from",
                what="iterators that were used up",
            )
        return self._encoded(value, path)

    def _map(self, value: dict[Any, Any], path: Path, origins: Mapping[Path, Origin], inside: Path) -> Any:
        items = [(key, self._value(item, (*path, str(key)), origins, (*inside, key))) for key, item in value.items()]
        if all(type(key) is str and not key.startswith("$") for key in value):
            return dict(items)
        return {MAP: [[self._encoded(key, path), item] for key, item in items]}

    def _encoded(self, value: Any, path: Path) -> Any:
        try:
            return self._encoder.encode(value, f"{ARGS}.{_text(path)}")
        except FlambeError as error:
            error.what = error.what.removeprefix(f"{ARGS}.")
            module = type(value).__module__.partition(".")[0]
            raise self._unmade(value, path) if module not in ("builtins", "numpy") else error from error

    def _unmade(self, value: Any, path: Path) -> FlambeError:
        kind = type(value)
        return FlambeError(
            f"{_text(path) or 'the object'}: a {kind.__module__}.{kind.__qualname__} that was made in plain Python cannot be saved, "
            "its arguments are not known",
            hint=f"Make it by a tag, or by flambe.Schema({kind.__qualname__}, …)().",
        )

    def _reference(self, value: Any) -> dict[str, Any] | None:
        if id(value) in self._borrowed:
            reference = dict(self._borrowed[id(value)])
            reference["path"] = self._relative(reference["path"])
            return {RESULT: reference}
        if id(value) in self._folders:
            return {SAVED: self._relative(self._folders[id(value)])}
        return None

    def _relative(self, path: str) -> str:
        if os.path.isabs(path):
            return path
        # Below a made-up folder: relpath would start from the working directory, whose depth must not matter.
        return os.path.relpath(os.path.join(_DEEP, path), os.path.join(_DEEP, self._here))

    def _through(self, origin: Origin) -> dict[str, Any] | None:
        """Return a link as the way on from the last part that it goes through."""
        value, found, rest = origin.base, None, origin.attr
        for index in range(len(origin.attr) + 1):
            reference = self._reference(value)
            if reference is not None:
                found, rest = reference, origin.attr[index:]
            if index < len(origin.attr):
                value = getattr(value, origin.attr[index], None)
        if found is None or not (rest or origin.call):
            return found
        if origin.call and (not rest or rest[-1] not in MAY_CALL):
            return None
        return {**found, "attr": list(rest), **({"call": True} if origin.call else {})}


def _is_plain(value: Any) -> bool:
    if type(value) in _PLAIN:
        return True
    if type(value) in (list, tuple):
        return all(map(_is_plain, value))
    return type(value) is dict and all(_is_plain(key) and _is_plain(item) for key, item in value.items())


def _text(path: Path) -> str:
    return ".".join(map(str, path))


class _Inline(ConfigWriter):
    """Writes an object and all that is in it as one node, as it would stand in a YAML file at ``path``."""

    def __init__(self, path: Path, as_text: bool) -> None:
        super().__init__(Encoder(), {}, {}, "")
        self._path = path
        self._as_text = as_text

    def write(self, value: Any) -> dict[str, Any]:
        made = made_of(value)
        if made is None:
            raise self._unmade(value, ())
        return self._call(value, made, self._path)

    def _call(self, value: Any, made: Made, path: Path) -> dict[str, Any]:
        node = super()._call(value, made, path)
        if self._as_text and made.written is not None:
            tag, notes = made.written
            node = {next(iter(node)): next(iter(node.values())), TAG: tag, NOTES: notes, **node}
        return node

    def _chosen(self, named: dict[str, Any], value: Any, made: Made) -> dict[str, Any]:
        # All, since no state goes with a text; as given, not as declared: a link stands below what it points to. Defaults come last.
        first = [key for key in list(named)[: len(made.args)] if key not in made.kwargs]
        given = [key for key in made.kwargs if key in named]
        return {key: named[key] for key in (*first, *given, *named)}

    def _value(self, value: Any, path: Path, origins: Mapping[Path, Origin], inside: Path) -> Any:
        made = made_of(value)
        if made is not None and inside not in origins:
            return (
                {LINK: list(self._places[id(value)])} if self._places.get(id(value)) else self._call(value, made, path)
            )
        origin = origins.get(inside)
        if origin is not None and origin.node is None and (link := self._through(origin)) is not None:
            return link  # also to a plain value: a dump keeps what was written
        return super()._value(value, path, origins, inside)

    def _through(self, origin: Origin) -> dict[str, Any] | None:
        place = self._places.get(id(origin.base))
        if not place:
            return None
        return {
            LINK: list(place),
            **({"attr": list(origin.attr)} if origin.attr else {}),
            **({"call": True} if origin.call else {}),
        }


def node_of_object(value: Any, path: Path = (), *, as_text: bool = False) -> dict[str, Any]:
    """Return the ``$new`` node of an object that remembers how it was made, with all objects in it.

    path: where it will stand, the stage first: links begin there. as_text: with the tags and comments that it was written with.
    Raises FlambeError naming the argument that no YAML can say.
    """
    node: dict[str, Any] = readable(_Inline(path, as_text).write(value))
    return node


def readable(node: Any) -> Any:
    """Return a node without the forms that only state files have: tuples become lists, tensors text."""
    if isinstance(node, list):
        return [readable(item) for item in node]
    if not isinstance(node, dict):
        return node
    kind = kind_of(node)
    if kind in ("$tuple", "$set", "$frozenset", "$deque"):
        return [readable(item) for item in node[kind]]
    if kind == TENSOR:
        return f"<tensor {node[TENSOR]}>"
    if kind in ("$int", "$path"):
        return node[kind]
    if kind == "$scalar":
        return readable(node[kind][1])
    if kind in ("$text", "$data", "$kind", "$state"):
        return f"<{kind[1:]}>"
    if kind == NEW:
        args = {ARGS: [readable(item) for item in node[ARGS]]} if ARGS in node else {}
        args.update({key: node[key] for key in (TAG, NOTES) if key in node})
        return {NEW: node[NEW], **args, **{key: readable(item) for key, item in arguments(node).items()}}
    if kind == MAP:
        return {MAP: [[readable(key), readable(item)] for key, item in node[MAP]]}
    if kind is None:
        return {key: readable(item) for key, item in node.items()}
    return node


def config_text(value: Any) -> str:
    """Return the config of an object as YAML, below the header of the extensions that it uses."""
    from flambe.build.trust import extensions_of
    from flambe.compile.dump import node_to_yaml

    node = node_of_object(value, as_text=True)
    used = extensions_of(node)
    return (f"{node_to_yaml(used)}---\n" if used else "") + node_to_yaml(node)


__all__ = ["RESULT", "SAVED", "ConfigWriter", "config_text", "node_of_object", "readable"]
