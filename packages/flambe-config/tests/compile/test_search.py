"""Choices: listed, counted, substituted, expanded."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest

from flambe.compile.search import assignments, count, expand, substitute, total
from flambe.spec.nodes import Spec, Stage, is_concrete


def grid(*values: Any) -> dict[str, Any]:
    return {"$grid": list(values)}


def test_file_order_and_the_rightmost_is_fastest() -> None:
    body = {"$new": "m:C", "a": grid(1, 2), "b": {"x": [grid("p", "q")]}}
    assert list(assignments(body)) == [
        {"a": 1, "b.x.0": "p"}, {"a": 1, "b.x.0": "q"}, {"a": 2, "b.x.0": "p"}, {"a": 2, "b.x.0": "q"},
    ]  # fmt: skip
    assert count(body) == 4
    assert substitute(body, {"a": 2, "b.x.0": "q"}) == {"$new": "m:C", "a": 2, "b": {"x": ["q"]}}
    assert body["a"] == grid(1, 2)


def test_only_the_chosen_component_brings_its_searches() -> None:
    deep = {"$new": "m:Deep", "layers": grid(2, 3), "kind": grid("a", "b")}
    flat = {"$new": "m:Flat"}
    body = {"$new": "m:C", "encoder": grid(flat, deep), "lr": grid(0.1, 0.2)}
    found = list(assignments(body))
    assert count(body) == len(found) == (1 + 4) * 2
    assert found[0] == {"encoder": flat, "lr": 0.1}
    assert found[2] == {"encoder": deep, "encoder.layers": 2, "encoder.kind": "a", "lr": 0.1}
    assert substitute(body, found[3]) == {
        "$new": "m:C", "encoder": {"$new": "m:Deep", "layers": 2, "kind": "a"}, "lr": 0.2,
    }  # fmt: skip
    assert len({repr(substitute(body, one)) for one in found}) == 10


def test_a_choice_from_a_file_is_filled_too() -> None:
    deep = {"$new": "m:Deep", "layers": grid(2, 3)}
    body = {"$new": "m:C", "encoder": grid(deep)}
    copied = {"encoder": {"$new": "m:Deep", "layers": grid(2, 3)}, "encoder.layers": 3}
    assert substitute(body, copied)["encoder"]["layers"] == 3


def test_a_search_of_searches_is_one() -> None:
    body = {"$new": "m:C", "a": grid(1, grid(2, 3)), "$args": [grid("x", "y")]}
    assert count(body) == 6
    assert substitute(body, {"a": 3, "0": "y"}) == {"$new": "m:C", "a": 3, "$args": ["y"]}


def test_dots_in_keys_do_not_clash() -> None:
    body = {"$new": "m:C", "a.b": grid(1, 2), "a": {"b": grid(3, 4)}}
    first = next(assignments(body))
    assert first == {"a\\.b": 1, "a.b": 3}
    assert substitute(body, first) == {"$new": "m:C", "a.b": 1, "a": {"b": 3}}


def test_nothing_to_search() -> None:
    body = {"$new": "m:C", "a": {"$link": ["x"]}, "b": {"$map": [[1, 2]]}}
    assert list(assignments(body)) == [{}]
    assert substitute(body, {}) is body


def test_expand_goes_through_the_product_of_all_stages() -> None:
    stages = [
        Stage(name="a", body={"$new": "m:A", "x": grid(1, 2)}),
        Stage(name="b", body={"$new": "m:B"}),
        Stage(name="c", body={"$new": "m:C", "y": grid("p", "q")}, reduce=1),
    ]
    spec = Spec(name="s", stages=stages)
    found = list(expand(spec))
    assert total(spec) == len(found) == 4
    assert [(one.stages[0].params, one.stages[2].params) for one in found] == [
        ({"x": 1}, {"y": "p"}), ({"x": 1}, {"y": "q"}), ({"x": 2}, {"y": "p"}), ({"x": 2}, {"y": "q"}),
    ]  # fmt: skip
    assert all(is_concrete(one) for one in found)
    assert found[0].stages[2].reduce == 1
    assert found[0].stages[1] is stages[1]


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_variants() -> None:
    body = {"$new": "m:C", **{name: grid(*range(20)) for name in "abcd"}}
    spec = Spec(name="s", stages=[Stage(name="a", body=body)])
    variants = expand(spec)
    next(variants)
    tracemalloc.start()
    for _ in range(100_000):
        next(variants)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200_000
    assert total(spec) == 160_000
