"""RandomSearch, groups of stages and seeds: what is drawn, how much of it, and that it is the same each time."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flambe.compile.search import assignments, count, expand, substitute, total
from flambe.compile.trials import trials_of
from flambe.errors import ConfigError
from flambe.record.provenance import spec_to_yaml
from flambe.spec.codec import dump_json, dump_spec, load_spec
from flambe.spec.nodes import SEARCHES, Spec, Stage, is_concrete, kind_of

LR = {"$uniform": [-4, -1], "transform": "pow10"}
DEEP = {"$new": "m:Deep", "rate": {"$uniform": [0, 1]}, "layers": {"$quniform": [1, 4, 4]}}


def random_search(budget: int, **more: Any) -> dict[str, Any]:
    return {"$new": "flambe.search:RandomSearch", "trial_budget": budget, **more}


def one(body: dict[str, Any], search: Any, **more: Any) -> Spec:
    return Spec(name="s", stages=[Stage(name="a", body={"$new": "m:A", **body}, search=search)], **more)


def drawn(spec: Spec, stage: int = 0) -> list[dict[str, Any]]:
    return [concrete.stages[stage].params for concrete in expand(spec)]


# Grids ------------------------------------------------------------------------------------------------------------------

LEAVES = st.one_of(
    st.integers(-3, 3),
    st.lists(st.integers(0, 2), min_size=1, max_size=3, unique=True).map(lambda values: {"$grid": values}),
    st.integers(1, 3).map(lambda n: {"$quniform": [0, n, n + 1]}),
    st.just({"$link": ["b"]}),
)


def components(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.dictionaries(st.sampled_from(["p", "q", "r.s"]), inner, max_size=3).map(lambda kw: {"$new": "m:X", **kw})


def named(options: list[Any]) -> dict[str, Any]:
    return {"$grid": options, "names": [f"o{index}" for index in range(len(options))]}


SPACES = components(
    st.recursive(
        LEAVES,
        lambda inner: st.one_of(
            components(inner),
            st.lists(inner, max_size=2),
            st.lists(inner, min_size=1, max_size=3).map(lambda options: {"$grid": options}),
            st.lists(components(inner), min_size=1, max_size=3).map(named),
        ),
        max_leaves=8,
    )
)


def all_bodies(node: Any) -> list[Any]:
    """Every concrete form of a node, the slow and obvious way."""
    kind = kind_of(node)
    if kind == "$grid":
        return [body for option in node["$grid"] for body in all_bodies(option)]
    if kind == "$quniform":
        low, high, n = node["$quniform"]
        return [low + index * (high - low) // (n - 1) for index in range(n)]
    if isinstance(node, dict) and kind in (None, "$new"):
        found: list[Any] = [{}]
        for key, item in node.items():
            found = [{**made, key: body} for made in found for body in (all_bodies(item) if key != "$new" else [item])]
        return found
    if isinstance(node, list):
        lists: list[Any] = [[]]
        for item in node:
            lists = [[*made, body] for made in lists for body in all_bodies(item)]
        return lists
    return [node]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(SPACES)
def test_choices_are_exactly_those_that_there_are(body: Any) -> None:
    expected = all_bodies(body)
    choices = list(assignments(body))
    assert count(body) == len(choices) == len(expected)
    assert [substitute(body, choice) for choice in choices] == expected
    assert not any(kind_of(value) in SEARCHES for choice in choices for value in choice.values() if value in SEARCHES)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(SPACES, st.integers(1, 6))
def test_a_random_search_of_a_finite_space_draws_different_choices_of_it(body: Any, budget: int) -> None:
    spec = Spec(name="s", stages=[Stage(name="b", body={"$new": "m:B"}), Stage(name="a", body=body)])
    everything = [dump_json(one.stages[1].params) for one in expand(spec)]
    spec.stages[1].search = random_search(budget)
    found = [dump_json(one.stages[1].params) for one in expand(spec)]
    assert set(found) <= set(everything)
    assert len(found) == len(set(found)) == total(spec) == min(budget, len(set(everything)))


# Draws ------------------------------------------------------------------------------------------------------------------


def test_draws_are_repeatable_and_follow_the_seed_and_the_stage() -> None:
    spec = one({"lr": LR}, random_search(5))
    assert drawn(spec) == drawn(load_spec(dump_spec(spec)))
    assert len({dump_json(choice) for choice in drawn(spec)}) == 5
    assert drawn(one({"lr": LR}, random_search(5), seed=1)) != drawn(spec)
    assert drawn(one({"lr": LR}, random_search(5, seed=0), seed=1)) == drawn(spec)
    assert drawn(one({"lr": LR}, random_search(8)))[:5] == drawn(spec)
    other = Spec(name="s", stages=[Stage(name="b", body={"$new": "m:A", "lr": LR}, search=random_search(5))])
    assert drawn(other) != drawn(spec)


def test_nothing_is_drawn_for_a_component_that_is_not_chosen() -> None:
    body = {
        "encoder": {"$grid": [{"$new": "m:Flat"}, DEEP], "names": ["flat", "deep"], "probs": [0.25, 0.75]},
        "lr": LR,
    }
    choices = drawn(one(body, random_search(400)))
    names = Counter(choice["encoder"] for choice in choices)
    assert 60 < names["flat"] < 140
    for choice in choices:
        extra = {"encoder.rate", "encoder.layers"} if choice["encoder"] == "deep" else set()
        assert set(choice) == {"encoder", "lr"} | extra
        assert all(choice["encoder.layers"] in (1, 2, 3, 4) for _ in extra)
    (first,) = [spec.stages[0].body for spec in expand(one(body, random_search(1)))]
    assert is_concrete(Spec(name="s", stages=[Stage(name="a", body=first)]))
    assert first["encoder"] in ({"$new": "m:Flat"}, first["encoder"] | {"$new": "m:Deep"})


def test_an_option_that_never_comes_ends_the_draws() -> None:
    assert total(one({"x": {"$grid": [1, 2, 3], "probs": [0.5, 0.5, 0]}}, random_search(3))) == 2


def test_both_ends_of_whole_samples_are_reached(kit: Any) -> None:
    values: set[int] = set()
    for seed in range(40):
        values.update(kit.pipeline("a: !Anything\n  x: !s [1, 4, 2]", f"seed: {seed}").stages[0].body["x"]["$grid"])
    assert values == {1, 2, 3, 4}


# Stages -----------------------------------------------------------------------------------------------------------------


def pipeline(**stages: dict[str, Any]) -> Spec:
    return Spec(
        name="s",
        stages=[
            Stage(name=name, **{"body": {"$new": "m:C", **given.pop("body", {})}, **given})
            for name, given in ((name, dict(given)) for name, given in stages.items())
        ],
    )


def test_a_budget_holds_for_the_stage_and_what_it_links_to_together() -> None:
    spec = pipeline(
        data={"body": {"size": {"$grid": [1, 2, 3]}}},
        model={"body": {"data": {"$link": ["data"]}, "dropout": {"$uniform": [0, 1]}}},
        other={"body": {"x": {"$grid": [1, 2]}}},
        train={"body": {"model": {"$link": ["model"]}, "lr": LR}, "search": random_search(7)},
    )
    assert total(spec) == 14
    found = {
        (c.stages[0].params["size"], c.stages[1].params["dropout"], c.stages[3].params["lr"]) for c in expand(spec)
    }
    assert len(found) == 7
    assert all(is_concrete(concrete) for concrete in expand(spec))


def test_a_reduced_stage_and_one_with_an_algorithm_are_chosen_before() -> None:
    stages: dict[str, dict[str, Any]] = {
        "data": {"body": {"size": {"$grid": [1, 2, 3]}}},
        "model": {"body": {"data": {"$link": ["data"]}, "n": {"$grid": [1, 2]}}, "reduce": 1},
        "train": {"body": {"model": {"$link": ["model"]}, "lr": LR}, "search": random_search(7)},
    }
    assert total(pipeline(**stages)) == 3 * 2 * 7
    stages["model"] = {**stages["model"], "reduce": None, "search": {"$new": "flambe.search:GridSearch"}}
    assert total(pipeline(**stages)) == 3 * 2 * 7


def test_what_cannot_be_listed() -> None:
    assert [
        trials.count() for trials in trials_of(one({"x": {"$grid": [1, 2]}}, {"$new": "flambe.search:GridSearch"}))
    ] == [2]
    for search, text in [
        (None, r"a\.lr is !uniform \[-4, -1\], which has no list of values to try\. Let !RandomSearch"),
        ({"$new": "flambe.search:GridSearch"}, "which has no list of values"),
        ({"$new": "flambe.search:Hyperband", "step_budget": 3}, "Hyperband of stage 'a' chooses while it runs"),
        (random_search(0), "trial_budget of stage 'a' is 0; expected an integer from 1"),
        (random_search(3, seed="x"), "the seed of RandomSearch of stage 'a' is 'x'"),
        (random_search(3, space=[1]), "the RandomSearch of stage 'a' has a space"),
    ]:
        with pytest.raises(ConfigError, match=text):
            list(expand(one({"lr": LR}, search)))
        with pytest.raises(ConfigError, match=text):
            total(one({"lr": LR}, search))


# YAML -------------------------------------------------------------------------------------------------------------------


def test_search_of_one_object(kit: Any) -> None:
    from flambe.compile import compile_text

    text = """!Search
task: !Anything
  lr: !uniform {low: -4, high: -1, transform: pow10}
  same: !ref lr
  again: !ref task[lr]
algorithm: !RandomSearch {trial_budget: 3}
cpus_per_trial: 2
gpus_per_trial: 0.5
seed: 3
"""
    spec = compile_text(text, name="file")
    (stage,) = spec.stages
    assert (spec.kind, spec.name, spec.seed, stage.name) == ("experiment", "file", 3, "anything")
    assert stage.resources == {"cpus": 2, "gpus": 0.5}
    assert stage.body["same"] == stage.body["again"] == {"$link": ["anything", "lr"]}
    assert stage.search == {"$new": "flambe.search:RandomSearch", "trial_budget": 3}
    assert total(spec) == 3
    assert spec.flambe_spec == "1.1"
    assert next(expand(spec)).flambe_spec == "1.0"
    again = compile_text(spec_to_yaml(spec), name="again")
    assert (again.stages, again.seed) == (spec.stages, 3)
    overridden = compile_text(
        text.replace("task:", "searchable:"), name="file", overrides=["seed=1,2", "searchable.lr=0.5"]
    )
    assert (overridden.seeds, overridden.stages[0].body["lr"]) == ([1, 2], 0.5)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("!Search", "1:1: !Search holds no parameters; expected a mapping with the key task"),
        ("!Search {taks: 1}", "1:10: !Search has no parameter 'taks'. Did you mean 'task'?"),
        ("!Search\ntask: !Anything\nsearchable: !Anything", "1:1: !Search has both task and searchable; expected one of them"),
        ("!Search\ntask: 3", "2:7: the stage 'object' is no component; expected a tag such as !Trainer, with its arguments"),
        (
            "!Search\ntask: !Anything\n  lr: !uniform [0, 1]",
            "3:7: anything.lr has no list of values to try, and nothing draws from it. Add 'algorithm: !RandomSearch "
            "{trial_budget: 20}' to draw from it, or write !quniform [low, high, n] or !s [low, high, k].",
        ),
        (
            "!Experiment\npipeline:\n  a: !Anything\n    lr: [!uniform [0, 1]]",
            "4:10: a.lr.0 has no list of values to try, and nothing draws from it. Add 'search: {a: !RandomSearch "
            "{trial_budget: 20}}' to draw from it, or write !quniform [low, high, n] or !s [low, high, k].",
        ),
        (
            "!Anything\nlr: !uniform [0, 1]",
            "2:5: anything.lr has no list of values to try, and nothing draws from it. Put the object into '!Search {task: "
            "!Anything …, algorithm: !RandomSearch …}', or write !quniform [low, high, n] or !s [low, high, k].",
        ),
        ("!Search\ntask: !Anything\nalgorithm: !RandomSearch {trial_budget: 0}", "3:12: trial_budget of stage 'anything' is 0; expected an integer from 1 to 100,000"),
        ("!Search\ntask: !Anything\nalgorithm: !RandomSearch {trial_buget: 3}", None),
        ("!Search\ntask: !Anything\nalgorithm: 3", "3:12: algorithm of 'anything' is 3; expected a tag such as !RandomSearch, with its arguments"),
        ("!Search\ntask: !Anything\nalgorithm: !RandomSearch {trial_budget: !g [1, 2]}", "3:41: a search cannot stand here, only in the stages of the pipeline"),
        ("!Search\ntask: !Encoder {input_size: !uniform [1, 2]}\nalgorithm: !RandomSearch [3]", "2:29: input_size of Encoder is a fraction that !uniform draws; expected an integer. Write !quniform [low, high, n], or !s [low, high, k] with whole numbers."),
        ("!Search\ntask: !Encoder {input_size: !quniform [1, 2, 3]}", "2:29: input_size of Encoder is !quniform with the value 1.5; expected an integer"),
        ("!Search\ntask: !Encoder {input_size: 1, rnn_type: !quniform [1, 2, 2]}", "2:42: rnn_type of Encoder is !quniform with the value 1; expected 'lstm', 'gru' or 'sru'"),
    ],
)  # fmt: skip
def test_faults_of_searches(kit: Any, text: str, fault: str | None) -> None:
    from flambe.compile import compile_text

    found = kit.faults(lambda: compile_text(text, name="t"))
    if fault is None:
        assert found[0] == "3:27: RandomSearch has no argument 'trial_buget'. Did you mean 'trial_budget'?"
    else:
        assert found == [fault]


def test_numbers_fit_where_they_are_numbers(kit: Any) -> None:
    spec = kit.pipeline(
        "a: !Encoder\n  input_size: !quniform [4, 6, 3, pow2]\n  dropout: !uniform [0, 1]\n  layers: !seeds 2",
        "search: {a: !RandomSearch {trial_budget: 4}}",
    )
    assert total(spec) == 4


def test_what_is_written_back_is_the_same_search(kit: Any) -> None:
    spec = kit.pipeline(
        """a: !Anything
  named: !choice {small: !Encoder {input_size: 1}, large: !Encoder {input_size: !g [2, 3]}}
  likely: !choice {options: {a: 1, b: 2}, probs: {a: 0.25, b: 0.75}}
  listed: !choice {options: [1, 2], probs: [0.5, 0.5]}
  tricky: !choice {options: {options: 1, probs: 2}}
  rate: !normal {loc: -3, scale: 0.5, transform: exp}
  part: [!beta [1, 2], !quniform [1, 3, 3]]""",
        "search: {a: !RandomSearch {trial_budget: 4}}\ncpus_per_trial: {a: 2}",
    )
    assert spec.stages[0].body["tricky"] == {"$grid": [1, 2], "names": ["options", "probs"]}
    assert kit_compile(spec_to_yaml(spec)).stages == spec.stages


# Seeds ------------------------------------------------------------------------------------------------------------------


def test_seeds_of_an_experiment(kit: Any) -> None:
    stages = "data: !SearchData\na: !Anything\n  x: !g [1, 2]\n  y: !s [0.0, 1.0, 2]"
    spec = kit.pipeline(stages, "seed: !seeds 3")
    assert (spec.seed, len(set(spec.seeds)), spec.flambe_spec) == (0, 3, "1.1")
    assert [stage.seedless for stage in spec.stages] == [True, False]
    assert kit.pipeline(stages, "seed: !seeds 5").seeds[:3] == spec.seeds
    assert kit.pipeline(stages).stages == spec.stages
    concrete = list(expand(spec))
    assert len(concrete) == total(spec) == 12
    assert [(one.seed, one.seeds) for one in concrete[::4]] == [(seed, []) for seed in spec.seeds]
    assert not is_concrete(spec)
    listed = kit.pipeline(stages, "seed: !g [4, 5]")
    assert (listed.seed, listed.seeds) == (4, [4, 5])
    assert listed.stages == kit.pipeline(stages, "seed: 4").stages
    for one in (spec, listed, kit.pipeline(stages, "seed: !seeds {n: 2, seed: 9}")):
        again = kit_compile(spec_to_yaml(one))
        assert (again.seed, again.seeds, again.stages) == (one.seed, one.seeds, one.stages)


def kit_compile(text: str) -> Spec:
    from flambe.compile import compile_text

    return compile_text(text, name="t")


def test_faults_of_seeds(kit: Any) -> None:
    assert kit.faults(lambda: kit.pipeline("a: !Anything", "seed: !seeds -1")) == [
        "5:7: !seeds does not say how many seeds to draw; expected N, [seed, seed, …] or {n: N, seed: FROM}"
    ]
    assert kit.faults(lambda: kit.pipeline("a: !Anything", "seed: !g [a]")) == [
        "5:7: seed tries something else than seeds; expected integers, 0 or more"
    ]
