"""``Component``: the base of everything that can be configured, run and saved."""

from __future__ import annotations

import types
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from flambe.build.registrable import Remembering, all_subclasses, target_of
from flambe.errors import FlambeError

if TYPE_CHECKING:
    from flambe.build.schema import Schema
    from flambe.build.state import State

_Self = TypeVar("_Self", bound="Component")

ATTRS = "_flambe_attrs"


class Component(Remembering):
    """Base of everything that can be configured, run and saved. It stands before ``torch.nn.Module`` in the bases.

    Class attributes
    ----------------
    immutable: other stages share one object of it per process and never change it (datasets, fields, tokenizers).
    seedless: its result does not depend on the run's seed (data preparation).
    lower_is_better: direction of ``metric()``; an instance may set its own.
    _flambe_version: ``major.minor.patch`` of the class. ``0.0.0`` asks for no check; later a saved state of another
        major version is refused, and one of another minor version read with a warning.
    """

    immutable: ClassVar[bool] = False
    seedless: ClassVar[bool] = False
    lower_is_better: bool = False
    _flambe_version: ClassVar[str] = "0.0.0"

    def run(self) -> bool:
        """Do one step, in the order of seconds to minutes. Returns True while there is more to do."""
        return False

    def metric(self) -> float | None:
        """Return the value that schedulers and ``reduce`` compare, or None."""
        return None

    # --- state ---

    def register_attrs(self, *names: str) -> None:
        """Make plain attributes part of the state. Call it at the end of ``__init__``.

        Raises AttributeError for a name that is no attribute yet.
        """
        known = self.__dict__.get(ATTRS, ())
        for name in names:
            if not hasattr(self, name):
                raise AttributeError(f"{type(self).__qualname__} has no attribute {name!r} to register")
        # A new tuple in __dict__: copies of the object share nothing, and torch modules refuse nothing.
        self.__dict__[ATTRS] = tuple(dict.fromkeys((*known, *names)))

    def get_state(self, destination: State | None = None, prefix: str = "", keep_vars: bool = False) -> State:
        """Return the state of this object and all parts below it: a flat dict with ``.``-joined keys.

        Tensors are the living ones, detached unless ``keep_vars``; nothing is copied.
        Raises FlambeError naming the place of a value that cannot be saved.
        """
        from flambe.build.state import get_state

        return get_state(self, destination=destination, prefix=prefix)

    def load_state(self, state_dict: Mapping[str, Any], strict: bool = False) -> None:
        """Take back what ``get_state`` returned.

        Raises ``LoadError`` (a RuntimeError) for an incompatible version, and with ``strict`` for keys that are missing
        or not expected.
        """
        from flambe.build.state import load_state

        load_state(self, state_dict, strict=strict)

    def _state(self, state_dict: Any, prefix: str, local_metadata: dict[str, Any]) -> Any:
        """Add computed state under keys that begin with ``prefix``. Returns the state."""
        return state_dict

    def _load_state(
        self,
        state_dict: Any,
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[Any],
        unexpected_keys: list[Any],
        error_msgs: list[Any],
    ) -> None:
        """Take back what ``_state`` added."""

    @classmethod
    def restore(cls: type[_Self], arguments: Mapping[str, Any], state: Mapping[str, Any]) -> _Self:
        """Make a saved object. arguments: by name (``$args``: positional); state: its own, without that of its parts.

        Override it where building is costly: a dataset that has its rows in the state need not read a file again.
        """
        from flambe.build.state import load_own

        arguments = dict(arguments)
        made = cls(*arguments.pop("$args", ()), **arguments)
        load_own(made, state)
        return made

    def saved_arguments(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments to save. Override it to leave out what the state holds already."""
        return arguments

    def save(self, path: str | Path, **kwargs: Any) -> None:
        """Write this object as a saved component; the keywords are those of ``flambe.save``."""
        from flambe.build.saved import save

        save(self, path, **kwargs)

    @classmethod
    def load_from_path(
        cls: type[_Self], path: str, use_saved_config_defaults: bool = True, map_location: Any = None, **kwargs: Any
    ) -> _Self:
        """Return the saved component at ``path``: a factory of every component (``!Class.load_from_path``).

        use_saved_config_defaults: True makes it with the arguments it was saved with, False with ``kwargs``, taking only
        the state from ``path``. Raises ``LoadError`` when another class is saved there.
        """
        from flambe.build.saved import load, load_state_from_file
        from flambe.build.state import LoadError

        if not use_saved_config_defaults:
            made = cls(**kwargs)
            made.load_state(load_state_from_file(path, map_location=map_location))
            return made
        if kwargs:
            raise FlambeError(
                f"load_from_path got {', '.join(kwargs)}, and the saved arguments are to be used",
                hint="Say use_saved_config_defaults: false to give arguments.",
            )
        loaded = load(path, map_location=map_location)
        if not isinstance(loaded, cls):
            raise LoadError(f"{path} holds a {type(loaded).__qualname__}, no {cls.__qualname__}")
        return loaded

    # Not through registrable_factory: what comes back must remember how it was first made, not where it was read.
    load_from_path.__func__._flambe_factory = True  # type: ignore[attr-defined]

    # --- configuration ---

    @classmethod
    def schema(cls, *positional: Any, **keywords: Any) -> Schema:
        """Return a ``Schema``: this class with arguments, not built yet."""
        from flambe.build.schema import Schema

        schema = Schema(cls, **keywords)
        schema.positional.extend(positional)
        return schema

    @classmethod
    def compile(cls: type[_Self], _flambe_custom_factory_name: str | None = None, **kwargs: Any) -> _Self:
        """Build an object, and before it every ``Schema`` and ``Link`` in the arguments, to any depth."""
        from flambe.build.schema import Schema

        return cast(_Self, Schema(cls, _flambe_custom_factory_name, **kwargs)())

    @classmethod
    def from_yaml(cls, constructor: Any, node: Any, factory_name: str | None = None) -> Schema:
        """Return the Schema that a PyYAML node describes; the constructor is not asked. Raises ``ConfigFaults``."""
        from flambe.build.yaml_node import from_node

        return cast("Schema", from_node(node, factory_name))

    @classmethod
    def to_yaml(cls, representer: Any, node: Any, tag: str) -> Any:
        """Return the PyYAML node of a component or Schema; the representer is not asked."""
        from flambe.build.yaml_node import to_node

        return to_node(node, tag)

    @classmethod
    def precompile(cls, **kwargs: Any) -> None:
        """Called by the builder before nested objects are built: links are objects already, nested ones are schemas."""

    @classmethod
    def preinitialize(cls, arguments: Mapping[str, Any]) -> None:
        """Version 1.0's name for ``precompile``: the same arguments, as one mapping."""

    @classmethod
    def setup_dependencies(cls, kwargs: dict[str, Any]) -> None:
        """Called before anything of this object is built: may put arguments (schemas, links, plain data) into ``kwargs``."""

    @property
    def _config_str(self) -> str:
        """The config of this object as YAML, for people."""
        from flambe.build.config import config_text

        return config_text(self)


def dynamic_component(
    class_: type, tag: str, tag_namespace: str | None = None, parent_component_class: type[Component] = Component
) -> type[Component]:
    """Return a subclass of ``(parent_component_class, class_)`` that is registered as ``tag``."""
    namespace = {"__module__": class_.__module__, "__qualname__": class_.__qualname__, "__doc__": class_.__doc__}
    keywords = {"tag_override": tag, "tag_namespace": tag_namespace}
    made = types.new_class(
        class_.__name__, (parent_component_class, class_), keywords, lambda body: body.update(namespace)
    )
    return cast("type[Component]", made)


def make_component(
    class_: type,
    tag_namespace: str | None = None,
    only_module: str | None = None,
    parent_component_class: type[Component] | None = None,
) -> None:
    """Register every subclass of ``class_`` (not itself) as a dynamic component.

    only_module: leave out classes whose module does not begin with it.
    """
    parent = parent_component_class or Component
    for child in sorted(all_subclasses(class_), key=target_of):
        if not issubclass(child, Component) and (only_module is None or child.__module__.startswith(only_module)):
            dynamic_component(child, child.__name__, tag_namespace, parent)


__all__ = ["Component", "dynamic_component", "make_component"]
