"""Between schemas and nodes: a body of a spec as Python values to change, and back."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Container, Mapping
from typing import TYPE_CHECKING, Any

from flambe.build.builder import construct
from flambe.build.config import node_of_object
from flambe.build.link import FunctionCallLink, Link
from flambe.build.made import Written, arguments_of, made_of
from flambe.build.options import GridSearchOptions, Options
from flambe.build.registrable import MappedRegistrable, Registrable, class_of_target, writes_own_yaml
from flambe.build.schema import Schema
from flambe.build.trust import Extensions, locate
from flambe.compile.tags import OPEN
from flambe.errors import ConfigError
from flambe.spec.codec import escape, unescape
from flambe.spec.nodes import ARGS, GRID, LINK, MAP, NEW, NOTES, TAG, YAML, Path, arguments, kind_of, link_target, walk

if TYPE_CHECKING:
    from flambe.compile.value import Value


def _as_mapping(extensions: Extensions) -> dict[str, str]:
    return dict(extensions) if isinstance(extensions, Mapping) else {name: name for name in extensions}


def value_of(node: Any, *, extensions: Extensions = ()) -> Any:
    """Return a node as Python data: schemas, links, maps, lists and plain values. One dict at several places is one schema."""
    return _Reader(_as_mapping(extensions)).value_of(node)


def value_as_written(value: Value) -> Any:
    """Return what a YAML text holds as Python data: as ``value_of``; schemas know how they were written, runnables are made."""
    return _Reader(value.extensions, value.written, value.ready).value_of(value.node)


class _Reader:
    """Nodes to values of a schema."""

    def __init__(
        self, extensions: dict[str, str], written: Mapping[int, Written] | None = None, ready: Container[int] = ()
    ) -> None:
        self._extensions = extensions
        self._written = written or {}
        self._ready = ready
        self._known: dict[int, Any] = {}

    def value_of(self, node: Any) -> Any:
        kind = kind_of(node)
        if kind == NEW:
            if id(node) not in self._known:
                self._known[id(node)] = self._made(node) if id(node) in self._ready else self._schema(node)
            return self._known[id(node)]
        if kind == LINK and not node.get("copy"):
            target = link_target(node)
            return (FunctionCallLink if target.call else Link)(target.path, target.attr)
        if kind == YAML and _registered(str(node[YAML]).removeprefix("!")):
            # Such a class has no delayed initialisation: what it reads is the object. Nothing is imported for that here.
            from flambe.build.builder import Scope, build

            if id(node) not in self._known:
                self._known[id(node)] = build(node, scope=Scope(extensions=self._extensions))
            return self._known[id(node)]
        if kind == MAP:
            return {unescape(key): self.value_of(item) for key, item in node[MAP]}
        if kind == GRID:
            options = [self.value_of(item) for item in node[GRID]]
            return GridSearchOptions(options) if len(node) == 1 else {**node, GRID: options}
        if isinstance(node, list):
            return [self.value_of(item) for item in node]
        if kind is None and isinstance(node, dict):
            return {key: self.value_of(item) for key, item in node.items()}
        # What the builder alone can resolve ($file, $env, …) stays a node.
        return unescape(node)

    def _schema(self, node: dict[str, Any]) -> Schema:
        schema = Schema.__new__(Schema)
        schema._set(node[NEW], {})
        self._known[id(node)] = schema
        schema._extensions.update(self._extensions)
        object.__setattr__(schema, "_written", self._written.get(id(node)))
        schema.positional.extend(self.value_of(item) for item in node.get(ARGS, ()))
        schema.keywords.update({key: self.value_of(item) for key, item in arguments(node).items()})
        return schema

    def _made(self, node: dict[str, Any]) -> Any:
        """Make an object of a class without delayed initialisation; what is below it stays schemas."""
        owner, factory = locate(node[NEW], self._extensions)
        args = tuple(self.value_of(item) for item in node.get(ARGS, ()))
        kwargs = {key: self.value_of(item) for key, item in arguments(node).items()}
        target = node[NEW] if factory is None else node[NEW].removesuffix(f".{factory}")
        made = construct(owner, factory, args, kwargs, target=target, origins={}, written=self._written.get(id(node)))
        if self._extensions and hasattr(made, "inject_extensions"):
            made.inject_extensions(self._extensions)
        return made


def modules_in(node: Any) -> dict[str, str]:
    """Return the top-level modules of this process that a node names beside our own, torch and Ray: module → its file or folder.

    Raises ConfigError for a class of ``__main__``: another process cannot import that.
    """
    found: dict[str, str] = {}
    for _, value in walk(node):
        if kind_of(value) != NEW:
            continue
        top = str(value[NEW]).partition(":")[0].partition(".")[0]
        if top == "__main__":
            raise ConfigError(
                f"{value[NEW].partition(':')[2]} is defined in the program itself, where workers cannot find it",
                hint="Move it to a module of its own and import it from there.",
            )
        file = getattr(sys.modules.get(top), "__file__", None)
        if top not in OPEN and file is not None:
            found[top] = os.path.dirname(file) if os.path.basename(file) == "__init__.py" else file
    return found


def _registered(target: str) -> bool:
    return class_of_target(target) is not None or class_of_target(target.rpartition(".")[0]) is not None


class NodeWriter:
    """Values of a schema back to nodes.

    as_text: for YAML in place of a spec: a schema that stands twice is one dict at both places (and not a link to the first),
    with the tag and the comments that it was written with. generator: draws the numbers of ``SampledUniformSearchOptions``.
    """

    def __init__(self, *, as_text: bool = False, generator: random.Random | None = None) -> None:
        self._as_text = as_text
        self._generator = generator
        self._places: dict[int, Path] = {}
        self._nodes: dict[int, dict[str, Any]] = {}

    def node_of(self, value: Any, path: Path) -> Any:
        """Return the node of a value that stands at ``path``: the stage first, where there are stages.

        Raises TypeError for what is neither a schema, nor an object that remembers how it was made, nor plain data.
        """
        if isinstance(value, Schema):
            if self._as_text and id(value) in self._nodes:
                return self._nodes[id(value)]
            if not self._as_text and len(self._places.get(id(value), ())) > 0:
                return {LINK: list(self._places[id(value)])}
            return self.stage(value, path)
        if isinstance(value, Link):
            return value.to_node()
        if isinstance(value, Options):
            value = value.to_node(self._generator)
        if self._as_text and writes_own_yaml(type(value)):
            from flambe.build.yaml_node import node_of_registrable

            return node_of_registrable(value)
        if made_of(value) is not None:
            if isinstance(value, MappedRegistrable):
                return self._made_at_once(value, path)
            return node_of_object(value, path, as_text=self._as_text)
        if isinstance(value, list | tuple):
            return [self.node_of(item, (*path, index)) for index, item in enumerate(value)]
        if isinstance(value, dict):
            if kind_of(value) == GRID:
                # What is one of several choices exists in that choice only, at the place of the search.
                writers = (self if self._as_text else NodeWriter(generator=self._generator) for _ in value[GRID])
                return {
                    **value,
                    GRID: [writer.node_of(item, path) for writer, item in zip(writers, value[GRID], strict=True)],
                }
            if kind_of(value) is not None:
                return value
            if all(isinstance(key, str) for key in value):
                return {key: self.node_of(item, (*path, key)) for key, item in value.items()}
            return {MAP: [[escape(key), self.node_of(item, (*path, str(key)))] for key, item in value.items()]}
        if isinstance(value, Registrable) and self._as_text:
            from flambe.build.yaml_node import node_of_registrable

            return node_of_registrable(value)
        return escape(value)

    def stage(self, schema: Schema, path: Path) -> dict[str, Any]:
        """Return the node of a schema in full, though it may stand elsewhere too: a stage is an object of its own."""
        self._places.setdefault(id(schema), path)
        node: dict[str, Any] = {NEW: schema.target}
        self._nodes[id(schema)] = node
        if self._as_text and schema._written is not None:
            node[TAG], node[NOTES] = schema._written
        if schema.positional:
            node[ARGS] = [self.node_of(item, (*path, index)) for index, item in enumerate(schema.positional)]
        node.update({key: self.node_of(item, (*path, key)) for key, item in schema.keywords.items()})
        return node

    def _made_at_once(self, value: Any, path: Path) -> dict[str, Any]:
        """Return the node of an object whose arguments are schemas still."""
        made = made_of(value)
        assert made is not None
        node: dict[str, Any] = {NEW: made.target + (f".{made.factory}" if made.factory else "")}
        if self._as_text and made.written is not None:
            node[TAG], node[NOTES] = made.written
        given = arguments_of(value) or {}
        if self._as_text and given.get("extensions") is not None and hasattr(value, "extensions"):
            del given["extensions"]  # they are the header of the text
        if ARGS in given:
            node[ARGS] = [self.node_of(item, (*path, index)) for index, item in enumerate(given.pop(ARGS))]
        node.update({key: self.node_of(item, (*path, key)) for key, item in given.items()})
        return node


def node_of(value: Any) -> Any:
    """Return the node of a schema, of an object that was built from one (or records its arguments), or of plain data.

    Raises TypeError for anything else.
    """
    return NodeWriter().node_of(value, ())


__all__ = ["NodeWriter", "modules_in", "node_of", "value_as_written", "value_of"]
