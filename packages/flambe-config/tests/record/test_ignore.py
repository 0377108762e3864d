"""``.gitignore`` files, compared with what git itself says."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from flambe.record.ignore import Ignore

PATHS = [
    "a.py", "a.log", "build/x.py", "build/deep/y.py", "my/build/z.py", "my/a.log", "my/data/t.csv", "data/t.csv", "my/keep.log", "x1.txt",
    "x2.txt", "xa.txt", "#odd.py", "sp ace.py", "my/deep/er/a.tmp", "my/deep/b.tmp", "doc/frotz/q.py", "a/doc/frotz/r.py", "!bang.py",
    "foo/bar/baz.py", "foo/bar/other.py", "st*r.py",
]  # fmt: skip
FILES = [
    {"": "*.log\nbuild/\n"},
    {"": "/build\n!a.log\n*.tmp\n"},
    {"": "*.log\n!keep.log\n"},
    {"": "data/\n", "my": "!data/\n"},
    {"": "my/**/*.tmp\n"},
    {"": "**/deep\n"},
    {"": "my/deep/**\n"},
    {"": "x[12].txt\n"},
    {"": "x[!12].txt\n"},
    {"": "x?.txt\n\n# a comment\n\\#odd.py\n\\!bang.py\n"},
    {"": "sp ace.py   \n"},
    {"": "doc/frotz\n"},
    {"": "frotz/\n", "a": "/doc\n"},
    {"": "foo/*\n!foo/bar\nfoo/bar/*\n!foo/bar/baz.py\n"},
    {"": "*\n!*/\n!*.py\n", "my": "*.py\n"},
    {"": "st\\*r.py\n"},
    {"": "my/*.log\n*/a.log\n"},
    {"my": "a.log\n/deep/b.tmp\n"},
]


@pytest.mark.parametrize("files", FILES)
def test_it_says_what_git_says(tmp_path: Path, files: dict[str, str]) -> None:
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    for path in PATHS:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    for folder, text in files.items():
        (tmp_path / folder / ".gitignore").write_text(text)
    seen = "\0".join(PATHS)
    done = subprocess.run(
        ["git", "check-ignore", "--no-index", "-z", "--stdin"], cwd=tmp_path, input=seen, capture_output=True, text=True
    )
    theirs = {path for path in done.stdout.split("\0") if path}

    ignore = Ignore(tmp_path / "my")

    def is_ignored(path: str) -> bool:
        parts = Path(path).parts
        above = [tmp_path.joinpath(*parts[:size]) for size in range(1, len(parts))]
        return any(ignore.matches(folder, is_folder=True) for folder in above) or ignore.matches(
            tmp_path / path, is_folder=False
        )

    assert {path for path in PATHS if is_ignored(path)} == theirs


def test_what_is_outside_is_not_ignored(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / ".gitignore").write_text("*\n")
    (tmp_path / ".gitignore").write_text("*\n")
    assert not Ignore(tmp_path / "in").matches(tmp_path / "a.py", is_folder=False)
    assert Ignore(tmp_path / "in").matches(tmp_path / "in" / "a.py", is_folder=False)
