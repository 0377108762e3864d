"""``Schema``: a component that is not built yet: a class and its arguments, to look at and to change."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

from flambe.build.component import Component
from flambe.build.options import Options
from flambe.build.registrable import public_target
from flambe.build.trust import Extensions, import_extensions, is_library_class, is_tune_class, locate
from flambe.errors import did_you_mean
from flambe.spec.nodes import Path

if TYPE_CHECKING:
    from flambe.build.made import Written


class Schema(MutableMapping[str, Any]):
    """A blueprint of an object: ``schema()`` builds it, the second call returns the same object.

    Arguments are items and, where no method has the name, attributes: ``schema["encoder"].n_layers = 3``. Nested components
    are schemas, links are ``Link`` objects.

    Parameters
    ----------
    component_subclass: a ``Component`` subclass, or a class of torch modules, optimizers, schedulers or samplers, or of Tune's
        schedulers and searchers.
    _flambe_custom_factory_name: a factory of it, in place of the constructor.
    keywords: the arguments.

    Raises TypeError for another class.

    Attributes
    ----------
    post_init_hooks: called with the object once it is built, in order.
    """

    def __init__(
        self, component_subclass: type, _flambe_custom_factory_name: str | None = None, /, **keywords: Any
    ) -> None:
        if not (
            isinstance(component_subclass, type)
            and (
                issubclass(component_subclass, Component)
                or is_library_class(component_subclass)
                or is_tune_class(component_subclass)
            )
        ):
            raise TypeError(f"{component_subclass!r} is no Component subclass; a Schema describes a component")
        target = public_target(component_subclass)
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
            "post_init_hooks": [],
            "_located": None,
            "_built": None,
            "_extensions": {},
            "_written": None,
        }
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    target: str
    """``module:QualName``, with the factory if there is one."""
    keywords: dict[str, Any]
    positional: list[Any]
    post_init_hooks: list[Callable[[Any], object]]
    _located: tuple[Any, str | None] | None
    _built: tuple[Any] | None
    _extensions: dict[str, str]
    _written: Written | None

    @classmethod
    def from_node(cls, node: Any, *, extensions: Extensions = ()) -> Schema:
        """Return the schema of a ``$new`` node. Nothing is imported until it is built.

        A node that stands at several places of the tree (one dict) becomes one schema, and so one object.
        """
        from flambe.build.schema_node import value_of

        schema = value_of(node, extensions=extensions)
        if not isinstance(schema, Schema):
            raise TypeError("the node of a schema has a $new")
        return schema

    def to_node(self) -> dict[str, Any]:
        """Return the ``$new`` node of this schema. A schema that stands twice is written in full once, then as a link."""
        from flambe.build.schema_node import NodeWriter

        node: dict[str, Any] = NodeWriter().node_of(self, ())
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
            module = self.target.partition(":")[0].partition(".")[0]
            used = {name: source for name, source in self._extensions.items() if name.partition(".")[0] == module}
            if used and module not in sys.modules:
                import_extensions(used)
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
                owner, factory, args, kwargs, target=target, origins=origins, path=path, position=scope.where(path),
                written=self._written,
            )  # fmt: skip
            object.__setattr__(self, "_built", (made,))
            scope.objects[path] = made
            for hook in self.post_init_hooks:
                hook(made)
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


def _schemas_in(values: Any) -> Iterator[Schema]:
    for value in values:
        if isinstance(value, Schema):
            yield value
        elif isinstance(value, dict):
            yield from _schemas_in(value.values())
        elif isinstance(value, list | tuple | Options):
            yield from _schemas_in(value)


def _all_schemas(schema: Schema) -> Iterator[Schema]:
    for child in _schemas_in([*schema.keywords.values(), *schema.positional]):
        yield child
        yield from _all_schemas(child)


__all__ = ["Schema"]
