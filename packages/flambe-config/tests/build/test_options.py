"""Search options as Python objects: sequences of values, nodes of a spec, tags of YAML."""

from __future__ import annotations

import random
from typing import Any

import pytest

from flambe.build.builder import BuildError
from flambe.build.component import Component
from flambe.build.options import GridSearchOptions, SampledUniformSearchOptions
from flambe.build.schema_node import NodeWriter
from flambe.compile import yaml


class Sized(Component, tag_namespace="o"):
    def __init__(self, size: Any = 1) -> None:
        self.size = size


def test_options_are_sequences() -> None:
    options = GridSearchOptions.from_sequence([1, "a", [2]])
    assert (len(options), options[1], options[1:], list(options), "a" in options) == (
        3,
        "a",
        ["a", [2]],
        [1, "a", [2]],
        True,
    )
    assert options == yaml.load("!g [1, a, [2]]")
    assert yaml.dump({"x": options}) == "x: !g [1, a, [2]]\n"
    with pytest.raises(ValueError, match="at least one value"):
        GridSearchOptions([])


def test_samples_are_drawn_from_a_generator_and_written_as_they_are() -> None:
    sample = SampledUniformSearchOptions.from_sequence([0.0, 1.0, 3, 2])
    assert all(round(number, 2) == number and 0 <= number <= 1 for number in sample)
    assert yaml.load(yaml.dump(sample)) == sample
    drawn = [NodeWriter(generator=random.Random(seed)).node_of(sample, ())["$grid"] for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    with pytest.raises(ValueError, match="!s has 2 numbers, expected"):
        SampledUniformSearchOptions.from_sequence([1, 2])


def test_a_schema_with_options_has_no_single_object() -> None:
    schema = Sized.schema(size=GridSearchOptions([1, 2]))
    with pytest.raises(BuildError, match="size is searched and has no single value"):
        schema()
    assert schema.to_node()["size"] == {"$grid": [1, 2]}
    assert yaml.load("!o.Sized {size: !g [1, 2]}") == schema


def test_options_hold_components() -> None:
    shared = Sized.schema(size=3)
    pair = Sized.schema(size=[shared, shared])
    node = Sized.schema(size=GridSearchOptions([shared, pair, shared])).to_node()
    full = {"$new": f"{__name__}:Sized", "size": 3}
    # What is one of several choices exists in that choice only, at the place of the search.
    assert node["size"]["$grid"] == [full, {**full, "size": [full, {"$link": ["size", "size", 0]}]}, full]
