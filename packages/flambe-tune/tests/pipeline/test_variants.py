"""Variants inherited along links (inventory, Appendix B 2)."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flambe.compile.trials import trials_of
from flambe.errors import ConfigError
from flambe.pipeline import Choice, Choices, StageGraph, Variant, choices_of, expand
from flambe.spec.nodes import Spec, Stage, links


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


def _every(spec: Spec) -> dict[str, list[Variant]]:
    graph, choices = StageGraph(spec), choices_of(spec)
    known: dict[str, list[Variant]] = {}
    for name in graph.stages:
        known[name] = list(expand(graph, name, known, choices[name], spec.seeds))
    return known


def _search(*options: object) -> dict[str, object]:
    return {"$grid": list(options)}


def test_a_choice_between_links_is_multiplied_with_what_it_links_to_only():
    spec = Spec(
        name="x",
        stages=[
            Stage(name="small", body={"$new": "m:C", "n": _search(1, 2, 3)}),
            Stage(name="large", body={"$new": "m:C", "n": _search(4, 5)}),
            Stage(name="train", body={"$new": "m:T", "model": _search(_link("small"), _link("large")), "lr": _search(0.1, 0.2)}),
            Stage(name="eval", body={"$new": "m:E", "t": _link("train"), "s": _link("small")}),
        ],
    )  # fmt: skip
    known = _every(spec)
    assert len(known["train"]) == (3 + 2) * 2
    assert {variant.needs for variant in known["train"]} == {("small",), ("large",)}
    assert [set(variant.above) for variant in known["train"]] == [{"small"}] * 6 + [{"large"}] * 4
    # Where training used a small model it is that one; where it used a large one any small one goes with it.
    assert len(known["eval"]) == 6 + 4 * 3
    assert all(v.above["small"] is v.above["train"].above.get("small", v.above["small"]) for v in known["eval"])


def test_seeds_are_inherited_and_data_is_prepared_once():
    spec = Spec(
        name="x",
        seeds=[7, 8],
        stages=[
            Stage(name="data", body={"$new": "m:D", "n": _search(1, 2)}, seedless=True),
            Stage(name="left", body={"$new": "m:M", "d": _link("data")}),
            Stage(name="right", body={"$new": "m:M"}),
            Stage(name="both", body={"$new": "m:B", "l": _link("left"), "r": _link("right"), "d": _link("data")}),
            Stage(name="table", body={"$new": "m:T", "b": _link("both")}, seedless=True),
        ],
    )
    known = _every(spec)
    assert [variant.params for variant in known["data"]] == [{"data.n": 1}, {"data.n": 2}]
    assert [variant.params for variant in known["right"]] == [{"seed": 7}, {"seed": 8}]
    assert [variant.params for variant in known["both"]] == [
        {"data.n": 1, "seed": 7}, {"data.n": 1, "seed": 8}, {"data.n": 2, "seed": 7}, {"data.n": 2, "seed": 8},
    ]  # fmt: skip
    assert [variant.params for variant in known["table"]] == [variant.params for variant in known["both"]]


@st.composite
def _pipelines(draw: st.DrawFn) -> Spec:
    stages: list[Stage] = []
    for index in range(draw(st.integers(1, 5))):
        body: dict[str, Any] = {"$new": "m:C"}
        earlier = [stage.name for stage in stages]
        for argument in draw(st.lists(st.sampled_from("abc"), max_size=3, unique=True)):
            value = st.integers(1, 2)
            if earlier:
                value = value | st.sampled_from(earlier).map(_link)  # type: ignore[assignment]
            options = draw(st.lists(value, min_size=1, max_size=3, unique_by=repr))
            body[argument] = options[0] if len(options) == 1 else {"$grid": options}
        budget = draw(st.sampled_from([None, None, 1, 3]))
        search = {"$new": "flambe.search:RandomSearch", "trial_budget": budget} if budget else None
        stages.append(Stage(name=f"s{index}", body=body, search=search, seedless=draw(st.booleans())))
    return Spec(name="x", stages=stages, seeds=draw(st.sampled_from([[], [3, 4]])))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(_pipelines())
def test_variants_are_the_distinct_parts_of_all_runs_of_the_whole(spec):
    """The slow and obvious way: go through all choices of all stages, and look at what each stage rests on."""
    names = [stage.name for stage in spec.stages]
    groups = trials_of(spec)
    wanted: dict[str, set[str]] = {name: set() for name in names}
    for together in itertools.product(*(group.assignments() for group in groups)):
        chosen: dict[str, dict[str, Any]] = {}
        for group, assignments in zip(groups, together, strict=True):
            chosen.update(zip((names[index] for index in group.stages), assignments, strict=True))
        for seed in spec.seeds or [None]:
            rests_on: dict[str, list[str]] = {}
            seeded: dict[str, bool] = {}
            for stage in spec.stages:
                filled = {key: chosen[stage.name].get(key, value) for key, value in stage.body.items() if key != "$new"}
                direct = {target.stage for _, target in links(filled)}
                rests_on[stage.name] = [n for n in names if n in direct or any(n in rests_on[d] for d in direct)]
                seeded[stage.name] = not stage.seedless or any(seeded[name] for name in direct)
                lineage = [(name, chosen[name]) for name in (*rests_on[stage.name], stage.name)]
                wanted[stage.name].add(repr((lineage, seed if seeded[stage.name] and spec.seeds else None)))
    for name, variants in _every(spec).items():
        found = [
            repr((
                [(one.stage, dict(one.own)) for one in (*variant.above.values(), variant)],
                variant.seed.value if variant.seed else None,
            ))
            for variant in variants
        ]  # fmt: skip
        assert len(found) == len(set(found))
        assert set(found) == wanted[name]


def test_what_was_drawn_together_stays_together():
    lr = {"$uniform": [-4, -1], "transform": "pow10"}
    spec = Spec(
        name="x",
        stages=[
            Stage(name="data", body={"$new": "m:D", "n": _search(1, 2)}),
            Stage(name="model", body={"$new": "m:M", "d": _link("data"), "p": {"$uniform": [0, 1]}}),
            Stage(
                name="train",
                body={"$new": "m:T", "m": _link("model"), "d": _link("data"), "lr": lr},
                search={"$new": "flambe.search:RandomSearch", "trial_budget": 2000},
            ),
            Stage(name="eval", body={"$new": "m:E", "t": _link("train"), "k": _search(1, 2)}),
        ],
    )
    known = _every(spec)
    assert [len(variants) for variants in known.values()] == [2, 2000, 2000, 4000]
    (trials, _) = trials_of(spec)
    drawn = {tuple(value for one in together for value in one.values()) for together in trials.assignments()}
    assert {tuple(variant.params.values()) for variant in known["train"]} == drawn
