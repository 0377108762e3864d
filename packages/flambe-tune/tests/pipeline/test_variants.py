"""Variants inherited along links (inventory, Appendix B 2)."""

from __future__ import annotations

import pytest

from flambe.errors import ConfigError
from flambe.pipeline import Choice, Choices, StageGraph, Variant, choices_of, expand
from flambe.spec.nodes import Spec, Stage


def _link(*path: str, attr: tuple[str, ...] = ()) -> dict[str, object]:
    return {"$link": list(path), **({"attr": list(attr)} if attr else {})}


def _graph(**bodies: dict[str, object]) -> StageGraph:
    return StageGraph(
        Spec(name="x", stages=[Stage(name=name, body={"$new": "m:C", **b}) for name, b in bodies.items()])
    )


def _all(graph: StageGraph, choices: dict[str, list[dict[str, object]]]) -> dict[str, list[Variant]]:
    known: dict[str, list[Variant]] = {}
    for name in graph.stages:
        known[name] = list(expand(graph, name, known, Choices([Choice(own, {}) for own in choices.get(name, [{}])])))
    return known


def _grid(**options: list[object]) -> list[dict[str, object]]:
    made: list[dict[str, object]] = [{}]
    for name, values in options.items():
        made = [{**one, name: value} for one in made for value in values]
    return made


def test_a_stage_has_its_own_choices_times_those_above():
    graph = _graph(model={}, train={"model": _link("model")}, evaluate={"model": _link("train", "model")})
    known = _all(graph, {"model": _grid(a=[1, 2, 3], b=[1, 2]), "train": _grid(lr=[0.1, 0.2])})
    assert [len(known[name]) for name in ("model", "train", "evaluate")] == [6, 12, 12]
    assert known["train"][1].params == {"model.a": 1, "model.b": 1, "train.lr": 0.2}
    assert known["evaluate"][11].params == {"model.a": 3, "model.b": 2, "train.lr": 0.2}


def test_one_upstream_choice_is_never_multiplied_twice():
    graph = _graph(
        data={}, model={"d": _link("data")}, train={"d": _link("data"), "m": _link("model")},
        evaluate={"t": _link("train"), "m": _link("model"), "d": _link("data", attr=("test",))},
    )  # fmt: skip
    known = _all(graph, {"data": _grid(x=[1, 2]), "model": _grid(n=[1, 2, 3])})
    assert [len(known[name]) for name in ("data", "model", "train", "evaluate")] == [2, 6, 6, 6]
    for variant in known["evaluate"]:
        assert variant.above["data"] is variant.above["train"].above["data"] is variant.above["model"].above["data"]


def test_independent_stages_are_combined():
    graph = _graph(left={}, right={}, both={"l": _link("left"), "r": _link("right")})
    known = _all(graph, {"left": _grid(a=[1, 2]), "right": _grid(b=[1, 2, 3])})
    assert [tuple(v.params.values()) for v in known["both"]] == [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3)]


def test_only_survivors_are_inherited():
    graph = _graph(data={}, train={"d": _link("data")}, evaluate={"t": _link("train"), "d": _link("data")})
    known = _all(graph, {"data": _grid(x=[1, 2]), "train": _grid(lr=[1, 2])})
    few = list(expand(graph, "evaluate", {**known, "train": [known["train"][3]]}, Choices([Choice({}, {})])))
    assert [v.params for v in few] == [{"data.x": 2, "train.lr": 2}]
    assert list(expand(graph, "evaluate", {**known, "train": []}, Choices([Choice({}, {})]))) == []


def test_ten_thousand_variants_take_one_pass():
    graph = _graph(data={}, train={"d": _link("data")}, evaluate={"t": _link("train"), "d": _link("data")})
    known = _all(graph, {"data": _grid(x=list(range(100))), "train": _grid(y=list(range(100)))})
    assert len(known["evaluate"]) == 10_000


@pytest.mark.parametrize(
    ("bodies", "text"),
    [
        ({"a": {"b": _link("b")}, "b": {}}, "stage 'a' links to the later stage 'b'. A link points to a stage above."),
        (
            {"model": {}, "b": {"m": _link("modle")}},
            "stage 'b' links to 'modle', which is no stage. Did you mean 'model'?",
        ),
    ],
)
def test_links_that_cannot_be(bodies, text):
    with pytest.raises(ConfigError) as error:
        _graph(**bodies)
    assert str(error.value) == text


def test_two_stages_of_one_name():
    with pytest.raises(ConfigError, match="two stages are called 'a'"):
        StageGraph(Spec(name="x", stages=[Stage(name="a", body={}), Stage(name="a", body={})]))


def test_the_choices_of_a_stage_are_in_file_order():
    body = {"$new": "m:C", "a": {"$grid": [1, 2]}, "b": {"$grid": [{"$new": "m:D", "c": {"$grid": [3, 4]}}, 5]}}
    plain = Stage(name="y", body={"$new": "m:C"})
    choices = choices_of(Spec(name="s", stages=[Stage(name="x", body=body), plain]))
    found = choices["x"].own
    assert [choice.body["a"] for choice in found] == [1, 1, 1, 2, 2, 2]
    assert [choice.own.get("b.c") for choice in found] == [3, 4, None] * 2
    assert found[1].body["b"] == {"$new": "m:D", "c": 4}
    assert choices["y"].own == [Choice({}, {"$new": "m:C"})]
