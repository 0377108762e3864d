"""Overrides: every spelling, its typing, and its faults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flambe.compile import compile_text

TEXT = """!Experiment
name: t
pipeline:
  a: !Anything
    size: 3
    rate: 0.5
    flag: true
    word: hi
    nothing: null
    many: [1, 2]
    inner: &k {p: 1}
    again: *k
    grid: !g [1, 2]
    mixed: [1, a, 0.5]
    empty: []
    parts: [{rate: 1.0}, {rate: 2.0}]
    some: 3
    pair: [1, 2]
    refers: "{a.some}"
    grown: !Anything
    all: "{a.pair}"
  b: !Anything
"""


def body(*overrides: str) -> Any:
    return compile_text(TEXT, name="t", overrides=overrides).stages[0].body


@pytest.mark.parametrize(
    ("words", "key", "value"),
    [
        (["a.size=4"], "size", 4), (["pipeline.a.size=4"], "size", 4), (["a.size=4.0"], "size", 4), (["a.size=1e2"], "size", 100),
        (["a.rate=2"], "rate", 2.0), (["a.rate=1e-3"], "rate", 0.001), (["a.flag=0"], "flag", False), (["a.flag=TRUE"], "flag", True),
        (["a.word=5"], "word", "5"), (["a.word=no"], "word", "no"), (["a.word='x, y'"], "word", "x, y"), (["a.word="], "word", ""),
        (["a.nothing=5"], "nothing", 5), (["a.many=[3]"], "many", [3]), (["a.many.1=7"], "many", [1, 7]),
        (["a.size=1,2"], "size", {"$grid": [1, 2]}), (["a.size=range(1,4)"], "size", {"$grid": [1, 2, 3]}),
        (["a.many=[1],[2]"], "many", {"$grid": [[1], [2]]}), (["a.word=x,y"], "word", {"$grid": ["x", "y"]}),
        (["a.grid=9"], "grid", 9), (["a.size=!g [5, 6]"], "size", {"$grid": [5, 6]}), (["a.word=!TextField"], "word", {"$new": "flambe.toys.parts:TextField"}),
        (["+a.new=1"], "new", 1), (["+a.grown.p=1"], "grown", {"$new": "flambe.toys.parts:Anything", "p": 1}), (["++a.deep.er=1"], "deep", {"er": 1}), (["+a.size=9"], "size", 9),
        (["a.size=1", "a.size=2"], "size", 2), (["a.inner.p=5"], "again", {"p": 5}), (["a.again.p=5"], "inner", {"p": 1}),
        (["a.again.p=5"], "again", {"p": 5}),
        (["--a.size", "4"], "size", 4), (["--a.size=4"], "size", 4), (["--a.word", "x,y"], "word", "x,y"),
        (["--a.many", "5,6"], "many", [5, 6]), (["--a.rate", "-1"], "rate", -1.0), (["--a.many=5"], "many", [5]),
        (["--a.many", "[7, 8, 9]"], "many", [7, 8, 9]), (["--a.many", ""], "many", []), (["--a.mixed", "2,3,4"], "mixed", [2, "3", 4.0]),
        (["--a.mixed", "2,3"], "mixed", [2, 3]), (["--a.empty", "2,x"], "empty", [2, "x"]),
        (["a.size=choice(5,6)"], "size", {"$grid": [5, 6]}), (["a.word=choice(x)"], "word", {"$grid": ["x"]}),
        (["a.word='a,b','c'"], "word", {"$grid": ["a,b", "c"]}), (["a.parts.1.rate=0.5"], "parts", [{"rate": 1.0}, {"rate": 0.5}]),
        (["+a.parts.0.more=x"], "parts", [{"rate": 1.0, "more": "x"}, {"rate": 2.0}]), (["~a.parts.0"], "parts", [{"rate": 2.0}]),
        (["a.word={a.some}"], "word", 3), (["a.size={a.rate}"], "size", 0.5), (["a.word=n{a.some}", "a.some=4"], "word", "n4"),
        (["a.nothing={x: 1}"], "nothing", {"x": 1}), (["a.nothing={x: }"], "nothing", {"x": None}),
        (["a.word='{{a.size}}'"], "word", "{a.size}"), (["a.word=!P '{a.size}'"], "word", "{a.size}"), (["a.word=$UNSET_KEY"], "word", {"$env": "UNSET_KEY"}),
        (["a.refers=9"], "refers", 9), (["a.refers=9.0"], "refers", 9), (["--a.all", "8,9"], "all", [8, 9]),
    ],
    ids=str,
)  # fmt: skip
def test_spellings(words: list[str], key: str, value: Any) -> None:
    found = body(*words)[key]
    assert found == value
    assert type(found) is type(value)


def test_a_component_without_arguments_gets_its_first() -> None:
    stage = compile_text(TEXT, name="t", overrides=["+b.x=1", "+b.y=2"]).stages[1]
    assert stage.body == {"$new": "flambe.toys.parts:Anything", "x": 1, "y": 2}


def test_taking_away() -> None:
    assert "size" not in body("~a.size")
    assert compile_text(TEXT, name="t", overrides=["~b", "name=other"]).name == "other"


def test_a_value_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "v.yaml").write_text("p: !TextField {lower: true}\n")
    assert body(f"a.inner=@{tmp_path}/v.yaml")["inner"]["p"]["lower"] is True


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a.sise=1"], "override 'a.sise=1': a has no key 'sise'. Did you mean 'size'?"),
        (["p=1"], "override 'p=1': there is no key 'p'. Did you mean 'a.inner.p'?"),
        (["a.p=1"], "override 'a.p=1': a has no key 'p'. Did you mean 'a.inner.p'?"),
        (["sede=1"], "override 'sede=1': there is no key 'sede'. Did you mean 'seed'?"),
        (["a.size=x"], "override 'a.size=x': 'x' does not fit a.size, which is 3 now; expected an integer"),
        (["a.refers=x"], "override 'a.refers=x': 'x' does not fit a.refers, which is 3 now; expected an integer"),
        (["a.word={a.sise}"], "override 'a.word={a.sise}': {a.sise} names nothing in this config. Did you mean '{a.size}'?"),
        (["a.parts.2.rate=1"], "override 'a.parts.2.rate=1': a.parts is a list of 2, so there is no '2' in it"),
        (["a.size=1.5"], "override 'a.size=1.5': 1.5 does not fit a.size, which is 3 now; expected an integer"),
        (["a.flag=yes"], "override 'a.flag=yes': 'yes' does not fit a.flag, which is true now; expected true or false"),
        (["a.size.x=1"], "override 'a.size.x=1': a.size holds no keys"),
        (["a.many.5=1"], "override 'a.many.5=1': a.many is a list of 2, so there is no '5' in it"),
        (["a.size=[1"], "override 'a.size=[1': this is no YAML: the list that begins here is never closed. Write ']' at its end. Is the file complete?"),
        (["--a.size", "1,2"], "override '--a.size 1,2': '1,2' is no single value. To try each of them write a.size=1,2"),
        (["--a.size"], "override '--a.size': there is no value; expected key.key=value, +key.key=value, ~key.key or --key.key value"),
        (["size"], "override 'size': there is no value; expected key.key=value, +key.key=value, ~key.key or --key.key value"),
        (["a..b=1"], "override 'a..b=1': this is no override; expected key.key=value, +key.key=value, ~key.key or --key.key value"),
        (["b.x=1"], "override 'b.x=1': b has no key 'x'. +b.x=1 would add it."),
        (["-a.size=4"], "override '-a.size=4': this is no override; expected key.key=value, +key.key=value, ~key.key or --key.key value. Write a.size=4"),
        (["-m"], "override '-m': this is no override; expected key.key=value, +key.key=value, ~key.key or --key.key value"),
        (["a.size=[4, 5]"], "override 'a.size=[4, 5]': '[4, 5]' does not fit a.size, which is 3 now; expected an integer. To try each of them write a.size=4,5"),
        (["search.a=x"], "override 'search.a=x': there is no key 'search'. +search.a=x would add it."),
        (["a.inner=@/nowhere.yaml"], "override 'a.inner=@/nowhere.yaml': there is no file /nowhere.yaml"),
        (["a.word=!Nope"], "override 'a.word=!Nope': unknown tag !Nope. The components of flambe-nn are not installed: pip install flambe-nn."),
        (["a.rate=1,2,"], "override 'a.rate=1,2,': '1,2,' has nothing at a comma; expected V1,V2. Write a.rate=1,2, or '' for an empty text."),
        (["a.nothing=1,,2"], "override 'a.nothing=1,,2': '1,,2' has nothing at a comma; expected V1,V2. Write a.nothing=1,2, or '' for an empty text."),
        (["--a.many", "5,6,"], "override '--a.many 5,6,': '5,6,' has nothing at a comma; expected V1,V2. Write --a.many=5,6, or '' for an empty text."),
        (["a.size=!g 1, 2"], "override 'a.size=!g 1, 2': '!g 1, 2' is a list without brackets. Write a.size=1,2, or '!g [1, 2]'."),
        (["a.word=choice()"], "override 'a.word=choice()': 'choice()' has nothing at a comma; expected V1,V2"),
        (["+a.x=!Encoder {input_size: z}"], "override '+a.x=!Encoder {input_size: z}': input_size of Encoder is the text 'z'; expected an integer"),
    ],
    ids=str,
)  # fmt: skip
def test_faults_name_the_override(kit: Any, words: list[str], message: str) -> None:
    assert kit.faults(lambda: body(*words)) == [message]


def test_a_repeated_override_is_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    body("a.size=1", "a.size=2")
    assert "a.size is set by 'a.size=1' too; the last one counts" in capsys.readouterr().err


def test_overrides_are_kept_in_the_spec() -> None:
    spec = compile_text(TEXT, name="t", overrides=["a.size=4"])
    assert spec.source.overrides == ["a.size=4"]
    assert spec.source.files[0].text == TEXT
    assert "/stages/0/body/size" not in spec.origins


def test_a_parameter_of_the_experiment_is_there_though_the_file_leaves_it_out() -> None:
    spec = compile_text(TEXT, name="t", overrides=["seed=7", "save_path=elsewhere", "max_failures=0"])
    assert (spec.seed, spec.output_dir, spec.max_failures) == (7, "elsewhere", 0)
