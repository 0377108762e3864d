"""The documented modules of ``flambe.compile``, and ``to_yaml``/``from_yaml`` with PyYAML's own objects."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import yaml

import flambe.compile
from flambe.compile import Component, Link, Registrable, Schema, component, registrable, serialization


class Coder(Component):
    def __init__(self, size: int, inner: Any = None) -> None:
        self.size = size
        self.inner = inner


class SmartInt(Registrable):
    """The example of the documentation, mended: a name and a value separated by a dash."""

    def __init__(self, name: str, initial_value: int) -> None:
        self.name = name
        self.val = initial_value

    @classmethod
    def to_yaml(cls, representer: Any, node: Any, tag: str) -> Any:
        return representer.represent_scalar(tag, f"{node.name}-{node.val}")

    @classmethod
    def from_yaml(cls, constructor: Any, node: Any, factory_name: str | None = None) -> Any:
        name, _, value = constructor.construct_scalar(node).partition("-")
        return cls(name, int(value))


class Pair(Registrable):
    def __init__(self, left: int, right: int) -> None:
        self.left, self.right = left, right


def tag_of(class_: type) -> str:
    return "!" + Registrable.get_default_tag(class_)


def test_modules_are_attributes_and_have_the_documented_names() -> None:
    assert component.FunctionCallLink is flambe.build.link.FunctionCallLink
    assert component.LoadError is serialization.LoadError is flambe.build.state.LoadError
    assert issubclass(component.MalformedLinkError, component.LinkError)
    assert registrable.Registrable is Registrable
    program = "import flambe; print(flambe.compile.yaml.load('a: 1'), flambe.compile.downloader.__name__)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "{'a': 1} flambe.compile.downloader\n"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        flambe.compile.nothing


def test_a_component_through_nodes_of_pyyaml() -> None:
    outer = Coder(2, inner=Coder(3))
    node = Coder.to_yaml(yaml.SafeDumper, outer, "!other.Tag")
    assert node.tag == "!other.Tag"
    assert yaml.serialize(node) == f"!other.Tag\nsize: 2\ninner: {tag_of(Coder)}\n  size: 3\n  inner: null\n"
    node.tag = tag_of(Coder)
    schema = Coder.from_yaml(yaml.SafeLoader(""), node, None)
    assert isinstance(schema, Schema)
    built = schema()
    assert (built.size, built.inner.size) == (2, 3)
    assert yaml.serialize(Schema.to_yaml(None, schema, node.tag)) == yaml.serialize(node)


def test_a_link_through_nodes_of_pyyaml() -> None:
    link = Link(["model", "embedder"], ["encoder"])
    node = Link.to_yaml(yaml.SafeDumper(sys.stderr), link, "!@")
    assert (node.tag, node.value) == ("!@", "model[embedder].encoder")
    assert Link.from_yaml(None, node, None) == link


def test_own_and_plain_registrables() -> None:
    dumper, loader = yaml.SafeDumper(sys.stderr), yaml.SafeLoader("")
    node = SmartInt.to_yaml(dumper, SmartInt("my_param", 9), "!SmartInt")
    assert node.value == "my_param-9"
    again = SmartInt.from_yaml(loader, node, None)
    assert (again.name, again.val) == ("my_param", 9)
    pair = Pair.to_yaml(dumper, Pair(1, 2), "!Pair")
    assert yaml.serialize(pair) == "!Pair\nleft: 1\nright: 2\n"
    made = Pair.from_yaml(loader, pair, None)
    assert (made.left, made.right) == (1, 2)
