"""Names of variants on disk: short, safe, and apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flambe.record.layout import variant_name


@pytest.mark.parametrize(
    ("params", "name"),
    [
        ({}, "0"),
        ({"model.encoder.n_layers": 2, "train.optimizer.lr": 0.1}, "n_layers=2,lr=0.1"),
        ({"a.lr": 0.1, "b.lr": 1e-05}, "a.lr=0.1,b.lr=1e-05"),
        ({"x": True, "y": None, "z": [10, 10]}, "x=true,y=null,z=[10,10]"),
        ({"x": "../../etc/passwd"}, "x=.._.._etc_passwd"),
        ({"x": "größe"}, "x=größe"),
        ({"x": {"$new": "m:A"}}, "x=A"),
        ({"x": {"$link": ["model", "encoder"]}}, "x=model[encoder]"),
        ({"model.sizes.a/b": 1}, "a_b=1"),
    ],
)
def test_names_for_people(params, name):
    assert variant_name(params) == name


values = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(st.characters(exclude_categories=["Cs"])),
    st.lists(st.integers(0, 99), max_size=40), st.text("语", min_size=80),
)  # fmt: skip
paths = st.lists(st.text("ab_/.é", min_size=1, max_size=5), min_size=1, max_size=3).map(".".join)


@given(st.dictionaries(paths, values, min_size=1, max_size=5))
def test_every_name_is_a_file_name(params):
    name = variant_name(params)
    assert "/" not in name
    assert "\0" not in name
    assert name not in (".", "..", "best", "0")
    assert not name.startswith(".")
    # Room for what is written beside it, and for the letters that tell equal names apart: NAME_MAX is 255 bytes.
    assert len(name.encode()) <= 200
    assert variant_name(dict(params)) == name


@given(st.lists(st.text("abc", min_size=200, max_size=300), min_size=2, max_size=2, unique=True))
def test_long_names_differ_where_their_values_do(texts):
    assert len({variant_name({"x": text}) for text in texts}) == 2
    assert len({variant_name({"x": 1, "y": text}) for text in texts}) == 2


def test_values_that_are_written_alike_are_apart():
    alike = [{"x": "a/b"}, {"x": "a_b"}, {"x": "a b"}]
    # Not by their names alone: whoever makes units adds letters of the key. Numbers and lists do not meet.
    assert len({variant_name(params) for params in alike}) == 1
    assert variant_name({"x": [1, 2]}) != variant_name({"x": [12]}) != variant_name({"x": 12})
