"""Nodes to objects: order, links, positions, errors."""

from __future__ import annotations

import abc
from typing import Any

import pytest

from flambe.build.builder import BuildError, Scope, build, evaluate
from flambe.build.component import Component
from flambe.build.link import LinkError, UnpreparedLinkError
from flambe.build.made import arguments_of, made_of
from flambe.build.registrable import Registrable, registrable_factory, target_of
from flambe.build.schema import Schema
from flambe.errors import ConfigError, Position
from flambe.spec.nodes import LinkTarget

BUILT: list[str] = []


class Leaf(Component):
    def __init__(self, name: str = "leaf", size: int = 1) -> None:
        BUILT.append(name)
        self.name = name
        self.size = size

    def double(self) -> int:
        return 2 * self.size

    @registrable_factory
    @classmethod
    def big(cls, size: int) -> Leaf:
        return cls("big", 100 * size)


class Tree(Component):
    def __init__(self, left: Any = None, right: Any = None, *, extra: Any = None) -> None:
        self.left, self.right, self.extra = left, right, extra


LEAF = target_of(Leaf)
TREE = target_of(Tree)


def leaf(name: str = "leaf", **arguments: Any) -> dict[str, Any]:
    return {"$new": LEAF, "name": name, **arguments}


def tree(**arguments: Any) -> dict[str, Any]:
    return {"$new": TREE, **arguments}


def link(*path: Any, attr: list[str] | None = None, **more: Any) -> dict[str, Any]:
    return {"$link": list(path), **({"attr": attr} if attr else {}), **more}


@pytest.fixture
def scope() -> Scope:
    BUILT.clear()
    return Scope(stage="stage")


def test_objects_are_built_in_file_order(scope: Scope) -> None:
    built = build(tree(right=leaf("r"), extra=[leaf("x"), {"k": leaf("y")}], left=leaf("l")), scope=scope)
    assert BUILT == ["r", "x", "y", "l"]
    assert built.extra[1]["k"].name == "y"


def test_plain_values_come_as_they_are(scope: Scope, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLAMBE_TEST_SECRET", "hush")
    node = {
        "text": "$not_a_node",
        "file": {"$file": "/data/x.csv"},
        "env": {"$env": "FLAMBE_TEST_SECRET"},
        "map": {"$map": [[1, "one"], ["$k", leaf("in map")]]},
        "nan": {"$float": "Infinity"},
        "bytes": {"$bytes": "AAE="},
        "list": [1, None, True, 0.5],
    }
    built = build(node, scope=scope)
    assert built["text"] == "$not_a_node"
    assert built["file"] == "/data/x.csv"
    assert built["env"] == "hush"
    assert built["map"][1] == "one"
    assert built["map"]["$k"].name == "in map"
    assert built["nan"] == float("inf")
    assert built["bytes"] == b"\0\1"
    assert built["list"] == [1, None, True, 0.5]


def test_positional_arguments_and_factories(scope: Scope) -> None:
    built = build({"$new": LEAF, "$args": ["p"], "size": 4}, scope=scope)
    assert (built.name, built.size) == ("p", 4)
    big = build({"$new": f"{LEAF}.big", "size": 2}, scope=scope)
    assert big.size == 200
    made = made_of(big)
    assert made is not None
    assert (made.target, made.factory, made.kwargs) == (LEAF, "big", {"size": 2})


# --- links ---


def test_a_link_inside_a_stage_is_the_object(scope: Scope) -> None:
    node = tree(left=leaf(size=3), right=link("stage", "left"), extra=[link("stage", "left", attr=["size"])])
    built = build(node, scope=scope)
    assert built.right is built.left
    assert built.extra == [3]
    assert scope.objects[("stage", "left")] is built.left
    assert scope.objects[("stage",)] is built


def test_a_bracket_path_may_end_on_a_value_of_the_config(scope: Scope) -> None:
    inner = tree(left=leaf(size=5), right={"a": [7, 8]})
    node = tree(left=inner, right=link("stage", "left", "left", "size"), extra=link("stage", "left", "right", "a", 1))
    built = build(node, scope=scope)
    assert (built.right, built.extra) == (5, 8)


def test_a_bracket_path_goes_through_links(scope: Scope) -> None:
    inner = tree(left=leaf("deep", size=5))
    node = tree(left=inner, right=link("stage", "left"), extra=link("stage", "right", "left", "name"))
    assert build(node, scope=scope).extra == "deep"


def test_a_plain_value_further_down_needs_no_building(scope: Scope) -> None:
    built = build(tree(left=leaf(size=link("stage", "extra", "n")), extra={"n": 6}), scope=scope)
    assert built.left.size == 6


def test_calls_and_copies(scope: Scope) -> None:
    node = tree(
        left=leaf(size=3),
        right=link("stage", "left", attr=["double"], call=True),
        extra=link("stage", "left", copy=True),
    )
    built = build(node, scope=scope)
    assert built.right == 6
    assert built.extra is not built.left
    assert built.extra.size == 3


@pytest.mark.parametrize(
    ("node", "text"),
    [
        (tree(left=link("stage", "right"), right=leaf()), "stands further down and is not built yet"),
        (tree(left=tree(left=link("stage"))), "it points to an object that it is a part of"),
        (tree(left=tree(left=link("stage", "left"))), "it points to an object that it is a part of"),
    ],
)
def test_a_link_that_comes_too_early_tells_the_rule(scope: Scope, node: Any, text: str) -> None:
    with pytest.raises(UnpreparedLinkError) as caught:
        build(node, scope=scope)
    assert text in str(caught.value)
    assert "what stands above it in the file" in str(caught.value)


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        (link("stage", "lefd"), "'stage[lefd]' leads nowhere: there is no [lefd]. Did you mean 'left'?"),
        (link("stage", "left", "sise"), "there is no [sise]. Did you mean 'size'?"),
        (link("stage", "left", attr=["sise"]), "a Leaf has no attribute 'sise'. Did you mean 'size'?"),
        (link("stage", "left", "name", "x"), "[x] goes into a str"),
        (link("stages"), "there is no 'stages'. Did you mean 'stage'?"),
    ],
)
def test_a_link_that_leads_nowhere_names_the_step(bad: Any, text: str) -> None:
    where = Position("exp.yaml", 4, 9)
    scope = Scope(stage="stage", position=lambda path: where if path == ("stage", "right") else None)
    with pytest.raises(LinkError) as caught:
        build(tree(left=leaf(size=1), right=bad), scope=scope)
    assert text in str(caught.value)
    assert str(caught.value).startswith("exp.yaml:4:9: ")


def test_links_to_other_stages_ask_the_runner() -> None:
    asked: list[LinkTarget] = []
    model = Leaf("model", 9)

    def outside(target: LinkTarget) -> Any:
        asked.append(target)
        return model if not target.attr else getattr(model, target.attr[0])

    scope = Scope(stage="train", resolve_outside=outside)
    node = tree(left=link("model"), right=link("model", attr=["size"]), extra=link("train", "left", "name"))
    built = build(node, scope=scope)
    assert built.left is model
    assert built.right == 9
    assert built.extra == "model"
    assert [str(target) for target in asked] == ["model", "model.size"]


def test_links_to_resources_are_values() -> None:
    scope = Scope(stage="s", resources={"embeddings": "/tmp/glove.txt"})
    assert build(tree(left=link("embeddings")), scope=scope).left == "/tmp/glove.txt"
    with pytest.raises(LinkError, match="has brackets on the resource 'embeddings'"):
        build(tree(left=link("embeddings", "x")), scope=scope)


def test_links_of_a_single_object_start_at_its_arguments() -> None:
    built = build(tree(left=leaf(size=2), right=link("left", attr=["size"])), scope=Scope())
    assert built.right == 2


def test_evaluate_is_what_a_link_gives(scope: Scope) -> None:
    built = build(tree(left=leaf(size=3)), scope=scope)
    assert evaluate(LinkTarget(("stage",)), scope) is built
    assert evaluate(LinkTarget(("stage", "left")), scope) is built.left
    assert evaluate(LinkTarget(("stage", "left", "size")), scope) == 3
    assert evaluate(LinkTarget(("stage",), ("left", "size")), scope) == 3
    assert evaluate(LinkTarget(("stage",), ("left", "double"), call=True), scope) == 6
    loaded = Scope(stage="stage")
    loaded.objects[("stage",)] = built
    assert evaluate(LinkTarget(("stage", "left", "size")), loaded) == 3


# --- errors ---


def test_wrong_arguments_name_class_argument_and_place() -> None:
    scope = Scope(
        stage="stage", position=lambda path: Position("exp.yaml", 7, 3) if path == ("stage", "left") else None
    )
    with pytest.raises(BuildError) as caught:
        build(tree(left=leaf(siz=3)), scope=scope)
    text = str(caught.value)
    assert text.startswith("exp.yaml:7:3: stage.left: Leaf got other arguments than it takes")
    assert "unexpected keyword argument 'siz'" in text
    assert "(name: str = 'leaf', size: int = 1)" in text
    assert "Did you mean 'size'?" in text
    assert caught.value.exit_code == 2


def test_a_factory_is_named_too(scope: Scope) -> None:
    with pytest.raises(BuildError, match=r"stage: Leaf.big got other arguments.*missing a required argument: 'size'"):
        build({"$new": f"{LEAF}.big"}, scope=scope)


def test_what_a_constructor_raises_keeps_its_text(scope: Scope) -> None:
    class Picky(Component):
        def __init__(self, n: int) -> None:
            if n == 1:
                raise ValueError("n is 1")
            if n == 2:
                raise TypeError("inside")
            raise KeyError("deep")

    target = target_of(Picky)
    with pytest.raises(BuildError, match=r"stage: ValueError: n is 1; the call: .*Picky\(n=1\)"):
        build({"$new": target, "n": 1}, scope=scope)
    with pytest.raises(BuildError, match=r"TypeError: inside; the call: .*Picky\(n=2\)"):
        build({"$new": target, "n": 2}, scope=scope)
    with pytest.raises(KeyError) as caught:
        build({"$new": target, "n": 3}, scope=scope)
    assert [note.rpartition(".")[2] for note in caught.value.__notes__] == ["while building stage", "Picky(n=3)"]


def test_what_a_constructor_says_of_an_argument_is_told_there() -> None:
    class Sized(Component):
        def __init__(self, size: int = 1) -> None:
            raise ValueError(f"size must be above 0, got {size}" if size < 1 else "there is no room")

    places = {("stage",): Position("exp.yaml", 7, 3), ("stage", "size"): Position("exp.yaml", 8, 9)}
    scope = Scope(stage="stage", position=places.get)
    for size, place in ((0, "8:9"), (2, "7:3")):
        with pytest.raises(BuildError) as caught:
            build({"$new": target_of(Sized), "size": size}, scope=scope)
        assert str(caught.value).startswith(f"exp.yaml:{place}: stage: ")


def test_an_abstract_class_names_what_it_lacks(scope: Scope) -> None:
    class Abstract(Component, abc.ABC):
        @abc.abstractmethod
        def forward(self) -> None: ...

    with pytest.raises(BuildError, match="is abstract: it has no forward.*misspelt"):
        build({"$new": target_of(Abstract)}, scope=scope)


def test_search_and_environment_left_over(scope: Scope) -> None:
    with pytest.raises(BuildError, match="stage.left is searched.*flambe-tune"):
        build(tree(left={"$grid": [1, 2]}), scope=scope)
    with pytest.raises(BuildError, match="NOT_SET_ANYWHERE is not set. export NOT_SET_ANYWHERE"):
        build(tree(left={"$env": "NOT_SET_ANYWHERE"}), scope=scope)
    with pytest.raises(ConfigError, match="nothing here builds a \\$mystery"):
        build(tree(left={"$mystery": 1}), scope=scope)


# --- other builders ---


def test_precompile_sees_built_links_and_nested_schemas() -> None:
    seen: dict[str, Any] = {}

    class Prepares(Component):
        def __init__(self, model: Any, part: Any, number: int) -> None:
            self.model, self.part, self.number = model, part, number

        @classmethod
        def precompile(cls, **kwargs: Any) -> None:
            seen.update(kwargs)
            kwargs["part"]().size = 50

    model = Leaf("m")
    scope = Scope(stage="train", resolve_outside=lambda target: model)
    built = build({"$new": target_of(Prepares), "model": link("model"), "part": leaf("p"), "number": 3}, scope=scope)
    assert seen["model"] is model
    assert isinstance(seen["part"], Schema)
    assert seen["number"] == 3
    # What precompile built is what the constructor gets.
    assert built.part.size == 50
    assert arguments_of(built) == {"model": model, "part": built.part, "number": 3}


def test_a_class_may_read_its_own_yaml(scope: Scope) -> None:
    class Reads(Registrable, tag_override="ReadsOwn", tag_namespace="own"):
        def __init__(self, text: str) -> None:
            self.text = text

        @classmethod
        def from_yaml(cls, constructor: Any, node: Any, factory_name: str | None) -> Reads:
            return cls(f"{node.tag} {constructor.construct_sequence(node)}")

    built = build(tree(left={"$yaml": "!own.ReadsOwn", "value": [1, 2]}), scope=scope)
    assert built.left.text == "!own.ReadsOwn [1, 2]"


def test_torch_objects_remember_what_made_them(scope: Scope) -> None:
    pytest.importorskip("torch")
    linear = build({"$new": "torch.nn:Linear", "in_features": 2, "out_features": 3}, scope=scope)
    made = made_of(linear)
    assert made is not None
    assert made.target == "torch.nn:Linear"
    assert arguments_of(linear) == {"in_features": 2, "out_features": 3}
    adam = build(
        tree(
            left={"$new": "torch.nn:Linear", "$args": [2, 3]},
            right={"$new": "torch.optim:Adam", "params": link("stage", "left", attr=["parameters"], call=True)},
        ),
        scope=Scope(stage="stage"),
    )
    assert len(adam.right.param_groups[0]["params"]) == 2
    record = made_of(adam.right)
    assert record is not None
    assert record.origins[("params",)].base is adam.left
