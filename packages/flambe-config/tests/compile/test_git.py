"""Extensions from git: addresses in all their forms, and real repositories that are cloned, fetched and checked out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flambe.compile import compile_text
from flambe.compile.git import GitSource, extensions_folder, fetch, fetched, parse_source
from flambe.errors import ConfigError

CODE = "import flambe\nclass Thing(flambe.Component):\n    def __init__(self, {argument}: int = 1): ...\n"


@pytest.fixture(autouse=True)
def own_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


class Repository:
    """A repository of its own with the module ``gitlib``, first in the root, on a branch in ``sub/folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.git("init", "--quiet", "--initial-branch=trunk")
        self.first = self.write("gitlib.py", CODE.format(argument="first"))
        self.git("tag", "v1")
        self.second = self.write("gitlib.py", CODE.format(argument="second"))
        self.git("checkout", "--quiet", "-b", "feature/x")
        self.branch = self.write("sub/folder/gitlib/__init__.py", CODE.format(argument="third"))
        self.git("checkout", "--quiet", "trunk")

    @property
    def url(self) -> str:
        return f"file://{self.folder}"

    def git(self, *words: str) -> str:
        who = ["-c", "user.name=t", "-c", "user.email=t@localhost"]
        return subprocess.run(
            ["git", *who, *words], cwd=self.folder, capture_output=True, text=True, check=True
        ).stdout.strip()

    def write(self, name: str, text: str) -> str:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        self.git("add", name)
        self.git("commit", "--quiet", "-m", "Write")
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "origin")


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("https://github.com/u/r", GitSource("https://github.com/u/r")),
        ("http://github.com/u/r.git/", GitSource("http://github.com/u/r.git")),
        ("https://github.com/u/r/tree/main/sub/folder", GitSource("https://github.com/u/r", tree="main/sub/folder")),
        ("https://gitlab.com/u/r/-/tree/main/sub", GitSource("https://gitlab.com/u/r", tree="main/sub")),
        ("https://bitbucket.org/u/r/src/main/sub", GitSource("https://bitbucket.org/u/r", tree="main/sub")),
        ("ssh://git@github.com:user/repo.git", GitSource("ssh://git@github.com/user/repo.git")),
        ("ssh://git@host:2222/user/repo.git", GitSource("ssh://git@host:2222/user/repo.git")),
        ("git@github.com:user/repo.git", GitSource("ssh://git@github.com/user/repo.git")),
        ("git+ssh://git@host/u/r@v1.2", GitSource("ssh://git@host/u/r", "v1.2")),
        ("git+https://host/u/r@a/b#egg=x&subdirectory=s/t", GitSource("https://host/u/r", "a/b", "s/t")),
        ("/srv/r.git", GitSource("file:///srv/r.git")),
        ("https://host/lib-1.0-py3-none-any.whl", None),
        ("https://host/lib.tar.gz#sha256=00", None),
        ("./folder", None),
        ("lib[extra]>=1.0,<2", None),
        ("lib @ https://host/lib.zip", None),
    ],
)  # fmt: skip
def test_forms_of_an_address(text: str, source: GitSource | None) -> None:
    assert parse_source(text) == source


def test_a_password_in_an_address_is_refused_and_not_shown() -> None:
    with pytest.raises(ConfigError, match="holds a password. Leave it to git's credential helper") as caught:
        parse_source("https://me:hunter2@github.com/u/r")
    assert "hunter2" not in str(caught.value)
    with pytest.raises(ConfigError, match="leaves its repository"):
        parse_source("git+https://host/u/r@main#subdirectory=../../etc")


@pytest.mark.parametrize(
    ("tail", "commit", "argument"),
    [("", "second", "second"), ("/tree/v1", "first", "first"), ("/tree/trunk", "second", "second"),
     ("/tree/feature/x/sub/folder", "branch", "third")],
)  # fmt: skip
def test_branches_tags_and_folders(repository: Repository, tail: str, commit: str, argument: str) -> None:
    source = parse_source(repository.url + tail)
    assert source is not None
    checkout = fetch("gitlib", source)
    assert checkout.commit == getattr(repository, commit)
    files = [checkout.folder / "gitlib.py", checkout.folder / "gitlib" / "__init__.py"]
    assert argument in next(file for file in files if file.exists()).read_text()
    below = "#subdirectory=sub/folder" if "sub" in tail else ""
    assert checkout.source == f"git+{repository.url}@{checkout.commit}{below}"
    again = parse_source(checkout.source)
    assert again is not None
    assert fetched("gitlib", again) == checkout


def test_a_commit_by_its_number_also_a_short_one_and_one_that_no_branch_holds(repository: Repository) -> None:
    assert fetch("gitlib", GitSource(repository.url, repository.first[:9])).commit == repository.first
    lost = repository.write("gitlib.py", "")
    repository.git("reset", "--quiet", "--hard", repository.second)
    repository.git("config", "uploadpack.allowAnySHA1InWant", "true")
    assert fetch("gitlib", GitSource(repository.url, lost)).commit == lost


def test_a_later_fetch_brings_what_is_new_and_leaves_the_old_checkout(repository: Repository) -> None:
    old = fetch("gitlib", GitSource(repository.url))
    repository.write("gitlib.py", CODE.format(argument="newest"))
    new = fetch("gitlib", GitSource(repository.url))
    assert "newest" in (new.folder / "gitlib.py").read_text()
    assert "second" in (old.folder / "gitlib.py").read_text()


def test_what_has_the_commit_already_asks_nobody(repository: Repository) -> None:
    commit = fetch("gitlib", GitSource(repository.url)).commit
    repository.folder.rename(repository.folder.parent / "gone")
    assert fetch("gitlib", GitSource(repository.url, commit)).commit == commit
    with pytest.raises(
        ConfigError,
        match=r"git cannot fetch file:.*does not appear to be a git repository.*Does `git ls-remote file://",
    ):
        fetch("gitlib", GitSource(repository.url))


def test_another_origin_replaces_the_clone(repository: Repository, tmp_path: Path) -> None:
    fetch("gitlib", GitSource(repository.url))
    other = Repository(tmp_path / "other")
    assert fetch("gitlib", GitSource(other.url)).commit == other.second
    assert fetched("gitlib", GitSource(repository.url)) is None


def test_a_warning_past_the_limit(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fetch("gitlib", GitSource(repository.url))
    assert "warning:" not in capsys.readouterr().err
    monkeypatch.setattr("flambe.compile.git.LARGE_MB", 0)
    fetch("gitlib", GitSource(repository.url))
    assert f"warning: {extensions_folder()} holds 0 MB of extensions; delete the folders" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("{url}/tree/feature/y", "{url} has no branch, tag or commit 'feature/y'. Did you mean 'feature/x'?"),
        ("git+{url}@trunk~1", "{url} has no branch, tag or commit 'trunk~1'. Did you mean 'trunk'?"),
        ("{url}/tree/trunk/nowhere", "{url} has no folder 'nowhere' at {commit}"),
        (
            "file:///nowhere/r.git",
            "git cannot fetch file:///nowhere/r.git: '/nowhere/r.git' does not appear to be a git repository. Does `git ls-remote",
        ),
    ],
)
def test_faults_of_fetching(kit: Any, repository: Repository, source: str, fault: str) -> None:
    header = f"gitlib: {source.format(url=repository.url)}"
    found = kit.faults(lambda: compile_text(f"{header}\n---\n!gitlib.Thing\n", name="t", install=True))
    assert found[0].startswith("1:9: " + fault.format(url=repository.url, commit=repository.second[:12]))
    assert [line for line in found[1:] if "gitlib" in line and line.startswith("1:")] == []


def test_nothing_is_fetched_without_i_and_the_spec_has_the_commit(kit: Any, repository: Repository) -> None:
    config = f"gitlib: {repository.url}/tree/feature/x/sub/folder\n---\n!gitlib.Thing {{third: 2}}\n"
    found = kit.faults(lambda: compile_text(config, name="t"))
    assert found[0] == (
        f"1:9: the extension 'gitlib' was not fetched yet from {repository.url}. "
        "Add -i (--install-extensions) to have it done; or clone it and name the folder: 'gitlib: path/to/clone'."
    )
    assert not extensions_folder().exists()
    spec = compile_text(config, name="t", install=True)
    assert spec.stages[0].body == {"$new": "gitlib:Thing", "third": 2}
    source = f"git+{repository.url}@{repository.branch}#subdirectory=sub/folder"
    assert spec.environment.extensions == {"gitlib": source}
    repository.folder.rename(repository.folder.parent / "gone")
    assert compile_text(config, name="t").environment.extensions == {"gitlib": source}
    assert compile_text(f"gitlib: {source}\n---\n!gitlib.Thing\n", name="t").environment.extensions["gitlib"] == source
    program = (
        "import sys\nfrom flambe.build.trust import import_extensions\nimport_extensions({'gitlib': sys.argv[1]})\n"
        "print(sys.modules['gitlib'].__file__)"
    )
    done = subprocess.run([sys.executable, "-c", program, source], capture_output=True, text=True, check=True)
    assert done.stdout.endswith(f"/extensions/gitlib/{repository.branch}/sub/folder/gitlib/__init__.py\n")
