"""A plain function, run from a snapshot of its code in its run directory: what it sees, and what is left behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flambe.errors import ConfigError
from flambe.record.checkout import Checkout
from flambe.record.keeper import Keeper
from flambe.record.opening import open_run
from flambe.record.run import RunRecord, read_record
from flambe.runner.execute import execute, execute_lines
from flambe.runner.plan import concrete_units
from flambe.runner.stage import run_stage
from flambe.spec.codec import dump_spec, escape
from flambe.spec.digest import spec_digest
from flambe.spec.nodes import Source, Spec, Stage

MAIN = """
import json
import os
import sys
from pathlib import Path

import package_beside
from my_code.data import load

CALLS = []


def main(name, config):
    CALLS.append(name)
    config["mine"] = 1
    seen = {
        "name": name, "config": config, "calls": len(CALLS), "rows": load(), "beside": package_beside.VALUE,
        "cwd": os.getcwd(), "from": [os.environ["FLAMBE_CWD"], os.environ["EXPYRUN_CWD"]], "file": __file__, "path": sys.path[0],
        "text": (Path(__file__).parent / "words.txt").read_text(),
    }
    print("a line of Python's")
    os.system("echo a line of a child; echo and its error >&2")
    Path("weights.txt").write_text("1 2 3")
    Path("seen.json").write_text(json.dumps(seen))
    how = config.get("how")
    if how == "raise":
        raise ValueError("it broke")
    if how in ("exit 0", "exit 3"):
        sys.exit(int(how[-1]))
    if how == "nan":
        return {"loss": float("nan"), 1: (2, 3)}
    if how == "object":
        return object()
    if how == "draw":
        import random
        return random.random()
    return config.get("returns")


def one(ctx): ...


def three(name, config, more): ...


def any_number(*args):
    return len(args)


class Callable:
    def __init__(self, name, config):
        self.name = name
"""


class Project:
    """A project folder like that of the documentation, and specs over it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        files = {
            "my_code/__init__.py": "", "my_code/method.py": MAIN, "my_code/words.txt": "words",
            "my_code/data.py": "def load():\n    return 3\n", "my_code/weights.npy": "large", "my_code/secret/key.txt": "x",
            "my_code/cache/a.py": "", "my_code/__pycache__/method.cpython-311.pyc": "x", ".gitignore": "secret/\n*.log\ncache/\n!cache/\n",
            "my_code/run.log": "x", "package_beside/__init__.py": "VALUE = 7\n", "unused/__init__.py": "",
        }  # fmt: skip
        for name, text in files.items():
            self.write(name, text)

    def write(self, name: str, text: str) -> None:
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_text(text)

    def spec(
        self, main: str = "my_code.method:main", *, name: str = "first/m-0.1", snapshot: str = "copy", **config: Any
    ) -> Spec:
        body = {
            "$new": "flambe.runnable:Function", "main": main, "name": name, "config": escape({"seed": 3, **config}),
            "code": {"$file": str(self.folder)}, "snapshot": snapshot,
        }  # fmt: skip
        return Spec(
            kind="function", name=name, output_dir=str(self.folder / "out"), stages=[Stage(name="main", body=body, reuse=False)],
            max_failures=0, source=Source(raw="__run__: {__main__: x, __name__: y}\nlr: $LR\n"),
        )  # fmt: skip

    def run(self, spec: Spec) -> tuple[Path, RunRecord]:
        for module in [m for m in sys.modules if m.partition(".")[0] in ("my_code", "package_beside", "script")]:
            del sys.modules[module]
        root, _ = execute(spec, tool="flambe exec", on_unit=lambda row: None)
        return root, read_record(root / "run.json", RunRecord)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    made = Project(tmp_path / "my 'project' ü")
    monkeypatch.chdir(made.folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield made
    for module in [m for m in sys.modules if m.partition(".")[0] in ("my_code", "package_beside", "script")]:
        del sys.modules[module]


def seen(root: Path) -> dict[str, Any]:
    return json.loads((root / "seen.json").read_text())


def test_what_the_function_sees(project: Project, capfd: pytest.CaptureFixture[str]) -> None:
    root, record = project.run(project.spec(model={"name": "m", "sizes": [1, 2]}, returns={"loss": 0.5}))
    assert root == project.folder / "out" / "first" / "m-0.1" / "exp.0"
    saw = seen(root)
    assert saw["name"] == "first/m-0.1"
    assert saw["config"] == {"seed": 3, "model": {"name": "m", "sizes": [1, 2]}, "returns": {"loss": 0.5}, "mine": 1}
    assert (saw["cwd"], saw["from"]) == (str(root), [str(project.folder)] * 2)
    assert (saw["file"], saw["path"], saw["text"]) == (str(root / "my_code/method.py"), str(root), "words")
    assert (saw["rows"], saw["beside"], saw["calls"]) == (3, 7, 1)
    assert os.environ.get("EXPYRUN_CWD") is None
    assert Path.cwd() == project.folder
    assert (record.status, record.result, record.entry) == ("COMPLETE", {"loss": 0.5}, "my_code.method:main")
    assert (root / "weights.txt").read_text() == "1 2 3"
    for text in ((root / "outputs.log").read_text(), capfd.readouterr().err):
        assert [line for line in text.splitlines() if "line" in line or "its error" in line] == [
            "a line of Python's", "a line of a child", "and its error"
        ]  # fmt: skip


def test_what_is_copied(project: Project) -> None:
    root, record = project.run(project.spec())
    copied = sorted(
        p.relative_to(root).as_posix()
        for top in ("my_code", "package_beside")
        for p in (root / top).rglob("*")
        if p.is_file()
    )
    assert [name for name in copied if "__pycache__" not in name] == [
        "my_code/__init__.py", "my_code/cache/a.py", "my_code/data.py", "my_code/method.py", "my_code/words.txt", "package_beside/__init__.py"
    ]  # fmt: skip
    assert record.code is not None
    assert (record.code.mode, record.code.path, record.code.files) == ("copy", "my_code", 6)
    assert record.code.left_out == ["my_code/secret/", "my_code/run.log", "my_code/weights.npy"]
    assert (
        "out of the snapshot: my_code/secret/, my_code/run.log, my_code/weights.npy"
        in (root / "outputs.log").read_text()
    )
    assert not (root / "unused").exists()


def test_what_runs_is_the_copy_and_each_run_is_the_next(project: Project) -> None:
    spec = project.spec()
    first, one = project.run(spec)
    project.write("my_code/data.py", "def load():\n    return 4\n")
    second, two = project.run(spec)
    again, three = project.run(spec)
    assert [root.name for root in (first, second, again)] == ["exp.0", "exp.1", "exp.2"]
    assert [seen(root)["rows"] for root in (first, second, again)] == [3, 4, 4]
    assert one.code is not None
    assert two.code is not None
    assert three.code is not None
    assert one.code.tree != two.code.tree == three.code.tree
    assert one.result_digest == two.result_digest
    # The code of the first run, from its folder: the same spec, the same seed, the same code.
    shutil.move(project.folder / "out", project.folder / "moved")
    copy = project.spec()
    copy.stages[0].body["code"] = {"$file": str(project.folder / "moved/first/m-0.1/exp.0")}
    assert spec_digest(copy) == spec_digest(spec)
    repeated, four = project.run(copy)
    assert seen(repeated)["rows"] == 3
    assert four.code is not None
    assert four.code.tree == one.code.tree


def test_debug_copies_nothing(project: Project) -> None:
    spec = project.spec()
    spec.debug = True
    root, record = project.run(spec)
    assert root == project.folder / "out" / "DEBUG" / "first" / "m-0.1" / "exp.0"
    assert not {"my_code", "frozen_requirements.txt"} & {path.name for path in root.iterdir()}
    assert seen(root)["file"] == str(project.folder / "my_code/method.py")
    assert seen(root)["cwd"] == str(root)
    assert record.code is not None
    assert (record.code.mode, record.code.path, record.code.source) == ("none", None, str(project.folder))
    assert f"__code__: {project.folder}\n" in (root / "config.yml").read_text()


def test_a_single_file(project: Project) -> None:
    text = "import json\nfrom my_code.data import load\n\n\ndef main(name, config):\n    open('seen.json', 'w').write(json.dumps({'file': __file__}))\n"
    project.write("script.py", text)
    root, record = project.run(project.spec("script:main"))
    assert seen(root)["file"] == str(root / "script.py")
    assert record.code is not None
    assert record.code.path == "script.py"
    # It imports my_code, which lies beside it.
    assert (root / "my_code/data.py").is_file()


def test_without_a_copy(project: Project) -> None:
    root, _ = project.run(project.spec(snapshot="none"))
    assert seen(root)["file"] == str(project.folder / "my_code/method.py")
    assert (root / "frozen_requirements.txt").exists()
    assert "  __snapshot__: none\n" in (root / "config.yml").read_text()


@pytest.mark.parametrize(
    ("how", "status", "error"),
    [
        ("raise", "FAILED", "ValueError: it broke (out/first/m-0.1/exp.0/my_code/method.py:27 in main; the whole traceback: outputs.log)"),
        ("exit 3", "FAILED", "SystemExit: 3 ("),
        ("exit 0", "COMPLETE", None),
        ("object", "COMPLETE", None),
    ],
)  # fmt: skip
def test_how_it_ends(project: Project, how: str, status: str, error: str | None) -> None:
    rows: list[dict[str, Any]] = []
    root, failed = execute(project.spec(how=how), tool="flambe exec", on_unit=rows.append)
    assert (rows[-1]["status"], failed) == (status, int(status == "FAILED"))
    log = (root / "outputs.log").read_text()
    if error is not None:
        assert rows[0]["error"].startswith(error)
        assert 'method.py", line' in log
        assert "stage.py" not in log  # the traceback begins in the user's code
    assert ("returned a object, which is no plain data" in log) == (how == "object")


def test_what_is_returned(project: Project) -> None:
    _, record = project.run(project.spec(how="nan"))
    assert record.result == {"$map": [["loss", {"$float": "NaN"}], [1, [2, 3]]]}
    drawn = [project.run(project.spec(how="draw", seed=seed))[1].result for seed in (5, 5, 6)]
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize(
    ("main", "said"),
    [
        (
            "my_code.method:three",
            "with a name and a config nor with a context; expected def three(name: str, config: dict)",
        ),
        ("my_code.method:mian", "the module my_code.method has no function mian. Did you mean 'main'"),
    ],
)
def test_functions_that_cannot_be_called(project: Project, main: str, said: str) -> None:
    rows: list[dict[str, Any]] = []
    execute(project.spec(main), tool="flambe exec", on_unit=rows.append)
    assert rows[-1]["status"] == "FAILED"
    assert said in rows[0]["error"]


@pytest.mark.parametrize(("main", "result"), [("my_code.method:any_number", 2), ("my_code.method:Callable", None)])
def test_other_callables(project: Project, main: str, result: Any) -> None:
    assert project.run(project.spec(main))[1].result == result


@pytest.mark.parametrize(
    ("main", "said"),
    [
        ("my_cod.method:main", "there is no module my_cod.method: {folder} has no my_cod. Did you mean 'my_code'"),
        (
            "my_code.methd:main",
            "there is no module my_code.methd: {folder}/my_code has no methd.py. Did you mean 'method'",
        ),
        ("other:main", "has no other.py. Run it where the package is, or say __code__: FOLDER below __run__."),
        ("my_code.method", "'my_code.method' names no function; expected package.module:function"),
    ],
)
def test_wrong_modules_are_refused_before_anything_is_made(project: Project, main: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        project.run(project.spec(main))
    assert said.format(folder=project.folder) in str(caught.value)
    assert not (project.folder / "out").exists()


def test_code_that_is_too_large_or_in_the_way(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flambe.record.snapshot.LARGEST_BYTES", 100_000)
    project.write("my_code/table.json", "1" * 200_000)
    with pytest.raises(ConfigError, match=r"my_code/table.json 0.2 MiB.*Name what is no code in a .gitignore"):
        project.run(project.spec())
    project.write("my_code/.gitignore", "/table.json\n")
    assert project.run(project.spec())[1].status == "COMPLETE"
    project.write("stages/method.py", "def main(name, config): ...\n")
    with pytest.raises(ConfigError, match="a run directory has a stages of its own"):
        project.run(project.spec("stages.method:main"))


def test_a_module_that_is_loaded_from_elsewhere(project: Project) -> None:
    project.write("json/__init__.py", "def main(name, config): ...\n")
    rows: list[dict[str, Any]] = []
    execute(project.spec("json:main"), tool="flambe exec", on_unit=rows.append)
    assert "the module json is loaded already, from" in rows[0]["error"]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (
            "a: 1  # mine\n__run__:\n    __main__: m:f\n    __output_dir__: ./out   # here\n    __code__: ../src\nb: 2\n",
            "a: 1  # mine\n__run__:\n    __main__: m:f\n    __output_dir__: {out}   # here\n    __code__: ./\nb: 2\n",
        ),
        (
            "__run__:\n  __main__: m:f\n  __output_dir__: $OUT\n",
            "__run__:\n  __code__: ./\n  __main__: m:f\n  __output_dir__: {out}\n",
        ),
        ("__run__: {__main__: 'm:f'}\n", "__run__: {__code__: ./, __output_dir__: {out}, __main__: 'm:f'}\n"),
        (
            "__run__:\n  __main__: m:f\n  __output_dir__: '{paths.out}/x'\npaths: {out: .}\n",
            "__run__:\n  __code__: ./\n  __main__: m:f\n  __output_dir__: '{paths.out}/x'\npaths: {out: .}\n",
        ),
    ],
)
def test_the_raw_config_runs_from_where_it_is(project: Project, raw: str, expected: str) -> None:
    spec = project.spec(snapshot="copy")
    spec.source = Source(raw=raw)
    root, _ = project.run(spec)
    out = str(project.folder / "out")
    assert (root / "raw_config.yml").read_text() == expected.replace("{out}", out)


def wait_for(true: Callable[[], bool]) -> None:
    limit = time.monotonic() + 30
    while not true():
        assert time.monotonic() < limit
        time.sleep(0.05)


@pytest.mark.slow
def test_it_is_ended_by_a_signal_and_begun_anew(project: Project) -> None:
    slow = "import time\n\n\ndef main(name, config):\n    print('it began', flush=True)\n    time.sleep(config['seconds'])\n"
    project.write("my_code/slow.py", slow)
    program = [sys.executable, "-m", "flambe.cli.umbrella", "exec"]
    (project.folder / "spec.json").write_bytes(dump_spec(project.spec("my_code.slow:main", seconds=60)))
    process = subprocess.Popen(
        [*program, "spec.json"], cwd=project.folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    log = project.folder / "out/first/m-0.1/exp.0/outputs.log"
    wait_for(lambda: log.exists() and "it began" in log.read_text())  # as it is printed
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=30)[1].decode()
    assert process.returncode == 143
    assert "it began" in said
    record = read_record(log.parent / "run.json", RunRecord)
    assert (record.status, record.exit.signal) == ("CANCELLED", "SIGTERM")
    (project.folder / "spec.json").write_bytes(dump_spec(project.spec("my_code.slow:main", seconds=0)))
    done = subprocess.run([*program, "spec.json"], cwd=project.folder, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1])["run"].endswith("exp.1")


def test_several_functions_do_not_meet(project: Project) -> None:
    specs = [project.spec(name=f"f/{n}", how=how) for n, how in enumerate(("draw", "raise", "draw"))]
    rows: list[dict[str, Any]] = []
    summary = execute_lines([dump_spec(spec).decode() for spec in specs], tool="flambe exec", on_unit=rows.append)
    assert [root.parent.name for root in summary.run_dirs] == ["0", "1", "2"]
    assert [row["status"] for row in rows if "stage" not in row] == ["COMPLETE", "FAILED", "COMPLETE"]
    assert summary.failed == 1
    assert [seen(root)["calls"] for root in summary.run_dirs] == [1, 1, 1]
    assert "my_code" not in sys.modules


@pytest.mark.slow
def test_a_signal_ends_several_functions(project: Project) -> None:
    project.write(
        "my_code/slow.py", "import time\n\n\ndef main(name, config):\n    print('it began')\n    time.sleep(60)\n"
    )
    lines = b"\n".join(dump_spec(project.spec("my_code.slow:main", name=name)) for name in ("one", "two"))
    (project.folder / "specs.jsonl").write_bytes(lines)
    process = subprocess.Popen(
        [sys.executable, "-m", "flambe.cli.umbrella", "exec", "specs.jsonl"],
        cwd=project.folder,
        stdout=subprocess.DEVNULL,
    )
    log = project.folder / "out/one/exp.0/outputs.log"
    wait_for(lambda: log.exists() and "it began" in log.read_text())
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 143
    assert read_record(log.parent / "run.json", RunRecord).status == "CANCELLED"
    assert not (project.folder / "out/two").exists()


def test_what_git_says_of_the_code(project: Project) -> None:
    def git(*words: str) -> str:
        who = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
        return subprocess.run(
            ["git", *who, *words], cwd=project.folder, check=True, capture_output=True, text=True
        ).stdout.strip()

    def said() -> Any:
        code = project.run(project.spec())[1].code
        assert code is not None
        return code.git

    assert said() is None
    git("init", "-b", "mine")
    assert said() is None  # no commit yet
    git("add", "my_code")
    git("commit", "-m", "one")
    new = [".gitignore", "package_beside/", "unused/"]  # and not out/, where the runs are
    assert said() == Checkout(commit=git("rev-parse", "HEAD"), branch="mine", untracked=new)
    project.write("my_code/data.py", "def load():\n    return 8\n")
    git("checkout", "--detach")
    git("remote", "add", "origin", "https://me:secret@example.org/x.git")
    remote = "https://example.org/x.git"
    assert said() == Checkout(commit=git("rev-parse", "HEAD"), dirty=True, untracked=new, remote=remote)


def test_which_unfinished_runs_go_on(project: Project) -> None:
    def begun(spec: Spec) -> str:
        keeper = Keeper(open_run(spec, tool="test"))
        keeper.close("CANCELLED")
        return keeper.paths.root.name

    alone, several = project.spec(name="alone"), project.spec(name="several")
    several.stages[0].body["config"]["lr"] = {"$grid": [1, 2]}
    # What one function has done is in its folder, and nowhere to go on from; of several variants some may be done.
    assert [begun(alone), begun(alone)] == ["exp.0", "exp.1"]
    assert [begun(several), begun(several)] == ["exp.0", "exp.0"]
    project.write("my_code/data.py", "def load():\n    return 5\n")
    assert [begun(several), begun(several)] == ["exp.1", "exp.1"]


def test_a_machine_without_the_run_directory(project: Project, tmp_path: Path) -> None:
    spec = project.spec()
    (unit,) = concrete_units(spec, tmp_path / "on another machine/exp.0")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    report = run_stage(unit, scratch)
    saw = json.loads((scratch / "artifacts/seen.json").read_text())
    assert (saw["cwd"], saw["file"]) == (str(scratch / "artifacts"), str(project.folder / "my_code/method.py"))
    assert b"a line of Python's" in (scratch / "outputs.log").read_bytes()
    assert not report.more
