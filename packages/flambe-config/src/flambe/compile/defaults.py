"""The default of an argument, read from the source of its class when somebody asks for it."""

from __future__ import annotations

import ast
import os
from functools import cache

from flambe.compile.library import Found, Library
from flambe.compile.source import Class
from flambe.errors import Position

_IN_YAML = {"None": "null", "True": "true", "False": "false"}


def default_of(target: str, argument: str, library: Library) -> tuple[Position, str, str] | None:
    """Return where the default of an argument of ``module:QualName`` is written, its text, and whose it is.

    None where there is no such argument, or its source cannot be read.
    """
    module, _, name = target.partition(":")
    head, _, method = name.partition(".")
    found = library.find(module, head)
    if found is None or found.item is None:
        return None
    if not isinstance(found.item, Class):
        return _in_file(found, None, found.name, argument, library)
    for one in library.ancestors(found)[0]:
        default = _in_file(one, one.name, method or "__init__", argument, library)
        if default is not None:
            return default
    return None


@cache
def _body(path: str, changed: int) -> list[ast.stmt]:
    """Return the statements of a file, which is read again after it changed."""
    with open(path, "rb") as stream:
        return ast.parse(stream.read()).body


def _in_file(
    found: Found, class_name: str | None, function: str, argument: str, library: Library
) -> tuple[Position, str, str] | None:
    path = library.file(found.module)
    if path is None:
        return None
    try:
        body = _body(path, os.stat(path).st_mtime_ns)
    except (OSError, SyntaxError, ValueError):
        return None
    if class_name is not None:
        body = next((one.body for one in body if isinstance(one, ast.ClassDef) and one.name == class_name), [])
    for statement in body:
        if isinstance(statement, ast.FunctionDef) and statement.name == function:
            given = statement.args
            positional = [*given.posonlyargs, *given.args]
            pairs = [
                *zip(positional[len(positional) - len(given.defaults) :], given.defaults, strict=True),
                *zip(given.kwonlyargs, given.kw_defaults, strict=True),
            ]
            for one, default in pairs:
                if one.arg == argument and default is not None:
                    shown = class_name or function
                    if class_name is not None and function != "__init__":
                        shown = f"{class_name}.{function}"
                    text = ast.unparse(default)
                    return Position(path, one.lineno, one.col_offset + 1), _IN_YAML.get(text, text), shown
    return None
