"""Tagged JSON: every kind of value comes back as it went, and what has no form is named."""

from __future__ import annotations

import collections
import dataclasses
import enum
import math
import pathlib
from collections import OrderedDict
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest

from flambe.build.encoding import Decoder, Encoder, State, check
from flambe.errors import FlambeError, ProvenanceError


class Colour(enum.Enum):
    RED = 1


@dataclasses.dataclass
class Point:
    x: int
    y: list[float]


class Pair(NamedTuple):
    left: int
    right: tuple[int, ...]


def again(value: Any) -> Any:
    encoder = Encoder()
    node = msgspec.json.decode(msgspec.json.encode(encoder.encode(value, "root")))
    return Decoder(encoder.tensors, lambda name: globals()[name.partition(":")[2]]).decode(node)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        2**63,
        -(2**200),
        1.5,
        math.inf,
        -math.inf,
        "text",
        "",
        b"\0\xff",
        [],
        [1, [2, ()]],
        (1, (2,), [3]),
        {"a": {"b": (1,)}},
        {1: "int", "1": "text", None: 0, (1, 2): 3},
        {"$new": "not a node"},
        {"state": {0: {"step": 3, "exp": [1.5]}, 1: {}}, "param_groups": [{"betas": (0.9, 0.999), "params": [0, 1]}]},
        {3, 1, 2},
        pytest.param(frozenset({"b", "a"}), id="a frozenset"),  # its order is another one in each worker
        collections.deque([1, 2], maxlen=5),
        OrderedDict([("z", 1), ("a", 2)]),
        collections.Counter({5: 2, 9: 1}),
        collections.defaultdict(list, {"a": [1]}),
        pathlib.PurePosixPath("/a/b"),
        Colour.RED,
        Point(1, [2.0]),
        Pair(1, (2, 3)),
        np.float32(0.1),
        np.int64(7),
        np.bool_(True),
    ],
    ids=repr,
)
def test_a_value_comes_back(value: Any) -> None:
    found = again(value)
    assert found == value
    if not isinstance(value, pathlib.PurePath):
        assert type(found) is type(value)
    check(value, "root")


def test_nan_and_order_come_back() -> None:
    assert math.isnan(again([math.nan])[0])
    assert math.isnan(again(np.float32("nan")))
    assert list(again({"z": 1, "a": 2})) == ["z", "a"]


def test_arrays_come_back_and_stay_tied() -> None:
    array = np.arange(6, dtype="i4").reshape(2, 3)
    value = {"a": array, "deep": [{"b": array}, array[0], array.copy()], "text": np.array([["x", "yy"]])}
    encoder = Encoder()
    node = encoder.encode(value, "")
    # One memory is stored once; a row of it is another tensor, and so is an equal copy.
    assert sorted(encoder.tensors) == ["a", "deep.1", "deep.2"]
    found = Decoder(encoder.tensors).decode(node)
    assert found["deep"][0]["b"] is found["a"]
    assert found["deep"][2].tolist() == array.tolist()
    assert found["a"].dtype == array.dtype
    assert found["text"].tolist() == [["x", "yy"]]


def test_names_of_tensors_do_not_collide() -> None:
    encoder = Encoder()
    node = encoder.encode({"a.b": np.ones(1), "a": {"b": np.zeros(1)}}, "")
    found = Decoder(encoder.tensors).decode(node)
    assert (found["a.b"][0], found["a"]["b"][0]) == (1, 0)


def test_states_keep_their_metadata() -> None:
    state = State({"a.b": 1})
    state._metadata["a"] = {"version": "1.0.0"}
    found = again({"component": state})["component"]
    assert isinstance(found, State)
    assert dict(found) == {"a.b": 1}
    assert found._metadata["a"] == {"version": "1.0.0"}


def test_equal_values_give_equal_text() -> None:
    words = [f"word{number}" for number in range(50)]
    one = {*words}
    two = {*words[::-1]}
    assert Encoder().encode(one, "") == Encoder().encode(two, "")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"optimizer": {"foo": object()}}, "optimizer.foo: objects of type object cannot be saved"),
        ({"a": [1, lambda: 0]}, "a.1: objects of type function cannot be saved"),
        ({"a": iter([])}, "a: objects of type list_iterator cannot be saved"),
        ({"a": np.array([object()])}, "a: arrays of object cannot be saved"),
        ({"a": np.array(["2020"], dtype="M8[Y]")}, r"a: arrays of datetime64\[Y\] cannot be saved"),
        ({"a": collections.defaultdict(lambda: 0)}, "a: objects of type collections.defaultdict cannot be saved"),
        ({"a": Colour}, "a: objects of type enum.EnumType cannot be saved"),
    ],
)
def test_what_has_no_form_is_named(value: Any, text: str) -> None:
    for look in (Encoder().encode, check):
        with pytest.raises(FlambeError, match=text) as caught:
            look(value, "")
        assert caught.value.hint


def test_data_classes_are_looked_for_where_they_may_be() -> None:
    with pytest.raises(ProvenanceError, match="never_imported:Thing may not be reached"):
        Decoder({}).decode({"$data": "never_imported:Thing", "fields": {}})
    with pytest.raises(ProvenanceError, match="only Enums, dataclasses and named tuples"):
        Decoder({}).decode({"$data": "subprocess:Popen", "fields": {"args": ["true"]}})
    with pytest.raises(FlambeError, match=r"no value of the kind \$later"):
        Decoder({}).decode({"$later": 1})


def test_a_codec_that_is_not_here_is_named() -> None:
    encoder = Encoder()
    node = encoder.encode(np.ones(2), "x")
    with pytest.raises(FlambeError, match="is one of jax, which nothing here reads"):
        Decoder(encoder.tensors).decode({**node, "codec": "jax"})
