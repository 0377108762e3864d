"""Links: the grammar, what it refuses, and how a link is followed in Python."""

from __future__ import annotations

import pytest

from flambe.build.component import Component
from flambe.build.link import (
    FunctionCallLink,
    Link,
    LinkError,
    MalformedLinkError,
    UnpreparedLinkError,
    activate_links,
    create_link_str,
    parse_link_str,
)
from flambe.build.schema import Schema


class Inner(Component):
    def __init__(self, size: int = 3) -> None:
        self.size = size
        self.nothing = None

    def double(self) -> int:
        return 2 * self.size


class Outer(Component):
    def __init__(self, inner: Inner, label: str = "x") -> None:
        self.inner = inner
        self.label = label


@pytest.mark.parametrize(
    ("text", "path", "attrs"),
    [
        ("obj", ["obj"], []),
        ("obj[key1][key2].attr1.attr2", ["obj", "key1", "key2"], ["attr1", "attr2"]),
        ("a[0]", ["a", 0], []),
        ("a[-1].x", ["a", -1], ["x"]),
        ("a['0']", ["a", "0"], []),
        ("my-stage_1.attr", ["my-stage_1"], ["attr"]),
        ("  a[ b ] ", ["a", "b"], []),
        ("a['x]y'].z", ["a", "x]y"], ["z"]),
        ("a[it s]", ["a", "it s"], []),
    ],
)
def test_a_link_is_read(text: str, path: list[str | int], attrs: list[str]) -> None:
    assert parse_link_str(text) == (path, attrs)
    assert parse_link_str(create_link_str(path, attrs)) == (path, attrs)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "names nothing"),
        ("  ", "names nothing"),
        ("[b]", "begins with '['"),
        (".a", "begins with '.'"),
        ("a]b[", "was never opened"),
        ("a[b]c[d]", "has 'c' where"),
        ("a[b]c", "has 'c' where"),
        ("a[b", "never closed"),
        ("a[b].", "empty attribute name"),
        ("a.", "empty attribute name"),
        ("a..b", "empty attribute name"),
        ("a[b] .c", "has ' ' where"),
        ("a[]", "empty key"),
        ("a.b[c]", "brackets after an attribute"),
        ("a b", "has ' ' where"),
    ],
)
def test_a_malformed_link_is_refused(text: str, fault: str) -> None:
    with pytest.raises(MalformedLinkError) as caught:
        parse_link_str(text)
    assert fault in str(caught.value)
    assert "expected stage[key].attribute" in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_link_that_is_made_of_text_is_read_as_in_yaml() -> None:
    link = Link("outer[inner].size")
    assert (link.schematic_path, link.attr_path) == (["outer", "inner"], ["size"])
    assert Link("outer", ["inner", "size"]) == Link(["outer"], ["inner", "size"]) == Link("outer.inner", ["size"])
    assert FunctionCallLink("outer.double").link_target == FunctionCallLink(["outer"], ["double"]).link_target
    with pytest.raises(MalformedLinkError, match="has a bracket that is never closed"):
        Link("outer[inner")


def test_a_link_without_a_root_is_refused() -> None:
    with pytest.raises(MalformedLinkError, match="has no root"):
        create_link_str([])


def test_a_link_follows_schema_and_object() -> None:
    schema = Schema(Outer, inner=Schema(Inner, size=7))
    link = Link(["outer", "inner"], ["size"])
    assert repr(link) == "link(outer[inner].size)"
    assert link.root_schema == "outer"
    with pytest.raises(UnpreparedLinkError, match="nothing called 'outer' was attached"):
        link()
    link.target = schema
    with pytest.raises(UnpreparedLinkError, match="not built yet.*stands above"):
        link()
    built = schema()
    assert link() == 7
    assert Link(["outer", "inner"], target=schema)() is built.inner
    # A value of the config needs no building, and what a plain argument says is found after it too.
    assert Link(["outer", "inner", "size"], target=schema)() == 7
    assert FunctionCallLink(["outer", "inner"], ["double"], target=schema)() == 14


def test_links_in_nested_data_are_followed() -> None:
    inner = Inner(4)
    data = {"a": [Link(["x"], ["size"], target=inner), 1], "b": ({"c": Link(["x"], target=inner)},)}
    found = activate_links(data)
    assert found == {"a": [4, 1], "b": ({"c": inner},)}


def test_a_link_that_leads_nowhere_names_the_step() -> None:
    outer = Outer(Inner())
    with pytest.raises(
        LinkError, match=r"'outer.iner'.*an Outer has no attribute 'iner'|has no attribute 'iner'.*'inner'"
    ):
        Link(["outer"], ["iner"], target=outer)()
    with pytest.raises(LinkError, match=r"there is no \[labl\].*Did you mean 'label'"):
        Link(["outer", "labl"], target=Outer(Inner(), label="y"))()


def test_a_link_to_none_is_looked_up_again() -> None:
    inner = Inner()
    link = Link(["x"], ["nothing"], target=inner)
    assert link() is None
    inner.nothing = 5  # type: ignore[assignment]
    assert link() == 5
