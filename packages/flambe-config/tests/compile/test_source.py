"""What source says: read once, kept, read again when the file changes."""

from __future__ import annotations

import ast
import os
from pathlib import Path
from typing import Any

import pytest

from flambe.compile import source
from flambe.compile.annotations import describe, fits
from flambe.compile.hints import read_annotation
from flambe.compile.library import Library
from flambe.compile.signatures import signature_of


def library(tmp_path: Path, **files: str) -> Library:
    for name, text in files.items():
        (tmp_path / f"{name}.py").write_text(text)
    return Library({name: str(tmp_path) for name in files})


def arguments(found: Library, target: str) -> list[list[tuple[str, bool]]]:
    signature = signature_of(found, target)
    assert signature is not None
    return [[(parameter.name, parameter.required) for parameter in form] for form in signature.forms]


def test_a_file_is_parsed_once_and_again_when_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []
    real = ast.parse
    monkeypatch.setattr(ast, "parse", lambda text, *more, **most: parsed.append("") or real(text, *more, **most))
    code = "class A:\n    def __init__(self, x): ...\n"
    assert arguments(library(tmp_path, m=code), "m:A") == [[("x", True)]]
    assert arguments(library(tmp_path, m=code), "m:A") == [[("x", True)]]
    once = len(parsed)
    (tmp_path / "m.py").write_text(code.replace("x", "yy"))
    os.utime(tmp_path / "m.py", ns=(1, 1))
    assert arguments(Library({"m": str(tmp_path)}), "m:A") == [[("yy", True)]]
    assert once in (1, 2)
    assert len(parsed) == once + 1


def test_a_cache_that_cannot_be_written_only_costs_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert arguments(library(tmp_path, m="def f(x, *, y=1): ..."), "m:f") == [[("x", True), ("y", False)]]


def test_a_spoilt_cache_is_read_anew(tmp_path: Path) -> None:
    found = library(tmp_path, m="def f(x): ...")
    assert arguments(found, "m:f")
    for kept in Path(source.cache_folder()).glob("*.msgpack"):
        kept.write_bytes(b"\x00spoilt")
    assert arguments(Library({"m": str(tmp_path)}), "m:f") == [[("x", True)]]


def test_inheritance_re_exports_and_what_is_passed_on(tmp_path: Path) -> None:
    found = library(
        tmp_path,
        base="class Base:\n    def __init__(self, a, b=1, **more): ...\n    @classmethod\n    def make(cls, path): ...\n",
        mine="""
from base import Base as Renamed
import base
class Plain(Renamed): ...
class Dotted(base.Base): ...
class Passing(Renamed):
    def __init__(self, c, **more):
        super().__init__(1, **more)
class Diamond(Plain, Dotted): ...
Other = Passing
try:
    from nowhere import Missing
except ImportError:
    Missing = object
class Unknown(Missing): ...
""",
    )
    assert (
        arguments(found, "mine:Plain")
        == arguments(found, "mine:Diamond")
        == [[("a", True), ("b", False), ("more", False)]]
    )
    assert arguments(found, "mine:Dotted.make") == [[("path", True)]]
    assert arguments(found, "mine:Other") == [[("c", True), ("b", False), ("more", False)]]
    assert signature_of(found, "mine:Unknown") is None
    assert signature_of(found, "mine:Nothing") is None


def test_what_cannot_be_told_is_left_alone(tmp_path: Path) -> None:
    found = library(
        tmp_path,
        m="from dataclasses import dataclass\nclass B: ...\n@dataclass\nclass D(B):\n    x: int\n",
        broken="def f(:\n",
    )
    assert signature_of(found, "m:D") is None
    assert signature_of(found, "broken:f") is None
    assert Library().exists("sys")
    assert signature_of(Library(), "sys:exit") is None


@pytest.mark.parametrize(
    ("annotation", "good", "bad", "words"),
    [
        ("int", [1, {"$grid": [1, 2]}, {"$link": ["a"]}], [1.0, True, "1", None, {"$grid": [1, "x"]}], "an integer"),
        ("float", [1, 1.5, {"$float": "NaN"}], ["1", True], "a number"),
        ("Optional[bool]", [True, None], [0, "yes"], "true or false or null"),
        ("typing.Union[int, str]", [1, "a"], [1.5, []], "an integer or text"),
        ("list[int] | None", [[], [1], None], [1, ["a"]], "a list of integers or null"),
        ("Tuple[int, ...]", [[1, 2]], [["a"]], "a list of integers"),
        ("Dict[str, float]", [{"a": 1}, {}], [{"a": "x"}, [1]], "a mapping to numbers"),
        ("Literal['a', 1, None]", ["a", 1, None], ["b", 2, True], "'a', 1 or null"),
        ("'Optional[\"int\"]'", [1, None], ["a"], "an integer or null"),
        ("Callable[[int], int]", [{"$new": "m:C"}, {"$link": ["a"]}, None], [1, "a", [1]], "something to call"),
        ("Union[int, Tensor]", [1, "a"], [], "anything"),
        ("Any", [1, {"$new": "m:C"}], [], "anything"),
        ("str", ["a", {"$file": "/x"}, {"$env": "X"}, {"$new": "m:C.make"}], [1, {"$new": "m:C"}, {"$bytes": ""}], "text"),
    ],
)  # fmt: skip
def test_annotations(annotation: str, good: list[Any], bad: list[Any], words: str) -> None:
    type_ = read_annotation(ast.parse(annotation, mode="eval").body)
    assert [value for value in good if not fits(value, type_)] == []
    assert [value for value in bad if fits(value, type_)] == []
    assert describe(type_) == words


def test_a_long_first_reading_is_explained_once(kit: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "vast").mkdir()
    (tmp_path / "vast" / "__init__.py").write_text("from .more import *\nclass A: ...\n")
    method = "    def method{n}(self, a: int, b: dict[str, int] = {{}}) -> None:\n        self.x = [a, b]\n"
    (tmp_path / "vast" / "more.py").write_text("class B:\n" + "".join(method.format(n=n) for n in range(20_000)))
    (tmp_path / "c.yaml").write_text(
        "vast: .\n---\n!Experiment\npipeline:\n  a: !vast.A {}\n  b: !vast.B {}\n  c: !vast.B {}\n"
    )
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    first = kit.command("flambe.compile.cli", "c.yaml", cwd=tmp_path)
    folder = tmp_path / "cache" / "flambe"
    assert first.stderr == f"reading the signatures of vast: this once; they are kept in {folder}\n"
    again = kit.command("flambe.compile.cli", "c.yaml", cwd=tmp_path)
    assert (again.stdout, again.stderr) == (first.stdout, "")
