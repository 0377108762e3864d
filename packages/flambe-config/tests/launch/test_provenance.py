"""What a run says that it ran is what it ran."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flambe.record.git_tree import edited_in

SHOWS = "import later\nprint('first', __file__, later.VALUE)"


@pytest.fixture
def checkout(project: Any) -> Any:
    """A project that is committed whole."""
    project.main(SHOWS)
    project.write("later.py", "VALUE = 1\n")
    project.commit()
    return project


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def edit(project: Any) -> None:
    project.write("main.py", (project.folder / "main.py").read_text().replace("'first'", "'edited'"))


def test_edits_are_in_the_snapshot_or_absent_or_refused(checkout: Any) -> None:
    edit(checkout)
    head = checkout.git("rev-parse", "HEAD")
    kinds = {  # words → (what is printed, whether the record says that the code was changed)
        (): "edited", ("__run__.__dirty__=head",): "first", ("__run__.__snapshot__=git",): "edited",
        ("__run__.__snapshot__=git", "__run__.__dirty__=head"): "first",
    }  # fmt: skip
    for number, (words, printed) in enumerate(kinds.items()):
        assert checkout.start(*words).stdout.split()[0] == printed
        code = checkout.record(number).code
        assert (code.git.commit, code.git.dirty) == (head, True)
        diff = checkout.root(number) / "code.diff"
        assert diff.exists() == (printed == "edited")
        if diff.exists():
            assert "+    print('edited'" in diff.read_text()
            # The diff is what makes the commit this code.
            subprocess.run(["git", "apply", "-R", "--check", str(diff)], cwd=checkout.folder, check=True)
        copied = checkout.root(number) / (code.path if code.mode == "git" else ".") / "main.py"
        assert f"'{printed}'" in copied.read_text()
    done = checkout.start("__run__.__dirty__=refuse", code=3)
    assert "has changes that are not committed. Commit them" in done.stderr
    assert not checkout.root(4).exists()
    checkout.commit()
    checkout.start("__run__.__dirty__=refuse")
    checkout.write("new.py", "")
    assert "git does not know: new.py" in checkout.start("__run__.__dirty__=refuse", code=3).stderr


def test_runs_share_a_tree_by_its_content_and_git_sees_nothing(checkout: Any) -> None:
    before = contents(checkout.folder / ".git")
    checkout.write("data/words.txt", "words")
    checkout.write("left_out.log", "x")
    checkout.write(".gitignore", "*.log\n")
    for _ in range(2):
        checkout.start("__run__.__snapshot__=git")
    one, two = checkout.record(0).code, checkout.record(1).code
    assert one.tree == two.tree
    assert sorted(path.name for path in (checkout.folder / "logs/.code").iterdir()) == [one.tree, f"{one.tree}.files"]
    shared = checkout.folder / "logs/.code" / one.tree
    assert sorted(p.relative_to(shared).as_posix() for p in shared.rglob("*") if p.is_file() and p.suffix != ".pyc") == [
        ".gitignore", "configs/config.yaml", "data/words.txt", "later.py", "main.py"
    ]  # fmt: skip
    assert one.git.untracked == [".gitignore", "data/"]
    assert contents(checkout.folder / ".git") == before
    # The record, and a repetition, find it wherever the output folder is by then.
    (checkout.folder / "logs").rename(checkout.folder / "moved")
    again = checkout.folder / "moved/my_task/exp.0/config.yml"
    for place in ("moved", "elsewhere"):  # no run needs what lies in the output folder of another
        program = [sys.executable, "-m", "flambe.cli.umbrella", "run", str(again), "__run__.__output_dir__=" + place]
        done = subprocess.run(program, cwd=checkout.folder, capture_output=True, text=True, check=True)
        assert f"first {checkout.folder}/{place}/.code/{one.tree}/main.py 1" in done.stderr
    taken = checkout.folder / "elsewhere/.code"
    assert sorted(path.name for path in taken.iterdir()) == [one.tree, f"{one.tree}.files"]
    assert edited_in(taken / one.tree, checkout.folder / "gone") == []
    (taken / one.tree / "later.py").write_text("VALUE = 2")
    assert edited_in(taken / one.tree, checkout.folder / "gone") == ["later.py"]
    done = subprocess.run(program, cwd=checkout.folder, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "is not what was checked out: later.py. Bring its files back" in done.stderr


def test_loaded_code_that_is_not_the_snapshot_is_not_what_runs(checkout: Any) -> None:
    # The main file changes itself after it was loaded, as an editor might.
    text = (checkout.folder / "main.py").read_text()
    checkout.write("main.py", text.replace("import flambe\n", "import flambe, pathlib\nfile = pathlib.Path(__file__)\n"
        "file.write_text(file.read_text().replace(\"'first'\", \"'changed'\"))\n", 1))  # fmt: skip
    done = checkout.start()
    assert done.stdout.startswith(f"changed {checkout.root() / 'main.py'} 1\n")
    said = (checkout.root() / "outputs.log").read_text()
    assert "runs in a new process: the copy of __main__ may be newer than what this one has loaded\n" in said


def test_what_is_imported_later_comes_from_the_snapshot(project: Any) -> None:
    project.main(
        """
from pathlib import Path
for name in ("later.py", "lab/inner.py"):
    Path(name).write_text("VALUE = 2")
import later
from lab import inner
print(later.VALUE, inner.VALUE)
print(later.__file__)
print(inner.__file__)
""",
        top="import lab\n",
    )
    for name in ("later.py", "lab/__init__.py", "lab/inner.py"):
        project.write(name, "VALUE = 1\n")
    lines = project.start().stdout.splitlines()
    assert lines[:3] == ["1 1", str(project.root() / "later.py"), str(project.root() / "lab/inner.py")]


def test_no_snapshot(checkout: Any) -> None:
    assert checkout.start("__run__.__snapshot__=none").stdout.split()[0] == "first"
    code = checkout.record().code
    assert (code.mode, code.path, code.tree) == ("none", None, None)
    assert not (checkout.root() / "main.py").exists()


def test_without_a_repository(project: Any) -> None:
    project.main("pass")
    for word in ("__run__.__snapshot__=git", "__run__.__dirty__=head"):
        said = project.start(word, code=2).stderr
        assert "belongs to no git repository with a commit. Set __snapshot__: copy and __dirty__: include" in said
    assert "nobody knows whether" in project.start("__run__.__dirty__=refuse", code=2).stderr


def test_a_copy_by_a_class_of_the_users(project: Any) -> None:
    manager = """
import shutil
from pathlib import Path
from flambe.record.version_manager import VersionManager


class Copies(VersionManager):
    def __init__(self, folder):
        self.folder = Path(folder)

    def make_working_directory(self):
        shutil.copytree(Path(__file__).parent, self.folder, ignore=shutil.ignore_patterns("logs", "copies"), dirs_exist_ok=True)
        return str(self.folder)

    def get_info(self):
        return {"made": "by me"}
"""
    project.write("managers.py", manager)
    project.main("print(__file__)")
    where = project.folder / "copies"
    settings = f"version_manager:\n  name: managers.Copies\n  folder: {where}\nuse_version_manager: true\n"
    project.write("configs/mlxpy.yaml", settings)
    assert project.start("seed=1,2").stdout.splitlines()[:2] == [str(where / "main.py")] * 2
    code = project.record().code
    assert (code.mode, code.path, code.info) == ("custom", str(where), {"made": "by me"})
    said = project.start("+mlxpy.version_manager.name=managers.Copy", code=2).stderr
    assert "managers.Copy, which is no class" in said
    assert "Did you mean 'Copies'?" in said


def test_what_the_record_says_of_surroundings(project: Any) -> None:
    project.main(
        "print(ctx.config)\nopen('data.csv').read()\nopen('written.csv', 'w').write('x')",
        config="where: $PLACE\nkey: $API_KEY\n",
    )
    data = project.write("data.csv", "a,b\n")
    surroundings = {**os.environ, "PLACE": "here", "API_KEY": "geheim", "OTHER": "x"}
    assert "where: here\nkey: geheim\n" in project.start(env=surroundings).stdout
    record = project.record()
    assert record.command.env == {"PLACE": "here", "API_KEY": None}
    assert (record.host.cpus, record.host.pid > 0) == (os.cpu_count(), True)
    for path in project.root().rglob("*"):
        if path.is_file() and path.name != "outputs.log":
            assert b"geheim" not in path.read_bytes()
    (read,) = project.unit().inputs
    assert (read["path"], read["sha256"]) == (str(data), hashlib.sha256(b"a,b\n").hexdigest())


def test_gpus_are_those_that_the_driver_names(project: Any, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "nvidia-smi").write_text("#!/bin/sh\necho 'NVIDIA H200, 143771'\necho 'NVIDIA, odd name, 81559'\n")
    (tools / "nvidia-smi").chmod(0o755)
    project.main("import time\ntime.sleep(0.5)\nimport sys\nprint('torch' in sys.modules)")
    done = project.start(env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"})
    assert done.stdout.startswith("False\n")
    assert json.loads((project.root() / "run.json").read_text())["host"]["gpus"] == [
        {"name": "NVIDIA H200", "memory_mib": 143771}, {"name": "NVIDIA, odd name", "memory_mib": 81559},
    ]  # fmt: skip


def test_the_value_of_a_secret_is_in_no_record(project: Any) -> None:
    project.main(
        """
import logging
key = ctx.config.api_key
assert key == os.environ["MY_TOKEN"]
print("printed", key)
logging.getLogger("mine").warning("logged %s", key)
ctx.logger.log_metrics({"said": key, "x": 1})
flambe.log("said", f"by {key}!", 1)
if ctx.config.fails:
    raise ValueError(f"{key} is refused")
return {"result": [f"<{key}>", {key: 1}]}
""",
        config="api_key: $MY_TOKEN\nfails: false\n",
        top="import os\n",
    )
    secret = 'sëcret-"0123"'
    surroundings = {**os.environ, "MY_TOKEN": secret}
    done = project.start(env=surroundings)
    project.start("fails=false,true", env=surroundings, code=1)
    assert done.stdout.splitlines()[1].endswith("logged [secret]")
    # What the function returns to its caller is what it returned.
    assert done.stdout.splitlines()[::2] == [
        "printed [secret]",
        f"returned {{'result': ['<{secret}>', {{'{secret}': 1}}]}}",
    ]
    assert project.record().result == {"result": ["<[secret]>", {"[secret]": 1}]}
    forms = [secret.encode(), json.dumps(secret)[1:-1].encode(), json.dumps(secret, ensure_ascii=False)[1:-1].encode()]
    for file, content in contents(project.folder).items():
        assert not [form for form in forms if form in content], file
