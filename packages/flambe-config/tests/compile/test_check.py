"""Broken configs: every fault at once, with place and remedy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flambe.build.link import ORDER_RULE
from flambe.compile import compile_file, compile_text
from flambe.errors import ConfigFaults


def test_a_bad_override_names_itself(kit: Any) -> None:
    done = kit.command("flambe.compile.cli", "toy.yaml", "trian.max_steps=2", "train.max_step=3")
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "flambe-compile: error: override 'train.max_step=3': train has no key 'max_step'. Did you mean 'max_steps'?",
        "flambe-compile: error: override 'trian.max_steps=2': there is no key 'trian'. Did you mean 'train'?",
    ]


def test_compiling_imports_nothing_that_is_named(kit: Any) -> None:
    done = kit.python(
        "from flambe.compile import compile_file\ncompile_file('toy.yaml')\nimport json\nprint(json.dumps([*sys.modules]))"
    )
    heavy = {"torch", "ray", "numpy", "boto3", "flask", "flambe.toys.parts", "rich", "platformdirs"}
    assert not heavy & set(json.loads(done.stdout))


def test_a_text_that_names_an_object_is_warned_of_where_anything_may_stand(capsys: pytest.CaptureFixture[str]) -> None:
    text = "!Experiment\nname: t\npipeline:\n  a: !Anything\n  b: !toy.Sgd {params: %s}\n"
    for word, meant in (("a", "link !@ a"), ("Encoder", "tag !Encoder")):
        compile_text(text % word, name="t")
        said = f"<t>:5:24: params of Sgd is the text {word!r}. Did you mean the {meant}?\n"
        assert capsys.readouterr().err.endswith(said)
    compile_text(text % "c", name="t")
    assert capsys.readouterr().err == ""


# One check at a time -----------------------------------------------------------------------------------------------

ARGUMENTS = [
    ("!Encoder", ["4:6: Encoder needs the argument 'input_size'"]),
    ("!Encoder {input_size: 1, depth: 2}", ["4:31: Encoder has no argument 'depth'; expected one of input_size, n_layers, rnn_type, dropout, layers, hidden_size"]),
    ("!Encoder {input_size: 1, n_layers: true}", ["4:41: n_layers of Encoder is true; expected an integer"]),
    ("!Encoder {input_size: 1, n_layers: '2'}", ["4:41: n_layers of Encoder is the text '2'; expected an integer. Remove the quotes."]),
    ("!Encoder {input_size: 1, n_layers: 1_000}", ["4:41: n_layers of Encoder is the text '1_000'; expected an integer. Write 1000."]),
    ("!Encoder {input_size: 1, n_layers: null}", ["4:41: n_layers of Encoder is null; expected an integer"]),
    ("!Encoder {input_size: 1, n_layers: !TextField }", ["4:41: n_layers of Encoder is an object of TextField; expected an integer"]),
    ("!Encoder {input_size: 1, dropout: !g [0.1, lots]}", ["4:49: dropout of Encoder is the text 'lots'; expected a number"]),
    ("!Encoder {input_size: 1, layers: [1, x]}", ["4:43: layers[1] of Encoder is the text 'x'; expected an integer"]),
    ("!TextField {lower: yes}", ["4:25: lower of TextField is the text 'yes'; expected true or false. Write true."]),
    ("!TextField {pad_token: 0}", ["4:29: pad_token of TextField is 0; expected text. Put it in quotes."]),
    ("!TextField {sizes: [1, two]}", ["4:29: sizes[1] of TextField is the text 'two'; expected an integer"]),
    ("!TextField {sizes: [1]}", ["4:25: sizes of TextField is [1]; expected a list of 2 values (an integer, an integer)"]),
    ("!TextField [true, p, [1, 2], 4]", ["4:35: TextField got 4 arguments by position; expected at most 3 (lower, pad_token, sizes)"]),
    ("!TextField {0: true, lower: true}", ["4:27: TextField got the argument 'lower' by position and by name. Remove one of them."]),
    ("!LabelField {pad_token: x}", ["4:19: LabelField has no argument 'pad_token'; expected one of one_hot, lower, sizes"]),
    ("!LabelField {lower: true, lowr: false}", ["4:32: LabelField has no argument 'lowr'. Did you mean 'lower', which is set already? Change it there, and take this away."]),
    ("!LabelField {lowr: true}", ["4:19: LabelField has no argument 'lowr'. Did you mean 'lower'?"]),
    ("!Head {size: x}", ["4:19: size of Head is the text 'x'; expected an integer"]),
    ("!Words.autogen {data_path: x, test_ration: 1}", ["4:36: Words.autogen has no argument 'test_ration'. Did you mean 'test_ratio'?"]),
    ("!Words.autogenn {data_path: x}", ["4:6: Words has no factory 'autogenn'; expected one of autogen, load_from_path. Did you mean 'autogen'?"]),
    ("!TextField.setup {data: x}", ["4:6: TextField.setup is a method of TextField objects and makes none. Name a class method."]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "faults"), ARGUMENTS, ids=[text for text, _ in ARGUMENTS])
def test_arguments_are_checked_against_the_signature(kit: Any, text: str, faults: list[str]) -> None:
    assert kit.faults(lambda: kit.pipeline(f"a: {text}")) == faults


@pytest.mark.parametrize(
    "text",
    [
        "!Encoder {input_size: 1, dropout: 1}",
        "!Encoder {input_size: 1, layers: [1, 2], hidden_size: null}",
        "!Encoder {input_size: !g [1, 2], n_layers: !call b.size}",
        "!Encoder [1, 2]",
        "!Encoder 1",
        "!TextField {sizes: [1, 2]}",
        "!LabelField {one_hot: true, lower: true}",
        "!Head {size: 1}",
        "!Head {like: !Head {size: 1}}",
        "!Anything {whatever: 1}",
        "!Words.autogen {data_path: x, test_ratio: null}",
        "!Encoder.load_from_path {path: x, more: 1}",
    ],
)
def test_right_arguments_pass(kit: Any, text: str) -> None:
    kit.pipeline(f"b: !Anything\na: {text}")


@pytest.mark.parametrize(
    ("stages", "fault"),
    [
        ("a: !Anything\n  x: !@ b", "5:8: the link 'b' begins with 'b', which is no stage; expected one of a"),
        ("a: !Anything\n  x: !@ a.x", "5:8: the link 'a.x' points to an object that it is a part of. "),
        ("a: !Anything\n  x: !@ a[y].z\n  y: !Anything", "5:8: the link 'a[y].z' points to what stands below it. "),
        ("a: !Anything\n  x:\n    y: !@ a[x]", "6:10: the link 'a[x]' points to an object that it is a part of. "),
        (
            "a: !Anything\n  x: [!Anything, !@ 'a[x][2]', 3]",
            "5:20: the link 'a[x][2]' points to what stands below it. ",
        ),
        (
            "a: !Anything\n  x: 1\nb: !Anything\n  y: !@ a[z]",
            "7:8: the link 'a[z]' leads nowhere: a has no [z] in the config; expected one of x",
        ),
        (
            "a: !Anything\n  wide: 1\nb: !Anything\n  y: !@ a[wid]",
            "7:8: the link 'a[wid]' leads nowhere: a has no [wid] in the config. Did you mean 'wide'?",
        ),
        (
            "a: !Anything\n  x: 1\nb: !Anything\n  y: !@ a[x][y]",
            "7:8: the link 'a[x][y]' leads nowhere: a[x] is a plain value, there is no [y] in it",
        ),
        (
            "a: !Anything\n  x: {'0': 1}\nb: !Anything\n  y: !@ a[x][0]",
            "7:8: the link 'a[x][0]' leads nowhere: a[x] has no [0] in the config. Write ['0'] for a key that is text.",
        ),
        (
            "a: !Anything\n  x: !@ b\nb: !Anything",
            "5:8: the link 'b' points to the stage 'b', which comes later (line 6). ",
        ),
        (
            "a: !Anything\nb: !Anything\n  x: !@ a.__class__",
            "6:8: the link 'a.__class__' reads '__class__', which no link may",
        ),
    ],
)
def test_links_that_lead_nowhere(kit: Any, stages: str, fault: str) -> None:
    (found,) = kit.faults(lambda: kit.pipeline(stages))
    assert found == (fault + ORDER_RULE + "." if fault.endswith(" ") else fault)


@pytest.mark.parametrize(
    "stages",
    [
        "a: !Anything\n  x: 1\n  y: !@ a[x]",
        "a: !Anything\n  x: [1, [2]]\n  y: !@ a[x][1][0]",
        "a: !TextField [true, x]\nb: !Anything\n  y: !@ a[0].z",
        "a: !Anything\n  x: {'0': 1}\nb: !Anything\n  y: !@ a[x]['0']",
        "a: !Anything\n  x: !g [!Encoder {input_size: 1}, !Anything {size: 2}]\n  y: !@ a[x][size]",
        "a: !Anything\n  x: !Anything\n    z: 1\nb: !Anything\n  m: !@ a[x]\n  n: !@ b[m][z]",
        "a: !Anything\n  x: !g [!Anything {p: 1, q: !@ 'a[x][p]'}, 2]",
        "a: !Anything\nb: !Anything\n  x: !@ a.p\n  y: !@ b[x][q]",
    ],
)
def test_links_that_hold(kit: Any, stages: str) -> None:
    kit.pipeline(stages)


def test_links_and_searches_stand_only_in_stages(kit: Any) -> None:
    found = kit.faults(lambda: kit.pipeline("a: !Anything", "schedulers:\n  a: !Anything {x: !@ a, y: !g [1, 2]}"))
    assert found == [
        "6:20: a link cannot stand here, only in the stages of the pipeline",
        "6:29: a search cannot stand here, only in the stages of the pipeline",
    ]


def test_a_known_library_is_checked_too(kit: Any, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "__init__.py").write_text("from .inner import Thing as Other\nfrom .more import *\n")
    (tmp_path / "mine" / "inner.py").write_text("class Thing:\n    def __init__(self, size: int): ...\n")
    (tmp_path / "mine" / "more.py").write_text("__all__ = ['_hidden']\ndef _hidden(*, x): ...\nraise SystemExit\n")
    (tmp_path / "c.yaml").write_text(
        "mine: .\n---\n!Experiment\npipeline:\n  a: !mine.Other {sise: 1}\n  b: !mine._hidden\n  c: !mine.Othr\n"
    )
    done = kit.command("flambe.compile.cli", "c.yaml", cwd=tmp_path)
    assert done.stderr.splitlines() == [
        "flambe-compile: error: c.yaml:5:19: Other has no argument 'sise'. Did you mean 'size'?",
        "flambe-compile: error: c.yaml:6:6: the tag !mine._hidden may not reach mine:_hidden: _hidden is private",
        "flambe-compile: error: c.yaml:7:6: unknown tag !mine.Othr: the module 'mine' has no 'Othr'. Did you mean '!mine.Other'?",
    ]


DATACLASS = """
from dataclasses import KW_ONLY, InitVar, dataclass, field
from typing import ClassVar

@dataclass
class Settings:
    lr: float
    sizes: list[int] = field(default_factory=list)
    known: ClassVar[int] = 3
    seed: InitVar[int] = 0
    _: KW_ONLY
    name: str = "x"

@dataclass(kw_only=True)
class Named:
    lr: float

@dataclass
class Below(Named):
    more: int = 1

@dataclass
class Odd:
    lr: float = field(init=False)

from elsewhere import dataclass as other
@other
class Converted:
    lr: int
"""


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("Settings {lr: 1}", None),
        ("Settings [1, [2], 3]", None),
        ("Settings {lr: 1, sizes: [1], seed: 2, name: y}", None),
        ("Named {lr: 1}", None),
        ("Below {lr: 1, anything: 2}", None),  # the fields of parents are not followed
        ("Odd {anything: 1}", None),
        ("Converted {lr: '3'}", None),
        ("Settings", "Settings needs the argument 'lr'"),
        ("Settings {lr: fast}", "lr of Settings is the text 'fast'; expected a number"),
        ("Settings {lr: 1, sizes: [a]}", "sizes[0] of Settings is the text 'a'; expected an integer"),
        ("Settings {lr: 1, seed: x}", "seed of Settings is the text 'x'; expected an integer"),
        ("Settings {lr: 1, known: 4}", "Settings has no argument 'known'; expected one of lr, sizes, seed, name"),
        ("Settings [1, [2], 3, n]", "Settings got 4 arguments by position; expected at most 3 (lr, sizes, seed)"),
        ("Named [1]", "Named got 1 argument by position; expected none"),
    ],
)
def test_a_dataclass_is_checked_by_its_fields(tmp_path: Path, tag: str, expected: str | None) -> None:
    (tmp_path / "mine.py").write_text(DATACLASS)
    text = f"mine: {tmp_path}\n---\n!Experiment\npipeline:\n  a: !mine.{tag}\n"
    try:
        compile_text(text, name="t")
        found: list[str] = []
    except ConfigFaults as error:
        found = [str(fault).partition(": ")[2] for fault in error.faults]
    assert found[-1:] == ([] if expected is None else [expected])


# Stages that are reduced -------------------------------------------------------------------------------------------

TRAINED = "data: !Words {transform: {}}\nmodel: !Encoder {input_size: !g [1, 2]}\ntrain: !Trainer {dataset: !@ data, model: !@ model}"


@pytest.mark.parametrize(
    ("stages", "stage", "fault"),
    [
        (TRAINED, "model", "8:3: reduce of 'model' has nothing to compare: Encoder has no metric(). Did you mean 'train', whose Trainer has one?"),
        (TRAINED + "\ntest: !Tester {dataset: !@ data, model: !@ train.model}", "test", "9:3: reduce of 'test' has nothing to compare: Tester has no metric(). Did you mean 'train', whose Trainer has one?"),
        ("a: !Encoder {input_size: !g [1, 2]}\nb: !Anything {x: !@ a}", "b", "7:3: reduce of 'b' has nothing to compare: Anything has no metric(). Give it one that returns a number."),
        ("a: !Script {script: go, args: [!g [1, 2]]}", "a", "6:3: reduce of 'a' has nothing to compare: its Script has no metric_fn. Name the function that reads the number: 'metric_fn: module:function'."),
    ],
    ids=["earlier", "later", "none", "script"],
)  # fmt: skip
def test_what_measures_nothing_cannot_be_reduced(kit: Any, stages: str, stage: str, fault: str) -> None:
    assert kit.faults(lambda: kit.pipeline(stages, f"reduce:\n  {stage}: 1\n")) == [fault]


@pytest.mark.parametrize(
    ("stages", "stage"),
    [
        (TRAINED, "train"),
        ("a: !Encoder {input_size: 1}", "a"),  # one variant: nothing to leave out
        ("a: !Encoder {input_size: !g [1]}", "a"),
        ("a: !Encoder.load_from_path {path: !g [x, y]}", "a"),  # it may give an object of a class below
        ("a: !Script {script: go, args: [!g [1, 2]], metric_fn: read:score}", "a"),
    ],
)
def test_what_may_measure_something_can_be_reduced(kit: Any, stages: str, stage: str) -> None:
    assert kit.pipeline(stages, f"reduce: {{{stage}: 1}}\n").stage(stage).reduce == 1


# Programs ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder ``configs`` beside the working folder, with a program, what reads its metric, and a config that names them."""
    folder = tmp_path / "configs"
    folder.mkdir()
    (folder / "train.py").touch()
    (folder / "read.py").write_text("def score(folder): return 1\n")
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    text = "read: ./read.py\n---\n!Experiment\npipeline:\n  a: !Script {script: train, metric_fn: read:score}\n"
    (folder / "e.yaml").write_text(text)
    return folder / "e.yaml"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("a.script=./trian.py", "there is no program ./trian.py in {cwd}, where a relative path begins"),
        ("a.script=!g [train, ./trian.py]", "there is no program ./trian.py in {cwd}, where a relative path begins"),
        ("a.script=!file ./trian.py", "there is no file {folder}/trian.py. Did you mean 'train.py'?"),
        ("a.metric_fn=read:scor", "read has no function 'scor', which metric_fn names. Did you mean 'score'?"),
        ("a.metric_fn=score", "metric_fn of Script is 'score'; expected module:function"),
    ],
)  # fmt: skip
def test_a_program_and_what_reads_its_metric_are_looked_for(program: Path, override: str, said: str) -> None:
    with pytest.raises(ConfigFaults) as caught:
        compile_file(program, [override], here=True)
    (fault,) = caught.value.faults
    assert fault.rule in ("missing-file", "missing-function")
    assert str(fault).endswith(said.format(cwd=Path.cwd(), folder=program.parent))


def test_a_program_beside_the_config_is_named_from_there(program: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compile_file(program, ["a.script=./train.py"])
    assert "From the folder of this file, wherever it is run: !file ./train.py" in capsys.readouterr().err
    assert compile_file(program, ["a.script=!file ./train.py"]).stages[0].body["script"] == {
        "$file": str(program.parent / "train.py")
    }
    assert capsys.readouterr().err == ""


READER = """
from collections.abc import Sequence
from flambe import Component
from flambe.build import InputPath

class Reader(Component):
    def __init__(self, path: InputPath | Sequence[str], more: list[InputPath] | None = None, other: str = ""):
        self.path = path
"""


@pytest.fixture
def reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A config whose only stage is a class that reads files, beside some of them; the working folder is another."""
    folder = tmp_path / "configs"
    folder.mkdir()
    (folder / "reading.py").write_text(READER)
    (folder / "beside.tsv").touch()
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    Path("words.tsv").touch()
    text = "reading: ./reading.py\n---\n!Experiment\npipeline:\n  a: !reading.Reader {path: words.tsv, other: no.tsv}\n"
    (folder / "e.yaml").write_text(text)
    return folder / "e.yaml"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("a.path=wrods.tsv", "there is no wrods.tsv in {cwd}, where a relative path begins. Did you mean 'words.tsv'?"),
        ("a.path=!g [words.tsv, wrods.tsv]", "there is no wrods.tsv in {cwd}, where a relative path begins. Did you mean 'words.tsv'?"),
        ("+a.more=[words.tsv, far.tsv]", "there is no far.tsv in {cwd}, where a relative path begins"),
        ("a.path=/nowhere/far.tsv", "there is no /nowhere/far.tsv. There is no folder /nowhere."),
        ("a.path=beside.tsv", "there is no beside.tsv in {cwd}, where a relative path begins. From the folder of this file, wherever it is "
         "run: !file beside.tsv"),
    ],
)  # fmt: skip
def test_files_to_read_are_looked_for(
    reading: Path, capsys: pytest.CaptureFixture[str], override: str, said: str
) -> None:
    """They may be on the machine that runs it: an error is what is missing where it is run."""
    compile_file(reading, [override])
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: ")
    assert line.endswith(said.format(cwd=Path.cwd()))
    with pytest.raises(ConfigFaults) as caught:
        compile_file(reading, [override], here=True)
    (fault,) = caught.value.faults
    assert fault.rule == "missing-file"
    assert f"warning: {fault}" == line


@pytest.mark.parametrize(
    "override", ["a.path=https://x.org/far.tsv", "a.path=package:other/far.tsv", "a.other=far.tsv"]
)
def test_what_is_no_file_of_this_machine_is_not_looked_for(
    reading: Path, capsys: pytest.CaptureFixture[str], override: str
) -> None:
    compile_file(reading, [override], here=True)
    assert capsys.readouterr().err == ""


def test_a_file_may_be_made_by_an_earlier_stage(reading: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reading.write_text(reading.read_text() + "  b: !reading.Reader {path: made.tsv, more: [word.tsv]}\n")
    with pytest.raises(ConfigFaults, match="there is no word.tsv in .* Did you mean 'words.tsv'"):
        compile_file(reading, here=True)
    compile_file(reading, ["b.more=[made.tsv]"], here=True)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("seed", ["", "seed: 3", "seed: !seeds 2"])
@pytest.mark.parametrize("value", ["'{seed}'", "!@ seed"])
def test_who_wants_the_seed_is_told_how_a_program_gets_it(kit: Any, seed: str, value: str) -> None:
    if (seed, value) == ("seed: 3", "'{seed}'"):  # a reference to a number
        assert kit.pipeline(f"a: !Anything {{x: {value}}}", seed).stages[0].body["x"] == 3
    else:
        (fault,) = kit.faults(lambda: kit.pipeline(f"a: !Anything {{x: {value}}}", seed))
        assert fault.endswith(
            "a program gets it with 'seed_arg: seed' in its !Script, or from the variable FLAMBE_SEED."
        )
