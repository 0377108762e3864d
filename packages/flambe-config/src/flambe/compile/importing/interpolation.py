"""OmegaConf's ``${…}``: a text → its parts. The grammar is the documented one of OmegaConf 2.1 and later."""

from __future__ import annotations

import re
from typing import NamedTuple

from flambe.compile.override_value import comma_parts

_KEY = r"[^\s{}()\[\]:.,$'\"\\=]+"
_REFERENCE = re.compile(rf"\.*(?:{_KEY}|\[{_KEY}\])?(?:\.{_KEY}|\.?\[{_KEY}\])*\Z")
_RESOLVER = re.compile(r"(?P<name>[A-Za-z_][\w.-]*)\s*:(?P<arguments>.*)\Z", re.S)


class Reference(NamedTuple):
    """``${a.b}``. dots: how many it begins with; none: from the top of the config."""

    dots: int
    path: tuple[str, ...]
    text: str


class Call(NamedTuple):
    """``${name:argument,…}``. Each argument is a text, which may hold interpolations of its own. quoted: as written in quotes."""

    name: str
    arguments: tuple[str, ...]
    quoted: tuple[bool, ...]
    text: str


class Unknown(NamedTuple):
    """``${…}`` in a form that cannot be told apart before the program runs, such as ``${a.${b}}``."""

    text: str


Part = str | Reference | Call | Unknown


def parse(text: str) -> list[Part]:
    """Return the parts of a text; one part of plain text where it holds no ``${``. ``\\${`` is a literal ``${``."""
    if "${" not in text:
        return [text]
    parts: list[Part] = []
    literal = ""
    index = 0
    while index < len(text):
        start = text.find("${", index)
        if start < 0:
            literal += text[index:]
            break
        before = text[index:start]
        bare = before.rstrip("\\")
        slashes = len(before) - len(bare)
        literal += bare + "\\" * (slashes // 2)
        end = _end(text, start)
        if slashes % 2 or end is None:
            literal += "${"
            index = start + 2
            continue
        if literal:
            parts.append(literal)
            literal = ""
        parts.append(_part(text[start : end + 1]))
        index = end + 1
    if literal or not parts:
        parts.append(literal)
    return parts


def _end(text: str, start: int) -> int | None:
    """Return where the ``}`` of the ``${`` at ``start`` is."""
    depth = 0
    quote = ""
    index = start + 1
    while index < len(text):
        character = text[index]
        if character == "\\":
            index += 1
        elif quote:
            quote = "" if character == quote else quote
        elif character in "'\"" and ":" in text[start:index]:  # quotes mean something in arguments only
            quote = character
        elif character == "{":
            depth += 1
        elif character == "}":
            depth -= 1
            if depth == 0:
                return index
        index += 1
    return None


def _part(text: str) -> Part:
    inner = text[2:-1].strip()
    if inner and _REFERENCE.match(inner):
        dots = len(inner) - len(inner.lstrip("."))
        path = tuple(re.findall(_KEY, inner[dots:]))
        if path:
            return Reference(dots, path, text)
    call = _RESOLVER.match(inner)
    if call is None:
        return Unknown(text)
    arguments: list[str] = []
    quoted: list[bool] = []
    for bare in comma_parts(call["arguments"], escapes=True) if call["arguments"].strip() else []:
        in_quotes = len(bare) > 1 and bare[0] in "'\"" and bare[-1] == bare[0]
        quoted.append(in_quotes)
        arguments.append(bare[1:-1].replace("\\" + bare[0], bare[0]) if in_quotes else re.sub(r"\\(.)", r"\1", bare))
    return Call(call["name"], tuple(arguments), tuple(quoted), text)


def absolute(reference: Reference, at: tuple[str | int, ...]) -> tuple[str, ...]:
    """Return the path from the top that a reference means where it stands. at: path of the value that it is."""
    if reference.dots == 0:
        return reference.path
    base = at[: len(at) - reference.dots]
    return (*map(str, base), *reference.path)
