"""Parents: which files they are, what beats what, and every way to get them wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flambe.compile.compiler import Compiled, compile_whole, name_of
from flambe.compile.compose import MOST_FILES
from flambe.compile.placeholder import protected_node
from flambe.errors import ConfigFaults

Write = Callable[[dict[str, str]], None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write files into an empty folder, which is the working directory."""
    monkeypatch.chdir(tmp_path)

    def files(texts: dict[str, str]) -> None:
        for name, text in texts.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)

    return files


def whole(file: str, *overrides: str) -> Compiled:
    return compile_whole(Path(file).read_text(), name=name_of(file), file=file, overrides=overrides, argv=[])


def values(file: str, *overrides: str) -> Any:
    """Compile a file whose root is ``!Anything`` and return its arguments."""
    body = whole(file, *overrides).spec.stages[0].body
    return {key: value for key, value in body.items() if key != "$new"}


def faults(function: Callable[[], Any]) -> list[str]:
    with pytest.raises(ConfigFaults) as caught:
        function()
    return [str(fault) for fault in caught.value.faults]


def warnings(file: str, *overrides: str) -> list[str]:
    return [str(warning) for warning in whole(file, *overrides).warnings]


# What beats what ---------------------------------------------------------------------------------------------------


def test_the_file_beats_its_parents_and_the_later_parent_the_earlier(write: Write) -> None:
    write({
        "a.yml": "x: 1\ny: 1\nz: 1\nw: 1\n",
        "b.yml": "y: 2\nz: 2\nw: 2\n",
        "c.yml": "!Anything\n__default__: [./a.yml, b.yml]\n__new_key_policy__: pass\nz: 3\nw: 3\n",
    })  # fmt: skip
    assert values("c.yml", "w=4") == {"x": 1, "y": 2, "z": 3, "w": 4}
    assert list(values("c.yml")) == ["x", "y", "z", "w"]


def test_mappings_are_merged_and_lists_are_replaced(write: Write) -> None:
    write({
        "a.yml": "m: {p: {q: 1, r: 1}, s: 1}\nl: [1, 2]\n",
        "c.yml": "!Anything\n__default__: ./a.yml\nm: {p: {q: 2}}\nl: [3]\n",
    })  # fmt: skip
    assert values("c.yml") == {"m": {"p": {"q": 2, "r": 1}, "s": 1}, "l": [3]}


def test_paths_start_where_they_say(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARTS", str(tmp_path / "deep"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    write({
        "here.yml": "a: 1\n",
        "deep/beside.yml": "b: 1\n__default__: ../up.yml\n",
        "up.yml": "c: 1\n",
        "deep/env.yml": "d: 1\n",
        "home/tilde.yml": "e: 1\n",
        "absolute.yml": "f: 1\n",
        "deep/c.yml": "!Anything\n__new_key_policy__: pass\n__default__: "
        f"[here.yml, ./beside.yml, $PARTS/env.yml, ~/tilde.yml, {tmp_path}/absolute.yml, '${{NOT_SET:-here.yml}}']\n",
    })  # fmt: skip
    assert values("deep/c.yml") == {"a": 1, "c": 1, "b": 1, "d": 1, "e": 1, "f": 1}
    assert list(whole("deep/c.yml").files) == [
        "deep/c.yml", "here.yml", "deep/beside.yml", "up.yml",
        str(tmp_path / "deep/env.yml"), str(tmp_path / "home/tilde.yml"), str(tmp_path / "absolute.yml"),
    ]  # fmt: skip


def test_a_mapping_inside_has_parents_of_its_own(write: Write) -> None:
    write({
        "small.yml": "size: 1\nname: small\n__default__: ./tiny.yml\n",
        "tiny.yml": "depth: 1\n",
        "base.yml": "model: {rate: 0.5, size: 9}\n",
        "c.yml": "!Anything\n__default__: base.yml\nmodel:\n  __default__: small.yml\n  name: mine\nlist:\n- __default__: tiny.yml\n",
    })  # fmt: skip
    found = values("c.yml")
    assert found["model"] == {"rate": 0.5, "size": 1, "depth": 1, "name": "mine"}
    assert found["list"] == [{"depth": 1}]


def test_tags_come_from_whoever_has_one(write: Write) -> None:
    write({
        "plain.yml": "lower: true\n",
        "tagged.yml": "!TextField\nlower: true\n",
        "c.yml": "!Anything\na: !TextField {__default__: plain.yml}\nb: {__default__: tagged.yml}\n"
        "c: !TextField {__default__: tagged.yml, lower: false}\n",
    })  # fmt: skip
    new = "flambe.toys.parts:TextField"
    assert values("c.yml") == {
        "a": {"$new": new, "lower": True},
        "b": {"$new": new, "lower": True},
        "c": {"$new": new, "lower": False},
    }


def test_another_class_begins_without_the_arguments_of_the_first(write: Write) -> None:
    write({
        "a.yml": "!Anything\nfield: !TextField {lower: true}\nsame: !TextField {lower: true}\nnone: !Anything\n",
        "c.yml": "__default__: a.yml\nfield: !LabelField\nsame: !TextField\nnone: {x: 1}\n",
    })  # fmt: skip
    found = values("c.yml")
    assert found["field"] == {"$new": "flambe.toys.parts:LabelField"}
    assert found["same"] == {"$new": "flambe.toys.parts:TextField", "lower": True}
    assert found["none"] == {"$new": "flambe.toys.parts:Anything", "x": 1}


def test_an_experiment_has_parents(write: Write) -> None:
    write({
        "base.yml": "!Experiment\nname: base\npipeline:\n  a: !Anything {x: 1, y: 1}\n  b: !Anything {z: !@ a}\n",
        "c.yml": "__default__: ./base.yml\nname: child\npipeline:\n  a: {x: 2}\n  c: !Anything\n",
    })  # fmt: skip
    spec = whole("c.yml", "a.y=5").spec
    assert (spec.name, [stage.name for stage in spec.stages]) == ("child", ["a", "b", "c"])
    assert warnings("c.yml") == []
    assert spec.stages[0].body == {"$new": "flambe.toys.parts:Anything", "x": 2, "y": 5}


def test_aliases_stay_within_their_file(write: Write) -> None:
    write({
        "a.yml": "m: &m {p: 1}\nn: *m\n",
        "c.yml": "!Anything\n__default__: a.yml\nm: {p: 2}\nk: &k {__default__: a.yml}\nl: *k\n",
    })  # fmt: skip
    found = values("c.yml")
    assert (found["m"], found["n"]) == ({"p": 2}, {"p": 1})
    assert found["k"] == found["l"] == {"m": {"p": 1}, "n": {"p": 1}}
    write({"b.yml": "&x name: 1\nother: *x\n", "d.yml": "!Anything\np: {__default__: a.yml}\n__default__: b.yml\n"})
    assert values("d.yml") == {"name": 1, "other": "name", "p": {"m": {"p": 1}, "n": {"p": 1}}}


def test_one_file_twice_gives_two_values(write: Write) -> None:
    write({"a.yml": "p: {q: 1}\n", "c.yml": "!Anything\nx: {__default__: a.yml}\ny: {__default__: a.yml}\n"})
    assert values("c.yml", "x.p.q=2") == {"x": {"p": {"q": 2}}, "y": {"p": {"q": 1}}}


def test_headers_are_merged_and_their_paths_start_at_their_file(write: Write, tmp_path: Path) -> None:
    code = "class Thing:\n    def __init__(self, x: int = 1) -> None: ...\n    def run(self) -> bool: ...\n"
    write({
        "lib/one.py": code, "lib/two.py": code, "two.py": code, "lib/words.txt": "",
        "lib/base.yml": "one: ./one.py\ntwo: ./two.py\n---\na: !one.Thing\nfile: !file ./words.txt\n",
        "c.yml": "two: ./two.py\n---\n!two.Thing\n__default__: lib/base.yml\n__new_key_policy__: pass\n",
        "d.yml": "!Environment\nextensions: {two: ./two.py}\nlocal_files: {words: lib/words.txt}\n---\n!Anything\n__default__: lib/base.yml\n",
    })  # fmt: skip
    with pytest.raises(ConfigFaults, match="no argument 'a'"):
        whole("c.yml")
    spec = whole("d.yml").spec
    assert spec.environment.extensions == {"one": str(tmp_path / "lib/one.py"), "two": str(tmp_path / "two.py")}
    assert spec.environment.files == {"words": str(tmp_path / "lib/words.txt")}
    assert spec.stages[0].body["file"] == {"$file": str(tmp_path / "lib/words.txt")}


def test_resources_start_at_the_file_that_names_them(write: Write, tmp_path: Path) -> None:
    write({
        "lib/x.txt": "", "y.txt": "",
        "lib/base.yml": "resources: {x: ./x.txt}\n",
        "c.yml": "!Experiment\n__default__: lib/base.yml\nresources: {y: y.txt}\npipeline:\n  a: !Anything {p: !@ x}\n",
    })  # fmt: skip
    found = whole("c.yml").spec
    assert found.environment.files == {"x": str(tmp_path / "lib/x.txt"), "y": str(tmp_path / "y.txt")}


def test_every_file_is_in_the_spec_and_every_value_knows_its_own(write: Write) -> None:
    write({
        "a.yml": "x: 1\nm: {y: 2}\n",
        "v.yml": "!TextField\nlower: true\n",
        "c.yml": "!Anything\n__default__: a.yml\nm: {y: 3}\nf: 1\n",
    })  # fmt: skip
    spec = whole("c.yml", "f=@v.yml", "x=4").spec
    assert [file.path for file in spec.source.files] == ["c.yml", "a.yml", "v.yml"]
    assert [file.text for file in spec.source.files] == [Path(name).read_text() for name in ("c.yml", "a.yml", "v.yml")]
    assert spec.origins["/stages/0/body/m/y"] == [0, 3, 8]
    assert spec.origins["/stages/0/body/f/lower"] == [2, 2, 8]
    assert "/stages/0/body/x" not in spec.origins
    assert whole("c.yml").spec.origins["/stages/0/body/x"] == [1, 1, 4]


def test_the_file_of_an_override_has_parents(write: Write) -> None:
    write({
        "lib/v.yml": "__default__: ./w.yml\np: 1\n", "lib/w.yml": "p: 0\nq: 2\n",
        "c.yml": "!Anything\nx: 1\n",
    })  # fmt: skip
    assert values("c.yml", "x=@lib/v.yml") == {"x": {"p": 1, "q": 2}}


# New keys and other types ------------------------------------------------------------------------------------------


def test_a_new_key_is_warned_of_where_it_may_be_a_mistake(write: Write) -> None:
    write({
        "a.yml": "train: {rate: 1, size: 2}\nname: x\n",
        "c.yml": "!Anything\n__default__: a.yml\ntrain: {rat: 1, more: 2, __own__: 3}\nnam: y\nfresh: {any: 1}\n",
        "d.yml": "!Anything\nm: !Anything\n",
        "e.yml": "__default__: d.yml\nm: {argument: 1}\n",
        "f.yml": "resources: {a: b}\n",
        "g.yml": "!Anything\n__default__: f.yml\nreduce: {train: 1}\n",
    })  # fmt: skip
    assert warnings("c.yml") == [
        "c.yml:3:9: no parent has the key 'train.rat'. Did you mean 'rate'? '__new_key_policy__: pass' allows it",
        "c.yml:3:17: no parent has the key 'train.more'. '__new_key_policy__: pass' allows it",
        "c.yml:4:1: no parent has the key 'nam'. Did you mean 'name'? '__new_key_policy__: pass' allows it",
    ]
    assert warnings("e.yml") == []  # what its class takes is checked, and this it takes
    assert warnings("g.yml") == []  # an experiment has this key, however near another one is


@pytest.mark.parametrize("policy", ["pass", "warn", "raise"])
def test_policies(write: Write, policy: str) -> None:
    write({
        "grand.yml": "g: 1\n",
        "a.yml": "__default__: grand.yml\n__new_key_policy__: pass\nm: {x: 1}\n",
        "c.yml": f"!Anything\n__default__: a.yml\n__new_key_policy__: {policy}\nm: {{y: 1}}\nn: {{z: 1}}\n",
    })  # fmt: skip
    if policy == "raise":
        assert faults(lambda: whole("c.yml")) == [
            "c.yml:4:5: no parent has the key 'm.y'", "c.yml:5:1: no parent has the key 'n'",
        ]  # fmt: skip
    else:
        assert len(warnings("c.yml")) == (policy == "warn")
        assert values("c.yml") == {"g": 1, "m": {"x": 1, "y": 1}, "n": {"z": 1}}


def test_a_policy_is_that_of_its_own_file_and_never_data(write: Write) -> None:
    write({
        "a.yml": "__new_key_policy__: raise\nm: {x: 1}\n",
        "b.yml": "m: {y: 1}\n",
        "c.yml": "!Anything\n__default__: [a.yml, b.yml]\nm: {z: 1}\n",
        "alone.yml": "!Anything\n__new_key_policy__: raise\nx: 1\ny: {__new_key_policy__: pass, z: 1}\n",
        "inner.yml": "!Anything\n__default__: a.yml\n__new_key_policy__: raise\nm: {__new_key_policy__: pass, __default__: b.yml, q: 1}\n",
    })  # fmt: skip
    assert len(warnings("c.yml")) == 1
    assert values("alone.yml") == {"x": 1, "y": {"z": 1}}
    assert faults(lambda: whole("inner.yml"))[0].startswith("inner.yml:4:51: no parent has the key 'm.q'")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("1", "2.5", None), ("null", "2", None), ("2", "null", None), ("true", "2", "true or false, and is an integer"),
        ("1", "true", "an integer, and is true or false"), ("2.5", "1", "a number, and is an integer"),
        ("{a: 1}", "3", "a mapping, and is an integer"), ("3", "[3]", "an integer, and is a list"),
        ("x", "3", "text, and is an integer"), ("'{b}'", "3", None), ("3", "$HOME", None), ("!Anything", "3", None),
        ("3", "!g [1, 2]", None), ("[1]", "[2]", None),
    ],
)  # fmt: skip
def test_another_type_is_warned_of(write: Write, old: str, new: str, words: str | None) -> None:
    write({"a.yml": f"b: 1\nx: {old}\n", "c.yml": f"!Anything\n__default__: a.yml\nx: {new}\n"})
    expected = [] if words is None else [f"c.yml:3:4: x was {words.replace(', and is', ', and is')} now"]
    assert warnings("c.yml") == expected


# Faults --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", "2:13: __default__ is nothing; expected the path of a file, or a list of paths"),
        ("null", "2:14: __default__ is 'null'; expected the path of a file, or a list of paths"),
        ("''", "2:14: __default__ is nothing; expected the path of a file, or a list of paths"),
        ("3", "2:14: __default__ is '3'; expected the path of a file, or a list of paths"),
        ("{a: b}", "2:14: __default__ is a mapping; expected the path of a file, or a list of paths"),
        ("[a.yml, 3]", "2:22: __default__ has '3'; expected the path of a file, or a list of paths"),
        ("./bse.yml", "2:14: there is no file bse.yml. Did you mean 'base.yml'?"),
        ("sub/base.yml", "2:14: there is no file sub/base.yml. There is no folder sub."),
        ("list.yml", "2:14: list.yml holds a list; expected a mapping"),
        ("other.yml", "2:14: other.yml is a !TextField, and this mapping a !Anything. Leave one of the two tags away."),
        ("$UNSET_FOLDER/a.yml", "2:14: the environment has no variable UNSET_FOLDER. "
         "Set it, or write ${UNSET_FOLDER:-text}; for the text itself write $$UNSET_FOLDER, or !P before it."),
        ("empty.yml", "empty.yml is empty; expected an object to run, such as !Experiment"),
        ("broken.yml", "broken.yml:1:4: this is no YAML: the list that begins here is never closed. Write ']' at its end. Is the file complete?"),
    ],
)  # fmt: skip
def test_wrong_parents(write: Write, value: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UNSET_FOLDER", raising=False)
    write({
        "base.yml": "a: 1\n", "a.yml": "a: 1\n", "list.yml": "[1]\n", "other.yml": "!TextField {}\n", "empty.yml": "# nothing\n",
        "broken.yml": "a: [1\n", "c.yml": f"!Anything\n__default__: {value}\nx: 1\n",
    })  # fmt: skip
    assert faults(lambda: whole("c.yml")) == [message if message[0].isalpha() else f"c.yml:{message}"]


def test_all_parents_that_are_wrong_are_told_at_once(write: Write) -> None:
    write(
        {
            "base.yml": "__default__: 0123.txt\nx: {__default__: 4567.txt}\n",
            "c.yml": "!Anything\n__default__: [base.yml, missing.yml]\n__new_key_policy__: riase\n",
        }
    )
    assert faults(lambda: whole("c.yml")) == [
        "base.yml:1:14: there is no file 0123.txt",
        "base.yml:2:18: there is no file 4567.txt",
        "c.yml:2:25: there is no file missing.yml",
        "c.yml:3:21: __new_key_policy__ is 'riase'; expected raise, warn or pass. Did you mean 'raise'?",
    ]  # fmt: skip


def test_what_is_odd_about_a_file_is_told_once(write: Write) -> None:
    write({
        "a.yml": "__default__: b.yml\nm: {y: 1}\n", "b.yml": "m: {x: 1}\n", "bad.yml": "__default__: 0123.txt\n",
        "c.yml": "!Anything\np: {__default__: a.yml}\nq: {__default__: a.yml}\n",
        "d.yml": "!Anything\np: {__default__: bad.yml}\nq: {__default__: bad.yml}\n",
    })  # fmt: skip
    assert len(warnings("c.yml")) == 1
    assert faults(lambda: whole("d.yml")) == ["bad.yml:1:14: there is no file 0123.txt"]


def test_a_circle_shows_its_chain(write: Write) -> None:
    write(
        {
            "a.yml": "__default__: sub/b.yml\n",
            "sub/b.yml": "__default__: ../a.yml\n",
            "c.yml": "!Anything\n__default__: a.yml\n",
            "self.yml": "!Anything\n__default__: ./self.yml\n",
        }
    )
    assert faults(lambda: whole("c.yml")) == [
        "sub/b.yml:1:14: ../a.yml is a parent of itself: a.yml → sub/b.yml → a.yml"
    ]
    assert faults(lambda: whole("self.yml")) == ["self.yml:2:14: ./self.yml is a parent of itself: self.yml → self.yml"]


def test_a_bomb_of_parents_is_bounded(write: Write) -> None:
    texts = {f"p{i}.yml": f"a: {{__default__: p{i + 1}.yml}}\nb: {{__default__: p{i + 1}.yml}}\n" for i in range(40)}
    write({**texts, "p40.yml": "x: 1\n", "c.yml": "!Anything\n__default__: p0.yml\n"})
    found = faults(lambda: whole("c.yml"))
    assert f"this config has more than {MOST_FILES} parents" in found[0]
    assert len(found) < 50


def test_depth_is_bounded_across_files(write: Write) -> None:
    inner = "".join(f"{'  ' * i}k:\n" for i in range(60))
    write({
        "b.yml": f"{inner}{'  ' * 60}x: 1\n",
        "a.yml": f"{inner}{'  ' * 60}__default__: b.yml\n",
        "c.yml": "!Anything\n__default__: a.yml\n",
    })  # fmt: skip
    assert "nests more than 100 deep" in faults(lambda: whole("c.yml"))[0]


def test_a_list_of_hydra_is_refused_with_our_spelling(write: Write) -> None:
    write({"c.yml": "defaults:\n  - model: big\n  - _self_\n__default__: a.yml\n", "a.yml": "!Anything {x: {}}\n"})
    assert faults(lambda: whole("c.yml"))[0].startswith(
        "c.yml:2:3: a list of defaults has no meaning here. Name the files of parents: "
        "'model: {__default__: ./model/big.yaml}', or '__default__: [./base.yaml]' for a whole config."
    )


# Texts ---------------------------------------------------------------------------------------------------------------


def test_another_list_of_that_name_is_data(write: Write) -> None:
    write({"c.yml": "!Anything\ndefaults: [a, {b: 1, c: 2}]\n", "d.yml": "defaults: [_self_]\na: 1\n"})
    assert values("c.yml") == {"defaults": ["a", {"b": 1, "c": 2}]}
    assert "a list of defaults" in faults(lambda: whole("d.yml"))[1]


def test_the_raw_text_can_be_run_in_any_folder(write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write({
        "lib/x.txt": "", "lib/a.yml": "p: !file ./x.txt\nr: '{q}'\nq: 1e-3\n",
        "c.yml": "!Anything\n__default__: lib/a.yml\ns: {__default__: ./d.yml}\n", "d.yml": "# words\nt: [a, 'b: c', \"{q}\"]\n",
        "elsewhere/none.txt": "",
    })  # fmt: skip
    first = whole("c.yml", "q=2")
    assert first.raw is not None
    assert "__default__" not in first.raw
    assert "'{q}'" in first.raw or '"{q}"' in first.raw
    monkeypatch.chdir(tmp_path / "elsewhere")
    Path("again.yml").write_text(first.raw)
    again = whole("again.yml")
    assert again.raw is None
    assert again.spec.stages[0].body == first.spec.stages[0].body


def test_a_dash_inside_of_brackets_stays_text(write: Write) -> None:
    write({"c.yml": "!Anything\na: {b: -, c: [-, -1, -x, '- y']}\n"})
    raw = whole("c.yml", "+d=1").raw
    write({"again.yml": raw or ""})
    assert values("again.yml") == {"a": {"b": "-", "c": ["-", -1, "-x", "- y"]}, "d": 1}


def test_a_text_that_means_the_same_everywhere_is_its_own_raw_text(write: Write) -> None:
    write({"c.yml": "# words\n!Anything\nx: 1\n"})
    assert whole("c.yml").raw is None
    assert whole("c.yml", "x=2").raw == "!Anything\nx: 2\n"


def test_paths_of_a_single_file_keep_the_rest_of_its_text(write: Write, tmp_path: Path) -> None:
    write({
        "x.txt": "", "my.py": "class A: ...\n",
        "c.yml": "my: my.py  # code\n---\n# words\n!Anything\nx: !file ./x.txt  # the words\ny:   &y !file './x.txt'\n",
    })  # fmt: skip
    assert whole("c.yml").raw == (
        f"my: {tmp_path}/my.py  # code\n---\n# words\n!Anything\nx: !file {tmp_path}/x.txt  # the words\n"
        f"y:   &y !file '{tmp_path}/x.txt'\n"
    )
    write({"odd {a} 'b'/x.txt": "", "odd {a} 'b'/c.yml": "!Anything\nx: !file ./x.txt\ny: {z: !file './x.txt'}\n"})
    raw = whole("odd {a} 'b'/c.yml").raw
    assert raw is not None
    write({"again.yml": raw})
    path = {"$file": f"{tmp_path}/odd {{a}} 'b'/x.txt"}
    assert values("again.yml") == {"x": path, "y": {"z": path}} == values("odd {a} 'b'/c.yml")


# Properties ------------------------------------------------------------------------------------------------------------

PLAIN = st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab -:#{}$'\"", max_size=3)
TREES = st.dictionaries(
    st.sampled_from("abc"),
    st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3), max_leaves=5),
)  # fmt: skip


def merged(base: Any, over: Any) -> Any:
    if not (isinstance(base, dict) and isinstance(over, dict)):
        return over
    return base | {key: merged(base[key], item) if key in base else item for key, item in over.items()}


@given(st.lists(TREES, min_size=2, max_size=4))
@settings(max_examples=100, deadline=None)
def test_parents_are_merged_as_mappings_are(
    tmp_path_factory: pytest.TempPathFactory, trees: list[dict[str, Any]]
) -> None:
    folder = tmp_path_factory.getbasetemp() / "parents"
    folder.mkdir(exist_ok=True)
    *parents, own = trees
    for index, tree in enumerate(parents):
        (folder / f"{index}.yml").write_text(json.dumps(protected_node(tree)))
    names = [f"./{index}.yml" for index in range(len(parents))]
    pairs = {"__default__": names, **protected_node(own)}
    text = "!Anything\n" + "".join(f"{key}: {json.dumps(value)}\n" for key, value in pairs.items())
    (folder / "c.yml").write_text(text)
    expected: dict[str, Any] = {}
    for tree in trees:
        expected = merged(expected, tree)
    compiled = compile_whole(text, name="c", file=str(folder / "c.yml"), overrides=[], argv=[])
    body = {key: value for key, value in compiled.spec.stages[0].body.items() if key != "$new"}
    assert json.dumps(body) == json.dumps(expected)
    again = compile_whole(compiled.raw or "", name="c", file="<c>", overrides=[], argv=[])
    assert again.raw is None
    assert again.spec.stages[0].body == compiled.spec.stages[0].body
