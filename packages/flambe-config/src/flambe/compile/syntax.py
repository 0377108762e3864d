"""What is wrong with a text that is no YAML: the line that looks wrong, which is often not where the parser gave up."""

from __future__ import annotations

import re
from collections import Counter
from typing import NamedTuple

from yaml.error import MarkedYAMLError

from flambe.errors import ConfigError, Position

RULE = "yaml-syntax"
_KEY = re.compile(r"""(?:"[^"]*"|'[^']*'|[^\s#'"\[{][^#]*?)\s*:(?:\s|\Z)""")
_PAIR = re.compile(r"([\w.-]+)\s+(\S.*)\Z")
_OPENED = {
    "while parsing a flow sequence": "the list",
    "while parsing a flow mapping": "the mapping",
    "while scanning a quoted scalar": "the quoted text",
}


class _Block(NamedTuple):
    """Lines that are indented alike. line: its first, 0-based. step: how far it is in from the block around it."""

    indent: int
    line: int
    step: int | None


def syntax_error(error: MarkedYAMLError, text: str, file: str, place: type[Position]) -> ConfigError:
    """Return the error of a text that the parser refused. place: the class of its position."""
    mark = error.problem_mark or error.context_mark
    start = error.context_mark
    problem = (error.problem or "this is no YAML").strip()
    lines = text.splitlines()
    if mark is None:
        return ConfigError(f"this is no YAML: {problem}", rule=RULE)
    position = place(file, mark.line + 1, mark.column + 1)
    rest = "\n".join(lines[mark.line :])[mark.column :]
    suspect: tuple[int, str, str | None] | None = None
    if problem.startswith("could not find expected ':'") and start is not None:
        suspect = _without_colon(lines, start.line)
    if suspect is None and not rest.strip() and start is not None:
        opened = _OPENED.get(error.context or "", "what")
        what = f"the file ends inside {opened} that begins in line {start.line + 1}"
        return ConfigError(what, rule=RULE, position=position, hint="Is the file complete?")
    if problem.startswith("mapping values are not allowed"):
        suspect = _before_a_pair(lines, mark.line)
    elif problem.startswith("did not find expected key"):
        suspect = _indentation(lines, mark.line)
    if suspect is not None:
        index, what, hint = suspect
        column = len(lines[index]) - len(lines[index].lstrip()) + 1
        return ConfigError(f"this is no YAML: {what}", rule=RULE, position=place(file, index + 1, column), hint=hint)
    hint = _hint(error, problem, lines[mark.line]) if 0 <= mark.line < len(lines) else None
    return ConfigError(f"this is no YAML: {problem}", rule=RULE, position=position, hint=hint)


def _hint(error: MarkedYAMLError, problem: str, line: str) -> str | None:
    if error.context == "while scanning a tag":
        return "Put a space between a tag and the bracket after it: [!Tag ]."
    if re.search(r"[\[{].*!(@|link|ref|call|copy)\s+[^'\"\s,]*\[", line):
        return "Inside [ ] or { } quote a link that has brackets: !@ 'model[encoder]'."
    if problem.startswith("did not find expected key"):
        return "The indentation of this line, or of one above it, is not that of its neighbours."
    if problem.startswith("mapping values are not allowed"):
        return "One key a line; quote text that contains ': '."
    if "cannot start any token" in problem:
        return "Indent with spaces, and quote text that begins with a special character."
    return None


def _without_colon(lines: list[str], index: int) -> tuple[int, str, str | None] | None:
    text = lines[index].strip() if index < len(lines) else ""
    if not text or _KEY.match(text) or text[0] in "-[]{}!&*?|>'\"#%":
        return None
    pair = _PAIR.match(text)
    return index, f"{text!r} has no ':'", f"Write '{pair[1]}: {pair[2]}'." if pair else "A key has a ':' after it."


def _before_a_pair(lines: list[str], index: int) -> tuple[int, str, str | None] | None:
    """Return what is wrong above a line ``key: value`` where the parser wanted none."""
    line = lines[index]
    if not _KEY.match(line.strip()) or len(re.findall(r":(?=\s|\Z)", line)) > 1:
        return None
    above = [i for i in range(index) if _is_content(lines[i])]
    if not above:
        return None
    first = None
    for i in reversed(above):
        if _indent(lines[i]) != _indent(line) or _without_colon(lines, i) is None:
            break
        first = i
    if first is not None:
        return _without_colon(lines, first)
    return _deeper(lines, index, above[-1])


def _deeper(lines: list[str], index: int, above: int) -> tuple[int, str, str | None] | None:
    """Return the line that looks wrong when the one at ``index`` is in from a value that is complete."""
    if not (_indent(lines[index]) > _indent(lines[above]) and _KEY.match(lines[above].strip())):
        return None
    found = _blocks(lines, index)
    odd = found and _odd(found[0], found[2], lines, index)
    if odd:
        return odd
    what = f"line {index + 1} is indented deeper than line {above + 1}, which has a value already"
    return index, what, "Indent it as its neighbours, or quote text that contains ': '."


def _indentation(lines: list[str], index: int) -> tuple[int, str, str | None] | None:
    """Return the line whose indentation looks wrong, when the one at ``index`` fits no open block."""
    found = _blocks(lines, index)
    if found is None:
        return None
    stack, popped, steps = found
    indent = _indent(lines[index])
    if not stack:
        return None
    if popped is None:
        return _deeper(lines, index, max(i for i in range(index) if _is_content(lines[i])))
    if not stack[-1].indent < indent < popped.indent:
        return None
    odd = _odd([*stack, popped], steps, lines, index)
    if odd is not None:
        return odd
    nearest = f"{stack[-1].indent} or {popped.indent}"
    return index, f"{_amount(lines, index)}, which is no indentation of the lines above it ({nearest} would be)", None


def _odd(blocks: list[_Block], steps: Counter[int], lines: list[str], index: int) -> tuple[int, str, str | None] | None:
    """Return the first of ``blocks`` that is in from the one around it by another amount than all the file is used to."""
    usual = steps.most_common(2)
    if not usual or usual[0][1] < 2 or (len(usual) > 1 and usual[0][1] == usual[1][1]):
        return None
    odd = next((block for block in blocks if block.step not in (None, usual[0][0])), None)
    if odd is None:
        return None
    what = f"{_amount(lines, odd.line)}, and {_amount(lines, index)}; one of them is not where it belongs"
    return odd.line, what, f"Indent by {usual[0][0]} more than the block around it."


def _amount(lines: list[str], index: int) -> str:
    return f"line {index + 1} is indented by {_indent(lines[index])}"


def _is_content(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _blocks(lines: list[str], end: int) -> tuple[list[_Block], _Block | None, Counter[int]] | None:
    """Return the open blocks at the line ``end``, the outermost that ended there, and how often blocks step in how far.

    None where the lines are more than keys and values one below the other: the parser knows better.
    """
    stack: list[_Block] = []
    popped: _Block | None = None
    steps: Counter[int] = Counter()
    text_below: int | None = None  # the indent of a key whose value is a text of several lines
    for index, line in enumerate(lines[: end + 1]):
        bare = line.strip()
        indent = _indent(line)
        if not _is_content(line):
            continue
        if text_below is not None and indent > text_below:
            continue
        text_below = indent if re.search(r"[|>][+-]?\d?[+-]?\Z", bare) else None
        if bare == "---" or bare.startswith("!"):
            stack, popped = [], None
            continue
        if "\t" in line[:indent] or bare.count("[") != bare.count("]") or bare.count("{") != bare.count("}"):
            return None
        popped = None
        while stack and stack[-1].indent > indent:
            popped = stack.pop()
        if index == end:
            break
        if popped is not None and (not stack or stack[-1].indent < indent):
            return None
        if not stack or stack[-1].indent < indent:
            step = indent - stack[-1].indent if stack and not bare.startswith("-") else None
            if step is not None:
                steps[step] += 1
            stack.append(_Block(indent, index, step))
        if bare.startswith("- "):
            inner = indent + len(bare) - len(bare[1:].lstrip())
            stack.append(_Block(inner, index, None))
    return stack, popped, steps


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
