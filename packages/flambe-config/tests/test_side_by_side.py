"""Two versions of one tool, side by side: each reads what the other writes, or says why not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import flambe
from flambe.spec import nodes

ROOT = Path(__file__).resolve().parents[3]
NODES = "packages/flambe-config/src/flambe/spec/nodes.py"
PLAIN = "my_module: ./my_module.py\n---\n!Experiment\nname: x\npipeline:\n  a: !my_module.Engine {size: 3}\n"
SEEDED = PLAIN.replace("name: x\n", "name: x\nseed: !seeds 2\n")


class Tool:
    """A flambe-config of some version. path: the folder that has its ``flambe``, and that of the libraries it stands on."""

    def __init__(self, *path: Path) -> None:
        self.path = path

    def run(self, *words: str, stdin: str = "", cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run Python. Without ``site`` nothing else is seen, and no editable installation of this checkout."""
        return subprocess.run(
            [sys.executable, "-S", *words], input=stdin, cwd=cwd, capture_output=True, text=True, check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, self.path))},
        )  # fmt: skip

    def compile(self, folder: Path, text: str = PLAIN) -> str:
        (folder / "exp.yaml").write_text(text)
        done = self.run("-m", "flambe.compile.cli", "exp.yaml", cwd=folder)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def execute(self, spec: str, folder: Path) -> subprocess.CompletedProcess[str]:
        return self.run("-m", "flambe.cli.umbrella", "exec", "-", stdin=spec, cwd=folder)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "my_module.py").write_text(
        "from flambe import Component\nclass Engine(Component):\n    def __init__(self, size: int):\n        super().__init__()\n"
        "    def run(self):\n        return False\n"
    )
    return tmp_path


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything that is installed beside flambe."""
    folder = tmp_path_factory.mktemp("libraries")
    for place in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        for path in Path(place).iterdir():
            if "flambe" not in path.name and path.suffix != ".pth" and not (folder / path.name).exists():
                (folder / path.name).symlink_to(path)
    return folder


@pytest.fixture
def here(libraries: Path) -> Tool:
    return Tool(Path(flambe.__file__).parents[1], libraries)


@pytest.fixture(scope="module")
def of_1_0(libraries: Path, tmp_path_factory: pytest.TempPathFactory) -> Tool:
    """The last flambe-config whose specs were of version 1.0, from the history of this checkout."""

    def git(*words: str) -> bytes:
        done = subprocess.run(["git", "-C", ROOT, *words], capture_output=True, check=False)
        if done.returncode:
            pytest.skip(f"there is no history to take the older version from: {done.stderr.decode().strip()}")
        return done.stdout

    changed = git("log", "--format=%H", "-S", 'VERSION = "1.0"', "--", NODES).decode().split()
    before = [commit for commit in changed if b'VERSION = "1.1"' in git("show", f"{commit}:{NODES}")]
    if not before:
        pytest.skip("the history of this checkout begins after version 1.0")
    folder = tmp_path_factory.mktemp("older")
    (folder / "all.tar").write_bytes(git("archive", f"{before[-1]}~", "packages/flambe-config/src"))
    shutil.unpack_archive(folder / "all.tar", folder, filter="data")
    source = folder / "packages/flambe-config/src"
    assert 'VERSION = "1.0"' in (source / "flambe/spec/nodes.py").read_text()
    return Tool(source, libraries)


def patched(here: Tool, folder: Path, version: str) -> Tool:
    """This flambe-config, as one that writes and reads specs of another version."""
    shutil.copytree(Path(flambe.__file__).parent, folder / "flambe", ignore=shutil.ignore_patterns("__pycache__"))
    path = folder / "flambe" / "spec" / "nodes.py"
    text = path.read_text()
    changed = text.replace(f'VERSION = "{nodes.VERSION}"', f'VERSION = "{version}"')
    assert changed != text
    path.write_text(changed)
    with (folder / "flambe" / "spec" / "codec.py").open("a") as stream:
        stream.write(f"\n\ndef needed_version(spec: Spec) -> str:\n    return {version!r}\n")
    return Tool(folder, *here.path[1:])


@pytest.mark.slow
def test_an_older_tool_before_a_newer_one(here: Tool, of_1_0: Tool, project: Path) -> None:
    spec = of_1_0.compile(project)
    assert json.loads(spec)["flambe_spec"] == "1.0"
    done = here.execute(spec, project)
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr


@pytest.mark.slow
def test_a_newer_tool_before_an_older_one(here: Tool, of_1_0: Tool, project: Path) -> None:
    """What uses nothing new is read in silence, what does with a warning."""
    done = of_1_0.execute(here.compile(project), project)
    assert done.returncode == 0, done.stderr
    assert "version" not in done.stderr
    done = of_1_0.execute(here.compile(project, SEEDED), project)
    assert "is of version 1.1, newer than 1.0: what is new in it is ignored" in done.stderr


@pytest.mark.slow
def test_each_reads_the_run_of_the_other(here: Tool, of_1_0: Tool, project: Path) -> None:
    for writer, reader in ((here, of_1_0), (of_1_0, here)):
        folder = json.loads(writer.execute(writer.compile(project), project).stdout.splitlines()[-1])["run"]
        program = (
            f"from flambe import Reader; print(*[(row['name'], row['done']) for row in Reader({folder!r}).rows()])"
        )
        seen = reader.run("-c", program, cwd=project)
        assert (seen.stdout, seen.stderr) == ("('x', 1)\n", "")
        again = reader.execute((project / folder / "spec.json").read_text(), project)
        assert again.returncode == 0, again.stderr
        shutil.rmtree(project / folder)


def test_a_tool_of_another_major_version(here: Tool, tmp_path: Path, project: Path) -> None:
    later = patched(here, tmp_path / "later", "2.0")
    spec = later.compile(project)
    assert json.loads(spec)["flambe_spec"] == "2.0"
    for reader, text, theirs, ours in ((here, spec, "2.0", "1"), (later, here.compile(project), "1.0", "2")):
        done = reader.execute(text, project)
        assert done.returncode == 2
        assert f"is of version {theirs}, this program reads version {ours}.x" in done.stderr
        assert "Use the flambe release that wrote it" in done.stderr
        assert not list(project.glob("flambe-output/*"))


def test_a_tool_of_a_later_minor_version(here: Tool, tmp_path: Path, project: Path) -> None:
    later = patched(here, tmp_path / "later", "1.9")
    done = here.execute(later.compile(project), project)
    assert done.returncode == 0, done.stderr
    assert f"is of version 1.9, newer than {nodes.VERSION}" in done.stderr
