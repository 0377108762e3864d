"""Schemas: mappings of arguments that build one object."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from flambe.build.component import Component
from flambe.build.link import Link
from flambe.build.registrable import target_of
from flambe.build.schema import Schema
from flambe.build.schema_node import node_of


class Part(Component):
    def __init__(self, size: int = 1, name: str = "part") -> None:
        self.size, self.name = size, name


class Whole(Component):
    def __init__(self, first: Any, second: Any = None, options: Any = None) -> None:
        self.first, self.second, self.options = first, second, options


def test_arguments_are_items_and_attributes() -> None:
    schema = Schema(Whole, first=Schema(Part, size=2))
    schema.first.size = 5
    schema["second"] = 3
    assert schema["first"]["size"] == 5
    assert schema.second == 3
    assert list(schema) == ["first", "second"]
    del schema["second"]
    assert len(schema) == 1
    with pytest.raises(AttributeError, match="the schema of Whole has no argument 'frist'. Did you mean 'first'"):
        _ = schema.frist
    assert schema.component_subclass is Whole
    assert repr(schema) == "Schema(Whole, first=Schema(Part, size=5))"


def test_calling_builds_once() -> None:
    shared = Schema(Part, size=2)
    schema = Schema(Whole, first=shared, options=[{"deep": shared}])
    assert not schema.is_built
    built = schema(second="given")
    assert schema() is built
    assert schema.is_built
    assert built.second == "given"
    assert built.first is built.options[0]["deep"] is shared()


def test_links_start_at_the_top_object() -> None:
    schema = Schema(
        Whole, first=Schema(Part, size=2), second=Link(["first"], ["size"]), options=[Link(["first", "name"])]
    )
    schema["first"]["name"] = "n"
    built = schema()
    assert (built.second, built.options) == (2, ["n"])


def test_objects_may_stand_among_the_arguments() -> None:
    part = Part(3)
    assert Schema(Whole, first=part)().first is part


def test_equality_is_that_of_the_config() -> None:
    one = Schema(Whole, first=Schema(Part, size=2), second=Link(["first"]))
    two = Schema(Whole, first=Schema(Part, size=2), second=Link(["first"]))
    assert one == two
    two.first.size = 3
    assert one != two
    assert one != {"first": 1}
    assert copy.deepcopy(one) == one


def test_only_components_have_schemas() -> None:
    with pytest.raises(TypeError, match="no Component subclass"):
        Schema(dict)
    with pytest.raises(TypeError, match="no Component subclass"):
        Schema("Part")  # type: ignore[arg-type]


def test_nodes_come_and_go() -> None:
    node = {
        "$new": target_of(Whole),
        "first": {"$new": target_of(Part), "size": 2},
        "second": {"$link": ["first"], "attr": ["size"]},
        "options": [{"$grid": [1, 2]}, {"$file": "/x"}, {"$float": "NaN"}, {"$map": [[1, 2]]}],
    }
    schema = Schema.from_node(node)
    assert isinstance(schema.first, Schema)
    assert schema.second == Link(["first"], ["size"])
    assert schema.options[3] == {1: 2}
    assert schema.to_node() == node


def test_one_node_at_two_places_is_one_object() -> None:
    part = {"$new": target_of(Part), "size": 2}
    schema = Schema.from_node({"$new": target_of(Whole), "first": part, "second": part})
    assert schema.to_node()["second"] == {"$link": ["first"]}
    built = schema()
    assert built.first is built.second
    again = Schema.from_node(schema.to_node())()
    assert again.first is again.second


def test_the_node_of_a_built_object_has_its_defaults() -> None:
    part = Part(4)
    built = Whole(part, second=part, options=(1, 2))
    assert node_of(built) == {
        "$new": target_of(Whole),
        "first": {"$new": target_of(Part), "size": 4, "name": "part"},
        "second": {"$link": ["first"]},
        "options": [1, 2],
    }
    assert node_of({"a": [1, Link(["x"])]}) == {"a": [1, {"$link": ["x"]}]}
    with pytest.raises(TypeError):
        node_of(object())


def test_yaml_text_is_a_round_trip() -> None:
    schema = Schema(Whole, first=Schema(Part, size=2), second=[1, 2.5, None])
    data = Schema.serialize(schema)
    assert data["extensions"] == {}
    assert "size: 2" in data["yaml"]


def test_extensions_are_those_that_are_used() -> None:
    node = {"$new": "my_ext:Thing", "part": {"$new": "other.deep:Part"}}
    schema = Schema.from_node(node)
    schema.add_extensions_metadata({"my_ext": "./my_ext", "other": "./other", "unused": "./unused"})
    assert schema.aggregate_extensions_metadata() == {"my_ext": "./my_ext", "other": "./other"}


class Watched(Component):
    seen: list[Any] = []

    def __init__(self, first: Any, second: Any = None) -> None:
        self.first, self.second = first, second

    @classmethod
    def setup_dependencies(cls, kwargs: dict[str, Any]) -> None:
        kwargs.setdefault("second", Link(["first"], ["size"]))

    @classmethod
    def precompile(cls, **kwargs: Any) -> None:
        cls.seen.append(kwargs)

    @classmethod
    def preinitialize(cls, arguments: Any) -> None:
        cls.seen.append(dict(arguments))


def test_hooks_come_before_and_after_building() -> None:
    Watched.seen.clear()
    part = Schema(Part, size=4)
    schema = Watched.schema(part)
    schema.keywords.update(first=schema.positional.pop())
    built: list[Any] = []
    part.post_init_hooks.append(built.append)
    schema.post_init_hooks.append(built.append)
    made = schema()
    assert built == [made.first, made]
    assert made.second == 4, "the link that setup_dependencies added"
    assert [shown["first"] for shown in Watched.seen] == [part, part], "not built yet"
    schema()
    assert len(built) == 2


def test_links_have_hooks_too() -> None:
    found: list[Any] = []
    link = Link(["first"], ["size"])
    link.post_init_hooks.append(found.append)
    assert Schema(Whole, first=Schema(Part, size=2), second=link)().second == 2
    assert found == [2]


def test_positional_arguments_of_a_class() -> None:
    schema = Whole.schema(Part.schema(3), second=1)
    assert schema().first.size == 3
    assert schema.to_node()["$args"] == [{"$new": f"{__name__}:Part", "$args": [3]}]
