"""The pages cannot rot: their YAML compiles, their links lead somewhere, their commands work.

A fenced block says in its first line what is done with it:

=================  ==========================================================================================
```` ```yaml ````           compiled with ``flambe-compile``, in a copy of ``examples/``
```` ```yaml part ````      a part of a file: only read as YAML
```` ```sh ````             shown, not run
```` ```sh run ````         run in a copy of ``examples/``; it has to end with 0 (slow tier)
```` ```python ````         shown, and has to be Python
```` ```python run ````     run as ``sh run`` is
```` ```text ````           where its first line is ``$ COMMAND --help``, the rest has to be what that prints
```` ```KIND file=NAME ```` a file that the reader makes; a page with one is worked through from top to bottom in one
                       empty folder: its files are written and its ``run`` blocks are run, in their order, and a
                       ``text`` right after one of these shows lines that it prints (numbers may differ)
=================  ==========================================================================================
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
PAGES = sorted(
    [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "examples").glob("*.md"),
        *(ROOT / "packages").glob("*/*.md"),
    ]
)
_FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<text>.*?)^ *```", re.M | re.S)
_LINK = re.compile(r"(?<!`)!?\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_HELP = re.compile(r"\$ (flambe\S*|expyrun)( \w+)* --help\n")
_HEADING = re.compile(r"^#+ +(.+)$", re.M)


class Block(NamedTuple):
    page: Path
    line: int
    info: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks() -> Iterator[Block]:
    for page in PAGES:
        source = page.read_text(encoding="utf-8")
        for match in _FENCE.finditer(source):
            line = source.count("\n", 0, match.start()) + 1
            yield Block(page, line, match["info"].strip(), textwrap.dedent(match["text"]))


BLOCKS = list(blocks())


FILE = re.compile(r"(?:yaml|python|sh|text) file=(?P<name>(?:[\w-]+/)*[\w.-]+)")
WORKED = sorted({block.page for block in BLOCKS if FILE.fullmatch(block.info)})


def some(wanted: Callable[[Block], bool]) -> list[object]:
    return [pytest.param(block, id=str(block)) for block in BLOCKS if wanted(block)]


@pytest.fixture
def examples(tmp_path: Path) -> Path:
    """A folder with what a reader has at hand."""
    folder = tmp_path / "checkout"
    shutil.copytree(ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("flambe-output"))
    return folder


def test_there_are_pages() -> None:
    assert {"README.md", "CONTRIBUTING.md"} <= {page.name for page in PAGES}
    assert sum(block.info == "yaml" for block in BLOCKS) >= 2


@pytest.mark.parametrize("block", some(lambda block: True))
def test_a_block_says_what_it_is(block: Block) -> None:
    known = {"yaml", "yaml part", "sh", "sh run", "text", "json", "python", "python run", "toml", "jsonl", ""}
    fits = block.info in known or FILE.fullmatch(block.info)
    assert fits, f"{block}: {block.info!r} is none of {sorted(known)}, and no 'KIND file=NAME'"


@pytest.mark.parametrize("block", some(lambda block: block.info.startswith("python")))
def test_a_python_block_is_python(block: Block) -> None:
    ast.parse(block.text, str(block))


@pytest.mark.parametrize("block", some(lambda block: block.info == "yaml"))
def test_a_yaml_block_compiles(block: Block, examples: Path, shell: Callable) -> None:
    (examples / "block.yaml").write_text(block.text, encoding="utf-8")
    done = shell("flambe-compile --check block.yaml", cwd=examples)
    assert done.returncode == 0, f"{block}\n{done.stderr}"


@pytest.mark.parametrize("block", some(lambda block: block.info == "yaml part"))
def test_a_part_of_a_yaml_file_is_yaml(block: Block) -> None:
    list(yaml.compose_all(block.text, Loader=yaml.CSafeLoader))


def runs(block: Block, folder: Path, shell: Callable) -> None:
    if block.info == "python run":
        (folder / ".block.py").write_text(block.text, encoding="utf-8")
    line = f"set -eu; {block.text}" if block.info == "sh run" else f"{sys.executable} .block.py"
    done = shell(line, cwd=folder)
    assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
    said = words(done.stdout + done.stderr)
    after = BLOCKS[BLOCKS.index(block) + 1 :][:1]
    follows = block.page in WORKED and after and after[0].page == block.page and after[0].info == "text"
    shown = words(after[0].text) if follows else []
    missing = [line for line in shown if line not in said]
    assert not missing, f"{after[0]} shows what {block} does not print: {missing}\n{done.stdout}\n{done.stderr}"


def words(output: str) -> list[str]:
    """Return the lines of an output without what differs from machine to machine: numbers, times, the width of columns."""
    plain = re.sub(r"\d+ min (\d+ s)?", "0 s", output.replace("* ", ""))
    lines = (" ".join(re.sub(r"\d+(\.\d+)?", "0", line).split()) for line in plain.splitlines())
    return [line for line in lines if line.strip("─ ")]


def is_run(block: Block) -> bool:
    return block.info in ("sh run", "python run")


@pytest.mark.slow
@pytest.mark.parametrize("block", some(lambda block: is_run(block) and block.page not in WORKED))
def test_a_block_runs(block: Block, examples: Path, shell: Callable) -> None:
    runs(block, examples, shell)


@pytest.mark.slow
@pytest.mark.parametrize("page", [pytest.param(page, id=str(page.relative_to(ROOT))) for page in WORKED])
def test_a_page_can_be_worked_through(page: Path, tmp_path: Path, shell: Callable) -> None:
    folder = tmp_path / "reader"
    folder.mkdir()
    for block in BLOCKS:
        if block.page == page and (file := FILE.fullmatch(block.info)):
            (folder / file["name"]).parent.mkdir(parents=True, exist_ok=True)
            (folder / file["name"]).write_text(block.text, encoding="utf-8")
        elif block.page == page and is_run(block):
            runs(block, folder, shell)


def test_every_tutorial_but_the_machines_is_worked_through() -> None:
    tutorials = {page.name for page in (ROOT / "docs/tutorials").glob("[0-9]*.md")}
    assert tutorials - {page.name for page in WORKED} == {"04-your-own-machines.md"}


@pytest.mark.parametrize("block", some(lambda block: bool(_HELP.match(block.text))))
def test_a_help_text_is_current(block: Block, shell: Callable) -> None:
    first, _, shown = block.text.partition("\n")
    done = shell(first.removeprefix("$ "), COLUMNS="80")
    assert done.stdout.rstrip() == shown.rstrip(), f"{block} is not what {first!r} prints"


def rewrite_help_texts() -> None:
    """Put what the commands print now into every block that shows a help text."""

    def current(block: re.Match[str]) -> str:
        if not _HELP.match(block["text"]):
            return block.group()
        first = block["text"].partition("\n")[0]
        name, *rest = first.removeprefix("$ ").split()
        environment = {**os.environ, "COLUMNS": "80"}
        done = subprocess.run([BIN / name, *rest], capture_output=True, text=True, check=True, env=environment)
        return f"```{block['info']}\n{first}\n{done.stdout.rstrip()}\n```"

    for page in PAGES:
        source = page.read_text(encoding="utf-8")
        page.write_text(_FENCE.sub(current, source), encoding="utf-8")


def anchors(page: Path) -> set[str]:
    """The anchors of a page, as GitHub makes them."""
    bare = _FENCE.sub("", page.read_text(encoding="utf-8"))
    names = (re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-") for title in _HEADING.findall(bare))
    return set(names)


@pytest.mark.parametrize("page", [pytest.param(page, id=str(page.relative_to(ROOT))) for page in PAGES])
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for match in _LINK.finditer(_FENCE.sub("", page.read_text(encoding="utf-8"))):
        target = match["target"]
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name) if name else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert not broken, f"{page.relative_to(ROOT)}: {broken}"


def test_no_page_names_a_place_of_one_machine() -> None:
    private = re.compile(r"(?<![\w.])/(work|opt|root|home/\w+)/")
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for pattern in (
            "docs/**/*.md",
            "*.md",
            "packages/*/*.md",
            "examples/*.yaml",
            "examples/*.py",
            "examples/*.txt",
            "noxfile.py",
            "constraints.txt",
        )
        for path in ROOT.glob(pattern)
        if path.is_file()
        for match in private.finditer(path.read_text(encoding="utf-8"))
    ]
    assert not found


def test_the_deviations_are_a_table() -> None:
    for number, line in enumerate((ROOT / "docs/deviations.tsv").read_text(encoding="utf-8").splitlines(), 1):
        assert re.fullmatch(r"(flambe|mlxpy|expyrun)[\w.]*\t\S.*", line), (
            f"docs/deviations.tsv:{number}: name TAB reason"
        )


if __name__ == "__main__":
    rewrite_help_texts()
