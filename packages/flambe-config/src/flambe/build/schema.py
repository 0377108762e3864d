"""``Schema``: a component that is not built yet: a class and its arguments, to look at and to change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

from flambe.build.component import Component
from flambe.build.config import node_of_object
from flambe.build.link import FunctionCallLink, Link
from flambe.build.made import made_of
from flambe.build.registrable import class_of_target, target_of
from flambe.build.trust import Extensions, is_library_class, locate
from flambe.errors import did_you_mean
from flambe.spec.codec import escape, unescape
from flambe.spec.nodes import ARGS, LINK, MAP, NEW, YAML, Path, arguments, kind_of, link_target


class Schema(MutableMapping[str, Any]):
    """A blueprint of an object: ``schema()`` builds it, the second call returns the same object.

    Arguments are items and, where no method has the name, attributes: ``schema["encoder"].n_layers = 3``. Nested components
    are schemas, links are ``Link`` objects.

    Parameters
    ----------
    component_subclass: a ``Component`` subclass, or a class of torch modules, optimizers, schedulers or samplers.
    _flambe_custom_factory_name: a factory of it, in place of the constructor.
    keywords: the arguments.

    Raises TypeError for another class.
    """

    def __init__(
        self, component_subclass: type, _flambe_custom_factory_name: str | None = None, /, **keywords: Any
    ) -> None:
        if not (
            isinstance(component_subclass, type)
            and (issubclass(component_subclass, Component) or is_library_class(component_subclass))
        ):
            raise TypeError(f"{component_subclass!r} is no Component subclass; a Schema describes a component")
        target = target_of(component_subclass)
        self._set(
            target if _flambe_custom_factory_name is None else f"{target}.{_flambe_custom_factory_name}", keywords
        )
        object.__setattr__(self, "_located", (component_subclass, _flambe_custom_factory_name))

    def _set(self, target: str, keywords: dict[str, Any]) -> None:
        # __setattr__ writes arguments, so the fields of the schema itself go past it.
        fields: dict[str, Any] = {
            "target": target,
            "keywords": keywords,
            "positional": [],
            "_located": None,
            "_built": None,
            "_extensions": {},
        }
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    target: str
    """``module:QualName``, with the factory if there is one."""
    keywords: dict[str, Any]
    positional: list[Any]
    _located: tuple[Any, str | None] | None
    _built: tuple[Any] | None
    _extensions: dict[str, str]

    @classmethod
    def from_node(cls, node: Any, *, extensions: Extensions = ()) -> Schema:
        """Return the schema of a ``$new`` node. Nothing is imported until it is built.

        A node that stands at several places of the tree (one dict) becomes one schema, and so one object.
        """
        schema = value_of(node, extensions=extensions)
        if not isinstance(schema, Schema):
            raise TypeError("the node of a schema has a $new")
        return schema

    def to_node(self) -> dict[str, Any]:
        """Return the ``$new`` node of this schema. A schema that stands twice is written in full once, then as a link."""
        node: dict[str, Any] = _Writer().node_of(self, ())
        return node

    @property
    def component_subclass(self) -> type:
        """The class. Asking for it imports its module; raises ``ProvenanceError`` when that is not allowed."""
        found: type = self._locate()[0]
        return found

    @property
    def is_built(self) -> bool:
        """Whether the object exists already."""
        return self._built is not None

    def _locate(self) -> tuple[Any, str | None]:
        if self._located is None:
            object.__setattr__(self, "_located", locate(self.target, self._extensions))
        assert self._located is not None
        return self._located

    def __call__(self, stash: Any = None, **keywords: Any) -> Any:
        """Build the object, or return the one that was built. keywords: replace stored ones, the first time only.

        stash: kept from version 0.4; nothing is stashed any more.
        """
        from flambe.build.scope import Scope

        if self._built is None:
            self.keywords.update(keywords)
            return self._build_in(Scope(extensions=self._extensions), ())
        return self._built[0]

    def _build_in(self, scope: Any, path: Path) -> Any:
        """Build the object at its place in a larger config."""
        from flambe.build.builder import build_arguments, construct

        if self._built is None:
            owner, factory = self._locate()
            given: dict[Any, Any] = {**dict(enumerate(self.positional)), **self.keywords}
            values, origins = build_arguments(owner, given, scope, path)
            args = tuple(value for key, value in values.items() if isinstance(key, int))
            kwargs = {key: value for key, value in values.items() if isinstance(key, str)}
            target = self.target if factory is None else self.target.removesuffix(f".{factory}")
            made = construct(
                owner, factory, args, kwargs, target=target, origins=origins, path=path, position=scope.where(path)
            )
            object.__setattr__(self, "_built", (made,))
            scope.objects[path] = made
            return made
        return self._built[0]

    # --- a mapping of arguments ---

    def __getitem__(self, key: str) -> Any:
        return self.keywords[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.keywords[key] = value

    def __delitem__(self, key: str) -> None:
        del self.keywords[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.keywords)

    def __len__(self) -> int:
        return len(self.keywords)

    def __getattr__(self, item: str) -> Any:
        # Copies and pickles ask before the fields are there.
        keywords = self.__dict__.get("keywords", {})
        if item in keywords:
            return keywords[item]
        if item.startswith("__"):
            raise AttributeError(item)
        name = self.__dict__.get("target", "schema").partition(":")[2]
        raise AttributeError(
            f"the schema of {name} has no argument {item!r}. {did_you_mean(item, keywords) or ''}".strip()
        )

    def __setattr__(self, key: str, value: Any) -> None:
        self.keywords[key] = value

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Schema)
            and self.target == other.target
            and self.keywords == other.keywords
            and self.positional == other.positional
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        parts = [repr(value) for value in self.positional] + [
            f"{key}={value!r}" for key, value in self.keywords.items()
        ]
        return f"Schema({self.target.partition(':')[2]}{', ' if parts else ''}{', '.join(parts)})"

    # --- extensions ---

    def add_extensions_metadata(self, extensions: Mapping[str, str]) -> None:
        """Note modules (module → source) that this schema and those in it may reach."""
        self._extensions.update(extensions)
        for value in _schemas_in([*self.keywords.values(), *self.positional]):
            value.add_extensions_metadata(extensions)

    def aggregate_extensions_metadata(self) -> dict[str, str]:
        """Return the extensions that this schema and those in it really use."""
        tops = {schema.target.partition(":")[0].partition(".")[0] for schema in [self, *_all_schemas(self)]}
        return {module: source for module, source in self._extensions.items() if module.partition(".")[0] in tops}

    @classmethod
    def to_yaml(cls, representer: Any, node: Any, tag: str) -> Any:
        """Return the PyYAML node of a Schema; the representer is not asked."""
        from flambe.build.yaml_node import to_node

        return to_node(node, tag)

    @staticmethod
    def serialize(obj: Any) -> dict[str, Any]:
        """Return a schema as plain data: its YAML text and its extensions."""
        from flambe.compile.yaml import dump

        return {"yaml": dump(obj), "extensions": obj.aggregate_extensions_metadata() if isinstance(obj, Schema) else {}}

    @staticmethod
    def deserialize(data: Mapping[str, Any]) -> Any:
        """Return what ``serialize`` was given."""
        from flambe.compile.yaml import load

        schema = load(data["yaml"])
        if isinstance(schema, Schema):
            schema.add_extensions_metadata(data["extensions"])
        return schema


def _as_mapping(extensions: Extensions) -> dict[str, str]:
    return dict(extensions) if isinstance(extensions, Mapping) else {name: name for name in extensions}


def value_of(node: Any, *, extensions: Extensions = ()) -> Any:
    """Return a node as Python data: schemas, links, maps, lists and plain values. One dict at several places is one schema."""
    return _value_of(node, _as_mapping(extensions), {})


def _value_of(node: Any, extensions: dict[str, str], known: dict[int, Schema]) -> Any:
    kind = kind_of(node)
    if kind == NEW:
        if id(node) not in known:
            schema = Schema.__new__(Schema)
            schema._set(node[NEW], {})
            known[id(node)] = schema
            schema._extensions.update(extensions)
            schema.positional.extend(_value_of(item, extensions, known) for item in node.get(ARGS, ()))
            schema.keywords.update({key: _value_of(item, extensions, known) for key, item in arguments(node).items()})
        return known[id(node)]
    if kind == LINK and not node.get("copy"):
        target = link_target(node)
        return (FunctionCallLink if target.call else Link)(target.path, target.attr)
    if kind == YAML and class_of_target(str(node[YAML]).removeprefix("!")) is not None:
        # Such a class has no delayed initialisation: what it reads is the object. Nothing is imported for that here.
        from flambe.build.builder import Scope, build

        return build(node, scope=Scope(extensions=extensions))
    if kind == MAP:
        return {unescape(key): _value_of(item, extensions, known) for key, item in node[MAP]}
    if isinstance(node, list):
        return [_value_of(item, extensions, known) for item in node]
    if kind is None and isinstance(node, dict):
        return {key: _value_of(item, extensions, known) for key, item in node.items()}
    # What the builder alone can resolve ($file, $env, $grid, …) stays a node.
    return unescape(node)


class _Writer:
    """Values of a schema back to nodes."""

    def __init__(self) -> None:
        self._places: dict[int, Path] = {}

    def node_of(self, value: Any, path: Path) -> Any:
        if isinstance(value, Schema):
            if self._places.get(id(value)):
                return {LINK: list(self._places[id(value)])}
            self._places[id(value)] = path
            node: dict[str, Any] = {NEW: value.target}
            if value.positional:
                node[ARGS] = [self.node_of(item, (*path, index)) for index, item in enumerate(value.positional)]
            node.update({key: self.node_of(item, (*path, key)) for key, item in value.keywords.items()})
            return node
        if isinstance(value, Link):
            return value.to_node()
        if made_of(value) is not None:
            return node_of_object(value)
        if isinstance(value, list | tuple):
            return [self.node_of(item, (*path, index)) for index, item in enumerate(value)]
        if isinstance(value, dict):
            if kind_of(value) is not None:
                return value
            if all(isinstance(key, str) for key in value):
                return {key: self.node_of(item, (*path, key)) for key, item in value.items()}
            return {MAP: [[escape(key), self.node_of(item, (*path, str(key)))] for key, item in value.items()]}
        return escape(value)


def node_of(value: Any) -> Any:
    """Return the node of a schema, of an object that was built from one (or records its arguments), or of plain data.

    Raises TypeError for anything else.
    """
    return _Writer().node_of(value, ())


def _schemas_in(values: Any) -> Iterator[Schema]:
    for value in values:
        if isinstance(value, Schema):
            yield value
        elif isinstance(value, dict):
            yield from _schemas_in(value.values())
        elif isinstance(value, list | tuple):
            yield from _schemas_in(value)


def _all_schemas(schema: Schema) -> Iterator[Schema]:
    for child in _schemas_in([*schema.keywords.values(), *schema.positional]):
        yield child
        yield from _all_schemas(child)


__all__ = ["Schema", "node_of", "value_of"]
