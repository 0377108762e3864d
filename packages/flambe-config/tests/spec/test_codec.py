"""Specs and plain values to JSON and back, losing nothing; what is no spec is refused with its place."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flambe.errors import ConfigError
from flambe.spec.codec import FlambeVersionError, dump_json, dump_spec, escape, load_spec, needed_version, unescape
from flambe.spec.digest import digest_of, spec_digest
from flambe.spec.nodes import Environment, Source, Spec, Stage

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=2**63),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.text("$_aé", max_size=3),
    st.binary(max_size=8),
)
keys = st.one_of(scalars, st.tuples(scalars, scalars))
plain = st.recursive(
    scalars, lambda part: st.lists(part, max_size=3) | st.dictionaries(keys, part, max_size=3), max_leaves=12
)


def same(a, b):
    return type(a) is type(b) and (
        len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
        if isinstance(a, list | tuple)
        else len(a) == len(b) and all(same(x, y) for x, y in zip(a.items(), b.items(), strict=True))
        if isinstance(a, dict)
        else a == b
    )


@given(plain)
def test_what_is_plain_comes_back(value):
    assert same(unescape(msgspec.json.decode(dump_json(escape(value)))), value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -0.0, 2**200, -(2**70)])
def test_numbers_that_json_has_not(value):
    back = unescape(msgspec.json.decode(dump_json(escape([value]))))[0]
    assert repr(back) == repr(value)


def test_scalars_of_numpy_that_are_numbers_of_python_too():
    assert escape(np.float64(1.5)) == 1.5
    assert type(escape(np.float64(1.5))) is float
    assert dump_json(escape(np.str_("x"))) == b'"x"'
    with pytest.raises(TypeError, match="float32 is not plain data"):
        escape(np.float32(1.5))


@pytest.mark.parametrize(
    "node",
    [
        {"$float": 5},
        {"$float": "x"},
        {"$bytes": "!"},
        {"$bytes": 1},
        {"$map": 3},
        {"$map": [[1]]},
        {"$map": [[{"$map": []}, 1]]},
    ],
)
def test_an_escape_that_holds_something_else_is_refused(node):
    with pytest.raises(ConfigError, match=r"is no \$(float|bytes|map)"):
        unescape([node])


def document(**changes):
    return {"flambe_spec": "1.0", "name": "x", "stages": [{"name": "a", "body": {"$new": "m:A"}}]} | changes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[1]", "is no flambe spec"),
        (b"{}", "is no flambe spec"),
        (document(flambe_spec=None), "has the version None; expected text such as '1"),
        (document(flambe_spec=1.0), r"has the version 1\.0; expected text"),
        (document(flambe_spec="1.0\n"), "has the version"),
        (document(flambe_spec="1.0.0"), "has the version"),
        (document(flambe_spec="1." + "9" * 5000), "has the version"),
        (document(flambe_spec="one"), "has the version 'one'"),
        (document(flambe_spec="1"), "has the version '1'"),
        (document(name=3), r"is no valid spec: Expected `str`, got `int` - at `\$.name`"),
        (document(stages=[{"name": "a"}]), "missing required field `body`"),
        (document(stages=[{"name": "a", "body": 1}, {"name": "a", "body": 1}]), "two stages called 'a'"),
        (document(name="../x"), "the name '../x' cannot be used"),
        (document(stages=[{"name": "a/b", "body": 1}]), "the stage name 'a/b' cannot be used"),
        (document(stages=[{"name": "a", "body": {"x": [{"$link": []}]}}]), r"stage 'a', x.0: .* is no \$link"),
        (document(stages=[{"name": "a", "body": {"$link": "b"}}]), r"is no \$link"),
        (document(stages=[{"name": "a", "body": {"$new": 3}}]), r"is no \$new"),
        (document(stages=[{"name": "a", "body": {"$grid": 3}}]), r"is no \$grid"),
        (document(stages=[{"name": "a", "body": {"$grid": [1, 2], "names": ["one"]}}]), r"is no \$grid"),
        (document(stages=[{"name": "a", "body": {"$grid": [1], "names": [1]}}]), r"is no \$grid"),
        (document(stages=[{"name": "a", "body": {"$grid": [1], "probs": ["1"]}}]), r"is no \$grid"),
        (document(stages=[{"name": "a", "body": {"$grid": [1], "probs": 1}}]), r"is no \$grid"),
        (document(stages=[{"name": "a", "body": {"$uniform": 3}}]), r"is no \$uniform"),
        (document(stages=[{"name": "a", "body": {"$normal": [0, True]}}]), r"is no \$normal"),
        (document(stages=[{"name": "a", "body": {"$beta": [1, 2, 3]}}]), r"is no \$beta"),
        (document(stages=[{"name": "a", "body": {"$quniform": [1, 2]}}]), r"is no \$quniform"),
        (document(stages=[{"name": "a", "body": {"$map": 3}}]), r"is no \$map"),
        (document(stages=[{"name": "a", "body": {"$new": "m:A", "$args": 3}}]), r"is no \$new"),
        (document(stages=[{"name": "a", "body": {"$yaml": "!x"}}]), r"is no \$yaml"),
        (
            document(stages=[{"name": "a", "body": {"x": {"$link": ["nowhere"]}}}]),
            "links to 'nowhere', which is no stage",
        ),
    ],
)
def test_what_is_no_spec_is_refused_with_its_place(text, message):
    if isinstance(text, dict):
        text = msgspec.json.encode(text)
    with pytest.raises(ConfigError, match=message) as refused:
        load_spec(text, where="line 7")
    assert "line 7" in str(refused.value)
    assert refused.value.exit_code == 2


@pytest.mark.parametrize("version", ["0.9", "2.0", "10.1"])
def test_another_major_version_is_refused_with_both_numbers(version):
    with pytest.raises(FlambeVersionError, match=rf"is of version {version}, this program reads version 1\.x"):
        load_spec(msgspec.json.encode(document(flambe_spec=version)))


def test_a_newer_minor_version_is_read_with_a_warning(capsys):
    more = document(flambe_spec="1.7", news={"a": 1})
    more["stages"][0]["more"] = [1, 2]
    spec = load_spec(msgspec.json.encode(more), where="s.json")
    assert spec.stages[0].body == {"$new": "m:A"}
    assert "warning: s.json is of version 1.7, newer than 1.2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "version"),
    [
        ({}, "1.0"),
        ({"body": {"$new": "m:A", "x": {"$grid": [1, 2]}}}, "1.0"),
        ({"source": Source(raw="!A")}, "1.0"),
        ({"body": {"$new": "m:A", "x": [{"y": {"$uniform": [0, 1]}}]}}, "1.1"),
        ({"body": {"$new": "m:A", "x": {"$grid": [1, {"$new": "m:B", "y": {"$beta": [1, 2]}}]}}}, "1.1"),
        ({"body": {"$new": "m:A", "$args": [{"$grid": [1, 2], "names": ["one", "two"]}]}}, "1.1"),
        ({"seeds": [3, 4]}, "1.1"),
    ],
)
def test_a_spec_needs_the_version_of_what_it_uses(changes, version):
    stage = Stage(name="a", body=changes.pop("body", {"$new": "m:A"}))
    assert needed_version(Spec(name="x", stages=[stage], **changes)) == version


def test_a_deep_body_is_read_or_refused_but_never_a_crash():
    def body(depth):
        return b'{"x":' * depth + b"1" + b"}" * depth

    head, tail = b'{"flambe_spec":"1.0","name":"x","stages":[{"name":"a","body":', b"}]}"
    assert load_spec(head + body(100) + tail).name == "x"
    for depth in (400, 900, 1_500, 5_000):
        with pytest.raises(ConfigError, match="nested too deeply"):
            load_spec(head + body(depth) + tail)


def test_a_digest_is_of_what_runs_and_keeps_order():
    def spec(**changes):
        return Spec(name="x", stages=[Stage(name="a", body={"$new": "m:A", "x": 1, "y": 2})], **changes)

    base = spec_digest(spec())
    assert spec_digest(spec(output_dir="elsewhere", source=Source(cwd="/x"), origins={"/a": [0, 1, 1]})) == base
    assert spec_digest(spec(seed=1)) != base
    assert spec_digest(load_spec(dump_spec(spec()))) == base
    other = spec()
    other.stages[0].body = {"$new": "m:A", "y": 2, "x": 1}
    assert spec_digest(other) != base
    assert digest_of({"a": 1, "b": 2}) != digest_of({"b": 2, "a": 1})


def test_where_an_extension_lies_is_no_part_of_the_digest():
    def digest(**extensions):
        stages = [Stage(name="a", body={"$new": "m:A"})]
        return spec_digest(Spec(name="x", stages=stages, environment=Environment(extensions=extensions)))

    assert digest(m="/home/me/m.py") == digest(m="/srv/work/m.py") != digest(n="/srv/work/m.py")
    assert len({digest(m="m-dist==1"), digest(m="m-dist==2"), digest(m="/m"), digest()}) == 4


def test_a_field_that_a_later_version_adds_does_not_change_the_digest_of_specs_without_it():
    class Later(Spec):
        news: int = 3

    stages = [Stage(name="a", body={"$new": "m:A"})]
    assert spec_digest(Later(flambe_spec="1.1", name="x", stages=stages)) == spec_digest(Spec(name="x", stages=stages))
    assert spec_digest(Later(name="x", stages=stages, news=4)) != spec_digest(Spec(name="x", stages=stages))


def test_a_spec_made_in_python_has_the_digest_of_its_file():
    stages = [Stage(name="a", body={"$new": "m:A"}, resources={"cpus": 2})]
    spec = Spec(name="x", stages=stages, devices={"gpus": 1}, resume=["a"])
    assert spec_digest(load_spec(dump_spec(spec))) == spec_digest(spec)
