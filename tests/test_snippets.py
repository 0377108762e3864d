"""The Python of the manuals we replace: every snippet is a file of ``tests/snippets`` that runs; docs/seeds.md lists them.

The docstring of a file says what its snippet shows and, below, what had to be put right. Run this file with Python to
write the table again.
"""

from __future__ import annotations

import ast
import os
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs/seeds.md"
SNIPPETS = sorted(
    (ROOT / "tests/snippets").glob("*.py"),
    key=lambda path: [path.stem[:3], *(int(n) if n.isdigit() else 0 for n in path.stem.split("-")[1].split("."))],
)
BEGIN, END = "<!-- snippets, written by tests/test_snippets.py -->\n", "<!-- end of snippets -->\n"
MANUALS = {"000": "Flambe 1.0 overview", "001": "Flambe 0.4.5 manual"}


@pytest.mark.parametrize("path", SNIPPETS, ids=lambda path: path.stem)
def test_it_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("FLAMBE_ENVIRONMENT", "FLAMBE_SECRETS"):
        monkeypatch.delenv(name, raising=False)
    try:
        runpy.run_path(str(path), run_name="snippet")
    finally:
        os.environ.pop("FLAMBE_ENVIRONMENT", None)


def said_of(path: Path) -> tuple[str, str]:
    """Return what a snippet shows, and what was done to it."""
    shows, _, result = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")
    return shows, " ".join(result.split())


def generated() -> str:
    right = sum(said_of(path)[1] == "as written" for path in SNIPPETS)
    text = f"{len(SNIPPETS)} snippets: {right} run as they were printed, {len(SNIPPETS) - right} after what the table says was put right.\n\n"
    text += "| manual | section | shows | result |\n|---|---|---|---|\n"
    for path in SNIPPETS:
        manual, section, *_ = path.stem.split("-")
        shows, result = said_of(path)
        section = section if section[0].isdigit() else "overview"
        text += f"| {MANUALS[manual]} | {section} | [{shows}](../tests/snippets/{path.name}) | {result} |\n"
    return text


def page() -> str:
    """Return the page with its table written again."""
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    return before + BEGIN + "\n" + generated() + "\n" + END + rest.split(END)[1]


def test_every_snippet_says_what_became_of_it() -> None:
    for path in SNIPPETS:
        shows, result = said_of(path)
        assert shows, path
        assert result == "as written" or result.startswith("put right: "), path


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python tests/test_snippets.py"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
