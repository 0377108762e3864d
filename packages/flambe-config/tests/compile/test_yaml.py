"""Text → tree: positions, YAML 1.2 scalars, limits, and the Python doors load and dump."""

from __future__ import annotations

import io
import math
import time
from typing import Any

import pytest

from flambe import Component
from flambe.compile import yaml
from flambe.compile.yaml import Alias, Mapping, Scalar, documents, plain_value
from flambe.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001), ("1", 1), ("-12", -12), ("+3", 3), ("0o17", 15), ("0x1F", 31), ("1.", 1.0), (".5", 0.5),
        ("true", True), ("False", False), ("null", None), ("~", None), ("", None), (".inf", math.inf),
        ("-.INF", -math.inf), ("no", "no"), ("yes", "yes"), ("on", "on"), ("off", "off"), ("1_000", "1_000"),
        ("2020-01-01", "2020-01-01"), ("12:30:45", "12:30:45"), ("0b1", "0b1"), ("1e", "1e"), ("x", "x"), ("tRue", "tRue"),
    ],
)  # fmt: skip
def test_unquoted_scalars_follow_yaml_1_2(text: str, value: Any) -> None:
    found = plain_value(text)
    assert found == value
    assert type(found) is type(value)


def test_not_a_number() -> None:
    assert math.isnan(plain_value(".nan"))


def test_the_tree_knows_where_things_were_written() -> None:
    (tree,) = documents("!A\nx: &k !B\n  y: 'two'\nz: *k\n", "f.yaml")
    assert isinstance(tree, Mapping)
    assert tree.tag == "!A"
    assert str(tree.position) == "f.yaml:1:1"
    (_, inner), (_, alias) = tree.items
    assert isinstance(inner, Mapping)
    assert str(inner.position) == "f.yaml:2:4"
    (_, two) = inner.items[0]
    assert isinstance(two, Scalar)
    assert two.text == "two"
    assert not two.plain
    assert str(two.position) == "f.yaml:3:6"
    assert isinstance(alias, Alias)
    assert alias.target is inner
    assert str(alias.position) == "f.yaml:4:4"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1, 2\n", "f:1:4: this is no YAML: the list that begins here is never closed. Write ']' at its end. Is the file complete?"),
        ("a: {b: 1\n", "f:1:4: this is no YAML: the mapping that begins here is never closed. Write '}' at its end. Is the file complete?"),
        ("a: 'x\n", "f:1:4: this is no YAML: the quoted text that begins here is never closed. Write the quote at its end."),
        ("a: b: c\n", "f:1:5: this is no YAML: there is a second ': ' in this line. One key a line; quote text that contains ': '."),
        ("a: 1\n b: 2\n", "f:2:2: this is no YAML: line 2 is indented deeper than line 1, which has a value already. Indent it as its neighbours, or quote text that contains ': '."),
        ("a: !A\n    b: 1\n  c: 2\n", "f:3:3: this is no YAML: line 3 is indented by 2, which is no indentation of the lines above it (0 or 4 would be)"),
        ("a:\n\t- b\n", "f:2:1: this is no YAML: this line is indented with a tab. Indent with spaces."),
        ("a: [!@ b[c].d]\n", "f:1:9: this is no YAML: a link in brackets has brackets itself. Inside [ ] or { } quote a link that has brackets: !@ 'model[encoder]'."),
        ("a: [!B]\n", "f:1:7: this is no YAML: a tag goes on to the next space. Put a space between a tag and the bracket after it: [!Tag ]."),
        ("a: *b\n", "f:1:4: the alias *b has no anchor &b above it"),
        ("a: &b [*b]\n", "f:1:8: the alias *b stands inside what it names"),
        ("a: \x07\n", "f:1:4: this is no YAML: control characters are not allowed"),
    ],
)  # fmt: skip
def test_what_is_no_yaml_says_where_and_what_to_do(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        documents(text, "f")
    assert str(caught.value) == message
    assert caught.value.exit_code == 2


def test_depth_is_bounded() -> None:
    with pytest.raises(ConfigError, match="nests more than 100 deep"):
        documents("[" * 100_000 + "]" * 100_000, "f")


def test_a_bomb_of_aliases_ends_soon(kit: Any) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    started = time.monotonic()
    with pytest.raises(ConfigError, match="aliases make this file too large"):
        kit.body("!Anything\n" + "\n".join("    " + line for line in lines))
    assert time.monotonic() - started < 2


def test_lone_surrogates_and_size() -> None:
    with pytest.raises(ConfigError, match="not UTF-8 text"):
        documents("a: \ud800", "f")
    with pytest.raises(ConfigError, match="at most"):
        documents("a" * (yaml.LARGEST + 1), "f")


# load and dump ------------------------------------------------------------------------------------------------------


class Leaf(Component, tag_namespace="leaves"):
    def __init__(self, size: int = 1, other: Any = None) -> None:
        self.size = size
        self.other = other


def test_load_gives_a_schema_that_builds() -> None:
    schema = yaml.load("!leaves.Leaf\nsize: 3\nother: !leaves.Leaf {size: !g [1, 2]}\n")
    assert schema["size"] == 3
    schema["other"] = yaml.load("!leaves.Leaf")
    built = schema()
    assert isinstance(built, Leaf)
    assert built.size == 3
    assert isinstance(built.other, Leaf)
    assert schema() is built


def test_an_alias_is_one_schema() -> None:
    found = yaml.load(io.StringIO("a: &x !leaves.Leaf {size: 2}\nb: [*x, 1]\n"))
    assert found["a"] is found["b"][0]


def test_dump_of_a_schema_reads_back() -> None:
    text = "!leaves.Leaf\nsize: 1\nother: !@ leaf.size\n"
    assert yaml.dump(yaml.load(text)) == text
    stream = io.StringIO()
    assert yaml.dump({"a": [1, "no"]}, stream) is None
    assert stream.getvalue() == "a: [1, no]\n"


def test_load_reports_faults() -> None:
    with pytest.raises(ConfigError, match="<text>:2:4: the link '' names nothing"):
        yaml.load("!leaves.Leaf\nx: !@ ''\n")
