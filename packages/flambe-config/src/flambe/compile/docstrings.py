"""What docstrings say of a class and of its arguments, read from source: for editors and for the pages."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from inspect import cleandoc

from flambe.compile.library import Library
from flambe.compile.source import Class

_END = re.compile(r"\n(?:Raises|Returns|Attributes|Class attributes)\n-+\n")
_HEADS = re.compile(r"(?:^|(?<=\. )|(?<=\.\n)|(?<=\n))((?:\w+, )*\w+):(?= )")
# As PyTorch writes them: "    lr (float, optional): learning rate", with lines that are further in.
_GOOGLE = re.compile(r"^(?P<in> {2,})(?P<name>\w+) \([^\n]*?\): (?P<text>.*(?:\n(?P=in) +\S.*)*)", re.M)
_REFERENCE = re.compile(r"(?:see|as in) ")
_ROOTS = {"Component", "Module", "Registrable", "Optimizer", "object"}


class Docstrings:
    """Reads the docstrings of classes; each file once."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._bodies: dict[str, list[ast.stmt]] = {}

    def of(self, target: str) -> list[str | None]:
        """Return the docstrings of ``module:Class`` or ``module:Class.factory``: its own, then those of its ancestors."""
        module, _, name = target.partition(":")
        head, _, factory = name.partition(".")
        found = self._library.find(module, head)
        if found is None or not isinstance(found.item, Class):
            return []
        docs: list[str | None] = []
        for one in self._library.ancestors(found)[0]:
            statement = next(
                (s for s in self._body(one.module) if isinstance(s, ast.ClassDef) and s.name == one.name), None
            )
            if statement is None or (docs and one.name in _ROOTS):
                continue
            methods = {s.name: s for s in statement.body if isinstance(s, ast.FunctionDef)}
            if factory in methods:
                docs.insert(0, ast.get_docstring(methods[factory]))
            docs.append(ast.get_docstring(statement))
            if "__init__" in methods:
                docs.append(ast.get_docstring(methods["__init__"]))
        return docs

    def _body(self, module: str) -> list[ast.stmt]:
        if module not in self._bodies:
            path = self._library.file(module)
            try:
                with open(path or "", "rb") as stream:
                    self._bodies[module] = ast.parse(stream.read()).body
            except (OSError, SyntaxError, ValueError):
                self._bodies[module] = []
        return self._bodies[module]


def paragraph(doc: str | None) -> str:
    """Return the first paragraph of a docstring, in one line."""
    return " ".join(cleandoc(doc).partition("\n\n")[0].split()).replace("``", "`") if doc else ""


def meanings(doc: str | None, names: set[str]) -> dict[str, str]:
    """Return what a docstring says of arguments: ``name, other: meaning``, at the beginning of a line or a sentence."""
    found: dict[str, str] = {}
    text = _END.split(cleandoc(doc or ""))[0]
    pieces = _HEADS.split(text)
    for heads, meaning in zip(pieces[1::2], pieces[2::2], strict=True):
        heard = heads.split(", ")
        if names.issuperset(heard):
            found.update(dict.fromkeys(heard, _line(meaning.partition("\n\n")[0])))
    for match in _GOOGLE.finditer(text):
        if match["name"] in names:
            found.setdefault(match["name"], _line(match["text"]))
    return found


def _line(text: str) -> str:
    return " ".join(text.split()).replace("``", "`")


def explained(docs: Sequence[str | None], names: set[str]) -> dict[str, str]:
    """Return what the first of several docstrings to explain an argument says; one that only refers elsewhere waits."""
    said: dict[str, str] = {}
    referred: dict[str, str] = {}
    for doc in docs:
        for name, meaning in meanings(doc, names).items():
            (referred if _REFERENCE.match(meaning) else said).setdefault(name, meaning)
    return {**referred, **said}
