"""Nodes → YAML → the same nodes."""

from __future__ import annotations

from typing import Any

import pytest

from flambe.compile.dump import node_to_yaml, tree_to_yaml
from flambe.compile.placeholder import protected_node
from flambe.compile.yaml import documents

BODY = {
    "$new": "flambe.toys.parts:Anything",
    "texts": ["no", "1", "1e3", "", " x", "x ", "a: b", "a #b", "#a", "- a", "-", "*a", "&a", "!a", "null", "~", "{a}", "[a]", "a,b",
              "it's", '"q"', "a\nb", "tab\t", "é", "%a", "@a", "`a", "yes", "---", "?", "? a", ": a", "a:", "\u2028", "=", "<<"],
    "numbers": [1, -2, 0.5, 1e-05, 1e300, 1e16, True, None, {"$float": "NaN"}, {"$float": "-Infinity"}],
    "empty": {"list": [], "map": {}, "object": {"$new": "flambe.toys.parts:TextField"}},
    "nested": [[1, [2, 3]], {"a": 1, "b": [{"c": 2}]}, [{"$new": "flambe.toys.parts:Head", "size": 1}]],
    "long": list(range(100)),
    "search": {"$grid": [1, "a,b", {"$new": "flambe.toys.parts:Encoder", "$args": [1, 2], "rnn_type": "gru"}]},
    "plain_search": {"$grid": [1, 2]},
    "positional": {"$new": "flambe.toys.parts:Anything.load_from_path", "$args": ["p", [1]]},
    "link": {"$link": ["z", "key with space", 0, "1"], "attr": ["p"]},
    "call": {"$link": ["z"], "attr": ["f"], "call": True},
    "copy": {"$link": ["z"], "copy": True},
    "map": {"$map": [[1, "a"], [None, {"$map": [["$b", True]]}], ["x", [1]]]},
    "bytes": {"$bytes": "aGk="},
    "env": {"$env": "HOME"},
    "a.b": 1,
    "weird: key": {"- x": 1, "2": 3, "": 4},
}  # fmt: skip


def read(kit: Any, text: str) -> Any:
    inner = "\n".join("  " + line for line in text.splitlines())
    stages = "z: !Anything {key with space: [{'1': 1}]}\na: " + inner.lstrip()
    # Signatures are another matter: take what is wrong with them for granted.
    from flambe.compile import compile_text
    from flambe.compile.check import Checker

    original, Checker._component = Checker._component, lambda *_: None  # type: ignore[method-assign]
    try:
        return (
            compile_text("!Experiment\npipeline:\n" + "\n".join("  " + line for line in stages.splitlines()), name="t")
            .stages[1]
            .body
        )
    finally:
        Checker._component = original  # type: ignore[method-assign]


def test_a_body_reads_back_as_it_was(kit: Any) -> None:
    text = node_to_yaml(protected_node(BODY))
    assert read(kit, text) == BODY
    assert list(read(kit, text)) == list(BODY)


@pytest.mark.parametrize(
    ("node", "text"),
    [
        ({"$new": "flambe.toys.parts:Sgd", "lr": 1e-05}, "!toy.Sgd\nlr: 1e-05\n"),
        ({"$new": "some.lib:Thing.make"}, "!some.lib.Thing.make\n"),
        ({"$new": "flambe.toys.parts:Classifier"}, "!Classifier\n"),
        ({"model": {"$saved": "model"}, "d": {"$result": {"stage": "s", "path": "../x"}}}, "model: !saved model\nd: !result\n  stage: s\n  path: ../x\n"),
        ([1, [2, "a"]], "[1, [2, a]]\n"),
        ({"$file": "/a/b"}, "!file /a/b\n"),
        ("no", "no\n"),
        ("12", '"12"\n'),
    ],
)  # fmt: skip
def test_texts(node: Any, text: str) -> None:
    assert node_to_yaml(node) == text


def test_a_tree_keeps_tags_quotes_and_aliases() -> None:
    text = "!A\nx: &k !B\n  y: '5'\n  z: [1, 'a,b']\nw: *k\nt:\n  - !C\n  - - 1\n    - !!str 2\n"
    (tree,) = documents(text, "f")
    written = tree_to_yaml(None, tree)
    (again,) = documents(written, "f")
    assert tree_to_yaml(None, again) == written
    assert "x: &k !B" in written
    assert "w: *k" in written
    assert 'y: "5"' in written
    assert "!!str 2" in written
