"""docs/language.md cannot rot: each row's example compiles, each mistake is told in the words of the page.

A ``yaml`` block with the line ``# here`` is the frame of the tables below it: what a row shows stands in that line. In a table
whose first column is called *override*, it is a word after the file. ``python tests/test_language.py`` writes the last
column and the list of rules anew.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from flambe.compile.compiler import compile_whole
from flambe.compile.rules import PAGE as RULES_PAGE
from flambe.compile.rules import RULES
from flambe.errors import ConfigError, ConfigFaults

ROOT = Path(__file__).parent.parent
PAGE = ROOT / RULES_PAGE
_HERE = re.compile(r"^(?P<indent> *)# here *\n", re.M)
_ROW = re.compile(r"^\| (?P<cells>.*) \|$")
_SPLIT = re.compile(r"(?<!\\) \| ")


class Row(NamedTuple):
    """A construct. frame: the config around it, where it stands in a file. line: of the page, 0-based."""

    line: int
    frame: str
    is_override: bool
    example: str
    mistake: str
    message: str

    def __str__(self) -> str:
        return f"{self.line + 1}"


def code(cell: str) -> str:
    """Return what stands in the code spans of a cell, one a line."""
    return "\n".join(span[1:-1] for span in cell.split("<br>")).replace("\\|", "|")


def rows() -> Iterator[Row]:
    frame, inside, fence, overrides = "", False, "", False
    for number, line in enumerate(PAGE.read_text(encoding="utf-8").splitlines()):
        if line.startswith("```"):
            if inside and "# here" in fence:
                frame = fence
            inside, fence = not inside, ""
        elif inside:
            fence += line + "\n"
        elif line.startswith(("| write |", "| override |")):
            overrides = line.startswith("| override |")
        elif (match := _ROW.match(line)) and not line.startswith("|--"):
            cells = _SPLIT.split(match["cells"])
            if len(cells) == 4:
                yield Row(number, frame, overrides, code(cells[0]), code(cells[2]), cells[3].replace("\\|", "|"))


ROWS = list(rows())


@pytest.fixture
def examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return prepared(tmp_path)


def prepared(folder: Path) -> Path:
    """Put what the examples name into a folder."""
    shutil.copytree(ROOT / "examples", folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("flambe-output"))
    source = re.search(r"^```python\n# (\S+)\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    assert source is not None
    (folder / source[1]).write_text(source[2], encoding="utf-8")
    (folder / "text.yaml").write_text("!TextField\npad_token: <pad>\n", encoding="utf-8")
    (folder / "lower.yaml").write_text("!TextField\nlower: true\n", encoding="utf-8")
    (folder / "sampler.yaml").write_text("!BaseSampler {batch_size: 64}\n", encoding="utf-8")
    return folder


def faults(row: Row, fragment: str) -> list[ConfigError]:
    """Return what is wrong with a config that has the fragment."""
    text, overrides = row.frame, []
    if row.is_override:
        text, overrides = _HERE.sub("", row.frame), fragment.splitlines()
    else:
        text = _HERE.sub(lambda match: textwrap.indent(fragment + "\n", match["indent"]), row.frame)
    try:
        compile_whole(text, name="exp", file="exp.yaml", overrides=overrides, argv=())
    except ConfigFaults as error:
        return list(error.faults)
    except ConfigError as error:
        return [error]
    return []


def said(row: Row) -> str:
    """Return the words about a row's mistake, as the page shows them: without the place."""
    words = []
    for fault in faults(row, row.mistake):
        assert fault.rule in RULES
        words.append(str(fault).replace(f"{fault.position}: ", "", 1).replace(os.getcwd(), "."))
    return " / ".join(words)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_an_example_is_right(row: Row, examples: Path) -> None:
    assert [str(fault) for fault in faults(row, row.example)] == []


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_mistake_is_told_in_these_words(row: Row, examples: Path) -> None:
    assert said(row) == row.message, "where the new words are better, run: python tests/test_language.py"
    assert row.message


@pytest.mark.parametrize("row", [row for row in ROWS if not row.is_override], ids=str)
def test_a_mistake_is_told_where_it_stands(row: Row, examples: Path) -> None:
    start = row.frame[: row.frame.index("# here")].count("\n") + 1
    for fault in faults(row, row.mistake):
        if fault.position is not None:
            assert start <= fault.position.line <= start + row.mistake.count("\n") + 1


def test_there_are_many_constructs() -> None:
    assert len({row.example for row in ROWS}) >= 50


def test_every_rule_has_its_place() -> None:
    listed = re.findall(r"^#### (.+)\n\n(.+)$", PAGE.read_text(encoding="utf-8"), re.M)
    assert dict(listed) == RULES, "run: python tests/test_language.py"


def rewrite() -> None:
    """Write what is said of each mistake, and the rules, into the page."""
    folder = tempfile.TemporaryDirectory()
    os.chdir(prepared(Path(folder.name)))
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    for row in ROWS:
        wrong = [str(fault) for fault in faults(row, row.example)]
        if wrong:
            print(f"{PAGE.name}:{row.line + 1}: the example has faults: {wrong}", file=sys.stderr)
        start, _ = lines[row.line].rsplit(" | ", 1)
        lines[row.line] = f"{start} | {said(row).replace('|', chr(92) + '|')} |"
    text = "\n".join(lines) + "\n"
    head, _, _ = text.partition("#### ")
    PAGE.write_text(head + "\n".join(f"#### {rule}\n\n{words}\n" for rule, words in RULES.items()), encoding="utf-8")


if __name__ == "__main__":
    rewrite()
