"""Trees → nodes: every form a value may take."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from flambe.compile import compile_text

FORMS = [
    ("!TextField", {"$new": "flambe.toys.parts:TextField"}),
    ("!TextField {}", {"$new": "flambe.toys.parts:TextField"}),
    ("!TextField {{}}", {"$new": "flambe.toys.parts:TextField"}),
    ("!MyClassifier.load_from_path {path: x}", {"$new": "flambe.toys.parts:Classifier.load_from_path", "path": "x"}),
    ("!flambe.toys.parts.TextField {lower: true}", {"$new": "flambe.toys.parts:TextField", "lower": True}),
    ("!Encoder 3", {"$new": "flambe.toys.parts:Encoder", "$args": [3]}),
    ("!TextField [true, '1']", {"$new": "flambe.toys.parts:TextField", "$args": [True, "1"]}),
    ("!TextField {0: true, pad_token: x}", {"$new": "flambe.toys.parts:TextField", "$args": [True], "pad_token": "x"}),
]


@pytest.mark.parametrize(("text", "node"), FORMS, ids=[text for text, _ in FORMS])
def test_forms_of_a_tag(kit: Any, text: str, node: Any) -> None:
    found = kit.body(text)
    assert found == node
    assert list(found) == list(node)


VALUES = [
    ("1e-3", 0.001), ("no", "no"), ("!!str 5", "5"), ("!!int '5'", 5), ("!!float 5", 5.0), ("! 5", "5"), ("null", None),
    (".nan", {"$float": "NaN"}), ("-.inf", {"$float": "-Infinity"}), ("!!binary aGk=", {"$bytes": "aGk="}),
    ("{a: 1, b: [x]}", {"a": 1, "b": ["x"]}), ("{1: a, b: 2}", {"$map": [[1, "a"], ["b", 2]]}),
    ("{$a: 1}", {"$map": [["$a", 1]]}), ("!g [1, a]", {"$grid": [1, "a"]}), ("!choice [1, 2]", {"$grid": [1, 2]}),
    ("!GridSearchOptions [1, [2]]", {"$grid": [1, [2]]}), ("!g [!TextField {}, !g [1]]", {"$grid": [{"$new": "flambe.toys.parts:TextField"}, {"$grid": [1]}]}),
    ("!choice {a: 1, b: [2]}", {"$grid": [1, [2]], "names": ["a", "b"]}),
    ("!choice {options: [1, 2], probs: [0.25, 0.75]}", {"$grid": [1, 2], "probs": [0.25, 0.75]}),
    ("!choice {options: {a: 1, b: 2}, probs: {b: 0.75, a: 0.25}}", {"$grid": [1, 2], "names": ["a", "b"], "probs": [0.25, 0.75]}),
    ("!quniform [1, 2, 3]", {"$quniform": [1, 2, 3]}), ("!quniform {n: 3, low: 5, high: 7, transform: pow2}", {"$quniform": [5, 7, 3], "transform": "pow2"}),
    ("!seeds [3, 1]", {"$grid": [3, 1]}), ("!seeds {n: 2, seed: 7}", {"$grid": [863282, 634646]}),
    ("!env HOME", {"$env": "HOME"}), ("!@ z.p", {"$link": ["z"], "attr": ["p"]}), ("!link z", {"$link": ["z"]}), ("!Link z", {"$link": ["z"]}),
    ("!ref 'z[k][0].p.q'", {"$link": ["z", "k", 0], "attr": ["p", "q"]}), ("!call z.f", {"$link": ["z"], "attr": ["f"], "call": True}),
    ("!copy z", {"$link": ["z"], "copy": True}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), VALUES, ids=[text for text, _ in VALUES])
def test_values(kit: Any, text: str, value: Any) -> None:
    spec = kit.pipeline(f"z: !Anything\n  k: [1]\na: !Anything\n  x: {text}")
    assert spec.stages[1].body["x"] == value
    assert type(spec.stages[1].body["x"]) is type(value)


FAULTS = [
    ("!g 3", "!g holds '3'; expected a list of values. Write !g [3]."),
    ("!g {a: 1}", "!g holds a mapping; expected a list of values. Write !choice for options with names."),
    ("!choice {}", "!choice holds an empty mapping; expected one value or more"),
    ("!choice 3", "!choice holds '3'; expected a list of values. Write !choice [3]."),
    ("!choice {options: 3}", "the options of !choice are '3'; expected a list or mapping"),
    ("!choice {options: [1, 2], probs: [0.5]}", "the probs of !choice are no probabilities of its 2 options; expected 2 numbers that add up to 1"),
    ("!choice {options: [1, 2], probs: [0.5, 0.6]}", "the probs of !choice are no probabilities of its 2 options; expected 2 numbers that add up to 1"),
    ("!choice {options: {a: 1}, probs: {b: 1}}", "the probs of !choice are no probabilities of its 1 options; expected 1 numbers that add up to 1"),
    ("!uniform 3", "!uniform holds '3'; expected !uniform [low, high]"),
    ("!uniform [1]", "!uniform holds 1 value; expected !uniform [low, high]"),
    ("!uniform [1, 2, pow10, 4]", "!uniform holds 4 values; expected !uniform [low, high]"),
    ("!uniform [2, 1]", "!uniform has low 2 above high 1; expected !uniform [low, high]"),
    ("!uniform [a, 1]", "!uniform has a low that is no number; expected !uniform [low, high]"),
    ("!uniform [.nan, 1]", "!uniform has a low that is no number; expected !uniform [low, high]"),
    ("!uniform [!g [1], 2]", "!uniform has a low that is no number; expected !uniform [low, high]"),
    ("!uniform {low: 1, top: 2}", "!uniform has no 'top'; expected low, high and perhaps transform"),
    ("!uniform {low: 1}", "!uniform has no high; expected !uniform [low, high]"),
    ("!uniform [1, 2, log]", "!uniform has the transform 'log'; expected one of pow2, pow10, exp"),
    ("!uniform [1, 400, pow10]", "!uniform gives numbers that are too large: pow10 of 400; expected smaller numbers"),
    ("!normal [0, -1]", "!normal has the scale -1; expected 0 or more"),
    ("!beta [0, 1]", "!beta has a 0; expected more than 0"),
    ("!beta [1, -2.5]", "!beta has b -2.5; expected more than 0"),
    ("!quniform [1, 2]", "!quniform holds 2 values; expected !quniform [low, high, n]"),
    ("!quniform [1, 2, 0]", "!quniform has 0 values; expected an integer from 1 to 100,000"),
    ("!quniform [1, 2, 1.5]", "!quniform has 1.5 values; expected an integer from 1 to 100,000"),
    ("!quniform [1, 90, 3, pow2]", "!quniform gives numbers that are too large: pow2 of 90; expected smaller numbers"),
    ("!seeds x", "!seeds does not say how many seeds to draw; expected N, [seed, seed, …] or {n: N, seed: FROM}"),
    ("!seeds 0", "!seeds draws 0 seeds; expected from 1 to 1,000"),
    ("!seeds [1, 1]", "!seeds holds a seed twice; expected different integers"),
    ("!seeds [1, -1]", "!seeds holds something else than seeds; expected integers, 0 or more"),
    ("!seeds {m: 1}", "!seeds does not say how many seeds to draw; expected N, [seed, seed, …] or {n: N, seed: FROM}"),
    ("!g []", "!g holds an empty list; expected one value or more"),
    ("!s [1, 2]", "!s does not say how many values to draw; expected [low, high, k] or [low, high, k, decimals]"),
    ("!s [1]", "!s holds 1 value; expected [low, high, k] or [low, high, k, decimals]"),
    ("!s [1, 2, 0]", "!s draws 0 values; expected 1 or more"),
    ("!s [3, 2, 1]", "!s has low 3 above high 2; expected [low, high, k] or [low, high, k, decimals]"),
    ("!s [a, 2, 1]", "!s holds something else than numbers; expected [low, high, k] or [low, high, k, decimals]"),
    ("!@ ''", "the link '' names nothing; expected stage[key].attribute"),
    ("!@ [z]", "!@ holds a list; expected the text of a link, such as stage[key].attribute. Quote it, where it begins with a bracket or stands inside [ ] or { }."),
    ("!@ .a", "the link '.a' begins with '.'; expected stage[key].attribute"),
    ("!@ 'z[b'", "the link 'z[b' has a bracket that is never closed, at character 2; expected stage[key].attribute"),
    ("!@ z[b]c", "the link 'z[b]c' has 'c' where '[' or '.' belongs, at character 5; expected stage[key].attribute"),
    ("!@ z.", "the link 'z.' has an empty attribute name, at character 2; expected stage[key].attribute"),
    ("!@ z..b", "the link 'z..b' has an empty attribute name, at character 2; expected stage[key].attribute"),
    ("!@ z[a] .c", "the link 'z[a] .c' has ' ' where '[' or '.' belongs, at character 5; expected stage[key].attribute. A link has no spaces."),
    ("!@ z]a[", "the link 'z]a[' closes a bracket that was never opened, at character 2; expected stage[key].attribute"),
    ("!@dataset.text", "unknown tag !@dataset.text. A link is written with a space: !@ dataset.text"),
    ("!$ 3", "!$ refers to pickled data, which is never read"),
    ("!cluster /x", "!cluster stands only in the resources of an experiment. Name the file there, files: !cluster /path, and link to the name: !@ files."),
    ("!file nowhere", "no file is called 'nowhere'. Declare it under resources, or under local_files of !Environment."),
    ("!!int x", "!!int stands before 'x'; expected an integer"),
    ("!!binary '*'", "this is no base64: Only base64 data is allowed"),
    ("!!python/name:os.system", "!!python/name:os.system is no tag of plain YAML 1.2 data"),
    ("123456789012345678901234567890", "the integer 123456789012345678901234567890 is too large; expected at most 64 bits"),
    ("{[1]: 2}", "a key is a single value. Quote it, if it is text."),
    ("{1: !TextField {}}", "a mapping whose keys are not all plain text cannot hold tags. Quote its keys."),
    ("!os.system {command: ls}", "unknown tag !os.system. Tags reach components, not Python's own library."),
    ("!mylib.Thing", "unknown tag !mylib.Thing: no header names the module 'mylib'. Write before the experiment: 'mylib: path/to/mylib.py', then '---'."),
    ("!yaml.load", "unknown tag !yaml.load: no header names the module 'yaml'. Write before the experiment: 'yaml: yaml', then '---'."),
    ("!my_parts.TextField", "unknown tag !my_parts.TextField: no header names the module 'my_parts'. Write before the experiment: 'my_parts: path/to/my_parts.py', then '---'."),
    ("!Encodr.load_from_path", "unknown tag !Encodr.load_from_path. Did you mean '!Encoder.load_from_path'?"),
    ("!Encodr.from_alias", "unknown tag !Encodr.from_alias. Did you mean '!Encoder'?"),
    ("!textfield", "unknown tag !textfield. Did you mean '!TextField'?"),
    ("!grid [1, 2]", "unknown tag !grid. Did you mean !g? It tries each value of a list: !g [value, …]."),
    ("!choose [1, 2]", "unknown tag !choose. Did you mean !g? It tries each value of a list: !g [value, …]."),
    ("!sample [1, 2, 3]", "unknown tag !sample. Did you mean !s? It draws k values evenly: !s [low, high, k]."),
    ("!flambe.nlp.Thing", "unknown tag !flambe.nlp.Thing: the module 'flambe' has no 'nlp'. flambe.nlp is not installed here: pip install flambe-nn."),
    ("!flambe.learnn.Thing", "unknown tag !flambe.learnn.Thing: the module 'flambe' has no 'learnn'. Did you mean '!flambe.learn.Thing'?"),
    ("!flambe.Encoder", "unknown tag !flambe.Encoder: the module 'flambe' has no 'Encoder'. Did you mean '!Encoder'?"),
    ("!TextField.load_from_path: {path: x}", "unknown tag !TextField.load_from_path:. Remove the colon after the tag."),
]  # fmt: skip


@pytest.mark.parametrize(("text", "fault"), FAULTS, ids=[text for text, _ in FAULTS])
def test_faults(kit: Any, text: str, fault: str) -> None:
    (found,) = kit.faults(lambda: kit.pipeline(f"z: !Anything\na: !Anything\n  x: {text}"))
    assert found.partition(": ")[2] == fault
    assert found.startswith("6:")


@pytest.mark.parametrize(
    ("tag", "fault"),
    [
        ("torch.Adma", "unknown tag !torch.Adma. Did you mean '!torch.Adam'?"),
        ("torch.linear", "unknown tag !torch.linear. Did you mean '!torch.Linear'?"),
        ("torch.optim.Adma", "unknown tag !torch.optim.Adma: the module 'torch.optim' has no 'Adma'. Did you mean '!torch.optim.Adam'?"),
        ("tirch.Adam", "unknown tag !tirch.Adam. Did you mean '!torch.Adam'?"),
        ("torch.save", "the tag !torch.save may not reach torch:save; expected one of torch's modules, optimizers, schedulers and samplers. To allow all of torch, declare it before the experiment: 'torch: torch', then '---'."),
        ("ray.AshaScheduler", "unknown tag !ray.AshaScheduler. Did you mean '!ray.ASHAScheduler'?"),
        ("ray.HyperBandSchedular", "unknown tag !ray.HyperBandSchedular. Did you mean '!ray.HyperBandScheduler'?"),
        ("ray.Zzz", "the tag !ray.Zzz may not reach ray:Zzz; expected one of ray's schedulers and searchers. To allow all of ray, declare it before the experiment: 'ray: ray', then '---'."),
    ],
)  # fmt: skip
def test_a_misspelt_name_of_a_library_is_a_fault_at_once(kit: Any, tag: str, fault: str) -> None:
    for package in ("torch", "ray"):
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    (found,) = kit.faults(lambda: kit.pipeline(f"a: !Anything\n  x: !{tag} {{}}"))
    assert found.partition(": ")[2] == fault


def test_a_library_that_the_header_names_is_open_and_keeps_its_short_names() -> None:
    if find_spec("torch") is None:
        pytest.skip("torch is not installed")
    spec = compile_text("torch: torch\n---\n!Anything {a: !torch.ReLU {}, b: !torch.matmul {}}", name="t")
    body = spec.stages[0].body
    assert (body["a"]["$new"], body["b"]["$new"]) == ("torch.nn:ReLU", "torch:matmul")


def test_a_module_beside_the_config_is_the_header_to_write(kit: Any, tmp_path: Path) -> None:
    (tmp_path / "my_parts.py").write_text("")
    (tmp_path / "c.yaml").write_text("!Anything {a: !my_parts.TextField {}}")
    done = kit.command("flambe.compile.cli", "c.yaml", cwd=tmp_path)
    assert done.stderr == (
        "flambe-compile: error: c.yaml:1:15: unknown tag !my_parts.TextField: no header names the module 'my_parts'. "
        "Write before the experiment: 'my_parts: ./my_parts.py', then '---'.\n"
    )


def test_an_old_spelling_is_read_with_a_warning(kit: Any, capsys: pytest.CaptureFixture[str]) -> None:
    kit.body("!TextField {{}}")
    assert capsys.readouterr().err == (
        "warning: <t>:4:6: !TextField {{}} is an old spelling; write !TextField without braces\n"
    )


def test_samples_are_drawn_once_from_the_seed(kit: Any) -> None:
    text = "!Anything\n  i: !s [1, 3, 3]\n  j: !s [1, 1000, 5]\n  f: !s [0.0, 1.0, 4]\n  r: !s [0.0, 1.0, 2, 1]"
    one, two = kit.body(text), kit.body(text)
    other = kit.pipeline(f"a: {text}", "seed: 1").stages[0].body
    assert one == two != other
    assert sorted(one["i"]["$grid"]) == [1, 2, 3]  # both ends are drawn
    assert len(set(one["j"]["$grid"])) == 5
    assert all(type(value) is int for value in one["j"]["$grid"])
    assert all(type(value) is float and 0 <= value <= 1 for value in one["f"]["$grid"])
    assert all(round(value, 1) == value for value in one["r"]["$grid"])


def test_fewer_values_than_asked_for(kit: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert sorted(kit.body("!Anything\n  x: !s [1, 2, 5]")["x"]["$grid"]) == [1, 2]
    assert "there are only 2 different values to draw, not 5" in capsys.readouterr().err
    assert kit.body("!Anything\n  x: !g [1, 2, 1, 1.0]")["x"]["$grid"] == [1, 2, 1.0]
    assert "is there already; it is tried once" in capsys.readouterr().err


# Anchors --------------------------------------------------------------------------------------------------------------


def test_an_aliased_component_is_linked_to_its_first_place(kit: Any) -> None:
    spec = kit.pipeline("a: !Anything\n  x: &k !TextField {lower: true}\n  y: [*k]\nb: !Anything\n  z: {q: *k}")
    link = {"$link": ["a", "x"]}
    assert spec.stages[0].body["y"] == [link]
    assert spec.stages[1].body["z"] == {"q": link}


def test_an_aliased_mapping_shares_the_components_in_it(kit: Any) -> None:
    spec = kit.pipeline("a: !Anything\n  x: &k {f: !TextField {}, n: 1}\n  y: *k")
    assert spec.stages[0].body["y"] == {"f": {"$link": ["a", "x", "f"]}, "n": 1}


def test_an_aliased_stage_is_a_stage_of_its_own(kit: Any) -> None:
    spec = kit.pipeline("a: &k !Anything\n  x: !TextField {}\nb: *k")
    assert spec.stages[1].body == {"$new": "flambe.toys.parts:Anything", "x": {"$link": ["a", "x"]}}


def test_what_is_one_of_several_choices_is_not_linked_from_outside(kit: Any) -> None:
    spec = kit.pipeline(
        "a: !Anything\n  x: !g [&k !TextField {}, 2]\n  y: *k\n  z: !g [&m !Anything {p: &n !TextField {}, q: *n}, 3]"
    )
    body = spec.stages[0].body
    assert body["y"] == {"$new": "flambe.toys.parts:TextField"}
    assert body["z"]["$grid"][0]["q"] == {"$link": ["a", "z", "p"]}


# Files and single objects -----------------------------------------------------------------------------------------


def test_files_are_anchored_at_their_config(kit: Any, tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("x")
    config = tmp_path / "c.yaml"
    text = (
        "!Environment\nlocal_files: {data: data.csv}\n---\n!Anything\na: !file data\nb: !file ./data.csv\nc: data.csv\n"
    )
    config.write_text(text)
    body = compile_text(text, name="c", file=str(config)).stages[0].body
    assert body["a"] == body["b"] == {"$file": str(tmp_path / "data.csv")}
    assert body["c"] == "data.csv"


def test_a_single_object_is_a_stage_named_by_its_class() -> None:
    spec = compile_text(
        "!MyClassifier\nencoder: !Encoder {input_size: 1}\noutput_layer: !Head {size: !@ encoder.size}\n", name="c"
    )
    assert (spec.kind, spec.name, spec.stages[0].name) == ("runnable", "c", "classifier")
    assert spec.stages[0].body["output_layer"]["size"] == {"$link": ["classifier", "encoder"], "attr": ["size"]}


def test_origins_are_json_pointers(kit: Any) -> None:
    spec = kit.pipeline("a: !Anything\n  a/b: [1, {c: 2}]\n  d: !g [1, 2]", file="<t>")
    assert spec.origins["/stages/0/body"] == [0, 4, 6]
    assert spec.origins["/stages/0/body/a~1b"] == [0, 5, 10]
    assert spec.origins["/stages/0/body/a~1b/1/c"] == [0, 5, 18]
    assert "/stages/0/body/a~1b/0" not in spec.origins
    assert spec.origins["/stages/0/body/d/$grid/1"] == [0, 6, 15]
