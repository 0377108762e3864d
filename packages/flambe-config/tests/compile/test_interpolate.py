"""References and environment variables: what they give, what stays text, and every way to get them wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flambe.compile import compile_text
from flambe.compile.compiler import compile_whole
from flambe.compile.placeholder import is_reference, protected
from flambe.errors import ConfigFaults
from flambe.spec.codec import dump_json

ROOT = """!Anything
i: 3
f: 0.00001
t: word
b: true
n: null
e: 1e-3
l: [1, 2.0, x]
m: {p: 1, q: {r: deep}}
ls: [{a: 7}, {a: 8}]
field: !TextField {lower: true}
"""


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "INT": "7", "FLOAT": "1e-3", "YES": "true", "WORD": "hi", "BRACES": "{t} $INT", "EMPTY": "", "A_0_1": "zero", "_LEAD": "under",
        "NULLISH": "null", "API_KEY": "very-secret", "DIR": "/data/x",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("UNSET", raising=False)


def value(text: str, *overrides: str) -> Any:
    """Return what ``v: text`` gives beside the values above."""
    return compile_text(f"{ROOT}v: {text}\n", name="t", overrides=overrides).stages[0].body["v"]


def faults(text: str, root: str = ROOT) -> list[str]:
    with pytest.raises(ConfigFaults) as caught:
        compile_text(f"{root}v: {text}\n", name="t")
    return [str(fault).removeprefix("<t>:") for fault in caught.value.faults]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("'{i}'", 3), ("'{f}'", 1e-5), ("'{t}'", "word"), ("'{b}'", True), ("'{n}'", None), ("'{e}'", 0.001),
        ("'{l}'", [1, 2.0, "x"]), ("'{m}'", {"p": 1, "q": {"r": "deep"}}), ("'{m.q.r}'", "deep"), ("'{l.0}'", 1), ("'{ls.1.a}'", 8),
        ("'{field.lower}'", True), ("['{i}', {k: '{t}'}]", [3, {"k": "word"}]),
        ("a{i}", "a3"), ("'{t}-{f}-{e}'", "word-1e-05-0.001"), ("'{b}{n}'", "truenull"), ("'x{l}'", "x[1,2.0,x]"),
        ("'{{i}}'", "{i}"), ("'a {{i}} {i}'", "a {i} 3"), ("'{{{i}}}'", "{3}"), ("'{\"lr\": {i}}'", '{"lr": 3}'),
        ("!!str '{i}'", "3"), ("!TextField {lower: '{b}'}", {"$new": "flambe.toys.parts:TextField", "lower": True}),
        ("!TextField '{b}'", {"$new": "flambe.toys.parts:TextField", "$args": [True]}),
        ("!g ['{i}', '{t}']", {"$grid": [3, "word"]}),
    ],
    ids=str,
)  # fmt: skip
def test_references(text: str, expected: Any) -> None:
    found = value(text)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$INT", 7), ("${INT}", 7), ("$FLOAT", 0.001), ("$YES", True), ("$WORD", "hi"), ("$NULLISH", "null"), ("$EMPTY", ""),
        ("a$INT", "a7"), ("'$INT$INT'", "77"), ("$A_0_1", "zero"), ("$_LEAD", "under"), ("${UNSET:-5}", 5), ("${UNSET:-}", ""), ("${EMPTY:-x}", "x"),
        ("${UNSET:-$INT}", 7), ("${UNSET:-a/${WORD}}", "a/hi"), ("$BRACES", "{t} $INT"), ("'{t}$BRACES'", "word{t} $INT"),
        ("$$INT", "$INT"), ("$${INT}", "${INT}"), ("$$$INT", "$7"), ("'!!str'", "!!str"), ("!!str $INT", "7"),
        ("$API_KEY", {"$env": "API_KEY"}), ("${API_KEY}", {"$env": "API_KEY"}), ("$UNSET_TOKEN", {"$env": "UNSET_TOKEN"}),
        ("${UNSET_TOKEN:-none}", "none"), ("${API_KEY:-none}", {"$env": "API_KEY"}),
    ],
    ids=str,
)  # fmt: skip
def test_variables(text: str, expected: Any) -> None:
    found = value(text)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    "text",
    [
        r"^a$", r"\d{2}", r"^[a-z]{1,3}$", "a$", "$", "$$", "$5.00", "{}", "{{}}", "{0}", "{:03d}", "{ i }", "{i:03d}", "{i!r}", '{"a": {"b": 1}}',
        "{a b}", "{i.}", "{.i}", "{-i}", "${}", "${1}", "%d", "{i", "i}", "}{", "{{ i }}", "{% if i %}",
    ],
)  # fmt: skip
def test_what_does_not_look_like_a_reference_is_text(text: str) -> None:
    assert value(json.dumps(text)) == text
    assert value(json.dumps(text + " {i}")) == text + " 3"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("!P a {i} $INT", "a {i} $INT"), ('!P "{i}"', "{i}"), ("'!P {i}'", "{i}"), ("'!P {{i}} $$INT'", "{{i}} $$INT"), ("!P 5", "5"),
        ("'!P'", ""), ("'!Pal {i}'", "!Pal 3"), ("'!P !P x'", "!P x"),
    ],
)  # fmt: skip
def test_replacement_is_switched_off(text: str, expected: str) -> None:
    assert value(text) == expected


def test_a_mapping_with_an_empty_value_is_no_reference() -> None:
    assert value("{i: null}") == {"i": None}
    assert value("{other}") == {"other": None}
    assert value("\n  i:") == {"i": None}


def test_keys_links_and_names_of_variables_are_not_touched() -> None:
    text = "!Experiment\npipeline:\n  a: !Anything {'k{b}$INT': 1}\n  b: !Anything\n    x: !@ a['k{b}$INT']\n    y: !env $INT\n"
    spec = compile_text(text, name="t")
    assert spec.stages[0].body["k{b}$INT"] == 1
    assert spec.stages[1].body["x"] == {"$link": ["a", "k{b}$INT"]}
    assert spec.stages[1].body["y"] == {"$env": "$INT"}


def test_references_follow_overrides_and_one_another() -> None:
    assert value("'{w}'\nw: '{i}'", "i=9") == 9
    assert value("x\nw: 1", "v=a{i}") == "a3"
    assert value("x\nw: 1", "v={i}") == 3
    assert value("{c: '{m}'}", "m.p=5") == {"c": {"p": 5, "q": {"r": "deep"}}}
    assert value("'{w.q.r}'\nw: '{m}'") == "deep"
    assert value("'{al.p}'\nal: &x {p: 1}\nbl: *x") == 1


def test_in_an_experiment_a_stage_needs_no_pipeline() -> None:
    text = (
        "!Experiment\nname: '{train.kind}-{seed}'\nseed: 4\npipeline:\n  train: !Anything {kind: big, rate: 0.5}\n"
        "  eval: !Anything {rate: '{train.rate}', same: '{pipeline.train.rate}'}\n"
    )
    spec = compile_text(text, name="t", overrides=["train.rate=2"])
    assert spec.name == "big-4"
    assert spec.stages[1].body == {"$new": "flambe.toys.parts:Anything", "rate": 2.0, "same": 2.0}


def test_the_type_that_an_override_has_to_have_is_that_of_the_resolved_value() -> None:
    assert value("'{i}'", "v=5") == 5
    assert value("'{l}'", "--v=5,6,7") == [5, 6.0, "7"]
    assert value("$INT", "v=1e1") == 10
    assert value("$UNSET", "v=1e1") == 10.0
    with pytest.raises(ConfigFaults, match="'x' does not fit v, which is 3 now"):
        value("'{i}'", "v=x")


# Faults ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("'{ii}'", "{ii} names nothing in this config. Did you mean '{i}'?"),
        ("'{q.r}'", "{q.r} names nothing in this config. Did you mean '{m.q.r}'?"),
        ("'{unlike-any}'", "{unlike-any} names nothing in this config. For the text itself write {{unlike-any}}, or !P before it."),
        ("'{l.3}'", "{l.3} names nothing in this config. Did you mean '{l.2}'?"),
        ("'{v}'", "a reference leads back to itself: {v} → {v}"),
        ("'{w}'\nw: '{x}'\nx: a{v}", "a reference leads back to itself: {v} → {w} → {x} → {v}"),
        ("{a: '{v}'}", "a reference leads back to itself: {v} → {v}"),
        ("'{field}'", "{field} is !TextField, which is an object and no data. Write a link: !@ field"),
        ("'{w}'\nw: {x: [!TextField {}]}", "{w} holds !TextField, which is an object and no data. Write a link: !@ w"),
        ("'{w}'\nw: !g [1, 2]", "{w} names a search (!g), whose value only a variant knows. "
         "Write a link: !@ w"),
        ("'a{m}'", "{m} stands for a mapping, which has no text. Name a value in it, or let the reference stand alone."),
        ("!file 'a/{l}'\nw: 1", None),
        ("!Anything '{l}'", "{l} stands for a list; expected text, after !Anything"),
        ("$UNSET", "the environment has no variable UNSET. Set it, or write ${UNSET:-text}; for the text itself write $$UNSET, or !P before it."),
        ("x$API_KEY", "$API_KEY looks like a secret, and would be readable in every spec and log inside of this text. "
         "Let $API_KEY stand alone as a value: it is read when the object is built, and stored nowhere."),
        ("'x{w}'\nw: $API_KEY", "$API_KEY looks like a secret, and would be readable in every spec and log inside of this text. "
         "Let $API_KEY stand alone as a value: it is read when the object is built, and stored nowhere."),
        ("{m.p}", '{m.p} without quotes is a mapping with the key \'m.p\'. Write "{m.p}" for the value of that key.'),
        ("[{i}]", '{i} without quotes is a mapping with the key \'i\'. Write "{i}" for the value of that key.'),
        ("!P {i: 1}", "!P holds a mapping; expected text. Quote it."),
    ],
    ids=str,
)  # fmt: skip
def test_faults(text: str, message: str | None) -> None:
    found = faults(text)
    assert len(found) == 1, found
    if message is not None:
        assert found[0].partition(": ")[2].startswith(message), found
    assert "very-secret" not in found[0]


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("${m.p}", "Write {m.p}"), ("a ${oc.env:HOME}", "Write ${HOME}"), ("${oc.env:HOME,x/y}", "Write ${HOME:-x/y}"),
        ("${oc.decode:x}", "or {a.b} for a key of this config"), ("${now:%Y}", "or {a.b} for a key of this config"),
        ("${.rel}", "or {a.b} for a key of this config"), ("${HOME-x}", "or {a.b} for a key of this config"),
    ],
)  # fmt: skip
def test_spellings_of_others_are_refused_with_ours(text: str, remedy: str) -> None:
    (found,) = faults(f"'{text}'")
    assert "is no variable" in found
    assert remedy in found


def test_a_variable_that_is_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ODD", "a\udcff")
    assert faults("$ODD") == ["12:4: the environment variable ODD is no UTF-8 text"]
    monkeypatch.setenv("ODD", "déjà 𝔘")
    assert value("$ODD") == "déjà 𝔘"


def test_a_value_that_has_to_be_given_is_missed_once() -> None:
    assert [fault.partition(": ")[0] for fault in faults("'{w}'\nw: !required {i}".replace("{i}", "of {i}"))] == [
        "13:4"
    ]
    assert value("'{w}'\nw: !required", "w=3") == 3


def test_one_wrong_value_is_one_fault_and_others_are_told_too() -> None:
    found = faults("'{w}'\nw: '{gone}'\nx: ['{w}', '{v}']\ny: !Encoder {input_size: '{gone}', n_layers: z}")
    assert [fault.partition(": ")[0] for fault in found] == ["13:4", "15:26", "15:46"]


# Bounds ----------------------------------------------------------------------------------------------------------------


def bomb(line: str, last: str) -> str:
    return "!Anything\n" + "".join(f"a{i}: {line.replace('#', str(i + 1))}\n" for i in range(40)) + f"a40: {last}\n"


@pytest.mark.parametrize(
    ("root", "words"),
    [
        (bomb("'{a#}{a#}'", "xxxxxxxx"), "references make this config too large: more than 16,777,216 characters"),
        (bomb("['{a#}', '{a#}']", "[x]"), "references make this config too large: more than 100,000 values"),
        (bomb("{k: '{a#}', l: '{a#}'}", "{x: 1}"), "references make this config too large: more than 100,000 values"),
        ("!Anything\n" + "".join(f"a{i}: '{{a{i + 1}}}'\n" for i in range(2000)) + "a2000: 1\n", "more than 50 references follow one another"),
        ("!Anything\n" + "".join(f"a{i}: {'{k: ' * 9}'{{a{i + 1}}}'{'}' * 9}\n" for i in range(30)) + "a30: 1\n", "nest"),
        ("!Anything\na: &a [x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a]\nc: &c [*b, *b, *b, *b, *b, *b, *b, *b]\n"
         "d: &d [*c, *c, *c, *c, *c, *c, *c, *c]\ne: &e [*d, *d, *d, *d, *d, *d, *d, *d]\nf: '{e}'\ng: ['{f}', '{f}', '{f}', '{f}']\n", "too large"),
    ],
)  # fmt: skip
def test_a_bomb_of_references_is_bounded(root: str, words: str) -> None:
    from flambe.errors import ConfigError

    with pytest.raises(ConfigError, match=words.replace("(", r"\(")):
        compile_text(root, name="t")


# Properties ------------------------------------------------------------------------------------------------------------

PIECES = st.lists(st.sampled_from(["{", "}", "$", "a", "INT", "{a}", "$INT", "${INT}", "!P ", " ", ".", "b", "1", ":-", "'", '"', "\\", "\n", "é"]), max_size=8)  # fmt: skip


@given(PIECES.map("".join))
@settings(max_examples=300, deadline=None)
def test_a_protected_text_is_read_as_it_stands(text: str) -> None:
    spec = compile_text(f"!Anything\na: 1\nv: {json.dumps(protected(text))}\n", name="t")
    assert spec.stages[0].body["v"] == text
    assert protected(text) == text or is_reference(text) or text.startswith("!P")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False) | PIECES.map("".join) | st.sampled_from(["{k0}", "x{k1}", "$INT"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["p", "q", "r.s", "{k0}"]), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(["k0", "k1", "k2", "k3"]), VALUES, min_size=1))
@settings(max_examples=150, deadline=None)
def test_raw_and_resolved_texts_are_fixed_points(config: dict[str, Any]) -> None:
    from flambe.record.provenance import spec_to_yaml

    root = "!Anything\n" + "".join(f"{key}: {json.dumps(item)}\n" for key, item in config.items())
    try:
        first = compile_whole(root, name="t", file="<t>", overrides=["+z=1"], argv=[])
    except ConfigFaults:
        return  # as many random references are wrong
    assert first.raw is not None
    again = compile_whole(first.raw, name="t", file="<t>", overrides=["+z=1"], argv=[])
    assert again.raw == first.raw
    assert dump_json(again.spec.stages) == dump_json(first.spec.stages)
    resolved = spec_to_yaml(first.spec)
    final = compile_whole(resolved, name="t", file="<t>", overrides=[], argv=[])
    assert dump_json(final.spec.stages) == dump_json(first.spec.stages)
    assert spec_to_yaml(final.spec) == resolved
