"""`flambe reproduce`: a run anew, and how equal the two are."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from flambe import Reader
from flambe.build.state import write_state
from flambe.cli.reproduce import reproduce as reproduce_command
from flambe.compile.compiler import compile_file
from flambe.errors import ConfigError, ProvenanceError
from flambe.record.claim import Wish
from flambe.record.keeper import Keeper
from flambe.record.layout import RunPaths
from flambe.record.opening import open_run
from flambe.record.run import RunRecord, read_record
from flambe.record.verdict import Tolerance, compare_metrics, compare_runs, compare_states
from flambe.runner.execute import execute
from flambe.runner.reproduction import Reproduction
from flambe.spec.nodes import Environment, Spec, Stage

TOY = """
import os, random
import flambe
import numpy as np
from flambe import Component
from flambe.runner.environment import note_input

class Model(Component):
    def __init__(self, size):
        super().__init__()
        self.weights = np.random.rand(size)
        self.register_attrs("weights")

class Walk(Component):
    def __init__(self, model, words=None, steps=3):
        super().__init__()
        self.model, self.words, self.steps, self.done = model, words, steps, 0
        self.register_attrs("done")
        if words is not None:
            note_input(words)

    def run(self):
        self.done += 1
        self.model.weights += random.random()
        self.model.weights += NOISE
        flambe.log("loss", float(self.model.weights[0]), self.done)
        return self.done < self.steps
"""


@pytest.fixture
def toy(tmp_path):
    """The folder of an extension; each command has a copy of its own."""
    folder = tmp_path / "ext" / "againtoy"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(TOY.replace("NOISE", "0.0"))
    yield folder
    sys.modules.pop("againtoy", None)
    sys.path[:] = [entry for entry in sys.path if entry != str(tmp_path / "ext")]


@pytest.fixture
def made(tmp_path, toy):
    """A finished run."""

    def make(**walk):
        model = {"$new": "againtoy:Model", "size": 2}
        spec = Spec(
            name="toy",
            stages=[Stage(name="walk", body={"$new": "againtoy:Walk", "model": model, **walk})],
            environment=Environment(extensions={"againtoy": str(toy)}),
        )
        root, failed = execute(spec, tool="flambe exec", on_unit=lambda row: None, output_dir=tmp_path / "out")
        assert not failed
        sys.modules.pop("againtoy", None)
        return root

    return make


def flambe(*words, **more):
    program = [sys.executable, "-m", "flambe.cli.umbrella", *map(str, words)]
    return subprocess.run(program, capture_output=True, text=True, check=False, **more)


def reproduce(*words):
    done = flambe("reproduce", *words)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


@pytest.mark.slow
def test_an_equal_run_is_bit_equal(made):
    root = made()
    code, rows, _ = reproduce(root)
    assert code == 0
    assert rows[-1]["verdict"] == "bit-equal"
    assert Path(rows[-1]["here"]) == root.parent / "exp.1"
    assert {(row["place"], row["name"]) for row in rows[:-1]} == {
        ("metrics/walk.jsonl", "loss"),
        ("checkpoint", "state.json"),
        ("checkpoint/model", "weights"),
        ("checkpoint/model", "state.json"),
    }
    # Nothing was reused.
    assert '"reuse"' not in RunPaths(root.parent / "exp.1").ledger.read_text()
    assert reproduce(root, "--against", root.parent / "exp.1", "--quiet") == (0, rows[-1:], "")


@pytest.mark.slow
def test_code_that_is_another_is_refused_and_can_be_run_as_it_is(made, toy, tmp_path):
    root = made()
    before = (toy / "__init__.py").read_text()
    (toy / "__init__.py").write_text(before.replace("+= 0.0", "+= 1e-6 * (self.done == 2)"))
    code, rows, err = reproduce(root)
    assert (code, rows) == (3, [])
    assert "the code of the extension againtoy at" in err
    code, rows, err = reproduce(root, "--as-is")
    assert code == 1
    assert "warning: the code of the extension againtoy" in err
    (loss,) = (row for row in rows if row.get("name") == "loss")
    assert (loss["verdict"], loss["step"]) == ("different", 2)
    assert loss["difference"] == pytest.approx(1e-6)
    assert (rows[-1]["verdict"], rows[-1]["first_step"]) == ("different", 2)
    code, few, _ = reproduce(root, "--against", root.parent / "exp.1", "--quiet")
    assert (code, few[:-1]) == (1, [row for row in rows[:-1] if row["verdict"] != "bit-equal"])
    code, rows, _ = reproduce(root, "--against", root.parent / "exp.1", "--rtol", "1e-4")
    assert (code, rows[-1]["verdict"]) == (0, "within tolerance")
    # Where the code lies now may be said.
    other = tmp_path / "kept" / "againtoy"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text(before)
    assert Reproduction(root, {"againtoy": str(other)}).faults() == []
    with pytest.raises(ConfigError, match="the run has no extension 'another'; expected againtoy"):
        Reproduction(root, {"another": "."})


def test_data_that_has_changed_is_named(made, tmp_path):
    words = tmp_path / "words.txt"
    words.write_text("some words")
    root = made(words=str(words))
    Reproduction(root).check()
    words.write_text("other words")
    with pytest.raises(ProvenanceError, match=f"files that it read have changed: {words}"):
        Reproduction(root).check()
    words.unlink()
    assert Reproduction(root).faults() == [f"files that it read are gone or have changed: {words}"]


def test_what_is_installed_otherwise_is_told(made):
    root = made()
    assert Reproduction(root).environment() == []
    frozen = root / "frozen_requirements.txt"
    lines = [line for line in frozen.read_text().splitlines() if not line.lower().startswith("numpy==")]
    frozen.write_text("\n".join([*lines, "numpy==0.9", "gone==1.0"]) + "\n")
    told = {one.name: one for one in Reproduction(root).environment()}
    assert told == {"gone": ("gone", "1.0", None), "numpy": ("numpy", "0.9", np.__version__)}
    assert str(told["gone"]) == "gone 1.0, here it is not installed"


def test_what_is_no_finished_run_is_refused(made, tmp_path):
    with pytest.raises(ConfigError, match="is no run directory; expected a folder such as"):
        Reproduction(tmp_path)
    root = made()
    record = json.loads((root / "run.json").read_text())
    (root / "run.json").write_text(json.dumps({**record, "status": "CANCELLED"}))
    with pytest.raises(ConfigError, match="has not ended: its status is CANCELLED"):
        Reproduction(root)


@pytest.mark.slow
def test_a_function_runs_from_the_copy_in_its_run(tmp_path):
    code = tmp_path / "project" / "my_code"
    code.mkdir(parents=True)
    (code / "__init__.py").write_text("")
    (code / "method.py").write_text("def main(name, config):\n    return {'score': config['x'] * 2}\n")
    config = tmp_path / "project" / "exp.yml"
    config.write_text("__run__:\n  __main__: my_code.method:main\n  __name__: twice\n  __output_dir__: out\nx: 4\n")
    done = flambe("run", config, "-q", cwd=tmp_path / "project")
    assert done.returncode == 0, done.stderr
    (run,) = (tmp_path / "project").rglob("exp.0")
    (code / "method.py").write_text("def main(name, config):\n    return {'score': 0}\n")
    exit_code, rows, err = reproduce(run)
    assert exit_code == 0, err
    assert [(row["name"], row["verdict"]) for row in rows[:-1]] == [("result", "bit-equal")]
    recorded, again = (read_record(root / "run.json", RunRecord) for root in (run, Path(rows[-1]["here"])))
    assert (recorded.reproduces, again.reproduces) == (None, recorded.id)


FUNCTION = """
import os
import flambe

def main(ctx):
    \"\"\"A function with a file of its own beside it.\"\"\"
    from my_code.rate import RATE
    flambe.log("score", RATE * ctx.config.x, 1)
    if ctx.config.fails:
        raise ValueError(f"it broke in {os.getpid()}")
    return {"score": RATE * ctx.config.x}
"""
CONFIG = """\
__run__: {__main__: "my_code.method:main", __name__: twice, __output_dir__: out}
x: 4
fails: false
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with a function, whose code is imported anew for each run."""

    def forget():
        for name in [name for name in sys.modules if name.partition(".")[0] == "my_code"]:
            del sys.modules[name]

    folder = tmp_path / "project"
    (folder / "my_code").mkdir(parents=True)
    (folder / "my_code" / "__init__.py").write_text("")
    (folder / "my_code" / "rate.py").write_text("RATE = 2\n")
    (folder / "my_code" / "method.py").write_text(FUNCTION)
    (folder / "exp.yml").write_text(CONFIG)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def run(config="exp.yml", *overrides):
        forget()
        root, _ = execute(compile_file(config, overrides), tool="flambe exec", on_unit=lambda row: None)
        return root

    yield SimpleNamespace(folder=folder, code=folder / "my_code", run=run)
    forget()


def test_a_copy_of_code_that_was_edited_is_refused_by_its_files(project):
    root = project.run()
    Reproduction(root).check()
    copy = root / "my_code" / "rate.py"
    copy.write_text("RATE = 3  # a lie\n")
    with pytest.raises(ProvenanceError, match=r"the copy of its code is not what ran: my_code/rate\.py\. Bring back"):
        Reproduction(root).check()
    # The project may have gone on meanwhile, and files come and go.
    (project.code / "rate.py").write_text("RATE = 5\n")
    (root / "my_code" / "more.py").write_text("")
    assert Reproduction(root).faults() == ["the copy of its code is not what ran: my_code/more.py, my_code/rate.py"]
    shutil.rmtree(root / "my_code")
    assert Reproduction(root).faults() == ["the copy of its code, my_code, is gone"]


def test_a_copy_whose_file_is_gone_is_refused_though_nobody_can_say_which(project):
    root = project.run()
    (project.code / "rate.py").write_text("RATE = 5\n")
    (root / "my_code" / "rate.py").unlink()
    assert Reproduction(root).faults() == ["the copy of its code is not what ran: my_code"]


GIT_CONFIG = CONFIG.replace("__output_dir__: out", "__output_dir__: out, __snapshot__: git")


@pytest.fixture
def checkout(project):
    """The project in git, and a run of it from a tree that all runs share."""
    (project.folder / "exp.yml").write_text(GIT_CONFIG)
    (project.folder / ".gitignore").write_text("*.log\n")
    who = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    for words in (["init", "-q"], ["add", "-A"], [*who, "commit", "-q", "-m", "one"]):
        subprocess.run(["git", *words], cwd=project.folder, check=True)
    (project.code / "rate.py").write_text("RATE = 4\n")  # in the tree, and in no commit
    project.root = project.run()
    project.tree = (project.root / read_record(project.root / "run.json", RunRecord).code.path).resolve()
    return project


def test_a_shared_tree_that_was_edited_is_refused_by_its_files(checkout, tmp_path):
    root, code = checkout.root, checkout.tree / "my_code"
    Reproduction(root).check()
    # What Python writes there, and what the project leaves out, is no part of it.
    (code / "__pycache__").mkdir(exist_ok=True)
    (code / "__pycache__" / "odd.pyc").write_bytes(b"x")
    (code / "some.log").write_text("x")
    Reproduction(root).check()
    whole = (code / "rate.py").read_text()
    times = (code / "rate.py").stat()
    (code / "rate.py").write_text("RATE = 3\n")
    os.utime(code / "rate.py", ns=(times.st_atime_ns, times.st_mtime_ns))
    (code / "more.py").write_text("")
    said = "the shared tree of its code is not what ran: my_code/more.py, my_code/rate.py"
    with pytest.raises(ProvenanceError, match=f"{said}. Bring back"):
        Reproduction(root).check()
    # Wherever all of it is by now, and whatever has become of the repository.
    shutil.rmtree(checkout.folder / ".git")
    moved = shutil.copytree(checkout.folder / "out", tmp_path / "moved")
    there = moved / root.relative_to(checkout.folder / "out")
    assert Reproduction(there).faults() == [said]
    tree = moved / ".code" / checkout.tree.name
    (tree / "my_code" / "rate.py").write_text(whole)
    (tree / "my_code" / "more.py").unlink()
    assert Reproduction(there).faults() == []
    (tree / "my_code" / "__init__.py").unlink()
    assert Reproduction(there).faults() == ["the shared tree of its code is not what ran: my_code/__init__.py"]
    shutil.rmtree(tree)
    path = read_record(root / "run.json", RunRecord).code.path
    assert Reproduction(there).faults() == [f"the shared tree of its code, {path}, is gone"]


def test_a_shared_tree_that_was_edited_is_not_shared(checkout, capsys):
    again = checkout.run()
    assert read_record(again / "run.json", RunRecord).code.tree == checkout.tree.name
    (checkout.tree / "my_code" / "rate.py").write_text("RATE = 3\n")
    with pytest.raises(
        ProvenanceError, match=r"is not what was checked out: my_code/rate\.py\. Bring its files back, or"
    ):
        checkout.run()
    # A kept config runs it as it is, from a copy, since there is no tree of that name any more.
    kept = checkout.run(checkout.root / "config.yml")
    record = read_record(kept / "run.json", RunRecord)
    assert (record.code.mode, record.result) == ("copy", {"score": 12})
    assert Reproduction(kept).faults() == []
    said = f"the code in {checkout.tree} is not what was copied there, and runs as it is: my_code/rate.py"
    assert f"warning: {said}" in capsys.readouterr().err
    assert said in (kept / "outputs.log").read_text()
    shutil.rmtree(checkout.tree)
    fresh = read_record(checkout.run() / "run.json", RunRecord)
    assert (fresh.code.tree, fresh.result) == (checkout.tree.name, {"score": 16})


def test_what_git_leaves_out_is_no_edit(project):
    (project.folder / ".git").mkdir()
    (project.folder / ".gitignore").write_text("out/**\n")  # all runs
    root = project.run()
    assert Reproduction(root).faults() == []
    (project.folder / ".gitignore").write_text("*.cache.json\n")
    (root / "my_code" / "made.cache.json").write_text("{}")
    assert Reproduction(root).faults() == []


def test_a_kept_config_runs_an_edited_copy_with_a_warning(project, capsys):
    root = project.run()
    project.run(root / "config.yml")
    assert "warning" not in capsys.readouterr().err
    (root / "my_code" / "rate.py").write_text("RATE = 3\n")
    again = project.run(root / "config.yml")
    (warning,) = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    said = f"the code in {root} is not what was copied there, and runs as it is: my_code/rate.py"
    assert warning == f"warning: {said}"
    assert said in (again / "outputs.log").read_text()
    assert read_record(again / "run.json", RunRecord).result == {"score": 12}
    assert Reproduction(again).faults() == []  # its own copy is what it ran


def test_a_run_of_a_kept_config_names_the_run_that_it_is_of(project, tmp_path):
    first = project.run()
    before = read_record(first / "run.json", RunRecord)
    assert before.repeats is None
    moved = shutil.move(project.folder / "out", tmp_path / "moved") / first.relative_to(project.folder / "out")
    for config, words in (("config.yml", ()), ("raw_config.yml", ("x=5",))):
        again = project.run(moved / config, *words, f"__run__.__output_dir__={tmp_path / 'again'}")
        assert read_record(again / "run.json", RunRecord).repeats == before.id
    (row,) = Reader(tmp_path / "again", index=None).filter(f"info.repeats == '{before.id}' & config.x == 5")
    assert row["name"] == "twice"


def test_a_run_whose_copy_was_edited_goes_on_with_a_warning(project, capsys):
    root = project.run()
    (root / "my_code" / "rate.py").write_text("RATE = 3\n")
    Keeper(open_run(compile_file("exp.yml"), tool="flambe exec", wish=Wish(resume=root))).close("COMPLETE")
    (warning,) = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert warning == f"warning: the code in {root} is not what was copied there, and runs as it is: my_code/rate.py"


def test_two_that_failed_are_not_called_equal_without_a_word(project, capsys):
    one, two = project.run("exp.yml", "fails=true"), project.run("exp.yml", "fails=true")
    found = list(compare_runs(one, two, Tolerance()))
    assert [(verdict.name, verdict.verdict) for verdict in found] == [("error", "bit-equal"), ("score", "bit-equal")]
    assert reproduce_command.callback(str(one), 0.0, 0.0, (), False, str(two), None) == 0
    assert f"flambe reproduce: failed in both: main/0 ({found[0].recorded})" in capsys.readouterr().err
    assert "ValueError: it broke in " in found[0].recorded
    # Another error is another end.
    (project.code / "method.py").write_text(FUNCTION.replace("ValueError", "KeyError"))
    other = project.run("exp.yml", "fails=true")
    assert next(compare_runs(one, other, Tolerance())).verdict == "different"


def test_a_run_that_went_on_with_another_config_says_so(project, capsys):
    root = project.run()
    assert Reproduction(root).configs() == 1
    spec = compile_file("exp.yml", ["x=5"])
    keeper = Keeper(open_run(spec, tool="flambe exec", wish=Wish(resume=root, allow_change=True)))
    keeper.close("COMPLETE")
    assert Reproduction(root).configs() == 2
    reproduce_command.callback(str(root), 0.0, 0.0, (), False, str(root), None)
    assert f"warning: {root} was gone on with and had 2 configs, the first is config.yml" in capsys.readouterr().err


# -- verdicts ------------------------------------------------------------------------------------------------------------


def states(tmp_path, first, second, tolerance=Tolerance()):  # noqa: B008 - it cannot be changed
    for name, state in (("a", first), ("b", second)):
        write_state(tmp_path / name, state)
    return {one.name: one for one in compare_states(tmp_path / "a", tmp_path / "b", "u", "p", tolerance)}


def test_the_largest_difference_of_a_tensor_is_told(tmp_path):
    found = states(tmp_path, {"x": np.array([1.0, 2.0, 3.0])}, {"x": np.array([1.0, 2.5, 3.1])})["x"]
    assert (found.verdict, found.recorded, found.here, found.difference) == ("different", 2.0, 2.5, 0.5)


@pytest.mark.parametrize(
    ("first", "second", "verdict"),
    [
        (np.array([np.nan, 1.0]), np.array([np.nan, 1.0 + 1e-9]), "within tolerance"),
        (np.array([np.nan, 1.0]), np.array([1.0, 1.0]), "different"),
        (np.array([np.inf]), np.array([-np.inf]), "different"),
        (np.array([0.0]), np.array([-0.0]), "within tolerance"),  # other bits
        (np.array([1, 2]), np.array([1, 3]), "different"),
        (np.array([1 + 1j], "complex64"), np.array([1 + 2j], "complex64"), "different"),
        (np.zeros(2), np.zeros(3), "different"),
        (np.zeros(2), np.zeros(2, "float32"), "different"),
        (np.array([]), np.array([]), "bit-equal"),
    ],
)
def test_tensors(tmp_path, first, second, verdict):
    assert states(tmp_path, {"x": first}, {"x": second}, Tolerance(1e-6))["x"].verdict == verdict


def test_values_beside_the_tensors_are_compared_by_name(tmp_path):
    first = {"a": {"b": [1, 2.0]}, "same": 1, "gone": 3, "text": "x"}
    second = {"a": {"b": [1, 2.1]}, "same": 1, "new": 3, "text": "y"}
    found = states(tmp_path, first, second, Tolerance(0.1))
    assert {name: one.verdict for name, one in found.items()} == {
        "a.b[1]": "within tolerance",
        "gone": "missing",
        "new": "added",
        "text": "different",
    }


def test_metrics_are_compared_key_by_key(tmp_path):
    lines = ['{"step":1,"loss":0.5,"other":"NaN","_t":1}', '{"step":2,"loss":0.4,"other":1.0,"_t":2}']
    (tmp_path / "a.jsonl").write_text("\n".join(lines) + "\n")
    (tmp_path / "b.jsonl").write_text(
        lines[0].replace('"_t":1', '"_t":7') + "\n" + lines[1].replace("0.4", "0.45") + "\n"
    )
    (tmp_path / "c.jsonl").write_text(lines[0] + "\n")

    def told(name, *tolerance):
        found = compare_metrics(tmp_path / "a.jsonl", tmp_path / name, "u", Tolerance(*tolerance))
        return {one.name: (one.verdict, one.step) for one in found}

    assert told("a.jsonl") == {"loss": ("bit-equal", None), "other": ("bit-equal", None)}
    assert told("b.jsonl") == {"loss": ("different", 2), "other": ("bit-equal", None)}
    assert told("b.jsonl", 0.0, 0.1)["loss"] == ("within tolerance", None)
    assert told("c.jsonl") == {"loss": ("missing", 2), "other": ("missing", 2)}
