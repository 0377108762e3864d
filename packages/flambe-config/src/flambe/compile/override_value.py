"""The value of an override: read as YAML and typed like what it replaces; ``V1,V2``, ``choice(…)`` and ``range(…)`` are searches."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from flambe.compile.yaml import STANDARD, Alias, Node, Scalar, Sequence, plain_value, value_of
from flambe.errors import ConfigError

if TYPE_CHECKING:
    from flambe.compile.override import Override

MOST = 10_000
"""Numbers of one ``range(…)``."""
_RANGE = re.compile(r"range\(\s*(-?\d+)\s*(?:,\s*(-?\d+)\s*)?(?:,\s*(-?\d+)\s*)?\)\Z")
_CHOICE = re.compile(r"choice\((.*)\)\Z", re.S)


def override_value(override: Override, present: Node | None) -> Node:
    """Return the value of an override as a tree. present: what it replaces. Raises ``ConfigError``."""
    text = override.value or ""
    if isinstance(present, Alias):
        present = present.target
    if text.startswith("@"):
        return _from_file(override, text[1:])
    if override.sign == "--":
        return _pair_value(override, text, present)
    span = _RANGE.match(text)
    listed = _CHOICE.match(text)
    if span is not None:
        values = [str(number) for number in _numbers(override, span)]
    else:
        values = list(comma_parts(listed[1] if listed is not None else text))
    if len(values) == 1 and span is None and listed is None:
        return _typed(override, text, present)
    _refuse_gaps(override, values)
    _refuse_tag(override, values)
    grid = Sequence("!g", override.position)
    grid.items = [_typed(override, value, present) for value in values]
    return grid


def _numbers(override: Override, span: re.Match[str]) -> range:
    """Return the numbers of ``range(…)``."""
    expected = f"range(end), range(start, end) or range(start, end, step) of at most {MOST:,} numbers"
    try:
        found = range(*(int(number) for number in span.groups() if number is not None))
        if len(found) > MOST:
            raise override.error(f"{span[0]} has {len(found):,} numbers", "override-type", expected=expected)
    except (ValueError, OverflowError) as error:  # a step of 0, thousands of digits
        raise override.error(f"{span[0]} gives no numbers", "override-type", expected=expected) from error
    return found


def _refuse_gaps(override: Override, values: list[str]) -> None:
    """Raise the error of ``V1,V2,``: nobody means a value of nothing, and who does writes ``''`` or ``null``."""
    if "" in values:
        left = ",".join(filter(None, values))
        given, written = override.value or "", f"{override.sign}{'.'.join(override.path)}={left}"
        hint = f"Write {written}, or '' for an empty text." if left else None
        raise override.error(f"{given!r} has nothing at a comma", "malformed-override", expected="V1,V2", hint=hint)


def _refuse_tag(override: Override, values: list[str]) -> None:
    """Raise the error of ``!g V1,V2``, whose tag would be that of the first value only."""
    tagged = re.match(r"!(g|choice)\s+(?![\[{])(\S.*)", values[0])
    if tagged is not None and len(values) > 1:
        given, path = [tagged[2], *values[1:]], ".".join(override.path)
        hint = f"Write {override.sign}{path}={','.join(given)}, or '!{tagged[1]} [{', '.join(given)}]'."
        what = f"{override.value!r} is a list without brackets"
        raise override.error(what, "malformed-override", hint=hint)


def _pair_value(override: Override, text: str, present: Node | None) -> Node:
    present = _without_references(override, present)
    if isinstance(present, Sequence) and present.tag is None:
        if text.startswith("["):
            return override.tree(text)
        items = Sequence(None, override.position)
        values = list(comma_parts(text)) if text else []
        _refuse_gaps(override, values)
        alike = present.items if len(present.items) == len(values) else present.items[:1] * len(values)
        items.items = [_typed(override, value, alike[index] if alike else None) for index, value in enumerate(values)]
        return items
    if isinstance(present, Scalar) and len(list(comma_parts(text))) > 1 and not isinstance(value_of(present), str):
        key = ".".join(override.path)
        raise override.error(
            f"{text!r} is no single value", "override-type", hint=f"To try each of them write {key}={text}"
        )
    return _typed(override, text, present)


def _from_file(override: Override, path: str) -> Node:
    try:
        return override.composer.value(path, override.position)
    except ConfigError as error:
        error.position = error.position or override.position
        raise


def comma_parts(text: str, *, escapes: bool = False) -> Iterator[str]:
    """Yield the parts between commas that stand in no bracket and no quotes. escapes: nor after a backslash."""
    depth = start = 0
    quote = ""
    is_escaped = False
    for index, character in enumerate(text):
        if is_escaped:
            is_escaped = False
        elif escapes and character == "\\":
            is_escaped = True
        elif quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in "[{(":
            depth += 1
        elif character in ")}]":
            depth -= 1
        elif character == "," and depth == 0:
            yield text[start:index].strip()
            start = index + 1
    yield text[start:].strip()


def _shown_value(text: str, plain: bool = True) -> str:
    """Return a value as a message shows it: only text has quotes."""
    return text if plain and text and not isinstance(plain_value(text), str) else repr(text)


def _typed(override: Override, text: str, present: Node | None) -> Node:
    """Return a value, in the type of what it replaces."""
    if override.refers and ("{" in text or "$" in text):
        from flambe.compile.placeholder import is_reference

        # Quotes and tags are YAML; what else refers to something is text, though {a} might be a mapping.
        if is_reference(text) and not re.match(r"['\"!\[]|\{[^{}]*:", text):
            return Scalar(None, override.position, text, False)
    present = _without_references(override, present)
    is_data = isinstance(present, Scalar) and (present.tag is None or present.tag.startswith(STANDARD))
    if not is_data:
        return override.tree(text)
    assert isinstance(present, Scalar)
    old = value_of(present)
    if isinstance(old, str) and not re.match(r"['\"!\[{]", text):
        return Scalar(None, override.position, text, False)
    new = override.tree(text)
    if old is None or new.tag is not None:
        return new
    kinds = {str: "text", bool: "true or false", int: "an integer", float: "a number"}
    problem = override.error(
        f"{_shown_value(text)} does not fit {'.'.join(override.path)}, which is {_shown_value(present.text, present.plain)} now",
        "override-type",
        expected=kinds[type(old)],
    )
    if not isinstance(new, Scalar):
        if isinstance(new, Sequence) and new.items and text[0] == "[":
            problem.hint = f"To try each of them write {'.'.join(override.path)}={','.join(comma_parts(text[1:-1]))}"
        raise problem
    value = value_of(new)
    if isinstance(old, str):
        return Scalar(None, override.position, new.text, False)
    if isinstance(old, bool):
        word = text.lower()
        if word not in ("true", "false", "1", "0"):
            raise problem
        return Scalar(None, override.position, "true" if word in ("true", "1") else "false", True)
    if value is None:
        return new
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise problem
    if isinstance(old, int) and isinstance(value, float):
        if not value.is_integer():
            raise problem
        return Scalar(None, override.position, str(int(value)), True)
    if isinstance(old, float) and isinstance(value, int):
        return Scalar(None, override.position, repr(float(value)), True)
    return new


def _without_references(override: Override, present: Node | None) -> Node | None:
    """Return what is there now, its references followed; None when they lead nowhere."""
    if (
        not override.refers
        or not isinstance(present, Scalar)
        or not ("{" in present.text or "$" in present.text or "!P" in present.text)
    ):
        return present
    from flambe.compile.interpolate import Interpolation

    return Interpolation(override.root, []).peek(present)
