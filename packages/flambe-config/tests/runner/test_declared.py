"""Files that a config names are told by what is in them: the same experiment in another folder is the same experiment."""

import json
import os
import shutil
import sys

import pytest

import flambe
from flambe.compile.compiler import compile_file
from flambe.record import content
from flambe.record.content import content_digest
from flambe.record.inputs import describe_input, input_here, input_holds, inputs_hold, place_of
from flambe.record.layout import RunPaths
from flambe.record.ledger import read_events
from flambe.record.run import StageRecord, read_record
from flambe.runner.execute import execute
from flambe.runner.plan import concrete_units

CODE = """
import pathlib
import random
from flambe import Component
from flambe.runner.environment import note_input


class Text(Component):
    def __init__(self, path, notes=True):
        super().__init__()
        self.path = path
        file = pathlib.Path(path)
        files = sorted(one for one in file.rglob("*") if one.is_file()) if file.is_dir() else [file]
        self.text = "".join(one.read_text() for one in files)
        for one in files if notes else ():
            note_input(one)
        self.register_attrs("text")

    def run(self):
        return False


class Count(Component):
    def __init__(self, text, times=1, path=None):
        super().__init__()
        self.text, self.times = text, times
        self.total = None
        self.register_attrs("total")

    def run(self):
        self.total = len(self.text.text) * self.times + random.random()
        return False

    def metric(self):
        return self.total


class Editor(Text):
    '''Somebody edits the file while it runs.'''

    def __init__(self, path, changed):
        super().__init__(path)
        self.changed = changed

    def run(self):
        pathlib.Path(self.path).write_text(self.changed)
        return False
"""

CONFIG = """
declared: ../code/declared.py
---
!Experiment
name: count
pipeline:
  left: !declared.Text {path: !file ./data/left.txt}
  right: !declared.Text {path: !file data/right.txt}
  both: !declared.Count {text: !@ left, times: 2}
  last: !declared.Count {text: !@ right}
"""


@pytest.fixture(autouse=True)
def one_module(monkeypatch, tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "declared.py").write_text(CODE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = list(sys.path)
    yield
    sys.modules.pop("declared", None)
    sys.path[:] = path


@pytest.fixture
def project(tmp_path):
    """A folder with an experiment and its data."""
    folder = tmp_path / "project"
    (folder / "data").mkdir(parents=True)
    (folder / "exp.yaml").write_text(CONFIG)
    (folder / "data" / "left.txt").write_text("a b c")
    (folder / "data" / "right.txt").write_text("d e")
    return folder


def run(folder, out=None, config="exp.yaml"):
    """Run the experiment of a folder in it; returns the paths of its run and its rows."""
    rows = []
    before = os.getcwd()
    os.chdir(folder)
    try:
        root, failed = execute(
            compile_file(folder / config), tool="test", on_unit=rows.append, output_dir=out or folder / "out"
        )
    finally:
        os.chdir(before)
    assert failed == 0, rows
    return RunPaths(root), rows


def ran(rows):
    return [row["stage"] for row in rows if row.get("reused") is False]


def record(paths, stage):
    return read_record(paths.unit(stage, "0").record, StageRecord)


def test_the_same_experiment_in_another_folder_is_the_same(project, tmp_path):
    other = shutil.copytree(project, tmp_path / "deeper" / "down" / "other")
    (tmp_path / "deeper" / "down" / "code").symlink_to(tmp_path / "code")
    first, rows = run(project)
    second, again = run(other)
    for stage in ("left", "right", "both", "last"):
        here, there = record(first, stage), record(second, stage)
        assert (here.key, here.seed, here.metric) == (there.key, there.seed, there.metric)
    assert ran(again) == ["left", "right", "both", "last"]
    assert rows[-1]["result_digest"] == again[-1]["result_digest"]
    assert first.spec.read_bytes() != second.spec.read_bytes()  # which say where the files are


def test_what_one_folder_made_another_takes_and_makes_its_own(project, tmp_path):
    (project / "exp.yaml").write_text(CONFIG.replace("times: 2", "times: 2, path: !@ left.path"))
    other = shutil.copytree(project, tmp_path / "other")
    _, rows = run(project, tmp_path / "shared")
    shutil.rmtree(project)
    paths, again = run(other, tmp_path / "shared")
    assert ran(again) == []
    assert again[-1]["result_digest"] == rows[-1]["result_digest"]
    data = other / "data" / "left.txt"
    for stage in ("left", "both"):
        assert [(one["path"], one["declared"]) for one in record(paths, stage).inputs] == [(str(data), True)]
    assert json.loads(paths.unit("left", "0").exports.read_text())[".path"] == str(data)
    checkpoint = paths.unit("left", "0").checkpoint
    assert json.loads((checkpoint / "manifest.json").read_text())["config"]["path"] == {"$file": str(data)}
    assert (checkpoint / "config.yaml").read_text() == f"!declared.Text\npath: !file {data}\nnotes: true\n"
    # What is made of it reads the file where it is now.
    sys.modules.pop("declared")
    text = flambe.load(checkpoint, extensions={"declared": str(tmp_path / "code" / "declared.py")})
    assert text.text == "a b c"
    assert ran(run(other, tmp_path / "shared")[1]) == []


def test_a_changed_byte_runs_what_rests_on_it_and_no_more(project):
    run(project)
    left = project / "data" / "left.txt"
    before = left.stat()
    left.write_text("a b d")
    os.utime(left, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert ran(run(project)[1]) == ["left", "both"]
    left.touch()
    assert ran(run(project)[1]) == []
    left.write_text("a b c")
    assert ran(run(project)[1]) == []  # what the first run made


def test_the_name_of_a_file_counts_and_that_of_a_folder_does_not(project, tmp_path):
    def key(path):
        text = CONFIG.replace("!file ./data/left.txt", f"!file {path}")
        (project / "exp.yaml").write_text(text)
        from flambe.record.declared import forget_files

        forget_files()
        return concrete_units(compile_file(project / "exp.yaml"), tmp_path / "run")[0].key

    base = key("./data/left.txt")
    shutil.copy(project / "data" / "left.txt", project / "data" / "left.csv")
    shutil.copytree(project / "data", project / "copy")
    assert key("./copy/left.txt") == base
    assert key("./data/left.csv") != base  # endings say how a file is read
    assert key("./data") == key("./copy") != base


def test_a_folder_is_what_lies_in_it(tmp_path):
    folder = tmp_path / "data"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.txt").write_text("a")
    (folder / "deep" / "b.txt").write_text("b")
    base = content_digest(folder)
    assert base.startswith("tree:")
    assert content_digest(shutil.copytree(folder, tmp_path / "copy")) == base
    (folder / "deep" / "loop").symlink_to(folder)
    (folder / "deep" / "nowhere").symlink_to(tmp_path / "gone")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "a.pyc").write_text("x")
    (folder / "out" / "exp.0").mkdir(parents=True)
    (folder / "out" / "exp.0" / "ledger.jsonl").write_text("{}")
    assert content_digest(folder) == base
    (folder / "deep" / "b.txt").rename(folder / "b.txt")
    moved = content_digest(folder)
    (folder / "b.txt").write_text("c")
    assert len({base, moved, content_digest(folder)}) == 3
    (folder / "linked").symlink_to(tmp_path / "copy" / "deep")
    linked = content_digest(folder)
    (folder / "linked").unlink()
    shutil.copytree(tmp_path / "copy" / "deep", folder / "linked")
    assert content_digest(folder) == linked
    assert content_digest(tmp_path / "nowhere") is None


def test_what_is_not_there_is_told_by_its_path_and_what_has_an_address_by_that(project, tmp_path):
    spec = compile_file(project / "exp.yaml")
    (project / "data" / "left.txt").unlink()
    spec.stages[1].body["path"] = {"$file": "https://host/right.txt"}
    left, right, *_ = concrete_units(spec, tmp_path / "run")
    assert left.files == right.files == {}
    spec.stages[0].body["path"] = {"$file": "/elsewhere/left.txt"}
    spec.stages[1].body["path"] = {"$file": "https://host/other.txt"}
    others = concrete_units(spec, tmp_path / "run")
    assert left.key != others[0].key
    assert right.key != others[1].key


def test_a_result_is_not_kept_for_what_a_file_held_before_it_was_edited(project):
    config = CONFIG.replace("!declared.Text {path: !file ./data/left.txt}",
                            "!declared.Editor {path: !file ./data/left.txt, changed: new}")  # fmt: skip
    (project / "exp.yaml").write_text(config)
    paths, _ = run(project)
    inputs = record(paths, "left").inputs
    assert [one.get("declared", False) for one in inputs] == [True, False]
    assert ran(run(project)[1]) == ["left", "both"]  # it holds "new" now, and keeps it
    assert ran(run(project)[1]) == []
    (project / "data" / "left.txt").write_text("a b c")
    assert ran(run(project)[1]) == ["left", "both"]
    assert not inputs_hold(inputs)


def test_files_that_are_searched_name_their_variants_by_content(project, tmp_path):
    from flambe.compile.search import expand

    config = CONFIG.replace("!file ./data/left.txt", "!g [!file ./data/left.txt, !file data/right.txt]")
    names = []
    for folder in (project, shutil.copytree(project, tmp_path / "other")):
        (folder / "exp.yaml").write_text(config)
        specs = expand(compile_file(folder / "exp.yaml"))
        names.append([concrete_units(spec, tmp_path / "run")[0].variant for spec in specs])
    assert names[0] == names[1]
    assert [name.partition("-")[0] for name in names[0]] == ["path=left.txt", "path=right.txt"]


def test_a_file_named_by_plain_text_is_looked_for_in_the_folder_of_the_run(project, tmp_path):
    text = CONFIG.replace("!file ./data/left.txt", "data/left.txt").replace("!file data/right.txt", "data/right.txt")
    (project / "exp.yaml").write_text(text)
    other = shutil.copytree(project, tmp_path / "other")
    paths, rows = run(project, tmp_path / "shared")
    assert [one["place"] for one in record(paths, "left").inputs] == ["data/left.txt"]
    paths, again = run(other, tmp_path / "shared")
    assert ran(again) == []
    assert again[-1]["result_digest"] == rows[-1]["result_digest"]
    assert [one["path"] for one in record(paths, "left").inputs] == [str(other / "data" / "left.txt")]
    (other / "data" / "left.txt").write_text("other data in the same place")
    assert ran(run(other, tmp_path / "shared")[1]) == ["left", "both"]
    assert ran(run(project, tmp_path / "shared")[1]) == []


def test_digests_of_large_files_are_kept_until_the_files_change(tmp_path, monkeypatch):
    folder = tmp_path / "data"
    folder.mkdir()
    file = folder / "large.bin"
    file.write_bytes(bytes(content._LARGE_BYTES))
    read = []
    real = content.file_digest
    monkeypatch.setattr(content, "file_digest", lambda path: read.append(path) or real(path))
    base = content_digest(file)
    assert content_digest(file) == base
    assert len(read) == 2  # it had only just been written
    monkeypatch.setattr(content, "_SETTLED_NS", 0)
    for path in (file, folder):
        read.clear()
        assert content_digest(path) == content_digest(path)
        assert len(read) <= 1
    stat = file.stat()
    file.write_bytes(b"x" + bytes(content._LARGE_BYTES - 1))
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert content_digest(file) == real(file) != base
    for kept in (tmp_path / "cache" / "flambe" / "digests").iterdir():
        kept.write_text("torn")
    assert content_digest(file) == real(file)
    monkeypatch.setenv("XDG_CACHE_HOME", str(file / "no folder"))
    assert content_digest(file) == real(file)


def test_the_ledger_says_which_content_a_plan_had(project):
    paths, _ = run(project)
    plans = {event["stage"]: event for event in read_events(paths.ledger) if event["event"] == "plan"}
    left = project / "data" / "left.txt"
    assert plans["left"]["files"] == {str(left): content_digest(left)}
    assert "files" not in plans["both"]


@pytest.mark.parametrize(("variable", "mark"), [("FLAMBE_DATA", "data:"), ("HOME", "~/"), ("XDG_CACHE_HOME", "cache:")])
def test_what_is_kept_elsewhere_on_another_machine_is_looked_for_there(tmp_path, monkeypatch, variable, mark):
    inside = "flambe/files/words.txt" if mark == "cache:" else "sst2/words.txt"
    for name in ("here", "there"):
        (tmp_path / name / inside).parent.mkdir(parents=True)
        (tmp_path / name / inside).write_text("words")
    monkeypatch.setenv(variable, str(tmp_path / "here"))
    path = str(tmp_path / "here" / inside)
    read = describe_input(path, place=place_of(path, str(tmp_path / "project")))
    assert read["place"] == mark + inside.removeprefix("flambe/")
    assert input_holds(read)
    monkeypatch.setenv(variable, str(tmp_path / "there"))
    assert input_holds(read)
    (tmp_path / "here" / inside).unlink()
    assert input_holds(read)
    assert input_here(read)["path"] == str(tmp_path / "there" / inside)
    (tmp_path / "there" / inside).write_text("wordS")
    assert not input_holds(read)
    (tmp_path / "there" / inside).unlink()
    assert not input_holds(read)
