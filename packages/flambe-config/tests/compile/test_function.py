"""The config of a function: ``__run__`` and its keys, names of folders, searches, and what is wrong with either."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flambe.compile.compiler import Compiled, compile_whole, name_of
from flambe.errors import ConfigFaults
from flambe.record.provenance import spec_to_yaml
from flambe.spec.codec import dump_json

RUN = "__run__:\n  __main__: my_code.first:main\n  __output_dir__: out\n  __name__: {name}\n{more}"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a package, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_code").mkdir()
    (tmp_path / "my_code/__init__.py").write_text("")
    (tmp_path / "my_code/first.py").write_text(
        "import sys\nsys.exit('was imported')\n\nclass Thing: ...\n\ndef main(name, config): ...\ndef context(ctx): ...\n"
        "def three(a, b, c): ...\ndef none(): ...\ndef only(*, name, config): ...\ndef rest(*args): ...\nother = main\n"
    )
    return tmp_path


def write(name: str = "x", more: str = "", rest: str = "") -> str:
    return RUN.replace("{name}", name).replace("{more}", f"  {more}\n" if more else "") + rest


def whole(text: str, *overrides: str, file: str = "c.yml") -> Compiled:
    Path(file).write_text(text)
    return compile_whole(text, name=name_of(file), file=file, overrides=overrides, argv=[])


def faults(text: str, *overrides: str) -> list[str]:
    with pytest.raises(ConfigFaults) as caught:
        whole(text, *overrides)
    return [str(fault).removeprefix("c.yml:") for fault in caught.value.faults]


def test_the_spec_of_a_function(project: Path) -> None:
    spec = whole(write("a/{model.kind}-{lr}", rest="seed: 5\nlr: 1e-3\nmodel: {kind: big/one}\n")).spec
    assert (spec.kind, spec.name, spec.seed, spec.max_failures) == ("function", "a/big_one-0.001", 5, 0)
    assert spec.output_dir == str(project / "out")
    (stage,) = spec.stages
    assert (stage.name, stage.reuse) == ("main", False)
    assert stage.body == {
        "$new": "flambe.runnable:Function",
        "main": "my_code.first:main",
        "name": "a/big_one-0.001",
        "config": {"seed": 5, "lr": 0.001, "model": {"kind": "big/one"}},
        "code": {"$file": str(project)},
        "snapshot": "copy",
    }
    assert list(stage.body) == ["$new", "main", "name", "config", "code", "snapshot"]
    assert spec.origins["/stages/0/body/config/lr"] == [0, 6, 5]


def test_parts_of_a_name(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHO", "a/b")
    text = "l: [10, 10]\nf: 0.00001\nt: true\nn: null\np: x/y\n"
    assert whole(write("'r/{l}-{f}-{t}-{n}/$WHO-{p}'", rest=text)).spec.name == "r/[10,10]-1e-05-true-null/a_b-x_y"
    assert whole(write("'{p}'", rest=text)).spec.name == "x_y"
    assert whole(write("5", rest=text)).spec.name == "5"
    assert whole(write("x", rest="again: '{__run__.__name__}'\n"), "__run__.__name__=y-{f}", "+f=2").spec.name == "y-2"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("../up", "which has the part '..'"), ("/abs", "which is absolute"), ("a//b", "which has an empty part"), ("a/", "which has an empty part"),
        ("./a", "which has the part '.'"), ("a/exp.0", "which has a part that is the name of a run"), ("'{e}'", "__name__ is nothing; expected text"), ("'a/{e}'", "which has an empty part"),
        ("'{d}'", "which has the part '..'"), ("a/{long}", "which has a part of more than 200 bytes"), ('"a\\nb"', "which has characters that cannot be seen"),
        ("[a]", "__name__ is a list; expected text"), ("true", "__name__ is 'true'; expected text"), ("''", "__name__ is nothing; expected text"),
        ("!TextField", "__name__ is !TextField; expected text"),
    ],
)  # fmt: skip
def test_wrong_names(project: Path, name: str, why: str) -> None:
    (found,) = faults(write(name, rest=f"e: ''\nd: ..\nlong: {'x' * 300}\n"))
    assert found.startswith("4:13: ")
    assert why in found
    assert len(found) < 300


def test_folders(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "configs").mkdir()
    (project / "configs/my_code").symlink_to(project / "my_code")
    for code, expected in [
        (".", project),
        ("./", project / "configs"),
        ("..", project),
        ("../", project),
        ("configs", project / "configs"),
    ]:
        spec = whole(write(more=f"__code__: {code}"), file="configs/c.yml").spec if code != ".." else None
        if spec is not None:
            assert spec.stages[0].body["code"] == {"$file": str(expected)}, code
    monkeypatch.setenv("OUT", "/somewhere")
    assert whole(write().replace(": out", ": $OUT/x")).spec.output_dir == "/somewhere/x"
    assert whole(write().replace(": out", ": ~/x")).spec.output_dir == os.path.expanduser("~/x")


@pytest.mark.parametrize(
    ("main", "message"),
    [
        ("my_code.first", "__main__ is 'my_code.first'; expected package.module:function. Write my_code:first"),
        ("my_code/first.py:main", "__main__ is 'my_code/first.py:main'; expected package.module:function. Write my_code.first:main"),
        ("my_cod.first:main", "there is no module 'my_cod' in {here}. Did you mean 'my_code'?"),
        ("my_code.frist:main", "there is no module my_code.frist in {here}. Did you mean 'first'?"),
        ("my_code.first:mian", "my_code.first has no function 'mian'. Did you mean 'main'?"),
        ("my_code.first:Thing", "my_code.first:Thing is a class; expected a function of the name and the config"),
        ("my_code.first:three", "my_code.first:three takes (a, b, c); expected a function of (name, config), or of (context)"),
        ("my_code.first:none", "my_code.first:none takes (); expected a function of (name, config), or of (context)"),
        ("my_code.first:only", "my_code.first:only takes (name, config); expected a function of (name, config), or of (context)"),
        ("os:getcwd", "there is no module 'os' in {here}. Set __code__ to the folder that holds it."),
        ("3", "__main__ is '3'; expected package.module:function"),
        ("'{x}'", "{x} names nothing in this config. For the text itself write {{x}}, or !P before it."),
    ],
)  # fmt: skip
def test_the_function_has_to_be_there(project: Path, main: str, message: str) -> None:
    (found,) = faults(write().replace("my_code.first:main", main))
    assert found == f"2:13: {message.replace('{here}', str(project))}"


@pytest.mark.parametrize("main", ["my_code.first:context", "my_code.first:rest", "my_code.first:other"])
def test_functions_that_may_be_called(project: Path, main: str) -> None:
    assert whole(write().replace("my_code.first:main", main)).spec.stages[0].body["main"] == main


def test_what_is_missing_or_unknown(project: Path) -> None:
    assert faults("__run__: {}\n") == [
        "1:10: __run__ has no __main__ and no __output_dir__ and no __name__; expected __main__: package.module:function, "
        "__output_dir__: the folder of all runs, __name__: the name of the run"
    ]
    assert faults("__run__: 3\n") == ["1:10: __run__ is '3'; expected a mapping of __main__, __output_dir__, __name__"]
    assert faults(write(more="__snapshots__: copy")) == [
        "5:3: __run__ has no key '__snapshots__'. Did you mean '__snapshot__'?"
    ]
    assert faults(write(more="__code__: my_cod")) == [
        f"5:13: __code__: there is no folder {project}/my_cod. Did you mean 'my_code'?"
    ]
    assert faults(write(more="__snapshot__: gti")) == [
        "5:17: __snapshot__ is 'gti'; expected copy, git or none. Did you mean 'git'?"
    ]
    assert faults(write().replace(": out", ": 3 4\n  __output_dir__: x"))[0].startswith(
        "4:3: duplicate key '__output_dir__'"
    )


@pytest.mark.parametrize(
    ("pair", "expected"),
    [
        ("__dirty__: include", {}), ("__dirty__: refuse", {"dirty": "refuse"}), ("__streams__: file", {"streams": "file"}),
        ("__streams__: null", {"streams": "none"}), ("__requirements__: declared", {"requirements": "declared"}),
        ("__log__: true", {}), ("__log__: false", {"log": False}), ("__seeding__: auto", {}), ("__seeding__: null", {"seeding": None}),
        ("__seeding__: my_code.first:seed", {"seeding": "my_code.first:seed"}), ("__scheduler__: {name: local}", {}),
        ("__log__: {name: my_code.Log, rows: [1, .nan]}", {"log": {"name": "my_code.Log", "rows": [1, {"$float": "NaN"}]}}),
        ("__snapshot__: {name: my_code.Copies}", {"version_manager": {"name": "my_code.Copies"}}),
    ],
)  # fmt: skip
def test_how_a_function_is_run(project: Path, pair: str, expected: dict[str, object]) -> None:
    compiled = whole(write(more=pair))
    assert compiled.warnings == []
    assert compiled.spec.stages[0].body.get("settings", {}) == expected
    assert compiled.spec.flambe_spec == ("1.2" if expected else "1.0")
    again = whole(spec_to_yaml(compiled.spec), file="config.yml")
    assert again.spec.stages[0].body == compiled.spec.stages[0].body


def test_retries_and_resources_are_those_of_a_spec(project: Path) -> None:
    spec = whole(write(more="__retries__: 2\n  __resources__: {cpus: 2, gpus: 0.5, memory: null}")).spec
    assert (spec.max_failures, spec.devices) == (2, {"cpus": 2, "gpus": 0.5})
    assert spec.origins["/devices/gpus"][2] == spec.origins["/devices/cpus"][2] + len("2, gpus: ")
    assert whole(spec_to_yaml(spec)).spec.devices == {"cpus": 2, "gpus": 0.5}
    (warning,) = whole(write(more="__resources__: {cpus: 2, time: 3h}")).warnings
    assert warning.what == "time of __resources__ has no effect here; a cluster's scheduler is told in the cluster file"


@pytest.mark.parametrize(
    ("pair", "fault"),
    [
        ("__dirty__: refsue", "5:14: __dirty__ is 'refsue'; expected include, head or refuse. Did you mean 'refuse'?"),
        ("__log__: maybe", "5:12: __log__ is 'maybe'; expected true, false, or {name: package.module.Class}"),
        ("__log__: {rows: 3}", "5:12: __log__ names no class; expected {name: package.module.Class, argument: value}"),
        ("__seeding__: seed", "5:16: __seeding__ is 'seed'; expected auto, null or package.module:function"),
        ("__retries__: -1", "5:16: __retries__ is '-1'; expected how often a failed run is tried again: 0, 1, …"),
        ("__resources__: {cups: 2}", "5:19: __resources__ has no 'cups'. Did you mean 'cpus'?"),
        ("__resources__: {cpus: many}", "5:25: cpus of __resources__ is 'many'; expected a number"),
        ("__scheduler__: {name: slurm}", "5:18: __scheduler__ cannot be slurm here; expected local. Submit the spec: "
         "flambe-compile FILE | flambe-cluster submit."),
    ],
)  # fmt: skip
def test_what_run_cannot_say(project: Path, pair: str, fault: str) -> None:
    assert faults(write(more=pair)) == [fault]


def test_overrides_reach_run_and_its_keys_that_are_not_written(project: Path) -> None:
    spec = whole(write(rest="lr: 1\n"), "__run__.__name__=other/{lr}", "__run__.__snapshot__=none", "--lr", "2").spec
    assert (spec.name, spec.stages[0].body["snapshot"]) == ("other/2", "none")
    assert faults(write(), "__run__.__snapshots__=x")[0].startswith(
        "override '__run__.__snapshots__=x': __run__ has no key"
    )


def test_a_key_like_those_of_the_language_is_no_data(project: Path) -> None:
    assert faults(write(rest="__defaults__: x.yml\n__files__: {}\n")) == [
        "5:1: '__defaults__' is no key of the language. Did you mean '__default__'?",
        "6:1: '__files__' is no key of the language; expected __default__, __new_key_policy__, __run__, or another name",
    ]


def test_a_parent_may_say_what_runs(project: Path) -> None:
    Path("base.yml").write_text(write("n-{lr}", rest="lr: 1\n"))
    assert whole("__default__: base.yml\nlr: 2\n").spec.name == "n-2"


def test_the_config_may_hold_objects_and_links(project: Path) -> None:
    config = whole(write(rest="field: !TextField {lower: true}\nsame: !@ field\n")).spec.stages[0].body["config"]
    assert config["same"] == {"$link": ["main", "config", "field"]}
    assert config["field"] == {"$new": "flambe.toys.parts:TextField", "lower": True}
    assert faults(write(rest="field: !TextField {lowr: true}\n")) == [
        "5:20: TextField has no argument 'lowr'. Did you mean 'lower'?"
    ]


# Search ----------------------------------------------------------------------------------------------------------------


def test_names_and_values_follow_each_variant(project: Path) -> None:
    compiled = whole(write("x-{lr}", rest="lr: 1\nseed: 3\nm: {half: '{lr}', l: ['{seed}']}\n"), "lr=1,2", "seed=5,6")
    assert len(compiled.follows) == 2
    found = list(compiled.variants())
    assert [(spec.name, spec.seed) for spec in found] == [("x-1", 5), ("x-1", 6), ("x-2", 5), ("x-2", 6)]
    assert found[3].stages[0].body["config"] == {"lr": 2, "seed": 6, "m": {"half": 2, "l": [6]}}
    assert found[3].stages[0].params == {"config.lr": 2, "config.seed": 6}


def test_only_the_name_follows_a_search(project: Path) -> None:
    compiled = whole(write("x-{m.lr}", rest="m: {lr: !g [1, '{k}']}\nk: 7\n"))
    assert compiled.follows == []
    assert compiled.spec.name == "x-lr"
    assert compiled.spec.stages[0].body["config"]["m"] == {"lr": {"$grid": [1, 7]}}
    assert [spec.name for spec in compiled.variants()] == ["x-1", "x-7"]


def test_a_search_inside_of_an_option_and_one_that_draws(project: Path) -> None:
    text = "low: 1\nopt: !g [{kind: a, rate: !g [1, 2]}, {kind: b}]\ns: !s ['{low}', 9, 2]\n"
    found = [spec.stages[0].body["config"] for spec in whole(write("'{opt.kind}'", rest=text)).variants()]
    assert [(config["opt"].get("rate"), config["opt"]["kind"]) for config in found] == [
        (1, "a"),
        (1, "a"),
        (2, "a"),
        (2, "a"),
        (None, "b"),
        (None, "b"),
    ]
    drawn = whole(write("x", rest=text)).spec.stages[0].body["config"]["s"]["$grid"]
    assert [config["s"] for config in found] == drawn * 3


def test_the_first_variant_is_checked_with_the_whole(project: Path) -> None:
    assert "names nothing" in faults(write("x", rest="opt: !g [{a: 1}, {b: 1}]\nc: '{opt.b}'\n"))[0]


def test_a_distribution_with_a_list_of_values_has_variants(project: Path) -> None:
    compiled = whole(write("x-{q}", rest="q: !quniform [1, 5, 3]\nr: '{q}'\n"))
    assert [spec.name for spec in compiled.variants()] == ["x-1", "x-3", "x-5"]


def test_a_distribution_is_refused(project: Path) -> None:
    assert "config.x has no list of values to try" in faults(write(rest="x: !uniform [0, 1]\n"))[0]


# Texts -----------------------------------------------------------------------------------------------------------------


def test_raw_keeps_its_words_and_means_the_same_elsewhere(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = write("x-{lr}", rest="lr: 1  # slow\n")
    compiled = whole(text)
    assert compiled.raw == text.replace(
        "  __main__", f"  __code__: {project}\n  __main__", 1
    ).replace(": out", f": {project}/out")  # fmt: skip
    elsewhere = project / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    again = whole(compiled.raw or "")
    assert again.raw is None
    assert spec_to_yaml(again.spec) == spec_to_yaml(compiled.spec)
    assert whole(compiled.raw or "", "lr=2").spec.name == "x-2"


def test_a_resolved_config_is_taken_as_it_stands(project: Path) -> None:
    resolved = spec_to_yaml(whole(write("x-{lr}", rest="lr: 1\na: '{{lr}} $$HOME'\nb: '!P !P {lr}'\n1: {2: x}\n")).spec)
    assert resolved.startswith("__resolved__: true\n")
    compiled = whole(resolved, file="config.yml")
    assert compiled.spec.name == "x-1"
    config = dict(compiled.spec.stages[0].body["config"]["$map"][:3])
    assert config == {"lr": 1, "a": "{lr} $HOME", "b": "!P {lr}"}
    assert spec_to_yaml(compiled.spec) == resolved
    changed = whole(resolved, "a='{lr}'", file="config.yml").spec
    assert dict(changed.stages[0].body["config"]["$map"])["a"] == "{lr}"


def test_a_resolved_parent_stays_as_it_is(project: Path) -> None:
    Path("config.yml").write_text(spec_to_yaml(whole(write(rest="a: '{{lr}}'\nlr: 1\n")).spec))
    spec = whole("__default__: config.yml\nlr: 2\nb: 'x{lr}'\n__new_key_policy__: pass\n").spec
    assert spec.stages[0].body["config"] == {"a": "{lr}", "lr": 2, "b": "x2"}
    Path("values.yml").write_text("__resolved__: true\nc: '{lr}'\n")
    config = whole(write(rest="v: 1\nlr: 1\n"), "v=@values.yml").spec.stages[0].body["config"]
    assert config["v"] == {"c": "{lr}"}


TEXTS = st.text(alphabet="{}$aP! .#:'\"\\\n-1é", max_size=8)
CONFIG = st.dictionaries(
    st.text(alphabet="ab{}.", min_size=1, max_size=4),
    st.recursive(TEXTS | st.integers(-(2**63), 2**63) | st.floats() | st.none() | st.booleans(), lambda inner: st.lists(inner, max_size=3)),
    max_size=4,
)  # fmt: skip


@given(CONFIG)
@settings(max_examples=100, deadline=None)
def test_any_resolved_config_is_a_fixed_point(tmp_path_factory: pytest.TempPathFactory, config: dict[str, Any]) -> None:
    from flambe.compile.dump import node_to_yaml
    from flambe.spec.codec import escape

    folder = tmp_path_factory.getbasetemp() / "function"
    folder.mkdir(exist_ok=True)
    (folder / "code.py").write_text("def main(name, config): ...\n")
    run = {"__main__": "code:main", "__name__": "{n}", "__output_dir__": "/out", "__code__": str(folder)}
    text = node_to_yaml({"__resolved__": True, "__run__": run, **escape(config)})
    first = compile_whole(text, name="t", file="<t>", overrides=[], argv=[])
    assert first.spec.name == "{n}"
    assert dump_json(first.spec.stages[0].body["config"]) == dump_json(escape(config))
    resolved = spec_to_yaml(first.spec)
    again = compile_whole(resolved, name="t", file="<t>", overrides=[], argv=[])
    assert spec_to_yaml(again.spec) == resolved
