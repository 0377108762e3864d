"""flambe fmt: one layout, nothing lost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from flambe.compile.layout import laid_out

UGLY = """\


# a comment at the top

mine:   {folder}
---
!Experiment   \r
name: t # beside


pipeline:
# of the stage
    a: !mine.Part
        # of the size
        size: 1
          # deeper than anything


        name:   'y'
        inner:
            -   !mine.Part
                size: 2   # in a list
            -     - 1
                  - 2
        other: [1,
            2,   # inside
          3]
    # of b, as far as its key
    b: !mine.Part {{
        size: 1 }}
    # after b
    c: !mine.Part
      size: 1
      name: |
           kept
             as it is

           with its blanks   \x20

      # after the text
      other: "one
         two"
      inner: plain text
           over two lines
# at the end
"""
PRETTY = """\
# a comment at the top

mine:   {folder}
---
!Experiment
name: t # beside

pipeline:
# of the stage
  a: !mine.Part
    # of the size
    size: 1
    # deeper than anything

    name:   'y'
    inner:
      - !mine.Part
        size: 2   # in a list
      - - 1
        - 2
    other: [1,
        2,   # inside
      3]
  # of b, as far as its key
  b: !mine.Part {{
      size: 1 }}
  # after b
  c: !mine.Part
    size: 1
    name: |
         kept
           as it is

         with its blanks   \x20

    # after the text
    other: "one
       two"
    inner: plain text
         over two lines
# at the end
"""


def flambe(*words: str, stdin: str = "") -> tuple[int, str, str]:
    """Run the umbrella in a process of its own, and return (exit code, stdout, stderr)."""
    done = subprocess.run(
        [sys.executable, "-m", "flambe.cli.umbrella", *words], input=stdin, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text("class Part:\n    def __init__(self, **kwargs): ...\n")
    path = tmp_path / "a.yaml"
    path.write_text(UGLY.format(folder=tmp_path), newline="")
    path.chmod(0o640)
    return path


def test_a_file_is_laid_out(file: Path) -> None:
    assert flambe("fmt", str(file)) == (0, f"{file}\n", "")
    assert file.read_bytes().decode() == PRETTY.format(folder=file.parent)
    assert file.stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in file.parent.iterdir()) == ["a.yaml", "mine.py"]
    assert flambe("fmt", str(file)) == (0, "", "")


def test_check_writes_nothing(file: Path) -> None:
    before = file.read_bytes()
    assert flambe("fmt", "--check", str(file)) == (1, f"{file}\n", "")
    assert file.read_bytes() == before
    file.write_text(PRETTY.format(folder=file.parent))
    assert flambe("fmt", "--check", str(file)) == (0, "", "")


def test_stdin_goes_to_stdout(file: Path) -> None:
    pretty = PRETTY.format(folder=file.parent)
    assert flambe("fmt", "-", stdin=UGLY.format(folder=file.parent)) == (0, pretty, "")
    assert flambe("fmt", "-", stdin=pretty) == (0, pretty, "")


REFUSED = [
    ("!Experiment\nname: t\npipeline:\n    a: !Nothing\n", "unknown tag !Nothing"),
    ("!Experiment\nname: [1\n", "the list that begins here is never closed"),
    ("!Experiment\nname: t\npipeline:\n    ? a\n    : !mine.Part\n", "line 7 is written in a way that this command does not lay out"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "why"), REFUSED, ids=[why for _, why in REFUSED])
def test_what_cannot_be_laid_out_is_left_as_it_is(file: Path, text: str, why: str) -> None:
    other = file.with_name("b.yaml")
    other.write_text(f"mine: {file.parent}\n---\n\n{text}")
    before = other.read_bytes()
    code, out, err = flambe("fmt", str(other), str(file))
    assert code == 2
    assert why in err
    assert err.startswith("flambe fmt: error: ")
    assert other.read_bytes() == before
    assert out == f"{file}\n"  # the next one is done all the same


@pytest.mark.parametrize("step", [1, 3, 4, 7])
def test_any_indentation_comes_back(file: Path, step: int) -> None:
    pretty = (
        f"mine: {file.parent}\n---\n!Experiment\nname: t\npipeline:\n  # c\n  a: !mine.Part\n    x:\n      y: !mine.Part\n"
        "        z: 1\n      w: [1, 2]\n  b: !mine.Part\n    s: !@ a[x][y]\n"
    )
    ugly = "\n".join(_stretched(line, step) for line in pretty.splitlines())
    assert laid_out(ugly, str(file)) == pretty


def _stretched(line: str, step: int) -> str:
    indent = len(line) - len(line.lstrip(" "))
    return " " * (indent // 2 * step) + line.lstrip(" ")
