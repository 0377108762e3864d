"""flambe diff: by meaning, not by how files are written."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flambe.compile import compile_text
from flambe.compile.difference import differences, read_side
from flambe.spec.codec import dump_spec

SOURCE = """
class Part:
    def __init__(self, size: int, depth: int = 2, name: str = "x", inner=None, other=None): ...
    def metric(self): ...
class Other(Part): ...
"""
BASE = """\
mine: {folder}
---
!Experiment
name: t
pipeline:
  a: !mine.Part
    size: 1
    name: y
    inner: !mine.Part {{size: 2}}
    other: !mine.Part {{size: !g [3, 4]}}
  b: !mine.Part
    size: 5
    inner: !@ a
reduce: {{a: 1}}
"""


def flambe(*words: str, stdin: str = "") -> tuple[int, str, str]:
    """Run the umbrella in a process of its own, and return (exit code, stdout, stderr)."""
    done = subprocess.run(
        [sys.executable, "-m", "flambe.cli.umbrella", *words], input=stdin, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def run(tmp_path: Path) -> Any:
    """Return a function from replacements in the base file to the lines of the difference to the base."""
    (tmp_path / "mine.py").write_text(SOURCE)
    base = BASE.format(folder=tmp_path)
    (tmp_path / "a.yaml").write_text(base)

    def compare(*changes: tuple[str, str]) -> list[str]:
        text = base
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "b.yaml").write_text(text)
        first, second = (read_side(str(tmp_path / name)) for name in ("a.yaml", "b.yaml"))
        return [str(one) for one in differences(first, second)]

    return compare


SAME = [
    ([], "the same file"),
    (
        [("    size: 1\n    name: y\n", "    name: 'y'   # a comment\n    size: 0x1\n")],
        "spelling and the order of plain values",
    ),
    ([("[3, 4]", "[4, 3]")], "the order of a search"),
    ([("    size: 5\n", "    size: 5\n    depth: 2\n")], "a default written out"),
    ([("!mine.Part {size: 2}", "!mine.Part [2]")], "a place instead of a name"),
    ([("name: t\n", "name: t\nseed: 0\n")], "a default of the experiment"),
    ([("name: t\n", "name: t\nsave_path: elsewhere\n")], "where runs are written"),
]


@pytest.mark.parametrize(("changes", "what"), SAME, ids=[what for _, what in SAME])
def test_what_means_the_same_is_equal(run: Any, changes: list[tuple[str, str]], what: str) -> None:
    assert run(*changes) == []


INNER = "    inner: !mine.Part {size: 2}\n"
OTHER = "    other: !mine.Part {size: !g [3, 4]}\n"
DIFFERENT = [
    ([("    size: 5\n", "    size: 6\n")], ["  b.size: 5 → 6"]),
    ([("    size: 5\n", "    size: 5\n    depth: 3\n")], ["+ b.depth: 3"]),
    ([("    name: y\n", "")], ["- a.name: y"]),
    ([("[3, 4]", "[3, 5]")], ["  a.other.size: !g [3, 4] → !g [3, 5]"]),
    ([("!g [3, 4]", "3")], ["  a.other.size: !g [3, 4] → 3"]),
    ([("b: !mine.Part", "b: !mine.Other")], ["  b: !mine.Part → !mine.Other"]),
    ([(INNER + OTHER, OTHER + INNER)], ["  a: built in the order inner, other → other, inner"]),
    ([("!@ a", "!@ a.x")], ["  b.inner: !@ a → !@ a.x"]),
    ([("{a: 1}", "{a: 2}")], ["  a.reduce: 1 → 2"]),
    ([("name: t\n", "name: u\nseed: 1\n")], ["  name: t → u", "  seed: 0 → 1"]),
    ([("  b: !mine", "  c: !mine")], ["- b: !mine.Part …", "+ c: !mine.Part …"]),
    ([("size: 5", "size: !g [5]")], ["  b.size: 5 → !g [5]"]),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "lines"), DIFFERENT, ids=[lines[0] for _, lines in DIFFERENT])
def test_what_differs_is_named(run: Any, changes: list[tuple[str, str]], lines: list[str]) -> None:
    assert run(*changes) == lines


def test_the_exit_code_tells_and_json_has_the_values(run: Any, tmp_path: Path) -> None:
    run(("    size: 5\n", "    size: 6\n    depth: 3\n"))
    first, second = str(tmp_path / "a.yaml"), str(tmp_path / "b.yaml")
    assert flambe("diff", first, first) == (0, "", "")
    assert flambe("diff", first, second) == (1, "  b.size: 5 → 6\n+ b.depth: 3\n", "")
    code, out, err = flambe("diff", first, second, "--format", "json")
    found = json.loads(out)
    assert (code, err) == (1, "")
    assert (found["flambe_diff"], found["a"], found["b"], found["equal"]) == ("1.0", first, second, False)
    assert found["differences"] == [
        {"path": "b.size", "change": "changed", "before": 5, "after": 6},
        {"path": "b.depth", "change": "added", "before": None, "after": 3},
    ]


def test_a_spec_and_a_run_directory_are_sides_too(run: Any, tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    spec = compile_text(file.read_text(), name="t", file=str(file), overrides=["b.size=7"])
    (tmp_path / "exp.1").mkdir()
    (tmp_path / "exp.1" / "spec.json").write_bytes(dump_spec(spec))
    assert flambe("diff", str(file), str(tmp_path / "exp.1")) == (1, "  b.size: 5 → 7\n", "")
    assert flambe("diff", str(tmp_path / "exp.1"), "-", stdin=dump_spec(spec).decode()) == (0, "", "")


def test_what_cannot_be_compared_says_why(run: Any, tmp_path: Path) -> None:
    file = str(tmp_path / "a.yaml")
    code, _, err = flambe("diff", file, str(tmp_path))
    assert code == 2
    assert "is no run directory; expected a YAML file, a spec, or a folder" in err
    (tmp_path / "many.json").write_text('{"flambe_spec": "1.0"}\n{"flambe_spec": "1.0"}\n')
    code, _, err = flambe("diff", file, str(tmp_path / "many.json"))
    assert code == 2
    assert "holds 2 specs; expected one" in err
    code, _, err = flambe("diff", "-", "-")
    assert code == 2
    assert "stdin can be one of the two only" in err
